"""What a guided network sees of a correction, and what it says of it: a small cubic lattice around the prompt.

The lattice has eight steps to the edit radius, whatever the volume's spacing, and knows only "as the prompt wants it"
and not: so one network serves every scale, every organ, and prompts of both signs. What it gives is added to the
log-odds that the evidence gave (`energy`), so nothing that a correction promises depends on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from DeepSegmentLib.imaging.resampling import along_axis, axis_weights

from . import appearance
from .evidence import FEATURES

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from .domain import Domain
    from .evidence import Evidence

    Floats = NDArray[np.float32]

STEPS = 8
"""Lattice points to one edit radius."""

LEAST_EXTENT = 24
"""Lattice points along each axis: one and a half radii to each side of a click."""

MULTIPLE = 4
"""Extents are multiples of this, as the network halves its maps twice."""

MOST_POINTS = 40_000
"""Larger lattices (long scribbles, large lassos) are made coarser, so that the time stays bounded."""

MOST = 6.0
"""Largest log-odds that the network may add or take."""

COLUMNS = ("appearance", "appearance_smooth", "distance_depth", "surface", "surface_depth", "depth", "geodesic",
           "geodesic_rim", "continuation", "quadric", "contrast", "separation", "opposed")  # fmt: skip
"""The columns of the evidence that the network sees."""

CHANNELS = ("intensity", "target", "free", "source", "against", "reach", "log_odds", *COLUMNS)
"""What the network sees, in its order."""


class Guide(Protocol):
    """The seam between the energy and whoever knows better what a prompt means."""

    def __call__(self, domain: Domain, evidence: Evidence, worth: Floats, /) -> Floats:
        """Log-odds (node,) to add to those of the evidence, finite and bounded.

        Args:
            domain: The block around the prompt.
            evidence: What was gathered from it.
            worth: The log-odds (node,) that the evidence gives, see `energy.belief`.
        """


@dataclass(frozen=True, eq=False)
class Lattice:
    """Cubic sampling of a block of voxels around a prompt.

    Attributes:
        shape: Extent (k, j, i), in points.
        to_points: For each axis the matrix (point, voxel) that averages voxels at points.
        to_voxels: For each axis the matrix (voxel, point) that interpolates points at voxels.
    """

    shape: tuple[int, int, int]
    to_points: tuple[Floats, Floats, Floats]
    to_voxels: tuple[Floats, Floats, Floats]

    def sample(self, values: Floats) -> Floats:
        """Voxels (..., k, j, i) of the block at the points."""
        return _applied(values, self.to_points)

    def spread(self, values: Floats) -> Floats:
        """Points (..., k, j, i) at the voxels of the block; those beyond the lattice take the nearest point's value."""
        return _applied(values, self.to_voxels)


def _applied(values: Floats, matrices: tuple[Floats, Floats, Floats]) -> Floats:
    for axis in sorted(range(3), key=lambda axis: matrices[axis].shape[0] / matrices[axis].shape[1]):
        values = along_axis(values, matrices[axis], axis - 3 + values.ndim)
    return np.ascontiguousarray(values, dtype=np.float32)


def lattice_of(domain: Domain) -> Lattice:
    """The lattice for a domain, centered on its source."""
    places = np.argwhere(domain.source)
    spacing = np.asarray(domain.spacing_mm)
    low, high = places.min(axis=0), places.max(axis=0)
    extent_mm = (high - low) * spacing
    pitch = domain.radius_mm / STEPS
    while np.prod(_extent(extent_mm, domain.radius_mm, pitch)) > MOST_POINTS:
        pitch *= 1.1
    shape = _extent(extent_mm, domain.radius_mm, pitch)
    there, back = [], []
    for axis, n in enumerate(domain.free.shape):
        middle = (low[axis] + high[axis]) / 2
        positions = middle + (np.arange(shape[axis]) - (shape[axis] - 1) / 2) * pitch / spacing[axis]
        there.append(axis_weights(np.clip(positions, 0, n - 1), n, support=max(1.0, pitch / spacing[axis])))
        places_of_voxels = (np.arange(n) - positions[0]) * spacing[axis] / pitch
        back.append(axis_weights(np.clip(places_of_voxels, 0, shape[axis] - 1), shape[axis]))
    return Lattice(shape, (there[0], there[1], there[2]), (back[0], back[1], back[2]))


def _extent(extent_mm: NDArray[np.float64], radius_mm: float, pitch: float) -> tuple[int, int, int]:
    margin = LEAST_EXTENT * radius_mm / STEPS
    k, j, i = (max(LEAST_EXTENT, MULTIPLE * round((mm + margin) / (pitch * MULTIPLE))) for mm in extent_mm)
    return k, j, i


def channels_of(domain: Domain, evidence: Evidence, worth: Floats, lattice: Lattice) -> Floats:
    """What the network sees: float32 array (channel, k, j, i) of `CHANNELS` on the lattice.

    Args:
        domain: The block around the prompt.
        evidence: What was gathered from it.
        worth: The log-odds (node,) that the evidence gives.
        lattice: Made for the domain.
    """
    intensity = evidence.intensity.reshape(domain.free.shape)
    plain = appearance.standardized(domain.channels[0])
    plain = np.clip(plain - intensity[domain.source].mean(), -4, 4)
    reach = np.minimum(domain.distance_mm / np.float32(domain.radius_mm), 2)
    nodes = np.zeros((1 + len(COLUMNS), domain.free.size), dtype=np.float32)
    nodes[0, evidence.grid.voxels] = worth
    nodes[1:, evidence.grid.voxels] = evidence.values.T[[FEATURES.index(name) for name in COLUMNS]]
    blocks = [plain, domain.target, domain.open_to_change, np.exp(-((reach / 0.15) ** 2)), domain.against, reach]
    stacked = np.concatenate([np.stack(blocks).astype(np.float32), nodes.reshape(-1, *domain.free.shape)])
    return lattice.sample(stacked)


def advice(network: Callable[[Floats], Floats], domain: Domain, evidence: Evidence, worth: Floats) -> Floats:
    """What a guided network adds to the log-odds (node,) of the evidence.

    Args:
        network: From a batch of patches (1, channel, k, j, i) to logits (1, 1, k, j, i).
        domain: The block around the prompt.
        evidence: What was gathered from it.
        worth: The log-odds (node,) that the evidence gives.
    """
    lattice = lattice_of(domain)
    said = network(channels_of(domain, evidence, worth, lattice)[None])[0, 0]
    return lattice.spread(np.clip(said, -MOST, MOST)).ravel()[evidence.grid.voxels]
