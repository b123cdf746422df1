"""nnU-Net v2 models. Everything but `weights` works without torch."""

from .importer import IMPORTER, TrainedConfiguration, read_trained
from .trained_folders import TrainedFolder, trained_folders

__all__ = ["IMPORTER", "TrainedConfiguration", "TrainedFolder", "read_trained", "trained_folders"]
