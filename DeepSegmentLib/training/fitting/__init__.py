"""Fitting a network: settings, losses, the loop, its state on disk, the processes that make samples."""
