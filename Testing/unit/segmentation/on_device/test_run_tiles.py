"""Planes of features are those of logits, whatever is deferred, turned, batched or short of memory."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_examples import TINY_UNET

from DeepSegmentLib.errors import ResourceError
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.runtime import Ensemble, Head, TorchNetwork, logits_of, on_array
from DeepSegmentLib.segmentation.on_device import batches
from DeepSegmentLib.segmentation.on_device.run_tiles import blended_planes
from DeepSegmentLib.segmentation.tiles import TileSettings, slab_axis

shapes = st.tuples(*[st.integers(1, 14)] * 3)
mirrors = st.sampled_from([(), (0,), (1, 2), (0, 1, 2)])


class Features:
    """Features that are powers of the image, with a head of more classes than features."""

    device = torch.device("cpu")

    def __init__(self, seed=0, *, deferred=True, most=99):
        generator = torch.Generator().manual_seed(seed)
        self._head = Head(torch.randn(5, 2, generator=generator), torch.randn(5, generator=generator))
        self._deferred, self._most, self.batches = deferred, most, []

    @property
    def head(self):
        return self._head if self._deferred else None

    def __call__(self, patches):
        if len(patches) > self._most:
            raise ResourceError("out of memory on cpu.")
        self.batches.append(len(patches))
        ramp = torch.linspace(0, 1, patches.shape[-1])
        features = torch.cat([patches * ramp, patches**2], dim=1)
        return features if self._deferred else torch.stack([self._head(each) for each in features])


def logits(voxels, network, settings, **more):
    planes = [plane for _, plane in blended_planes(voxels, network, settings, lambda *_: None, **more)]
    scored = [plane if network.head is None else network.head(plane) for plane in planes]
    return torch.stack(scored, slab_axis(voxels.shape[1:], settings) + 1)


def noise(shape, seed=0):
    return np.random.default_rng(seed).normal(size=(1, *shape)).astype(np.float32)


@given(shapes, mirrors, st.integers(0, 99))
def test_features_first_or_logits_first_is_the_same(shape, mirror_axes, seed):
    settings = TileSettings((4, 5, 6), mirror_axes=mirror_axes)
    first, last = (logits(noise(shape, seed), Features(seed, deferred=each), settings) for each in (False, True))
    torch.testing.assert_close(first, last, atol=1e-4, rtol=1e-5)


@given(shapes, st.permutations([0, 1, 2]))
def test_the_axis_that_planes_are_finished_along_does_not_matter(shape, order):
    """A turned volume with a turned patch is finished along another axis, and is the turned result."""
    patch = (4, 5, 6)
    straight = logits(noise(shape), Pointwise(), TileSettings(patch))
    turned_voxels = np.ascontiguousarray(np.transpose(noise(shape), (0, *(n + 1 for n in order))))
    turned = logits(turned_voxels, Pointwise(), TileSettings(tuple(patch[n] for n in order)))
    expected = straight.permute(0, *(n + 1 for n in order))
    torch.testing.assert_close(turned, expected, atol=1e-4, rtol=1e-5)


class Pointwise(Features):
    """Sees each voxel by itself."""

    def __call__(self, patches):
        return torch.cat([patches, patches**2], dim=1)


@given(mirrors)
def test_mirror_images_of_a_torch_network_are_averaged(mirror_axes):
    torch.manual_seed(0)
    network = TorchNetwork(UNet(TINY_UNET), TINY_UNET, torch.device("cpu"))
    voxels, settings = noise((8, 8, 8)), TileSettings((8, 8, 8), mirror_axes=mirror_axes)
    flips = [[axis + 1 for axis in axes] for n in range(4) for axes in combinations(mirror_axes, n)]
    images = [on_array(network, np.flip(voxels, flip)[None])[0] for flip in flips]
    mean = np.mean([np.flip(image, flip) for image, flip in zip(images, flips, strict=True)], axis=0)
    np.testing.assert_allclose(logits(voxels, network, settings).numpy(), mean, atol=1e-5)


def test_the_fewest_voxels_are_held():
    assert slab_axis((100, 20, 20), TileSettings((8, 8, 8))) == 0
    assert slab_axis((20, 20, 100), TileSettings((8, 8, 8))) == 2
    assert slab_axis((20, 20, 20), TileSettings((8, 8, 8))) == 0
    assert slab_axis((20, 20, 100), TileSettings((1, 8, 8), planes=9)) == 0


@pytest.mark.parametrize("most", [1, 2, 3, 99])
def test_batches_get_smaller_until_they_fit_and_it_is_said(most, monkeypatch):
    monkeypatch.setattr(batches, "_batch_size", lambda *_: 8)
    notes, settings = [], TileSettings((4, 4, 4))
    network = Features(most=most)
    small = logits(noise((9, 9, 9)), network, settings, on_retreat=notes.append)
    torch.testing.assert_close(small, logits(noise((9, 9, 9)), Features(), settings))
    assert max(network.batches) <= most
    assert len(notes) == {1: 3, 2: 2, 3: 2, 99: 0}[most]
    assert all("out of memory on cpu" in note and "at once" in note for note in notes)


def test_a_single_patch_that_does_not_fit_is_an_error():
    with pytest.raises(ResourceError, match="out of memory"):
        logits(noise((9, 9, 9)), Features(most=0), TileSettings((4, 4, 4)))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=3), st.booleans())
def test_members_side_by_side_are_the_mean_of_their_logits(seeds, deferred):
    """Two members of two features each are fewer than five classes, three are more."""
    members = [Features(seed, deferred=deferred) for seed in seeds]
    together, patches = Ensemble(members), torch.from_numpy(noise((4, 4, 4)))[None]
    assert (together.head is not None) == (deferred and 2 * len(seeds) < 5)
    mean = torch.stack([logits_of(member, patches) for member in members]).mean(dim=0)
    torch.testing.assert_close(logits_of(together, patches), mean, atol=1e-5, rtol=1e-5)


def test_every_tile_is_told_once():
    settings = replace(TileSettings((4, 4, 4)), mirror_axes=(2,))
    done = []
    list(blended_planes(noise((5, 6, 20)), Features(), settings, lambda n, total: done.append((n, total))))
    assert done == [(n + 1, settings.count((5, 6, 20))) for n in range(len(done))]
    assert len(done) == settings.count((5, 6, 20))
