"""From a volume's grid to that of a network, and by which rules back.

References:
    Isensee et al., nnU-Net, Nat Methods 2021, "resampling": splines in all axes, but where slices are thick, splines
    within the slices and another order, mostly the nearest slice, across them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.data.progress import unwatched
from DeepSegmentLib.imaging.largest_label import LargestOf
from DeepSegmentLib.imaging.resampling import (
    AxisPlan,
    along_axes,
    plan_axis,
    plan_same_corners,
    plan_same_extent,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from DeepSegmentLib.data import Geometry, Volume
    from DeepSegmentLib.imaging.intensity import ScaledVoxels
    from DeepSegmentLib.networks.stage_spec import Resampling, StageSpec

_DIGITS = 12
"""Spacings that are the same in a header differ in later digits once they are lengths of an affine matrix's columns."""
_DIGITS_OF_RATIO = 9
"""Likewise of what is computed from two of them: half a voxel stays half a voxel, thrice the spacing not more."""

Spacing = tuple[float, float, float]


def network_geometry(part: Geometry, stage: StageSpec) -> Geometry:
    """The grid that a network gets for an oriented part of a volume.

    Raises:
        InvalidInputError: It would have too many voxels to count.
    """
    own = _rounded(part.spacing_mm)
    wanted = stage.spacing_of(own)
    if stage.resampling.keep_first:
        return part.resampled_from_first(stage.spacing_of(part.spacing_mm))
    if not stage.resampling.keep_extent:
        return part.resampled(stage.spacing_of(part.spacing_mm))
    shape = [max(1, round(round(a / b * n, _DIGITS_OF_RATIO))) for a, b, n in zip(own, wanted, part.shape, strict=True)]
    return part.with_shape(shape)


def thick_axis(first_mm: Spacing, second_mm: Spacing, limit: float | None) -> int | None:
    """The axis across thick slices: of the first spacing if that has any, or else of the second; None without.

    Args:
        first_mm: Spacing (k, j, i) of the grid that there is.
        second_mm: That of the other.
        limit: How many times the smallest spacing the largest must be more than; None for never.
    """
    for spacing in (_rounded(first_mm), _rounded(second_mm)):
        if limit is not None and round(max(spacing) / min(spacing), _DIGITS_OF_RATIO) > limit:
            thick = [axis for axis in range(3) if spacing[axis] == max(spacing)]
            return thick[0] if len(thick) == 1 else None
    return None


def _rounded(spacing_mm: Spacing) -> Spacing:
    k, j, i = (round(step, _DIGITS) for step in spacing_mm)
    return k, j, i


def to_network(volume: Volume, geometry: Geometry, stage: StageSpec, on_step: Callable[[], None] = unwatched) -> Volume:
    """An oriented volume on the network's grid, see `network_geometry`.

    Returns:
        A float32 volume; no channel leaves the range that it had, nor does a plane where these are by themselves.
    """
    return replace(volume, voxels=on_grid(volume.voxels, volume.geometry, geometry, stage, on_step), geometry=geometry)


def on_grid(
    voxels: NDArray[Any] | ScaledVoxels,
    source: Geometry,
    geometry: Geometry,
    stage: StageSpec,
    on_step: Callable[[], None] = unwatched,
) -> NDArray[np.float32]:
    """Voxels (channel, k, j, i) of an oriented grid on that of a network; see `to_network`."""
    rules = stage.resampling
    thick = thick_axis(source.spacing_mm, stage.spacing_of(source.spacing_mm), rules.thick_axis_from)
    orders = [rules.thick_volume_order if axis == thick else rules.volume_order for axis in range(3)]
    plans = _plans(source, geometry, orders, rules, antialias=rules.antialias)
    across = {} if thick is None else {thick: plans.pop(thick)}
    result = along_axes(voxels, plans, on_step)
    if rules.volume_order > 1 and result is not voxels:
        _clip(result, voxels, thick)
    return np.asarray(along_axes(result, across, on_step), dtype=np.float32)


def _plans(
    source: Geometry, target: Geometry, orders: list[int], rules: Resampling, *, antialias: bool
) -> dict[int, AxisPlan]:
    if rules.keep_extent:
        plan = plan_same_corners if rules.keep_corners else plan_same_extent
        shapes = zip(source.shape, target.shape, orders, strict=True)
        return {axis: plan(n, m, order=order) for axis, (n, m, order) in enumerate(shapes)}
    return {
        axis: plan_axis(source, target, axis, order=order, antialias=antialias and order == 1)
        for axis, order in enumerate(orders)
    }


def _clip(voxels: NDArray[np.float32], before: NDArray[Any] | ScaledVoxels, thick: int | None) -> None:
    """Bring each channel, or each of its planes across the thick axis, back into the range that it had."""
    across = (0 if thick is None else thick) + 1
    for n in range(len(voxels)):
        lows, highs = [], []
        for k in range(before.shape[across]):
            plane = before[(slice(n, n + 1), *[slice(None)] * (across - 1), slice(k, k + 1))]
            lows.append(plane.min())
            highs.append(plane.max())
        if thick is None:
            np.clip(voxels[n], min(lows), max(highs), out=voxels[n])
        else:
            for plane, low, high in zip(np.moveaxis(voxels[n], thick, 0), lows, highs, strict=True):
                np.clip(plane, low, high, out=plane)


def labels_to_network(
    labels: NDArray[Any], source: Geometry, target: Geometry, stage: StageSpec, on_step: Callable[[], None] = unwatched
) -> NDArray[Any]:
    """Labels (k, j, i) of an oriented volume on the network's grid.

    Each label's mask is interpolated linearly, and the largest wins; of several, the label of the nearest voxel. Across
    thick slices that of the nearest slice is taken.
    """
    rules = stage.resampling
    thick = thick_axis(source.spacing_mm, stage.spacing_of(source.spacing_mm), rules.thick_axis_from)
    orders = [0 if axis == thick else 1 for axis in range(3)]
    plans = _plans(source, target, orders, rules, antialias=False)
    across = {} if thick is None else {thick: plans.pop(thick)}
    nearest = along_axes(labels[None], {axis: replace(plan, order=0) for axis, plan in plans.items()}, on_step)[0]
    largest = LargestOf(np.rint(nearest).astype(labels.dtype))
    for label in np.unique(labels):
        largest.add(label, along_axes((labels == label).astype(np.float32)[None], plans, on_step)[0])
    winners = along_axes(largest.winners[None], across, on_step)[0]
    return np.asarray(np.rint(winners), dtype=labels.dtype)


def plans_back(source: Geometry, target: Geometry, stage: StageSpec) -> list[AxisPlan]:
    """How each axis (k, j, i) of the network's grid gets back to that of the volume.

    Args:
        source: The network's grid.
        target: The oriented part of the volume that it covers.
        stage: What says how.
    """
    plans = _plans(source, target, back_orders(target, stage), stage.resampling, antialias=False)
    return [plans[axis] for axis in range(3)]


def back_orders(target: Geometry, stage: StageSpec) -> list[int]:
    """Order of the spline along each axis (k, j, i) for logits on their way back; `target` as for `plans_back`."""
    rules = stage.resampling
    thick = thick_axis(stage.spacing_of(target.spacing_mm), target.spacing_mm, rules.thick_axis_from)
    return [rules.thick_logits_order if axis == thick else rules.logits_order for axis in range(3)]
