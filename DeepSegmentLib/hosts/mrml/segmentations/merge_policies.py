"""How a result and the segments that are there already become one: the merge policies, on shapes alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.data import Box

from .shapes import Shape, difference, union

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from DeepSegmentLib.data import Geometry


class MergePolicy(Enum):
    """What happens to the segments that are there already.

    Attributes:
        NEW: Nothing; the result becomes a segmentation of its own.
        UPDATE: Those that the result has too get its shape, inside the region if there is one; see `pairing`.
        ADD: Nothing; the result's segments come beside them and may overlap them.
        EMPTY: They may grow, into voxels that no segment has; nothing is taken away.
    """

    NEW = "new"
    UPDATE = "update"
    ADD = "add"
    EMPTY = "empty"


@dataclass(frozen=True)
class Merge:
    """A policy with what it needs.

    Attributes:
        policy: What happens to the segments that are there.
        region: Which voxels of the volume may change; None for all.
    """

    policy: MergePolicy
    region: Box | None = None

    @property
    def is_whole(self) -> bool:
        """Whether nothing of a former shape stays."""
        return self.policy is MergePolicy.UPDATE and self.region is None

    def allowed(self, layers: NDArray[Any], geometry: Geometry, there: Iterable[Shape]) -> NDArray[Any]:
        """The labels where the policy lets them be.

        Args:
            layers: Labels (layer, k, j, i) of the result.
            geometry: Their grid.
            there: What no label may cover if only empty voxels are free.
        """
        if self.policy is MergePolicy.EMPTY:
            layers = np.where(_occupied(geometry, there), layers.dtype.type(0), layers)
        if self.region is None:
            return layers
        inside = (slice(None), *self.region.to_slices())
        kept = np.zeros_like(layers)
        kept[inside] = layers[inside]
        return kept

    def merged(self, old: Shape, new: Shape) -> Shape:
        """The shape of an existing segment after the merge; on its own lattice where something of it may stay.

        Args:
            old: The segment as it is.
            new: The allowed part of the result, on the volume's lattice.
        """
        if old.is_empty or self.is_whole:
            return new
        if self.policy is MergePolicy.EMPTY or self.region is None:
            return union(old, new)
        region = Shape(new.affine, self.region, np.ones(self.region.shape, dtype=bool))
        return union(difference(old, region), new)


def _occupied(geometry: Geometry, shapes: Iterable[Shape]) -> NDArray[np.bool_]:
    """Voxels (k, j, i) of a grid that some shape has."""
    occupied, whole = np.zeros(geometry.shape, dtype=bool), Box.of_shape(geometry.shape)
    for shape in shapes:
        part = shape.onto(geometry.affine).cut(whole)
        if part.box.size:
            occupied[part.box.to_slices()] |= part.mask
    return occupied
