"""A patch of a case, augmented: image, labels, and what is known of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from DeepSegmentLib.data import Box
from DeepSegmentLib.data.geometry import as_index
from DeepSegmentLib.errors import InvalidInputError

from .choose_centre import has_background
from .intensity_changes import change_intensities
from .patch import Patch
from .random_contrast import with_random_contrast
from .sample_block import sample_linear, sample_nearest
from .spatial_change import draw_change, sources

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from DeepSegmentLib.data import Index
    from DeepSegmentLib.training.cases.prepared_case import PreparedCase

    from .augmentation_settings import AugmentationSettings
    from .mirror_plan import MirrorPlan
    from .spatial_change import SpatialChange


class _Cut(NamedTuple):
    """What a patch shows of a case's arrays, before their values are changed."""

    image: Tensor
    labels: Tensor
    regions: Tensor


def cut_patch(
    case: PreparedCase,
    centre: Index,
    patch_shape: Index,
    *,
    settings: AugmentationSettings,
    mirror: MirrorPlan,
    rows: int,
    rng: np.random.Generator,
) -> Patch:
    """Cut one patch, and augment it.

    Turned, scaled and deformed patches are sampled from the case itself, so that they have no empty corners where the
    case goes on; intensities linearly, labels and regions at the nearest voxel. Only the block that is needed is read.
    Beyond the case the image is 0, as where volumes are segmented, labels are background, and nothing counts.

    Args:
        case: Whose arrays are read.
        centre: The voxel (k, j, i) that voxel `patch_shape[axis] // 2` of the patch shows where nothing is changed; the
            patch may reach beyond the case.
        patch_shape: Extent (k, j, i) in voxels.
        settings: How it is augmented.
        mirror: What mirroring does to the classes; see `mirror_plan`.
        rows: Of `Patch.known`; at least one more than the case has, for what is beyond it.
        rng: Source of all numbers: the same state gives the same patch.

    Raises:
        InvalidInputError: There are too few rows, or the plan is of another number of channels.
    """
    _check(case, mirror, rows)
    change = draw_change(patch_shape, case.spacing_mm, settings, mirror, rng)
    start = as_index([middle - n // 2 for middle, n in zip(centre, patch_shape, strict=True)])
    cut = (_on_grid if change.is_on_grid else _off_grid)(case, start, patch_shape, change)
    labels, known = cut.labels.long(), _known_table(case, rows)
    if mirror.left_right in change.flips:
        labels, known = _exchanged(case, labels, known, mirror)
    image = cut.image
    if rng.random() < settings.synthesis:
        new = with_random_contrast(image, _classes(labels), rng)
        image = torch.where(cut.regions == len(case.known), image, new)
    return Patch(change_intensities(image, settings, rng), labels, cut.regions.long(), known)


def _check(case: PreparedCase, mirror: MirrorPlan, rows: int) -> None:
    if len(case.known) > np.iinfo(case.regions.dtype).max:
        raise InvalidInputError(
            f"case {case.name!r} has {len(case.known)} rows of what is known, so no number is left for what lies beyond"
        )
    if rows <= len(case.known):
        raise InvalidInputError(
            f"case {case.name!r} has {len(case.known)} rows of what is known, so a patch needs at least one more; "
            f"got {rows}"
        )
    if len(mirror.exchange) != len(case.places):
        raise InvalidInputError(
            f"case {case.name!r} has {len(case.places)} channels, but the mirror plan {len(mirror.exchange)}; "
            "make it of the same segments"
        )


def _on_grid(case: PreparedCase, start: Index, patch_shape: Index, change: SpatialChange) -> _Cut:
    """The voxels themselves, perhaps mirrored."""
    block = _read(case, Box.of_shape(patch_shape).shift(start))
    flips = [axis - 3 for axis in change.flips]
    return _Cut(*(torch.flip(each, flips) for each in block)) if flips else block


def _off_grid(case: PreparedCase, start: Index, patch_shape: Index, change: SpatialChange) -> _Cut:
    """What lies between voxels, sampled from the smallest block that holds it all, and a voxel round that."""
    places = sources(change, patch_shape)
    middle = [first + (n - 1) / 2 for first, n in zip(start, patch_shape, strict=True)]
    ends = [torch.aminmax(each) for each in places]
    box = Box(
        as_index([math.floor(m + float(low)) - 1 for m, (low, _) in zip(middle, ends, strict=True)]),
        as_index([math.floor(m + float(high)) + 3 for m, (_, high) in zip(middle, ends, strict=True)]),
    )
    block = _read(case, box)
    k, j, i = (place.add_(m - first) for place, m, first in zip(places, middle, box.start, strict=True))
    labels, regions = sample_nearest(block.labels, (k, j, i)), sample_nearest(block.regions[None], (k, j, i))
    return _Cut(sample_linear(block.image, (k, j, i)), labels, regions[0])


def _read(case: PreparedCase, box: Box) -> _Cut:
    """A block of a case, filled up beyond it."""
    return _Cut(
        _block(case.image, box, 0).float(),
        _block(case.labels, box, 0),
        _block(case.regions[None], box, len(case.known))[0],
    )


def _block(array: NDArray[Any], box: Box, beyond: int) -> Tensor:
    """A block of an array (channel, k, j, i) that may be on disk; uint16 as int32, of which torch knows more."""
    inside = box.intersect(Box.of_shape(as_index(array.shape[1:])))
    part = array[(slice(None), *inside.to_slices())]
    dtype = np.dtype(np.int32) if array.dtype == np.uint16 else array.dtype
    if inside == box:
        return torch.from_numpy(np.array(part, dtype))
    block = np.full((len(array), *box.shape), beyond, dtype)
    if inside.size:
        block[(slice(None), *inside.shift(as_index([-n for n in box.start])).to_slices())] = part
    return torch.from_numpy(block)


def _known_table(case: PreparedCase, rows: int) -> Tensor:
    """`Patch.known`; the row of what is beyond the case is among those of zeros."""
    table = torch.zeros(rows, len(case.places) + 1)
    for row, known in zip(table, case.known, strict=False):
        row[:-1] = torch.tensor(known.classes, dtype=torch.float32)
        row[-1] = known.weight
    return table


def _exchanged(case: PreparedCase, labels: Tensor, known: Tensor, mirror: MirrorPlan) -> tuple[Tensor, Tensor]:
    """Labels and what is known of them, with left and right exchanged."""
    exchange = torch.tensor(mirror.exchange)
    known = known[:, [*mirror.exchange, -1]]
    return (exchange[labels] if has_background(case) else labels[exchange]), known


def _classes(labels: Tensor) -> Tensor:
    """One structure for each voxel (k, j, i), 0 for none; of overlapping regions the last one."""
    if len(labels) == 1:
        return labels[0]
    numbers = torch.arange(1, len(labels) + 1).reshape(-1, 1, 1, 1)
    return (labels * numbers).amax(0)
