"""TotalSegmentator's models: its tasks as data, and their networks, which are nnU-Net's, as one model each."""

from .importer import IMPORTER

__all__ = ["IMPORTER"]
