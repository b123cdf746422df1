"""Model specs: JSON both ways, and what is refused."""

import copy
import json
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import MISSING, fields, replace
from typing import Any

import pytest
from hypothesis import given
from model_examples import LEFT_AND_RIGHT, TINY_UNET, model_spec, model_specs, stage_of

from DeepSegmentLib.data import Segment, Terminology
from DeepSegmentLib.data import dataclass_json as strict_json
from DeepSegmentLib.errors import InvalidInputError, ModelError
from DeepSegmentLib.imaging.intensity import Normalization
from DeepSegmentLib.networks.model_json import spec_from_json, spec_to_json
from DeepSegmentLib.networks.model_spec import Channel, Cleanup, ModelSpec
from DeepSegmentLib.networks.stage_spec import Resampling, StageSpec, Tiling, WeightsFile
from DeepSegmentLib.networks.unet_spec import UNetSpec

TWO_D = UNetSpec(1, 3, (3, 4), ((3, 3), (3, 3)), ((1, 1), (2, 2)), (1, 1), (1,))
CHANNEL = model_spec().channels[0]


def document() -> dict[str, Any]:
    spec = model_spec(cleanups=(Cleanup("left"),), provenance={"date": "2026"}, expectations=LEFT_AND_RIGHT)
    text = json.dumps(spec_to_json(spec))
    return dict(json.loads(text))


@given(model_specs())
def test_json_and_back_is_identity(spec: ModelSpec) -> None:
    assert spec_from_json(json.loads(json.dumps(spec_to_json(spec)))) == spec


@given(model_specs())
def test_equal_specs_hash_alike_and_travel_between_processes(spec: ModelSpec) -> None:
    twin = pickle.loads(pickle.dumps(spec))
    assert (twin, hash(twin)) == (spec, hash(spec))


@given(model_specs())
def test_output_segments_lie_where_the_output_kind_says(spec: ModelSpec) -> None:
    places = {(segment.layer, segment.value) for segment in spec.output_segments}
    assert len(places) == len(spec.segments)
    assert {layer for layer, _ in places} == ({0} if spec.output == "labels" else set(range(len(spec.segments))))
    assert [segment.name for segment in spec.output_segments] == [segment.name for segment in spec.segments]


def keys_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all keys of a JSON document."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    inner = [found for key, entry in entries for found in keys_of(entry, (*path, key))]
    return ([path] if path and isinstance(path[-1], str) else []) + inner


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


ALL_KEYS = [path for path in keys_of(document()) if path[0] != "provenance"]
OPTIONAL_KEYS = {
    field.name
    for kind in (
        ModelSpec,
        StageSpec,
        WeightsFile,
        Resampling,
        Tiling,
        UNetSpec,
        Normalization,
        Segment,
        Terminology,
        Cleanup,
    )
    for field in fields(kind)
    if field.default is not MISSING or field.default_factory is not MISSING
} - {"format_version"}


@pytest.mark.parametrize("path", ALL_KEYS, ids=lambda path: ".".join(map(str, path)))
def test_every_key_without_a_default_is_needed_and_each_type_is_checked(path: tuple[Any, ...]) -> None:
    without = document()
    del at(without, path[:-1])[path[-1]]
    if path[-1] in OPTIONAL_KEYS:
        assert isinstance(spec_from_json(without), ModelSpec)
    else:
        with pytest.raises(ModelError, match=f"{path[-1]!r} is missing"):
            spec_from_json(without)
    wrong = document()
    at(wrong, path[:-1])[path[-1]] = {"a": [object]}
    with pytest.raises(ModelError, match=str(path[-1])):
        spec_from_json(wrong)


@pytest.mark.parametrize("path", sorted({path[:-1] for path in ALL_KEYS}, key=str), ids=str)
def test_unknown_keys_are_refused(path: tuple[Any, ...]) -> None:
    changed = document()
    at(changed, path)["surprise"] = 1
    with pytest.raises(ModelError, match="unknown key 'surprise'"):
        spec_from_json(changed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format_version=3), "format 3 is newer than 2.*update DeepSegment"),
        (lambda d: d.update(format_version=0), "format_version must be 2, got 0"),
        (lambda d: d.update(format_version=True), "format_version must be a whole number, got True"),
        (lambda d: d.update(name="../x"), "model: name must be"),
        (lambda d: stage_of(d).update(spacing_mm=[1.0, 2.0]), "spacing_mm must have 3 entries, got 2"),
        (lambda d: stage_of(d).update(spacing_mm=[1, 2, float("nan")]), r"spacing_mm\[2\] must be a finite number"),
        (lambda d: stage_of(d).update(spacing_mm=[1, 2, 10**400]), r"spacing_mm\[2\] must be a finite number"),
        (lambda d: stage_of(d).update(patch_shape=[8, 8, 8.0]), r"patch_shape\[2\] must be a whole number, got 8.0"),
        (lambda d: d["provenance"].update(n=3), "provenance.n must be text, got 3"),
        (lambda d: stage_of(d)["network"].update(encoder=[]), "encoder must be one of plain, residual"),
        (lambda d: stage_of(d)["network"].update(features=[3]), "network: a U-Net needs at least two stages"),
        (lambda d: stage_of(d)["network"].update(kernel_sizes=[]), r"stages\[0\].network"),
        (lambda d: d["segments"][1].update(color=[0, 0, 300]), r"segments\[1\]: .*colour"),
        (lambda d: d["expectations"].update(ml=[2, 1]), "expectations: ml must be from a smaller to a larger number"),
        (lambda d: d["expectations"].update(cases=0), "at least one case, got 0"),
        (lambda d: d["expectations"].update(coarsest_mm=0), "coarsest_mm must be a length above 0"),
        (lambda d: d["expectations"]["segments"][0].update(segment="tail"), "expectation of unknown segment 'tail'"),
        (lambda d: d["expectations"]["segments"][0].update(pieces=0), "pieces must be at least 1"),
        (lambda d: d["cleanups"][0].update(keep_largest=1), "keep_largest must be true or false, got 1"),
    ],
)
def test_wrong_values_are_refused(change: Callable[[dict[str, Any]], None], message: str) -> None:
    changed = document()
    change(changed)
    with pytest.raises(ModelError, match=message):
        spec_from_json(changed)


@pytest.mark.parametrize("value", [None, [], "spec", 1, {}])
def test_anything_but_a_spec_is_refused(value: Any) -> None:
    with pytest.raises(ModelError, match="model"):
        spec_from_json(value)


def test_whole_numbers_are_read_as_floats_where_floats_are_meant() -> None:
    changed = document()
    stage_of(changed)["spacing_mm"] = [1, 2, 3]
    assert all(type(step) is float for step in spec_from_json(changed).stages[0].spacing_mm or ())


def test_the_document_is_not_changed() -> None:
    given_document = document()
    kept = copy.deepcopy(given_document)
    spec_from_json(given_document)
    assert given_document == kept


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "name must be"),
        ({"name": "a/b"}, "name must be"),
        ({"name": ".hidden"}, "name must be"),
        ({"name": "a" * 65}, "name must be"),
        ({"name": "nul"}, "name must be"),
        ({"name": "COM1.x"}, "name must be"),
        ({"name": "brain\n"}, "name must be"),
        ({"version": "1 0"}, "version must be"),
        ({"orientation": "RAX"}, "orientation must name one of"),
        ({"orientation": "RLS"}, "orientation must name one of"),
        ({"orientation": "RASS"}, "orientation must name one of"),
        ({"spacing_mm": (1, 1, 0)}, "spacing_mm must be"),
        ({"spacing_mm": (1, 1, float("inf"))}, "spacing_mm must be"),
        ({"spacing_mm": (1, 1)}, "spacing_mm must be"),
        ({"patch_shape": (8, 8)}, "expected three"),
        ({"patch_shape": (8, 0, 8)}, "patch_shape must be at least 1"),
        ({"network": TWO_D}, "and 1 along the first for a 2D network"),
        ({"mirror_axes": (3,)}, "mirror_axes must be among 0, 1, 2"),
        ({"mirror_axes": (1, 1)}, "mirror_axes must be among 0, 1, 2"),
        ({"channels": ()}, "takes 1 channels, but 0"),
        ({"channels": (CHANNEL, Channel("T2w", "MR"))}, "takes 1 channels, but 2"),
        ({"output": "boxes"}, "output must be labels or regions"),
        ({"output": "regions"}, "2 segments as regions need a network of 2 output channels"),
        ({"segments": ()}, "at least one segment"),
        ({"segments": (Segment("a", 1), Segment("a", 2))}, "two segments of a part share 'a'"),
        ({"segments": (Segment("a", 1), Segment("b", 1))}, "two segments share 1"),
        ({"segments": (Segment("a", 1), Segment("b", 2, layer=1))}, "segment 'b': layer must be 0"),
        ({"cleanups": (Cleanup("liver"),)}, "clean-up of unknown segment 'liver'; there are: left, right"),
        ({"cleanups": (Cleanup("left", together_with=("left",)),)}, "two clean-ups share 'left'"),
        ({"format_version": 7}, "format_version must be 2, got 7"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        model_spec(**changes)


def test_channels_have_distinct_names() -> None:
    network = UNetSpec(
        2, 3, *(getattr(TINY_UNET, name) for name in ("features", "kernel_sizes", "strides")), (1, 1), (1,)
    )
    with pytest.raises(InvalidInputError, match="two channels share 'T1w'"):
        model_spec(network=network, channels=(CHANNEL, CHANNEL))


def test_regions_may_share_a_value() -> None:
    regions = (Segment("a", 1), Segment("b", 1), Segment("c", 1))
    assert [segment.layer for segment in model_spec(output="regions", segments=regions).output_segments] == [0, 1, 2]


def test_a_spec_needs_no_torch() -> None:
    code = (
        "import sys, DeepSegmentLib.networks.model_spec; sys.exit('torch' in sys.modules or 'SimpleITK' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_model_from_before_there_were_expectations_still_opens():
    old = document()
    del old["expectations"]
    assert spec_from_json(old) == replace(spec_from_json(document()), expectations=None)


def test_many_expectations_are_checked_at_once():
    many = 20_000
    segments = tuple(Segment(f"s{n}", n) for n in range(1, many + 1))
    one = LEFT_AND_RIGHT.segments[0]
    expected = replace(LEFT_AND_RIGHT, segments=tuple(replace(one, segment=each.name) for each in segments))
    start = time.process_time()
    model_spec(segments=segments, network=replace(TINY_UNET, out_channels=many + 1), expectations=expected)
    assert time.process_time() - start < 1


def test_reading_a_spec_again_works_nothing_out_anew(monkeypatch):
    stored = document()
    spec_from_json(stored)
    monkeypatch.setattr(strict_json, "get_type_hints", None)
    assert spec_from_json(stored).name == "tiny-brain"
