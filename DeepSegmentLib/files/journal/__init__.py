"""Corrections on disk as they happen: the folder, its lines, reading them back."""

from .journal import LINES_FILE, START_FILE, Journal, volume_checksum

__all__ = ["LINES_FILE", "START_FILE", "Journal", "volume_checksum"]
