"""Correct a segmentation with clicks, scribbles, boxes and lassos: prompts in, small updates out. NumPy and SciPy only."""
