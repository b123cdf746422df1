"""What a network is worth on whole cases: a network that reads the truth has a Dice of 1, whatever is unknown."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_examples import model_spec
from torch import nn

from DeepSegmentLib.evaluation.metrics import dice
from DeepSegmentLib.training.cases.prepared_case import Known, PreparedCase
from DeepSegmentLib.training.cases.try_out import dice_of

ALL = (Known((True, True, True)),)
PART = model_spec(patch_shape=(8, 8, 8)).parts[0]


class _Reads(nn.Module):
    """Logits of labels that are written in the image; `confused` reads label 2 as 1."""

    def __init__(self, *, confused=False):
        super().__init__()
        self.classes = nn.Parameter(torch.tensor([0.0, 1.0, 99.0 if confused else 2.0]))

    def forward(self, x):
        return -((x - self.classes.reshape(1, 3, 1, 1, 1)) ** 2)


def _case(seed, shape, *, known=ALL, regions=None):
    labels = np.random.default_rng(seed).integers(0, 3, (1, *shape)).astype(np.uint8)
    rows = np.zeros(shape, np.uint8) if regions is None else regions
    places = tuple(np.argwhere(labels[0] == n).astype(np.int32) for n in range(3))
    return PreparedCase("a", "a", labels.astype(np.float32), labels, rows, known, (1, 1, 1), places)


@settings(max_examples=20)
@given(st.integers(0, 99), st.tuples(*[st.integers(3, 19)] * 3))
def test_whoever_reads_the_truth_has_a_dice_of_one_for_any_shape(seed, shape):
    by_segment, by_case = dice_of(_Reads().eval(), [_case(seed, shape)], PART, "labels")
    assert set(by_segment.values()) == {1.0}
    assert by_case == (1.0,)


def test_dice_is_that_of_the_masks():
    cases = [_case(seed, (10, 11, 12)) for seed in range(3)]
    by_segment, by_case = dice_of(_Reads(confused=True).eval(), cases, PART, "labels")
    first = [dice(case.labels[0] == 1, case.labels[0] > 0) for case in cases]
    assert by_segment == pytest.approx({PART.segments[0]: np.mean(first), PART.segments[1]: 0.0})
    assert by_case == pytest.approx([each / 2 for each in first])


def test_what_is_not_known_does_not_count():
    shape = (8, 9, 10)
    regions = np.zeros(shape, np.uint8)
    regions[:, :5] = 1
    known = (Known((True, True, True)), Known((True, True, False)), Known((True, True, True), 0.0))
    case = _case(0, shape, known=known, regions=regions)
    by_segment, _ = dice_of(_Reads(confused=True).eval(), [case], PART, "labels")
    assert by_segment[PART.segments[1]] == 0
    only_there = _case(0, shape, known=(Known((True, True, False)),))
    by_segment, by_case = dice_of(_Reads(confused=True).eval(), [only_there], PART, "labels")
    assert PART.segments[1] not in by_segment
    assert len(by_case) == 1


def test_a_case_without_a_known_segment_is_no_failure():
    by_segment, by_case = dice_of(
        _Reads().eval(), [_case(0, (8, 8, 8), known=(Known((True, False, False)),))], PART, "labels"
    )
    assert (by_segment, by_case) == ({}, (1.0,))
