"""Tiles that hold one value are run once, and nobody can tell by the result."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_examples import TINY_UNET

from DeepSegmentLib.errors import ResourceError
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.runtime import TorchNetwork
from DeepSegmentLib.segmentation.on_device import batches
from DeepSegmentLib.segmentation.on_device.batches import Batches
from DeepSegmentLib.segmentation.on_device.run_tiles import blended_planes
from DeepSegmentLib.segmentation.tiles import TileSettings, inner_of

PATCH = (4, 4, 6)
mirrors = st.sampled_from([(), (0,), (1, 2), (0, 1, 2)])


class Counting:
    """Counts the patches that a small U-Net sees."""

    def __init__(self, channels=1, most=99):
        torch.manual_seed(0)
        spec = replace(TINY_UNET, in_channels=channels)
        self._network = TorchNetwork(UNet(spec), spec, torch.device("cpu"))
        self.device, self.head, self.patches, self._most = self._network.device, self._network.head, 0, most

    def __call__(self, patches):
        if len(patches) > self._most:
            raise ResourceError("out of memory on cpu.")
        self.patches += len(patches)
        return self._network(patches)


@st.composite
def partly_air(draw):
    """Arrays (channel, k, j, i) with a block of noise in air of one or two values."""
    channels, shape = draw(st.integers(1, 2)), draw(st.tuples(*[st.integers(1, 10)] * 3))
    generator = np.random.default_rng(draw(st.integers(0, 99)))
    voxels = np.full((channels, *shape), draw(st.sampled_from([0.0, -1.5])), dtype=np.float32)
    voxels[..., draw(st.integers(0, shape[2])) :] = draw(st.sampled_from([0.0, 2.0]))
    start = [draw(st.integers(0, n)) for n in shape]
    block = (slice(None), *(slice(low, low + draw(st.integers(0, 5))) for low in start))
    voxels[block] = generator.normal(size=voxels[block].shape)
    return voxels


def run(voxels, network, mirror_axes=(), on_tile=lambda *_: None):
    settings = TileSettings(PATCH, mirror_axes=mirror_axes)
    return torch.stack([plane for _, plane in blended_planes(voxels, network, settings, on_tile)])


def distinct(voxels, settings):
    """Tiles but for those of one value that the last such tile had, too."""
    parts = [voxels[(slice(None), *tile.to_slices())] for tile in settings.tiles_of(voxels.shape[1:])]
    uniform = [part[:, 0, 0, 0].tolist() for part in parts if (part == part[:, :1, :1, :1]).all()]
    return len(parts) - sum(a == b for a, b in pairwise(uniform))


@given(partly_air(), mirrors)
def test_nothing_changes_where_tiles_of_one_value_are_run_once(voxels, mirror_axes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "_only_values", lambda _: None)
        all_run = Counting(len(voxels))
        expected = run(voxels, all_run, mirror_axes)
    some_run, told = Counting(len(voxels)), []
    found = run(voxels, some_run, mirror_axes, lambda *each: told.append(each))
    assert torch.equal(found, expected)
    assert some_run.patches <= all_run.patches
    total = TileSettings(PATCH).count(voxels.shape[1:])
    assert told == [(n + 1, total) for n in range(total)]


@given(partly_air(), st.integers(1, 5), st.integers(1, 5))
def test_whatever_is_run_at_once_each_value_is_run_once_in_a_row(voxels, size, most):
    """The order of tiles is that of the result; batches are of tiles that are run."""
    settings = TileSettings(PATCH)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "_batch_size", lambda *_: size)
        network = Counting(len(voxels), most)
        results = list(Batches(voxels, network, settings, lambda _: None).run(settings.tiles_of(voxels.shape[1:])))
    assert [tile for tile, _ in results] == list(settings.tiles_of(voxels.shape[1:]))
    assert network.patches == distinct(voxels, settings)
    plain = Counting(len(voxels))
    for tile, result in results:
        part = torch.from_numpy(voxels[(slice(None), *tile.to_slices())])
        inner = inner_of(tile.shape, PATCH)
        padded = batches._padded(part, inner, PATCH)
        torch.testing.assert_close(result, plain(padded[None])[0][(slice(None), *inner)], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("value", "where"), [(1e-7, (0, 0, 0)), (np.nan, (3, 3, 3)), (np.nan, (1, 2, 1)), (-1, (1, 1, 1))]
)
def test_one_other_voxel_is_seen(value, where):
    voxels = np.zeros((2, 4, 4, 4), dtype=np.float32)
    assert batches._only_values(voxels) == (0, 0)
    voxels[(1, *where)] = value
    assert batches._only_values(voxels) is None


def test_of_one_value_everywhere_one_patch_is_run():
    network = Counting()
    run(np.full((1, 20, 20, 20), 3, dtype=np.float32), network, (0, 1))
    assert network.patches == 4


def test_the_kept_result_does_not_hold_its_batch(monkeypatch):
    monkeypatch.setattr(batches, "_batch_size", lambda *_: 4)
    settings, voxels = TileSettings(PATCH), np.zeros((1, 4, 4, 40), dtype=np.float32)
    voxels[..., 20:] = np.random.default_rng(0).normal(size=20)
    results = [
        each for _, each in Batches(voxels, Counting(), settings, lambda _: None).run(settings.tiles_of((4, 4, 40)))
    ]
    repeated = next(each for before, each in pairwise(results) if before.data_ptr() == each.data_ptr())
    assert repeated.untyped_storage().nbytes() == repeated.nbytes
