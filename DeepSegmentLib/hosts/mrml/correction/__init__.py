"""Corrections of segmentation nodes in place, journaled, with undo."""
