"""DeepSegment: local deep-learning segmentation of medical volumes."""

__version__ = "0.1.0"
