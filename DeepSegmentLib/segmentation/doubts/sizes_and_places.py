"""How large segments are, where they lie, and in how many pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from DeepSegmentLib.data import Geometry
from DeepSegmentLib.data.geometry import as_index
from DeepSegmentLib.data.progress import check_stop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from DeepSegmentLib.data import Box, LabelMap

_MOST_OF_IT = 0.9
_STEP_MM = 2.0
"""Pieces and places are measured on voxels about this far apart, so that they cost a tenth of a second."""


@dataclass(frozen=True, eq=False)
class Shape:
    """What a segment is like.

    Attributes:
        ml: Its volume.
        middle_ras: Its centroid in RAS mm.
        extent_mm: Size of the block around it, along the axes nearest to R, A and S.
        pieces: How many of its connected components (6 neighbours), the largest first, hold nine tenths of it.
    """

    ml: float
    middle_ras: NDArray[np.float64]
    extent_mm: NDArray[np.float64]
    pieces: int


@dataclass(frozen=True, eq=False)
class Shapes:
    """The segments of a label map.

    Attributes:
        whole: All segments together; None where no voxel has a label.
        segments: Each segment that has voxels, by name.
    """

    whole: Shape | None
    segments: dict[str, Shape]


def measure_shapes(label_map: LabelMap) -> Shapes:
    """Measure the segments of a label map; its axes may point anywhere."""
    layers, grid = _sampled(label_map)
    volumes, found = label_map.volumes_ml(), [ndimage.find_objects(layer) for layer in layers]
    segments = {}
    for segment in label_map.segments:
        blocks = found[segment.layer]
        block = blocks[segment.value - 1] if segment.value <= len(blocks) else None
        if block is not None:
            mask = layers[segment.layer][block] == segment.value
            segments[segment.name] = _shape(mask, block, grid, volumes[segment.name])
    return Shapes(_together(label_map, layers, grid), segments)


def _sampled(label_map: LabelMap) -> tuple[list[NDArray[Any]], Geometry]:
    """Every n-th voxel, axes (i, j, k) to R, A, S, and the grid that these make."""
    geometry, _, _ = label_map.geometry.oriented("RAS")
    steps = [max(1, round(_STEP_MM / spacing)) for spacing in geometry.spacing_mm]
    starts = [(n - 1) % step // 2 for n, step in zip(geometry.shape, steps, strict=True)]
    every = tuple(slice(start, None, step) for start, step in zip(starts, steps, strict=True))
    layers = [label_map.geometry.view(layer, "RAS")[every] for layer in label_map.layers]
    affine = geometry.affine.copy()
    affine[:3, :3] *= steps
    affine[:3, 3] = geometry.index_to_ras(starts)
    return layers, Geometry(as_index(layers[0].shape), affine)


def _together(label_map: LabelMap, layers: Sequence[NDArray[Any]], grid: Geometry) -> Shape | None:
    mask = np.zeros(grid.shape, bool)
    for segment in label_map.segments:
        mask |= layers[segment.layer] == segment.value
    (block,) = ndimage.find_objects(mask.astype(np.uint8)) or (None,)
    ml = float(mask.sum()) * grid.voxel_volume_mm3 / 1000
    return None if block is None else _shape(mask[block], block, grid, ml)


def _shape(mask: NDArray[np.bool_], block: tuple[slice, ...], grid: Geometry, ml: float) -> Shape:
    sums = [mask.sum(axis=tuple(other for other in range(3) if other != axis)) for axis in range(3)]
    middle = [each.start + np.average(np.arange(len(n)), weights=n) for each, n in zip(block, sums, strict=True)]
    extent = np.multiply(mask.shape, grid.spacing_mm)[::-1]
    check_stop()
    components, _ = ndimage.label(mask)
    sizes = np.sort(np.bincount(components.ravel())[1:])[::-1].cumsum()
    pieces = int(np.searchsorted(sizes, _MOST_OF_IT * sizes[-1])) + 1
    return Shape(ml, grid.index_to_ras(middle), extent, pieces)


def border_mm2(label_map: LabelMap, box: Box) -> dict[str, float]:
    """Area in which each segment meets the faces of a box, by name; segments that do not are left out.

    Args:
        label_map: The segments.
        box: In voxels of the label map, such as the field of view.
    """
    spacing = np.asarray(label_map.geometry.spacing_mm)
    layers = label_map.layers[(slice(None), *box.to_slices())]
    areas: dict[str, float] = {}
    for axis in range(3):
        for end in (0, -1):
            counts = [np.bincount(face.ravel(), minlength=65536) for face in layers.take(end, axis=axis + 1)]
            face_mm2 = float(np.prod(np.delete(spacing, axis)))
            for segment in label_map.segments:
                if count := int(counts[segment.layer][segment.value]):
                    areas[segment.name] = areas.get(segment.name, 0.0) + face_mm2 * count
    return areas
