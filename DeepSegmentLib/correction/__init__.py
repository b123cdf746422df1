"""Correct a segmentation with clicks, scribbles, boxes and lassos: prompts in, small updates out."""
