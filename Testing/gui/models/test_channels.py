"""Which volume is meant for which channel."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("PySide6", reason="needs PySide6-Essentials", exc_type=ImportError)
pytest.importorskip("slicer", reason="needs slicer-core")


@pytest.mark.parametrize(
    ("channels", "names", "expected"),
    [
        (["T1", "T1 contrast", "T2", "FLAIR"], ["flair", "t2w", "sub_T1ce", "T1w_head"], [3, 2, 1, 0]),
        (["T1", "FLAIR"], ["patient 7", "axial flair"], [None, 1]),
        (["CT"], ["CT chest", "CT"], [1]),
        (["T1"], [], [None]),
    ],
)
def test_names_decide(running_host, channels, names, expected):
    sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "DeepSegment"))
    from DeepSegmentGui.models.channels import assignChannels

    assert assignChannels(channels, names) == expected
