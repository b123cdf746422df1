"""Two models on the same cases: only what was drawn counts, only where somebody looked; interrupted, it goes on."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
from ball_projects import BALLS, ball_case
from PIL import Image

from DeepSegmentLib.data import Box
from DeepSegmentLib.errors import Cancelled, InvalidInputError
from DeepSegmentLib.files.models import save_model
from DeepSegmentLib.imaging.intensity import Normalization
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.model_spec import Channel, ModelSpec, Part
from DeepSegmentLib.networks.stage_spec import StageSpec
from DeepSegmentLib.networks.unet_spec import UNetSpec
from DeepSegmentLib.service.learning.compare import CompareRequest, compare_models
from DeepSegmentLib.service.learning.compare_page import page, verdict_in_words, worst_first
from DeepSegmentLib.service.learning.comparison import (
    Comparison,
    Judged,
    JudgedCase,
    Scores,
    SegmentPair,
    read_comparison,
    write_comparison,
)
from DeepSegmentLib.training.cases.labelled_case import LabelledCase


def _brightness_model(folder, name, thresholds):
    """A model that finds the balls by their brightness: bright above the first threshold, dark below the second."""
    import torch

    spec = UNetSpec(1, 3, (2, 2), ((1, 1, 1),) * 2, ((1, 1, 1), (2, 2, 2)), (1, 1), (1,))
    network = UNet(spec)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    segments = tuple(BALLS)
    stage = StageSpec((16, 16, 16), spec, (Normalization("none"),), spacing_mm=(1.0, 1.0, 1.0), crop="none")
    model = ModelSpec(
        name,
        "1.0",
        "balls",
        "CC0-1.0",
        (Channel("T1w", "MR"),),
        segments,
        (Part(tuple(each.name for each in segments), (stage,)),),
    )
    save_model(folder / name, model, network, card="# balls\n")
    return str(folder / name), thresholds


@pytest.fixture
def models(tmp_path, monkeypatch):
    """Two models whose answers are what a threshold gives; the networks behind them answer nothing."""
    from DeepSegmentLib.data import LabelMap
    from DeepSegmentLib.service.learning import compare

    thresholds = dict([
        _brightness_model(tmp_path, "good", (1.0, -1.0)),
        _brightness_model(tmp_path, "bad", (2.2, -2.2)),
    ])  # fmt: skip

    class _Run:
        def __init__(self, volume, model):
            bright, dark = thresholds[model]
            labels = np.select([volume.voxels[0] > bright, volume.voxels[0] < dark], [1, 2], 0).astype(np.uint8)
            self.prediction = self
            self.label_map = LabelMap(labels[None], volume.geometry, BALLS)

    monkeypatch.setattr(compare, "segment_volume", lambda volume, model, **_: _Run(volume, model))
    return {"good": str(tmp_path / "good"), "bad": str(tmp_path / "bad")}


def _cases(count, **more):
    for seed in range(count):
        volume, labels = ball_case(seed)
        drawn = more.get("drawn", {segment.name: () for segment in BALLS})
        yield LabelledCase(f"case_{seed + 1:04d}", volume, labels, drawn, more.get("reviewed"))


def test_the_better_model_is_told_and_the_worse_one_too(models):
    better = compare_models(CompareRequest(models["bad"], models["good"]), _cases(7), 7)
    assert all(finding.is_better for finding in better.findings())
    worse = compare_models(CompareRequest(models["good"], models["bad"]), _cases(7), 7)
    assert all(finding.is_worse for finding in worse.findings())
    assert verdict_in_words(worse)[0].startswith("The new model is worse")
    assert "Worse: Bright ball, Dark ball." in verdict_in_words(worse)


def test_a_model_against_itself_differs_nowhere(models):
    found = compare_models(CompareRequest(models["good"], models["good"]), _cases(6), 6)
    assert all(finding.dice.difference == 0 for finding in found.findings())
    assert not any(finding.is_better or finding.is_worse for finding in found.findings())


def test_what_was_not_drawn_does_not_count(models):
    found = compare_models(CompareRequest(models["bad"], models["good"]), _cases(2, drawn={"Bright ball": ()}), 2)
    assert found.segments == ("Bright ball",)


def test_only_where_somebody_looked_counts(models):
    """A box of nothing but ground leaves nothing to find: both sides are empty there."""
    corner = (Box((0, 0, 0), (2, 2, 2)),)
    drawn = {"Bright ball": corner, "Dark ball": ()}
    found = compare_models(CompareRequest("", models["good"]), _cases(1, drawn=drawn), 1)
    bright, dark = found.cases[0].segments
    assert bright.new.dice == 1
    everywhere = compare_models(CompareRequest("", models["good"]), _cases(1), 1).cases[0].segments
    assert dark.new == everywhere[1].new
    reviewed = compare_models(CompareRequest("", models["good"]), _cases(1, reviewed=corner), 1)
    assert [pair.new.dice for pair in reviewed.cases[0].segments] == [1, 1]


def test_an_interrupted_comparison_goes_on(models, tmp_path):
    request = CompareRequest(models["bad"], models["good"], results=tmp_path / "comparison.json")

    def stop(event):
        if "case_0003" in event.stage:
            raise Cancelled("stopped by the user")

    with pytest.raises(Cancelled):
        compare_models(request, _cases(4), 4, stop)
    assert len(read_comparison(request.results).cases) == 2
    read = []

    def cases():
        for case in _cases(4):
            read.append(case.name)
            yield case

    whole = compare_models(request, cases(), 4)
    assert [case.name for case in whole.cases] == read
    fresh = compare_models(replace(request, results=None), _cases(4), 4)
    assert whole.cases == fresh.cases


def test_results_of_other_models_are_not_taken_over(models, tmp_path):
    results = tmp_path / "comparison.json"
    compare_models(CompareRequest(models["bad"], models["good"], results=results), _cases(1), 1)
    again = compare_models(CompareRequest(models["good"], models["bad"], results=results), _cases(1), 1)
    assert again.new.name == "bad"
    assert again.cases == compare_models(CompareRequest(models["good"], models["bad"]), _cases(1), 1).cases


def test_a_case_that_was_corrected_since_is_tried_again(models, tmp_path):
    """What it was judged by before is not the truth any more."""
    request = CompareRequest("", models["good"], results=tmp_path / "comparison.json")
    before = compare_models(request, _cases(2), 2).cases
    first, second = _cases(2)
    emptied = replace(first.label_map, layers=np.zeros_like(first.label_map.layers))
    after = compare_models(request, [replace(first, label_map=emptied), second], 2).cases
    assert [pair.new.dice for pair in after[0].segments] == [0, 0]
    assert after[1] == before[1]
    boxed = replace(second, reviewed=(Box((0, 0, 0), (2, 2, 2)),))
    assert compare_models(request, [first, boxed], 2).cases[1] != before[1]


def test_another_revision_of_the_labels_is_tried_again(models, tmp_path):
    request = CompareRequest("", models["good"], results=tmp_path / "comparison.json")
    compare_models(request, _cases(1), 1)
    box = (Box((0, 0, 0), (2, 2, 2)),)
    again = compare_models(request, _cases(1, drawn={"Bright ball": box, "Dark ball": box}), 1)
    assert [pair.new.dice for pair in again.cases[0].segments] == [1, 1]


def test_without_cases_there_is_nothing_to_compare(models):
    with pytest.raises(InvalidInputError, match="no held-out case"):
        compare_models(CompareRequest("", models["good"]), iter(()), 0)


def test_pictures_show_where_the_new_model_is_wrong(models, tmp_path):
    request = CompareRequest(models["good"], models["bad"], pictures=tmp_path / "pictures")
    found = compare_models(request, _cases(1), 1)
    with Image.open(tmp_path / "pictures" / found.cases[0].picture) as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}
    assert (80, 220, 100) in colours
    assert (255, 120, 40) in colours


class _Checker(HTMLParser):
    """Every element is closed, nothing is fetched and nothing runs."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self):
        super().__init__()
        self.open, self.pictures = [], 0

    def handle_starttag(self, tag, attrs):
        assert tag not in ("script", "link", "iframe", "object")
        for name, value in attrs:
            assert not name.startswith("on")
            if name in ("src", "href"):
                assert value.startswith("data:image/png;base64,")
                self.pictures += 1
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_is_well_formed(models, tmp_path):
    request = CompareRequest(models["good"], models["bad"], pictures=tmp_path / "pictures")
    found = compare_models(request, _cases(7), 7)
    text = page(found, tmp_path / "pictures")
    checker = _Checker()
    checker.feed(text)
    assert checker.open == []
    assert checker.pictures == 6
    assert "http" not in re.sub(r'base64,[^"]*', "", text)
    assert str(tmp_path) not in text
    assert '<p class="verdict bad">' in text
    assert BytesIO(text.encode("ascii", "xmlcharrefreplace")).getbuffer().nbytes < 4_000_000


def test_names_cannot_break_the_page():
    evil = "<script>alert(1)</script>"
    scores = Scores(0.5, 0.5, None)
    case = JudgedCase("case_0001", "p", (SegmentPair(evil, scores, scores),))
    text = page(Comparison(Judged("old", "1", "a" * 64), Judged("new", "2", "b" * 64), 2.0, (case,)))
    assert "<script" not in text


def test_the_worst_case_comes_first():
    def case(name, *dice):
        return JudgedCase(name, name, tuple(SegmentPair(str(n), None, Scores(d, d, 1.0)) for n, d in enumerate(dice)))

    found = Comparison(Judged(), Judged("new", "1", "b" * 64), 2.0, (case("a", 0.9, 0.8), case("b", 0.95, 0.1)))
    assert [each.name for each in worst_first(found)] == ["b", "a"]


def test_a_comparison_is_the_same_again(tmp_path):
    scores = Scores(0.123456789, 1.0, None)
    case = JudgedCase("case_0001", "p", (SegmentPair("x", None, scores),), "0" * 32, "x.png")
    found = Comparison(Judged(), Judged("new", "1", "b" * 64), 2.0, (case,), "now")
    write_comparison(found, tmp_path / "c.json")
    assert read_comparison(tmp_path / "c.json") == found
