"""Scores of labelmaps: which segments are compared with which, and none is dropped."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import label_maps

from DeepSegmentLib.data import Geometry, LabelMap, Segment
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.evaluation import compare_masks, evaluate

GRID = Geometry.from_spacing((1, 1, 6), (3.0, 2.0, 1.0))
LIVER, SPLEEN = Segment("liver", 1), Segment("spleen", 2)


def row(*labels, segments=(LIVER, SPLEEN), layers=1):
    return LabelMap(np.array(labels, np.uint8).reshape(layers, 1, 1, 6), GRID, segments)


def by_name(scores):
    return {score.name: score for score in scores}


class TestEvaluate:
    @given(label_maps(), st.floats(0, 5))
    def test_a_labelmap_agrees_with_itself(self, label_map, tolerance):
        scores = evaluate(label_map, label_map, tolerance)
        assert [score.name for score in scores] == [segment.name for segment in label_map.segments]
        assert all(score.side == "both" and score.scores.dice == score.scores.nsd == 1 for score in scores)
        volumes = label_map.volumes_ml()
        assert {score.name: score.scores.prediction_ml for score in scores} == pytest.approx(volumes)

    @given(st.data())
    def test_every_segment_of_either_side_is_scored_once(self, data):
        reference = data.draw(label_maps())
        prediction = data.draw(label_maps(st.just(reference.geometry)))
        scores = evaluate(reference, prediction, 1.0)
        left, right = ({segment.name for segment in side.segments} for side in (reference, prediction))
        assert sorted(score.name for score in scores) == sorted(left | right)
        sides = {"both": left & right, "reference": left - right, "prediction": right - left}
        assert all(score.name in sides[score.side] for score in scores)

    @given(st.data())
    def test_scores_are_those_of_the_masks(self, data):
        reference = data.draw(label_maps())
        prediction = data.draw(label_maps(st.just(reference.geometry)))
        for score in evaluate(reference, prediction, 1.5):
            if score.side == "both":
                masks = [side.mask(side.segment(score.name)) for side in (reference, prediction)]
                expected = compare_masks(*masks, reference.geometry.spacing_mm, 1.5)
                assert dataclasses.astuple(score.scores) == pytest.approx(dataclasses.astuple(expected), nan_ok=True)


class TestMatching:
    def test_by_name_whatever_the_values_and_layers(self):
        reference = row(1, 1, 0, 0, 2, 2)
        segments = (Segment("spleen", 9), Segment("liver", 9, layer=1))
        prediction = row(0, 0, 0, 0, 9, 9, 9, 9, 0, 0, 0, 0, segments=segments, layers=2)
        scores = evaluate(reference, prediction, 1.0)
        assert [(score.name, score.scores.dice) for score in scores] == [("liver", 1), ("spleen", 1)]

    def test_segments_of_one_name_are_taken_together(self):
        reference = row(1, 1, 1, 1, 0, 0)
        prediction = row(1, 1, 2, 2, 0, 0, segments=(Segment("liver", 1), Segment("liver", 2)))
        scores = by_name(evaluate(reference, prediction, 1.0))
        assert scores["liver"].scores.dice == 1

    def test_by_value_where_no_name_agrees(self):
        prediction = row(1, 1, 2, 0, 0, 0, segments=(Segment("Label_2", 2), Segment("Label_1", 1)))
        scores = evaluate(row(1, 1, 2, 2, 0, 0), prediction, 1.0)
        assert [(score.name, score.side) for score in scores] == [("liver", "both"), ("spleen", "both")]
        assert [score.scores.dice for score in scores] == pytest.approx([1, 2 / 3])

    def test_by_name_alone_where_one_name_agrees(self):
        prediction = row(1, 1, 2, 2, 0, 0, segments=(LIVER, Segment("milt", 2)))
        scores = evaluate(row(1, 1, 2, 2, 0, 0), prediction, 1.0)
        assert [(s.name, s.side) for s in scores] == [
            ("liver", "both"),
            ("spleen", "reference"),
            ("milt", "prediction"),
        ]

    def test_a_segment_of_one_side_is_compared_with_nothing(self):
        scores = by_name(evaluate(row(1, 1, 2, 2, 0, 0), row(1, 1, 2, 2, 0, 0, segments=(LIVER,)), 1.0))
        spleen = scores["spleen"]
        assert spleen.side == "reference"
        assert spleen.scores.missed
        assert (spleen.scores.dice, spleen.scores.hausdorff_mm) == (0, math.inf)

    def test_no_segments_no_scores(self):
        nothing = row(0, 0, 0, 0, 0, 0, segments=())
        assert evaluate(nothing, nothing, 1.0) == ()
        assert [score.side for score in evaluate(nothing, row(1, 1, 0, 0, 0, 0), 1.0)] == ["prediction"] * 2


class TestRefusals:
    @pytest.mark.parametrize(
        "grid",
        [Geometry.from_spacing((1, 6, 1), (3, 2, 1)), Geometry.from_spacing((1, 1, 6), (3, 2, 1.5))],
        ids=["shape", "spacing"],
    )
    def test_two_grids(self, grid):
        other = LabelMap(np.zeros((1, *grid.shape), np.uint8), grid)
        with pytest.raises(InvalidInputError, match=r"must be on one grid.*resample"):
            evaluate(row(0, 0, 0, 0, 0, 0), other, 1.0)

    def test_tolerance(self):
        with pytest.raises(InvalidInputError, match="tolerance must be 0 mm or more, got -1"):
            evaluate(row(1, 0, 0, 0, 0, 0), row(1, 0, 0, 0, 0, 0), -1)
