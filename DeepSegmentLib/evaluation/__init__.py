"""How good a segmentation is: metrics of masks, scores of labelmaps, reports over cases. NumPy and SciPy only."""

from .metrics import MaskScores, compare_masks
from .report import CaseScores, SegmentSummary, scores_to_csv, scores_to_json, summarize
from .segment_scores import SegmentScores, evaluate

__all__ = [
    "CaseScores",
    "MaskScores",
    "SegmentScores",
    "SegmentSummary",
    "compare_masks",
    "evaluate",
    "scores_to_csv",
    "scores_to_json",
    "summarize",
]
