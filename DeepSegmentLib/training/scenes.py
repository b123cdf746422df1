"""Images with one structure to segment, drawn from chance: of every shape and any contrast.

Most are cut from label maps (anatomy of random pose and scale), the others are warped solids, tubes and sheets in a
textured surrounding. Intensities are drawn anew for each label, so that nothing can be learned but what a structure is:
a piece that looks alike, with a surface that goes on smoothly.

References:
    Billot et al., SynthSeg, Medical Image Analysis 2023 (random intensities); Butoi et al., UniverSeg, ICCV 2023
    (synthetic structures, so that a network learns a task and not an organ).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from DeepSegmentLib.data import Box, Geometry
from DeepSegmentLib.data.geometry import as_index, bounding_box
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.imaging.resampling import along_axis, axis_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray

    from DeepSegmentLib.data import LabelMap, Volume

    Mask = NDArray[np.bool_]
    Floats = NDArray[np.float32]
    Labels = NDArray[np.int16]

EDGE = 84
"""Voxels along each axis of a scene: room for an edit radius of 24 and what surrounds it."""

FEWEST_VOXELS, LARGEST_SHARE = 150, 0.6
"""Structures of fewer voxels, or of more of the scene, are drawn again."""

_MARGIN = 20
"""Voxels around a structure that is cut from a volume."""

_FIRST_SOLID = 1000
"""Label of the first solid; regions of the surrounding have lower ones, FreeSurfer's numbers too."""


@dataclass(frozen=True, eq=False)
class Scene:
    """An image and the one structure to segment in it.

    Attributes:
        image: Float32 intensities (k, j, i).
        truth: The structure's mask (k, j, i).
        geometry: Their grid; spacing in units of the finest axis.
    """

    image: Floats
    truth: Mask
    geometry: Geometry


def draw_scene(label_maps: Sequence[Labels], rng: Generator) -> Scene:
    """A new scene.

    Args:
        label_maps: Integer arrays (k, j, i) to cut structures from, 0 is background; without any, all are solids.
        rng: Decides everything.
    """
    while True:
        labels, truth = _anatomy(label_maps, rng) if label_maps and rng.random() < 0.6 else _solids(rng)
        if rng.random() < 0.8:
            truth = largest_piece(truth)
        if FEWEST_VOXELS < truth.sum() < LARGEST_SHARE * truth.size:
            return _sampled(_painted(labels, truth, rng), truth, rng)


def cut_scene(volume: Volume, labels: LabelMap, rng: Generator) -> Scene:
    """A structure of a segmented volume with its surroundings; contrast and noise are changed by chance.

    Args:
        volume: Its first channel is used.
        labels: Labels on the same grid; the first layer is used.
        rng: Decides everything.
    """
    layer = labels.layers[0]
    values, counts = np.unique(layer, return_counts=True)
    kept = values[(values > 0) & (counts > FEWEST_VOXELS)]
    if not len(kept):
        raise InvalidInputError(f"no label has more than {FEWEST_VOXELS} voxels; give a volume with larger structures")
    truth = largest_piece(layer == rng.choice(kept))
    box = bounding_box(truth).grow((_MARGIN,) * 3).intersect(Box.of_shape(truth.shape))
    part = box.to_slices()
    image = _varied(volume.voxels[0][part].astype(np.float32), truth[part], rng)
    return Scene(image, np.ascontiguousarray(truth[part]), volume.geometry.crop(box))


def _varied(image: Floats, truth: Mask, rng: Generator) -> Floats:
    """The image with its outer intensities cut off at times, inverted at times, and with more noise."""
    if rng.random() < 0.5:
        middle, spread = np.median(image[truth]), 3 * image[truth].std() + 1e-3
        image = np.clip(image, middle - rng.uniform(1, 4) * spread, middle + rng.uniform(1, 4) * spread)
    deviation = float(image[truth].std())
    grain = rng.uniform(0, 1.2) * smooth_noise(truth.shape, rng.uniform(0.3, 1.2), rng)
    stains = rng.uniform(0, 1) * (rng.random() < 0.4) * smooth_noise(truth.shape, rng.uniform(6, 20), rng)
    sign = -1 if rng.random() < 0.3 else 1
    return np.asarray(sign * image + deviation * (grain + stains), dtype=np.float32)


def smooth_noise(shape: Sequence[int], sigma: float, rng: Generator) -> Floats:
    """Correlated noise of zero mean and unit deviation; wide correlations are made on a coarser grid.

    Args:
        shape: Extent (k, j, i).
        sigma: Width of the Gaussian that it is blurred with, in voxels.
        rng: Source of the noise.
    """
    factor = max(1.0, sigma / 2)
    noise = rng.standard_normal([int(np.ceil(n / factor)) + 6 for n in shape], dtype=np.float32)
    noise = ndimage.gaussian_filter(noise, sigma / factor, mode="wrap", truncate=3.0)
    for axis, n in enumerate(shape):
        positions = np.arange(n) / factor + (rng.uniform(1.5, 2.5) if factor > 1 else 2)
        noise = along_axis(noise, axis_weights(positions, noise.shape[axis]), axis)
    return np.asarray((noise - noise.mean()) / (noise.std() + 1e-9), dtype=np.float32)


def largest_piece(mask: Mask) -> Mask:
    """The largest connected piece of a mask, or the mask where it is empty."""
    pieces, count = ndimage.label(mask)
    return mask if not count else np.asarray(pieces == np.bincount(pieces.ravel())[1:].argmax() + 1)


def _rotation(rng: Generator) -> NDArray[np.float64]:
    """A random rotation, or one with a reflection."""
    return np.asarray(np.linalg.qr(rng.standard_normal((3, 3)))[0])


def _places(warp_voxels: float, rng: Generator) -> Floats:
    """Coordinates (3, k, j, i) about the middle of the scene, warped smoothly."""
    shape = (EDGE, EDGE, EDGE)
    grid = np.stack(np.meshgrid(*[np.arange(EDGE, dtype=np.float32) - EDGE / 2] * 3, indexing="ij"))
    warp = np.stack([smooth_noise(shape, rng.uniform(7, 15), rng) for _ in range(3)])
    return np.asarray(grid + np.float32(warp_voxels) * warp, dtype=np.float32)


def _anatomy(label_maps: Sequence[Labels], rng: Generator) -> tuple[Labels, Mask]:
    """A turned, scaled and warped piece of a label map, and one of its structures or a union of neighbors."""
    source = label_maps[int(rng.integers(len(label_maps)))]
    thinned = source[::4, ::4, ::4]
    label = int(rng.choice(np.unique(thinned[thinned > 0])))
    seen = np.argwhere(thinned == label) * 4
    middle = seen[rng.integers(len(seen))]
    # Source voxels to one voxel of the scene: from magnified structures to such of a few voxels.
    scale = np.exp(rng.uniform(np.log(0.5), np.log(2.6))) * np.exp(rng.uniform(-0.15, 0.15, 3))
    where = np.tensordot(_rotation(rng) * scale, _places(rng.uniform(0, 3), rng), 1) + middle[:, None, None, None]
    labels = np.asarray(ndimage.map_coordinates(source, where, order=0, prefilter=False), dtype=np.int16)
    truth = labels == label
    while rng.random() < 0.25 and (beside := labels[ndimage.binary_dilation(truth, iterations=2) & ~truth]).any():
        truth |= labels == rng.choice(beside[beside > 0])
    return labels, truth


def _solids(rng: Generator) -> tuple[Labels, Mask]:
    """One to four solids in a surrounding of up to six regions; the first one is the structure."""
    shape, spread = (EDGE, EDGE, EDGE), rng.uniform(6, 18)
    regions = int(rng.integers(2, 7)) if rng.random() < 0.6 else 1
    labels = np.argmax([smooth_noise(shape, spread, rng) for _ in range(regions)], axis=0).astype(np.int16)
    places, size = _places(rng.uniform(1, 6), rng), float(np.exp(rng.uniform(np.log(0.4), 0)))
    for n in range(int(rng.integers(1, 5))):
        offset = rng.uniform(-22, 22, 3) if n else np.zeros(3)
        turned = np.tensordot(_rotation(rng), places - offset[:, None, None, None], 1)
        labels[_solid(turned, size, rng) & (labels < _FIRST_SOLID)] = _FIRST_SOLID + n
    return labels, np.asarray(labels == _FIRST_SOLID)


def _solid(places: NDArray[np.float64], size: float, rng: Generator) -> Mask:
    """An ellipsoid, tube, sheet or block through the origin of the places (3, k, j, i)."""
    kind = rng.random()
    if kind < 0.7:
        radii = size * rng.uniform(8, 26, 3) if kind < 0.5 else size * np.repeat([rng.uniform(3, 12), np.inf], (2, 1))
        return np.asarray(((places / radii[:, None, None, None]) ** 2).sum(axis=0) < 1)
    if kind < 0.85:
        return np.asarray(np.abs(places[0]) < size * rng.uniform(2, 8))
    return np.asarray((np.abs(places) < size * rng.uniform(7, 22, 3)[:, None, None, None]).all(axis=0))


def _painted(labels: Labels, truth: Mask, rng: Generator) -> Floats:
    """Intensities: a mean for each label, texture, partial volume, bias field, noise."""
    values, number = np.unique(labels, return_inverse=True)
    number = number.reshape(labels.shape)
    means = _means(len(values), int(np.bincount(number[truth]).argmax()), rng)
    texture = rng.uniform(0, 22) * smooth_noise(truth.shape, rng.uniform(1.5, 8), rng)
    rough = rng.uniform(0.1, 1.6, len(values)).astype(np.float32) if rng.random() < 0.5 else np.ones(len(values))
    image = ndimage.gaussian_filter(means[number] + texture * rough[number], rng.uniform(0.3, 1.2))
    if rng.random() < 0.6:
        image += rng.uniform(0, 25) * smooth_noise(truth.shape, rng.uniform(18, 40), rng)
    image += rng.uniform(2, 28) * smooth_noise(truth.shape, rng.uniform(0.3, 0.9), rng)
    return np.asarray(image, dtype=np.float32)


def _means(count: int, own: int, rng: Generator) -> Floats:
    """A mean for each label; at times some look like the structure, and some are as far away as air and bone."""
    means = rng.uniform(0, 255, count)
    if rng.random() < 0.3:
        means = 128 + (means - 128) * rng.uniform(0.25, 0.7)
    if rng.random() < 0.35:
        alike = (rng.random(count) < 0.4) & (np.arange(count) != own)
        means[alike] = means[own] + rng.normal(0, rng.uniform(2, 18), int(alike.sum()))
    if rng.random() < 0.4:
        far = rng.random(count) < 0.2
        means[far] += rng.choice([-1, 1], int(far.sum())) * rng.uniform(200, 1200, int(far.sum()))
    return np.asarray(means, dtype=np.float32)


def _sampled(image: Floats, truth: Mask, rng: Generator) -> Scene:
    """The scene, a third of the time in slices two to five times as far apart, half of these as thick."""
    steps = [1, 1, 1]
    if rng.random() < 0.35:
        axis, step = int(rng.integers(3)), int(rng.integers(2, 6))
        steps[axis] = step
        if rng.random() < 0.5:
            image = ndimage.uniform_filter1d(image, step, axis=axis)
    picked = tuple(slice(step // 2, None, step) for step in steps)
    image, truth = np.ascontiguousarray(image[picked]), np.ascontiguousarray(truth[picked])
    return Scene(
        image, truth, Geometry.from_spacing(as_index(truth.shape), (float(steps[0]), float(steps[1]), float(steps[2])))
    )
