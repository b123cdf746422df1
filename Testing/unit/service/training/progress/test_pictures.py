"""Pictures of a training: curves, and what the network finds; files that are complete whenever somebody looks."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from DeepSegmentLib.service.training.progress.curves import CurvesPicture, draw_curves
from DeepSegmentLib.service.training.progress.progress_file import PROGRESS, ProgressFile, ProgressLine
from DeepSegmentLib.service.training.progress.sample_pictures import MOST_CASES, SamplePictures
from DeepSegmentLib.service.training.train_request import CURVES, SAMPLES
from DeepSegmentLib.training.cases.prepared_case import Known, PreparedCase
from DeepSegmentLib.training.fitting.checks import Checked
from DeepSegmentLib.training.fitting.fit import StepFinished

numbers = st.floats(-1e9, 1e9) | st.sampled_from((float("nan"), float("inf")))
lines = st.builds(
    ProgressLine,
    st.integers(1, 10**6),
    numbers,
    st.floats(0, 1),
    st.floats(0, 1e6),
    st.dictionaries(st.text(max_size=30), st.floats(0, 1), max_size=12),
)


@settings(max_examples=25)
@given(st.lists(lines, max_size=6))
def test_whatever_was_told_can_be_drawn(told):
    assert draw_curves(told).size == draw_curves([]).size


def test_a_loss_that_falls_is_drawn_from_the_upper_left_to_the_lower_right():
    picture = np.asarray(draw_curves([ProgressLine(n, 100.0 - n, 0.1, n, {}) for n in range(101)]))[:210]
    ys, xs = np.nonzero((picture == (90, 160, 255)).all(-1))
    assert np.corrcoef(xs, ys)[0, 1] > 0.99


def test_curves_are_drawn_when_the_network_was_tried_out_and_else_once_in_a_while(tmp_path):
    told, curves = ProgressFile(tmp_path / PROGRESS), CurvesPicture(tmp_path)
    stamps = []
    for n in range(1, 8):
        check = Checked(n, {"Liver": 0.1 * n}, (0.1 * n,)) if n in (3, 6) else None
        step = StepFinished(n, 1 / n, 0.1, float(n), check)
        told.step(step)
        curves.step(step)
        stamps.append((tmp_path / CURVES).read_bytes())
    drawn = [n for n, (before, after) in enumerate(pairwise(stamps), start=2) if before != after]
    assert drawn == [3, 6]


def case(name, labels):
    image = np.zeros((1, *labels.shape[1:]), np.float32)
    regions = np.zeros(labels.shape[1:], np.uint8)
    return PreparedCase(name, name, image, labels, regions, (Known((True, True)),), (1.0, 1.0, 1.0), ())


@pytest.mark.parametrize("output", ["labels", "regions"])
def test_truth_and_answer_are_outlined_where_they_are_the_right_on_the_left_and_the_front_up(tmp_path, output):
    truth, answer = np.zeros((2, 1, 6, 40, 40), np.uint8)
    truth[0, 3, 28:34, 4:10] = 1  # RAS: in front, on the left
    answer[0, 3, 6:12, 28:34] = 1
    pictures = SamplePictures(tmp_path / SAMPLES, output, "RAS")
    for n in range(MOST_CASES + 2):
        pictures.add(case(f"case_{n}", truth), answer)
    pictures.write()
    drawn = np.asarray(Image.open(tmp_path / SAMPLES))
    assert drawn.shape[1] > 3 * 200
    first = drawn[:, : drawn.shape[0]]
    for colour, upper, left in (((80, 220, 100), True, False), ((255, 120, 40), False, True)):
        ys, xs = np.nonzero((first == colour).all(-1))
        assert (ys.mean() < first.shape[0] / 2) == upper
        assert (xs.mean() < first.shape[1] / 2) == left


def test_without_a_case_there_is_no_picture(tmp_path):
    SamplePictures(tmp_path / SAMPLES, "labels").write()
    assert not (tmp_path / SAMPLES).exists()
