"""The nouns: geometry, volume, labelmap, prompts, progress. NumPy only."""

from .geometry import Box, Geometry, Index
from .labels import Code, LabelMap, LabelUpdate, Segment, Terminology
from .progress import Progress, ProgressCallback
from .prompts import BoxPrompt, Lasso, Point, Prompt, Scribble
from .volume import Volume

__all__ = [
    "Box",
    "BoxPrompt",
    "Code",
    "Geometry",
    "Index",
    "LabelMap",
    "LabelUpdate",
    "Lasso",
    "Point",
    "Progress",
    "ProgressCallback",
    "Prompt",
    "Scribble",
    "Segment",
    "Terminology",
    "Volume",
]
