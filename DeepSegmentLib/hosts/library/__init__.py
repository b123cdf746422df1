"""The front door for Python: what `from DeepSegmentLib import ...` gives.

Functions that take a volume or a segmentation take it in any form that people have it in; see `images` and `results`.
"""
