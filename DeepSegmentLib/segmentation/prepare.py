"""From the input grid to what the network sees: orient, crop, normalise, resample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.data import Box, Geometry, Volume
from DeepSegmentLib.data.geometry import as_index, bounding_box
from DeepSegmentLib.data.progress import unwatched
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.imaging.intensity import LARGEST_INTENSITY, normalize
from DeepSegmentLib.imaging.resampling import resample

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from DeepSegmentLib.networks.model_spec import ModelSpec


_CORNERS = np.ix_((0, -1), (0, -1), (0, -1))


@dataclass(frozen=True, eq=False)
class Prepared:
    """A volume on the network's grid, and the way back.

    Attributes:
        volume: Normalised float32 volume on the network's grid.
        box: The part of the oriented input that it covers.
        oriented: Geometry of the whole oriented input.
    """

    volume: Volume
    box: Box
    oriented: Geometry


def prepare(
    volume: Volume, spec: ModelSpec, *, region: Box | None = None, on_step: Callable[[], None] = unwatched
) -> Prepared:
    """Bring a volume to the network's grid and intensities.

    Intensities are normalised over the whole content before anything else is cut off, as nnU-Net does, so that a
    region of interest gets the same intensities as the whole volume.

    Args:
        volume: Finite voxels; as many channels as the model has.
        spec: The model.
        region: Part of the *oriented* input to prepare; None for all that has content.
        on_step: Called between the steps; may raise `Cancelled`.

    Raises:
        InvalidInputError: Wrong number of channels, or NaN, infinite or absurdly large voxels.
    """
    _check(volume, spec)
    on_step()
    oriented = volume.oriented(spec.orientation)
    content = content_box(oriented)
    box = content if region is None else region.intersect(content)
    if box.size == 0:
        box = content
    channels = np.empty((volume.channels, *box.shape), dtype=np.float32)
    for n, (voxels, channel) in enumerate(zip(oriented.crop(content).voxels, spec.channels, strict=True)):
        on_step()
        channels[n] = normalize(voxels, channel.normalization)[box.shift(_negative(content.start)).to_slices()]
    normalized = Volume(channels, oriented.geometry.crop(box), volume.name)
    geometry = normalized.geometry.resampled(spec.spacing_mm or normalized.geometry.spacing_mm)
    return Prepared(resample(normalized, geometry, on_step), box, oriented.geometry)


def regions(
    geometry: Geometry, spec: ModelSpec, region_ras: NDArray[np.float64] | None
) -> tuple[Box | None, Box | None]:
    """What to prepare (with half a patch of context around) and where labels may be written, both oriented.

    Args:
        geometry: Grid of the volume.
        spec: The model.
        region_ras: Two opposite corners (2, 3) in RAS mm, or None for the whole volume.

    Raises:
        InvalidInputError: No voxel of the grid lies in the region.
    """
    if region_ras is None:
        return None, None
    oriented, _, _ = geometry.oriented(spec.orientation)
    inside = region_box(oriented, region_ras)
    return region_box(oriented, region_ras, margin_mm=context_mm(oriented, spec)), inside


def context_mm(oriented: Geometry, spec: ModelSpec) -> float:
    """How far the network looks beyond a region: half a patch along its longest axis."""
    spacing = spec.spacing_mm or oriented.spacing_mm
    return max(n * step for n, step in zip(spec.patch_shape, spacing, strict=True)) / 2


def content_box(volume: Volume) -> Box:
    """The volume without the planes at its borders that hold nothing but the value of its corners.

    A volume whose eight corners differ, or that holds only one value, keeps its whole extent.
    """
    differs = np.zeros(volume.geometry.shape, dtype=bool)
    for channel in volume.voxels:
        corner = channel[0, 0, 0]
        if (channel[_CORNERS] != corner).any():
            return Box.of_shape(volume.geometry.shape)
        differs |= channel != corner
    box = bounding_box(differs)
    return box if box.size else Box.of_shape(volume.geometry.shape)


def region_box(geometry: Geometry, corners_ras: NDArray[np.float64], *, margin_mm: float = 0.0) -> Box:
    """The voxels of a grid around a block given by two opposite RAS corners.

    Args:
        geometry: The grid.
        corners_ras: Array (2, 3) in mm.
        margin_mm: Added on all sides.

    Raises:
        InvalidInputError: No voxel of the grid lies in the block.
    """
    low, high = corners_ras.min(axis=0), corners_ras.max(axis=0)
    corners = np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1).T
    index = geometry.ras_to_index(corners)
    margin = margin_mm / np.asarray(geometry.spacing_mm)
    start = np.clip(np.ceil(index.min(axis=0) - margin - 1e-6), 0, geometry.shape)
    stop = np.clip(np.floor(index.max(axis=0) + margin + 1e-6) + 1, start, geometry.shape)
    box = Box(as_index(start), as_index(stop))
    if box.size == 0:
        raise InvalidInputError(
            f"the region {low.tolist()} to {high.tolist()} (RAS mm) lies outside the volume, or between two of its "
            "slices; make it larger"
        )
    return box


def _check(volume: Volume, spec: ModelSpec) -> None:
    if volume.channels != len(spec.channels):
        names = ", ".join(channel.name for channel in spec.channels)
        needed = "1 channel" if len(spec.channels) == 1 else f"{len(spec.channels)} channels"
        raise InvalidInputError(f"model {spec.name} needs {needed} ({names}), the volume has {volume.channels}")
    low, high = volume.voxels.min(), volume.voxels.max()
    if not -LARGEST_INTENSITY <= low <= high <= LARGEST_INTENSITY:  # false for NaN, too
        raise InvalidInputError(
            f"volume {volume.name!r} has NaN or infinite voxels, or some beyond {LARGEST_INTENSITY:g}; replace them "
            "first"
        )


def _negative(index: tuple[int, int, int]) -> tuple[int, int, int]:
    k, j, i = index
    return -k, -j, -i
