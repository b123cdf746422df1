"""From the network's grid back to the volume's, plane by plane: labels, or scores of all classes.

Everything stays on the device where the planes are. Interpolation and a network's head are both weighted sums, so
features are brought back and the head comes last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch.nn import functional

from DeepSegmentLib.segmentation.regrid import back_orders, plans_back
from DeepSegmentLib.segmentation.tiles import MIXED_AT_ONCE

from .class_scores import largest_class, probabilities_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from DeepSegmentLib.data import Geometry
    from DeepSegmentLib.imaging.resampling import AxisPlan
    from DeepSegmentLib.networks.runtime import Head
    from DeepSegmentLib.networks.stage_spec import StageSpec

    Planes = Iterator[tuple[int, Tensor]]

Plane = TypeVar("Plane")


@dataclass(frozen=True, eq=False)
class WayBack:
    """From one grid to the other, a plane across `axis` after the other.

    Attributes:
        source: The network's grid.
        target: The oriented part of the volume that it covers.
        stage: What says how.
        axis: 0 to 2, along which planes come.
    """

    source: Geometry
    target: Geometry
    stage: StageSpec
    axis: int = 0

    @property
    def is_linear(self) -> bool:
        """Whether each new voxel lies between the eight old ones around it, so that what these agree on stays."""
        return max(back_orders(self.target, self.stage)) <= 1

    def plans(self) -> list[AxisPlan]:
        """For the axis across the planes, then for those in them."""
        plans = plans_back(self.source, self.target, self.stage)
        return [plans[self.axis], *(plan for n, plan in enumerate(plans) if n != self.axis)]


def as_probabilities(planes: Planes, head: Head | None, *, exclusive: bool) -> Iterator[tuple[int, Tensor]]:
    """Planes of features or logits, each as probabilities (class, ...)."""
    for k, plane in planes:
        yield k, probabilities_of(plane if head is None else head(plane), exclusive=exclusive)


def planes_back(planes: Planes, way: WayBack) -> Iterator[tuple[int, Tensor]]:
    """Planes of channels on the volume's grid, holding no more than one of the result comes from.

    Args:
        planes: Index and float32 plane (channel, row, column) on the network's grid, first to last.
        way: How.

    Yields:
        Index and plane (channel, row, column), first to last.
    """
    depth, *inside = way.plans()
    needed, matrices = list(depth.rows()), [torch.from_numpy(plan.matrix()) for plan in inside]
    clip = way.stage.resampling.logits_order > 1
    for k, held in _held_planes(planes, [(first, first + len(weights) - 1) for first, weights in needed]):
        matrices = [matrix.to(held[needed[k][0]].device) for matrix in matrices]
        yield k, _one_plane(held, *needed[k], matrices, clip=clip)


def _held_planes(
    planes: Iterable[tuple[int, Plane]], spans: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, dict[int, Plane]]]:
    """Each plane of the result, as soon as those from the first to the last that it comes from are there."""
    keep_from = np.minimum.accumulate([first for first, _ in spans][::-1])[::-1]
    held: dict[int, Plane] = {}
    k = 0
    for last, plane in planes:
        held[last] = plane
        while k < len(spans) and spans[k][1] <= last:
            yield k, held
            k += 1
        for n in [n for n in held if k == len(spans) or n < keep_from[k]]:
            del held[n]


def _one_plane(
    held: Mapping[int, Tensor],
    first: int,
    weights: NDArray[np.float32],
    matrices: Sequence[Tensor],
    *,
    clip: bool,
) -> Tensor:
    """A plane (channel, row, column) of the result; with `clip`, in the range of those that it comes from."""
    used = [held[n] for n in range(first, first + len(weights))]
    plane = used[0] * float(weights[0])
    for weight, each in zip(weights[1:], used[1:], strict=True):
        plane.add_(each, alpha=float(weight))
    rows, columns = matrices
    result = rows @ plane @ columns.t()
    if clip:
        low = torch.stack([each.amin(dim=(1, 2)) for each in used]).amin(dim=0)[:, None, None]
        high = torch.stack([each.amax(dim=(1, 2)) for each in used]).amax(dim=0)[:, None, None]
        result = torch.clamp(result, low, high)
    return result


def labels_back(planes: Planes, head: Head | None, way: WayBack) -> Iterator[tuple[int, Tensor]]:
    """The class with the largest score, plane by plane on the volume's grid; `way.is_linear` must hold.

    A class that has the largest score at all corners has it everywhere between them. Only where corners disagree are
    features interpolated and scores computed; both ways give the same labels but for rounding.

    Args:
        planes: Index and float32 plane (feature, row, column), or of scores (class, ...), first to last.
        head: What makes scores of features; None where planes are scores.
        way: How.

    Yields:
        Index and int64 plane (row, column), first to last.
    """
    depth, rows, columns = (_Taps.of(plan) for plan in way.plans())
    spans = list(zip(depth.low.tolist(), depth.high.tolist(), strict=True))
    labelled = ((k, _Labelled.of(plane, head)) for k, plane in planes)
    inside: _Inside | None = None
    for k, held in _held_planes(labelled, spans):
        low, high = (held[n] for n in spans[k])
        inside = inside or _Inside(rows, columns, low.labels.device)
        yield k, inside.labels(low, high, float(depth.share[k]), head)


@dataclass(frozen=True, eq=False)
class _Taps:
    """For each new sample along an axis the old ones before and after it, and the share of the latter."""

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    share: NDArray[np.float32]

    @classmethod
    def of(cls, plan: AxisPlan) -> _Taps:
        positions = np.clip(plan.positions if plan.order else np.floor(plan.positions + 0.5), 0, plan.n - 1)
        low = np.floor(positions).astype(np.int64)
        share = (positions - low).astype(np.float32)
        return cls(low, np.where(share > 0, low + 1, low), share)

    def to(self, device: torch.device) -> list[Tensor]:
        return [torch.from_numpy(each).to(device) for each in (self.low, self.high, self.share)]


@dataclass(frozen=True, eq=False)
class _Labelled:
    """A plane of features or scores as (voxel, channel), and the classes (row, column) whose score is largest there."""

    table: Tensor
    labels: Tensor

    @classmethod
    def of(cls, plane: Tensor, head: Head | None) -> _Labelled:
        table = plane.flatten(1).t().contiguous()
        return cls(table, largest_class(table, head).reshape(plane.shape[1:]))


class _Inside:
    """The way back within planes."""

    def __init__(self, rows: _Taps, columns: _Taps, device: torch.device) -> None:
        self._between = bool(rows.share.any()), bool(columns.share.any())
        self._rows, self._columns = rows.to(device), columns.to(device)

    def labels(self, low: _Labelled, high: _Labelled, share: float, head: Head | None) -> Tensor:
        """Labels of a plane that lies between two, at a share of the way from `low` to `high`."""
        labels, agree = low.labels, low.labels == high.labels
        for axis in (0, 1):
            if self._between[axis]:
                agree = agree & _with_next(agree, axis) & (_with_next(labels, axis) == labels)
        (j, _, _), (i, _, _) = self._rows, self._columns
        result = labels[j][:, i]
        mixed = (~agree)[j][:, i].nonzero(as_tuple=True)
        if len(mixed[0]):
            table = low.table if share == 0 else torch.lerp(low.table, high.table, share)
            for row, column in zip(*(torch.split(each, MIXED_AT_ONCE) for each in mixed), strict=True):
                features = self._between_corners(table, labels.shape[1], row, column)
                result[row, column] = largest_class(features, head)
        return result

    def _between_corners(self, table: Tensor, width: int, row: Tensor, column: Tensor) -> Tensor:
        """Features (voxel, feature) of some voxels of the result, by bilinear interpolation."""
        j0, j1, v = (each[row] for each in self._rows)
        i0, i1, w = (each[column] for each in self._columns)
        corners = torch.stack([j0 * width + i0, j0 * width + i1, j1 * width + i0, j1 * width + i1], dim=1)
        shares = torch.stack([(1 - v) * (1 - w), (1 - v) * w, v * (1 - w), v * w], dim=1)
        # The weighted sum of rows of a table, in one operation.
        return functional.embedding_bag(corners, table, mode="sum", per_sample_weights=shares)


def _with_next(plane: Tensor, axis: int) -> Tensor:
    """Each value's next one along an axis; the last one's own."""
    return torch.cat([plane.narrow(axis, 1, plane.shape[axis] - 1), plane.narrow(axis, plane.shape[axis] - 1, 1)], axis)
