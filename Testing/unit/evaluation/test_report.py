"""Reports: what was scored is found again in CSV and JSON, and the summary hides nothing."""

import csv
import io
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import label_maps

from DeepSegmentLib.data import Geometry
from DeepSegmentLib.evaluation import (
    CaseScores,
    SegmentScores,
    compare_masks,
    evaluate,
    scores_to_csv,
    scores_to_json,
    summarize,
)
from DeepSegmentLib.evaluation.report import COLUMNS, METRICS

GRID = Geometry.from_spacing((2, 2, 3), (3.0, 2.0, 1.0))


@st.composite
def cases(draw):
    """Cases with segments of many names, some missed, some invented, some in some cases only."""
    grids = st.just(GRID)
    names = draw(st.lists(st.text(min_size=1, max_size=5), unique=True, min_size=1, max_size=4))
    pairs = [(draw(label_maps(grids)), draw(label_maps(grids))) for _ in names]
    return [CaseScores(name, evaluate(*pair, 1.0)) for name, pair in zip(names, pairs, strict=True)]


def liver(reference_voxels, prediction_voxels):
    """Scores of a liver of so many voxels in a row of 10, both from the left."""
    masks = np.arange(10) < np.array([[[[reference_voxels]]], [[[prediction_voxels]]]])
    return (SegmentScores("liver", "both", compare_masks(*masks, (1, 1, 1), 1.0)),)


FOUR = [
    CaseScores("a", liver(4, 4)),
    CaseScores("b", liver(4, 2)),
    CaseScores("c", liver(4, 0)),
    CaseScores("d", liver(0, 4)),
]


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


class TestSummary:
    @given(cases())
    def test_has_every_segment_and_counts_its_cases(self, scored):
        names = [segment.name for case in scored for segment in case.segments]
        assert [summary.name for summary in summarize(scored)] == list(dict.fromkeys(names))
        assert all(summary.cases == names.count(summary.name) for summary in summarize(scored))

    @given(cases())
    def test_means_are_those_of_the_finite_values(self, scored):
        for summary in summarize(scored):
            for metric in METRICS:
                values = [getattr(s.scores, metric) for c in scored for s in c.segments if s.name == summary.name]
                finite = [value for value in values if math.isfinite(value)]
                mean = np.mean(finite) if finite else math.nan
                assert getattr(summary.mean, metric) == pytest.approx(mean, nan_ok=True)

    def test_by_hand(self):
        (summary,) = summarize(FOUR)
        assert (summary.name, summary.cases, summary.missed, summary.false_alarms) == ("liver", 4, 1, 1)
        assert summary.mean.dice == pytest.approx((1 + 2 / 3) / 4)
        assert summary.median.dice == pytest.approx(1 / 3)
        assert summary.mean.hausdorff_mm == 1  # of 0 and 2: the two infinite ones are counted beside it
        assert summary.median.hausdorff_mm == math.inf  # of 0, 2, inf, inf
        assert summary.mean.precision == pytest.approx(2 / 3)  # of 1, 1 and 0; that of the missed one is undefined
        assert summary.mean.tolerance_mm == 1

    def test_of_undefined_values_is_undefined(self):
        (summary,) = summarize([CaseScores("c", liver(4, 0))])
        assert math.isnan(summary.mean.precision)
        assert math.isnan(summary.median.precision)
        assert math.isnan(summary.mean.hausdorff_mm)

    def test_of_nothing_is_empty(self):
        assert summarize([]) == ()


class TestJson:
    @given(cases())
    def test_is_strict_and_read_back_the_same(self, scored):
        report = scores_to_json(scored)
        assert json.loads(json.dumps(report, allow_nan=False)) == report

    @given(cases())
    def test_holds_every_number(self, scored):
        report = scores_to_json(scored)
        for case, entry in zip(scored, report["cases"], strict=True):
            assert entry["case"] == case.case
            for segment, item in zip(case.segments, entry["segments"], strict=True):
                assert (item["name"], item["side"]) == (segment.name, segment.side)
                for metric in METRICS:
                    value = getattr(segment.scores, metric)
                    assert item[metric] == (value if math.isfinite(value) else None)

    def test_summary(self):
        (summary,) = scores_to_json(FOUR)["summary"]
        assert {key: summary[key] for key in ("name", "cases", "missed", "false_alarms")} == {
            "name": "liver",
            "cases": 4,
            "missed": 1,
            "false_alarms": 1,
        }
        assert summary["mean"]["hausdorff_mm"] == 1
        assert summary["median"]["hausdorff_mm"] is None


class TestCsv:
    @given(cases())
    def test_has_a_row_a_segment_and_two_a_summary(self, scored):
        rows = rows_of(scores_to_csv(scored))
        summaries = summarize(scored)
        assert [row["row"] for row in rows] == ["case"] * sum(len(case.segments) for case in scored) + [
            "mean",
            "median",
        ] * len(summaries)
        names = [(case.case, segment.name) for case in scored for segment in case.segments]
        assert [(row["case"], row["segment"]) for row in rows if row["row"] == "case"] == names

    @given(cases())
    def test_numbers_are_read_back(self, scored):
        rows = rows_of(scores_to_csv(scored))
        segments = [segment for case in scored for segment in case.segments]
        for segment, row in zip(segments, rows, strict=False):
            for metric in METRICS:
                number = float(row[metric] or "nan")
                assert number == pytest.approx(getattr(segment.scores, metric), rel=1e-5, nan_ok=True)

    def test_by_hand(self):
        lines = scores_to_csv(FOUR[1:3]).splitlines()
        assert lines[0] == ",".join(f'"{column}"' for column in COLUMNS)
        assert lines[1].startswith('"case","b","liver","both",1,0,0,0.666667,0.5,1.0,0.5,')
        assert lines[2].startswith('"case","c","liver","both",1,1,0,0.0,0.0,"",0.0,0.0,inf,inf,inf,')
        assert lines[3].startswith('"mean","","liver","",2,1,0,0.333333,0.25,1.0,0.25,')
        assert lines[4].startswith('"median","","liver","",2,1,0,0.333333,0.25,1.0,0.25,')

    @pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\uff1d1"])
    def test_names_are_no_formulas(self, name):
        (row, *_) = rows_of(scores_to_csv([CaseScores(name, liver(4, 4))]))
        assert row["case"] == f"'{name}"

    @pytest.mark.parametrize("name", ["a,b", 'the "left" one', "two\nlines", "a\r", "Läber; links"])
    def test_names_survive(self, name):
        (row, *_) = rows_of(scores_to_csv([CaseScores(name, liver(4, 4))]))
        assert row["case"] == name
