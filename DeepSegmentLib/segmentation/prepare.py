"""From the input grid to what the network sees: orient, crop, normalise, resample."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.data import Box, Geometry, Volume
from DeepSegmentLib.data.geometry import as_index, bounding_box
from DeepSegmentLib.data.progress import unwatched
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.imaging.intensity import LARGEST_INTENSITY, ScaledVoxels, filled_nonzero, mask_of, scale_of

from .regrid import network_geometry, on_grid, to_network

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from DeepSegmentLib.networks.model_spec import ModelSpec
    from DeepSegmentLib.networks.stage_spec import StageSpec


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
    volume: Volume, stage: StageSpec, *, region: Box | None = None, on_step: Callable[[], None] = unwatched
) -> Prepared:
    """Bring a volume to a network's grid and intensities.

    Intensities are normalised by the numbers of the whole content, as nnU-Net does, so that a region of interest gets
    the same intensities as the whole volume.

    Args:
        volume: Checked voxels, see `check_volume`.
        stage: What the network needs.
        region: Part of the *oriented* input to prepare; None for all that has content.
        on_step: Called between the steps; may raise `Cancelled`.
    """
    oriented = volume.oriented(stage.orientation_of(volume.geometry.orientation))
    content = _content(oriented, stage)
    box = content if region is None else region.intersect(content)
    if box.size == 0:
        box = content
    make = _normalized_first if stage.normalize == "before" else _resampled_first
    return Prepared(make(oriented, stage, content, box, on_step), box, oriented.geometry)


def _normalized_first(
    oriented: Volume, stage: StageSpec, content: Box, box: Box, on_step: Callable[[], None]
) -> Volume:
    inside = box.shift(_negative(content.start)).to_slices()
    voxels = oriented.crop(content).voxels
    filled = cache(partial(filled_nonzero, voxels))
    scales, masks = [], []
    for channel, rule in zip(voxels, stage.normalizations, strict=True):
        on_step()
        mask = mask_of(channel, rule, filled)
        scales.append(scale_of(channel, rule, mask))
        masks.append(None if mask is None else mask[inside])
    part = oriented.geometry.crop(box)
    grid = network_geometry(part, stage)
    scaled = ScaledVoxels(voxels[(slice(None), *inside)], scales, masks)
    return Volume(on_grid(scaled, part, grid, stage, on_step), grid, oriented.name)


def _resampled_first(oriented: Volume, stage: StageSpec, content: Box, box: Box, on_step: Callable[[], None]) -> Volume:
    part = _on_grid(oriented, stage, box, on_step)
    # Statistics are those of the whole content, on the network's grid, too.
    need_all = box != content and any(rule.of_volume for rule in stage.normalizations)
    whole = _on_grid(oriented, stage, content, on_step).voxels if need_all else part.voxels
    channels = np.empty(part.voxels.shape, dtype=np.float32)
    filled, filled_whole = cache(partial(filled_nonzero, part.voxels)), cache(partial(filled_nonzero, whole))
    for n, rule in enumerate(stage.normalizations):
        on_step()
        scale = scale_of(whole[n], rule, mask_of(whole[n], rule, filled_whole))
        channels[n] = scale(part.voxels[n], mask_of(part.voxels[n], rule, filled))
    return Volume(channels, part.geometry, oriented.name)


def _on_grid(oriented: Volume, stage: StageSpec, box: Box, on_step: Callable[[], None]) -> Volume:
    part = oriented.crop(box)
    return to_network(part, network_geometry(part.geometry, stage), stage, on_step)


def regions(
    geometry: Geometry, stage: StageSpec, region_ras: NDArray[np.float64] | None
) -> tuple[Box | None, Box | None]:
    """What to prepare (with half a patch of context around) and where labels may be written, both oriented.

    Args:
        geometry: Grid of the volume.
        stage: What the network needs.
        region_ras: Two opposite corners (2, 3) in RAS mm, or None for the whole volume.

    Raises:
        InvalidInputError: No voxel of the grid lies in the region.
    """
    if region_ras is None:
        return None, None
    oriented = oriented_for(geometry, stage)
    inside = region_box(oriented, region_ras)
    return region_box(oriented, region_ras, margin_mm=context_mm(oriented, stage)), inside


def oriented_for(geometry: Geometry, stage: StageSpec) -> Geometry:
    """The grid of a volume with the axes that a network wants."""
    return geometry.oriented(stage.orientation_of(geometry.orientation))[0]


def context_mm(oriented: Geometry, stage: StageSpec) -> float:
    """How far the network looks beyond a region: half a patch along its longest axis."""
    spacing = stage.spacing_of(oriented.spacing_mm)
    return max(n * step for n, step in zip(stage.patch_shape, spacing, strict=True)) / 2


def _content(oriented: Volume, stage: StageSpec) -> Box:
    """What is left of a volume when the stage's crop has been made; never nothing."""
    if stage.crop == "none":
        return Box.of_shape(oriented.geometry.shape)
    if stage.crop == "above":
        return box_above(oriented, stage.crop_above, stage.crop_margin)
    return content_box(oriented) if stage.crop == "content" else nonzero_box(oriented)


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
    return _box_of(differs)


def nonzero_box(volume: Volume) -> Box:
    """The volume without the planes at its borders that hold nothing but zeros in all channels; never nothing.

    References:
        Isensee et al., nnU-Net, Nat Methods 2021 (cropping to the region of nonzero values).
    """
    return _box_of((volume.voxels != 0).any(axis=0))


def box_above(volume: Volume, least: float, margin: int) -> Box:
    """The box of all that is above an intensity in any channel, and some voxels round it; never nothing.

    References:
        MONAI, `CropForeground`.
    """
    box, whole = _box_of(np.asarray((volume.voxels > least).any(axis=0))), Box.of_shape(volume.geometry.shape)
    wider = Box(as_index([n - margin for n in box.start]), as_index([n + margin for n in box.stop]))
    return wider.intersect(whole)


def _box_of(mask: NDArray[np.bool_]) -> Box:
    box = bounding_box(mask)
    return box if box.size else Box.of_shape(as_index(mask.shape))


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


def check_volume(volume: Volume, spec: ModelSpec) -> None:
    """Refuse a volume that a model cannot take.

    Raises:
        InvalidInputError: Wrong number of channels, or NaN, infinite or absurdly large voxels.
    """
    if volume.channels != len(spec.channels):
        names = ", ".join(channel.name for channel in spec.channels)
        needed = "1 channel" if len(spec.channels) == 1 else f"{len(spec.channels)} channels"
        remedy = "; give the others by --channel, in this order" if volume.channels < len(spec.channels) else ""
        raise InvalidInputError(f"model {spec.name} needs {needed} ({names}), the volume has {volume.channels}{remedy}")
    low, high = volume.voxels.min(), volume.voxels.max()
    if not -LARGEST_INTENSITY <= low <= high <= LARGEST_INTENSITY:  # false for NaN, too
        raise InvalidInputError(
            f"volume {volume.name!r} has NaN or infinite voxels, or some beyond {LARGEST_INTENSITY:g}; replace them "
            "first"
        )


def _negative(index: tuple[int, int, int]) -> tuple[int, int, int]:
    k, j, i = index
    return -k, -j, -i
