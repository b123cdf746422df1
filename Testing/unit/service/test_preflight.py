"""What a run needs is told without building anything, and a run that cannot go well is refused."""

import json
import re
import time
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_examples import TINY_UNET, model_spec, model_specs

from DeepSegmentLib.data import Box, Geometry, Volume
from DeepSegmentLib.errors import DeepSegmentError, InvalidInputError, ResourceError
from DeepSegmentLib.files.models import read_spec, save_model
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.model_json import spec_to_json
from DeepSegmentLib.segmentation.needs import needs_of
from DeepSegmentLib.segmentation.outputs import PredictSettings
from DeepSegmentLib.service import preflight
from DeepSegmentLib.service.preflight import check, estimate
from DeepSegmentLib.service.segment import segment_volume

GIGANTIC = st.tuples(*[st.integers(1, 1 << 31)] * 3)
LENGTH = st.floats(1e-6, 1e6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of 1 mm and patches of 8 voxels."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "tiny-brain"
    save_model(folder, model_spec(), UNet(TINY_UNET), card="")
    return folder


@pytest.fixture
def free(monkeypatch):
    """Say how much memory is free."""

    def set_free(size):
        monkeypatch.setattr(preflight, "available_memory_bytes", lambda: size)
        monkeypatch.setattr(preflight, "resident_memory_bytes", lambda: 0)

    return set_free


@given(model_specs(), GIGANTIC, st.tuples(LENGTH, LENGTH, LENGTH), st.booleans())
def test_the_estimate_of_anything_is_there_at_once_and_whole(spec, shape, spacing, asked):
    geometry = Geometry.from_spacing(shape, spacing)
    settings = PredictSettings(overlap=0.95, mirror=asked, uncertainty=asked, any_spacing=True)
    start = time.process_time()
    with suppress(InvalidInputError):  # more than can be counted
        needs = needs_of(spec, geometry, settings)
        assert needs.passes >= 1
        assert needs.array_bytes > shape[0] * shape[1] * shape[2]
        assert type(needs.array_bytes) is type(needs.passes) is int
    assert time.process_time() - start < 0.5


@given(st.tuples(*[st.integers(1, 300)] * 3), st.tuples(*[st.integers(0, 50)] * 3))
def test_more_voxels_need_more_and_a_part_no_more_than_all(shape, more):
    spec, settings = model_spec(), PredictSettings()
    grown = tuple(n + m for n, m in zip(shape, more, strict=True))
    small, large = (Geometry.from_spacing(n, (1, 1, 1)) for n in (shape, grown))
    assert needs_of(spec, small, settings).array_bytes <= needs_of(spec, large, settings).array_bytes
    part = needs_of(spec, large, settings, Box.of_shape(shape))
    assert part.array_bytes <= needs_of(spec, large, settings).array_bytes
    assert part.passes <= needs_of(spec, large, settings).passes


@pytest.mark.parametrize(("spacing", "text"), [((1000, 1, 1), "1 x 1 x 1000 mm"), ((1, 1, 1e-4), "0.0001 x 1 x 1")])
def test_a_spacing_that_no_scan_has_is_refused_unless_it_is_right(folder, spacing, text):
    volume = Volume(np.zeros((1, 2, 3, 4), np.float32), Geometry.from_spacing((2, 3, 4), spacing))
    with pytest.raises(InvalidInputError, match="--any-spacing") as refusal:
        segment_volume(volume, str(folder), device="cpu")
    assert text in str(refusal.value)


def test_a_spacing_that_is_right_is_segmented(folder):
    geometry = Geometry.from_spacing((2, 3, 4), (40, 1, 0.04))
    volume = Volume(np.random.default_rng(0).normal(size=(1, 2, 3, 4)).astype(np.float32), geometry)
    run = segment_volume(volume, str(folder), device="cpu", settings=PredictSettings(any_spacing=True))
    assert run.prediction.label_map.geometry.is_close(geometry)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 40), (1, 30, 20), (40, 1, 1)])
def test_axes_of_one_voxel_are_segmented(folder, shape):
    volume = Volume(np.random.default_rng(0).normal(size=(1, *shape)), Geometry.from_spacing(shape, (1, 1, 1)))
    assert segment_volume(volume, str(folder), device="cpu").prediction.label_map.geometry.shape == shape


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((4096, 4096, 4096), (20, 20, 20)), ((1, 1, 3000), (1e6, 1e6, 1e6)), ((1, 1, 3000), (1e12, 1, 1))],
)
def test_what_can_never_fit_is_refused_before_anything_is_made(folder, shape, spacing):
    geometry, settings = Geometry.from_spacing(shape, spacing), PredictSettings(any_spacing=True)
    start = time.process_time()
    with pytest.raises(DeepSegmentError, match=r"of memory|too many|passes of the network"):
        check(read_spec(folder), geometry, settings)
    assert time.process_time() - start < 0.5


def test_a_run_that_would_take_too_many_passes_is_refused(folder, free):
    free(None)
    with pytest.raises(ResourceError, match="passes of the network, more than"):
        check(read_spec(folder), Geometry.from_spacing((2000, 2000, 2000), (1, 1, 1)), PredictSettings())


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_too_little_memory_is_refused_and_what_fits_is_said_and_fits(folder, free, device):
    geometry, coarse = Geometry.from_spacing((300, 500, 400), (1, 1, 2)), PredictSettings(overlap=0.0)
    free(estimate(read_spec(folder), geometry, coarse).memory_bytes * 2 / 3)
    with pytest.raises(ResourceError, match=r"400 x 500 x 300 voxels of 2 x 1 x 1 mm need") as refusal:
        check(read_spec(folder), geometry, coarse, device)
    r, a, s = map(int, re.search(r"region of at most (\d+) x (\d+) x (\d+) mm", str(refusal.value)).groups())
    assert 100 < r < 800
    assert r / 8 == pytest.approx(a / 5, abs=1) == pytest.approx(s / 3, abs=1)
    check(read_spec(folder), geometry, replace(coarse, region_ras=np.array([[0, 0, 0], [r, a, s]])), device)


def test_fewer_maps_are_named_where_they_are_the_trouble(folder, free):
    geometry = Geometry.from_spacing((100, 500, 400), (1, 1, 1))
    free(estimate(read_spec(folder), geometry, PredictSettings()).memory_bytes)
    maps = PredictSettings(probabilities=("left",) * 20, uncertainty=True)
    with pytest.raises(ResourceError, match=r"or leave out the maps of probability and uncertainty$"):
        check(read_spec(folder), geometry, maps)


def test_a_volume_that_fits_in_no_way_is_to_be_cropped(folder, free):
    free(1 << 20)
    with pytest.raises(ResourceError, match="crop or downsample the volume"):
        check(read_spec(folder), Geometry.from_spacing((100, 100, 100), (1, 1, 1)), PredictSettings())


def test_a_patch_that_is_too_large_is_halved_and_it_is_said(tmp_path, free):
    save_model(tmp_path / "wide", model_spec(patch_shape=(1000, 1000, 1000)), UNet(TINY_UNET), card="")
    free(3 << 30)
    volume = Volume(np.zeros((1, 5, 5, 5), np.float32), Geometry.from_spacing((5, 5, 5), (1, 1, 1)))
    run = segment_volume(volume, str(tmp_path / "wide"), device="cpu")
    assert "Patches were made smaller (250 x 250 x 250 voxels) to fit into memory" in run.notes[0]


def test_a_patch_that_fits_nowhere_is_the_models_fault(tmp_path, free):
    save_model(tmp_path / "wide", model_spec(patch_shape=(1000, 1000, 1000)), UNet(TINY_UNET), card="")
    free(700 << 20)
    volume = Volume(np.zeros((1, 5, 5, 5), np.float32), Geometry.from_spacing((5, 5, 5), (1, 1, 1)))
    with pytest.raises(ResourceError, match="take a smaller model or a GPU: one patch of tiny-brain needs more"):
        segment_volume(volume, str(tmp_path / "wide"), device="cpu")


def test_a_system_that_tells_no_memory_refuses_nothing(folder, free):
    free(None)
    check(read_spec(folder), Geometry.from_spacing((300, 300, 300), (1, 1, 1)), PredictSettings())


@pytest.mark.parametrize(
    "wrong",
    [
        {"overlap": 0.999999},
        {"overlap": float("nan")},
        {"region_ras": np.full((2, 3), 1e308)},
        {"region_ras": np.full((2, 3), np.nan)},
        {"region_ras": np.zeros((3, 3))},
    ],
)
def test_settings_without_sense_are_refused(wrong):
    with pytest.raises(InvalidInputError, match=r"overlap must be from 0 to 0\.95|region must be two corners"):
        PredictSettings(**wrong)


DEEP = replace(TINY_UNET, features=(1, 60_000), strides=((1, 1, 1),) * 2, kernel_sizes=((1, 1, 1),) * 2)
SLOW = replace(TINY_UNET, features=(64, 64), kernel_sizes=((31, 31, 31),) * 2)


@pytest.mark.parametrize(
    ("network", "patch", "text"),
    [(DEEP, (128, 128, 128), "one patch of .* needs more than that"), (SLOW, (128, 128, 128), "one pass .* multiplic")],
)
def test_a_network_that_fills_the_memory_or_computes_for_days_is_refused(tmp_path, free, network, patch, text):
    free(200 << 30)
    (tmp_path / "model.json").write_text(json.dumps(spec_to_json(model_spec(network=network, patch_shape=patch))))
    with pytest.raises(ResourceError, match=text):
        check(read_spec(tmp_path), Geometry.from_spacing((64, 64, 64), (1, 1, 1)), PredictSettings(), "cpu")


def test_many_passes_of_a_slow_network_are_refused(tmp_path):
    slow = model_spec(network=replace(SLOW, features=(16, 16)), patch_shape=(128, 128, 128))
    (tmp_path / "model.json").write_text(json.dumps(spec_to_json(slow)))
    small, large = (Geometry.from_spacing((n,) * 3, (1, 1, 1)) for n in (64, 1000))
    assert check(read_spec(tmp_path), small, PredictSettings()).tiles == 1
    with pytest.raises(ResourceError, match=r"multiplications.*--roi"):
        check(read_spec(tmp_path), large, PredictSettings(overlap=0.9))


def test_the_weights_count(tmp_path, folder):
    wide = replace(TINY_UNET, features=(3, 4000))
    (tmp_path / "model.json").write_text(json.dumps(spec_to_json(model_spec(network=wide))))
    grid = Geometry.from_spacing((8, 8, 8), (1, 1, 1))
    more = estimate(read_spec(tmp_path), grid, PredictSettings()).memory_bytes
    assert more - estimate(read_spec(folder), grid, PredictSettings()).memory_bytes >= 4 * 27 * 4000 * 3


COMPARED = model_spec(network=replace(TINY_UNET, features=(32, 32)), patch_shape=(64, 64, 64))
GRID = Geometry.from_spacing((64, 64, 64), (1, 1, 1))


def test_comparing_back_ends_counts_once_and_on_the_cpu_only(free, monkeypatch):
    free(100 << 30)
    monkeypatch.setattr(preflight, "is_chosen", lambda _: False)
    first = estimate(COMPARED, GRID, PredictSettings())
    assert first.comparing_bytes > 48 << 20
    assert estimate(COMPARED, GRID, PredictSettings(), "cuda:0").comparing_bytes == 0
    assert estimate(model_spec(), GRID, PredictSettings()).comparing_bytes == 0  # a pass of no time
    monkeypatch.setattr(preflight, "is_chosen", lambda _: True)
    later = estimate(COMPARED, GRID, PredictSettings())
    assert later.comparing_bytes == 0
    assert later.memory_bytes == first.memory_bytes - first.comparing_bytes


def test_where_comparing_does_not_fit_it_is_left_and_nothing_is_refused_for_it(free, monkeypatch):
    monkeypatch.setattr(preflight, "is_chosen", lambda _: False)
    free(100 << 30)
    needs = estimate(COMPARED, GRID, PredictSettings())
    free(needs.memory_bytes - 1)
    assert check(COMPARED, GRID, PredictSettings(), "cpu").comparing_bytes == 0
    monkeypatch.setattr(preflight, "_MARGIN", 1.0)
    free(needs.memory_bytes - needs.comparing_bytes)
    check(COMPARED, GRID, PredictSettings(), "cpu")
