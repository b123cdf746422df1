"""What speaks for and against changing each voxel: appearance, distances, the surface as it was.

Every quantity is free of units: distances are in edit radii, intensities in deviations of the block. Thus one set of
weights (`energy`) serves every volume and every spacing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from DeepSegmentLib.correction.rules.domain import coarsening, distance_mm, indices_of, picked, refined
from DeepSegmentLib.correction.solving.graph import Grid, build_grid

from . import appearance
from .flooding import flooded
from .geodesic import geodesic_mm, path_lengths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from DeepSegmentLib.correction.rules.domain import Domain, Mask

    Floats = NDArray[np.float32]

FEATURES = ("appearance", "appearance_smooth", "distance", "distance_depth", "surface", "surface_depth", "depth",
            "geodesic", "geodesic_rim", "continuation", "quadric", "contrast", "separation", "filled",
            "inside", "opposed")  # fmt: skip
"""The columns of `Evidence.values`; each function below names those that it makes."""

CONTEXT_FEATURES = ("first", "first_near", "first_around", "first_wide", "way", "share", "stroke", "flooded",
                    "flooded_near")  # fmt: skip
"""The columns of `context`."""

_SMOOTH_VOXELS = 20_000
"""Maps that vary slowly are computed on at most this many voxels."""

_SHORE = 3
"""So many voxels around those that may change tell from where the image is flooded."""

_CROSS = ndimage.generate_binary_structure(3, 1)

_CONTRAST_RADII = 0.5
"""Crossing one deviation of intensity is as long a way as half an edit radius."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of each voxel that may change.

    Attributes:
        grid: The voxels, and which are neighbors.
        values: Float32 array (node, feature), in the order of `FEATURES`.
        intensity: Smoothed intensity of every voxel of the block, flat, in deviations.
        slope: How steep the image is at every voxel of the block (k, j, i).
        edge: Square of a step of intensity that counts as an edge.
        finest_mm: The smallest voxel size.
    """

    grid: Grid
    values: Floats
    intensity: Floats
    slope: Floats
    edge: float
    finest_mm: float


def gather(domain: Domain) -> Evidence:
    """Look at a domain.

    Args:
        domain: With at least one voxel that is free or must change.
    """
    maps = appearance.features(domain.channels, domain.spacing_mm)
    grid = build_grid(domain.open_to_change, domain.spacing_mm)
    columns = [
        *_appearance(domain, maps, grid),
        *_distances(domain, maps[1].ravel(), grid),
        *_surface(domain, grid),
        *_contrast(domain, maps, grid),
    ]
    found = dict(columns)
    values = np.stack([np.broadcast_to(found[name], grid.size) for name in FEATURES], axis=1)
    intensity = maps[1].ravel()
    steps = intensity[grid.voxels[grid.first]] - intensity[grid.voxels[grid.second]]
    edge = 2 * max(float(np.mean(steps * steps)) if len(steps) else 0.0, 1e-6)
    return Evidence(grid, np.ascontiguousarray(values, dtype=np.float32), intensity, maps[6], edge, domain.finest_mm)


Columns = list[tuple[str, "Floats"]]


def _appearance(domain: Domain, maps: Floats, grid: Grid) -> Columns:
    """How much each voxel looks like the wanted side, and how well the sides can be told apart here."""
    flat = maps.reshape(len(maps), -1)
    wanted = np.concatenate([
        appearance.thinned(domain.target & (domain.distance_mm <= 1.3 * domain.radius_mm)),
        appearance.thinned(domain.near, appearance.MOST_EXAMPLES // 5),
    ])  # fmt: skip
    other = np.concatenate([
        appearance.thinned(~(domain.target | domain.open_to_change)),
        appearance.thinned(domain.against, appearance.MOST_EXAMPLES // 5),
    ])  # fmt: skip
    odds, area = np.zeros(flat.shape[1], dtype=np.float32), 0.5
    if min(len(wanted), len(other)) >= appearance.LEAST_EXAMPLES:
        examples = flat[:, np.concatenate([wanted, other])]
        sides = np.arange(examples.shape[1]) < len(wanted)
        weights = appearance.fit_logistic(examples.T, sides)
        odds = appearance.log_odds(flat, weights)
        area = appearance.separation(appearance.log_odds(examples, weights), sides)
    smooth = box_blurred(odds.reshape(domain.free.shape), 1.5 * domain.finest_mm, domain.spacing_mm)
    return [
        ("appearance", odds[grid.voxels]),
        ("appearance_smooth", smooth.ravel()[grid.voxels]),
        ("separation", np.array(area, dtype=np.float32)),
    ]


def _distances(domain: Domain, intensity: Floats, grid: Grid) -> Columns:
    """How far each voxel is from the stroke and from the domain's rim, straight and around edges."""
    distance, start = domain.distance_mm.ravel()[grid.voxels], _start(domain, grid)
    rim = distance >= domain.radius_mm - 1.01 * domain.finest_mm
    ways = [
        np.minimum(
            geodesic_mm(intensity[grid.voxels], ends, grid, contrast_mm=_CONTRAST_RADII * domain.radius_mm)
            / domain.radius_mm,
            4,
        )
        if ends.any()
        else np.ones(grid.size, dtype=np.float32)
        for ends in (start, rim & ~start)
    ]
    return [("distance", distance / domain.radius_mm), ("geodesic", ways[0]), ("geodesic_rim", ways[1])]


def _start(domain: Domain, grid: Grid) -> NDArray[np.bool_]:
    """Nodes of the source, or the nearest ones where all of the source is as it should be."""
    start = domain.source.ravel()[grid.voxels]
    if not start.any():
        distance = domain.distance_mm.ravel()[grid.voxels]
        start = distance <= distance.min() + domain.finest_mm
    return np.asarray(start)


def _surface(domain: Domain, grid: Grid) -> Columns:
    """Where the surface is now, and where it would be if it went on smoothly past the stroke."""
    radius, finest = domain.radius_mm, domain.finest_mm
    away, continuation = _smooth_surface(domain)
    depth = float(away[domain.source].max())
    reach, distance = away.ravel()[grid.voxels], domain.distance_mm.ravel()[grid.voxels]
    inside = domain.distance_mm <= radius
    return [
        ("surface", reach / radius),
        ("surface_depth", np.minimum(reach / (depth + finest), 4)),
        ("distance_depth", np.minimum(distance / (depth + finest), 6)),
        ("depth", np.array(min(depth / radius, 1.5), dtype=np.float32)),
        ("continuation", continuation.ravel()[grid.voxels]),
        ("quadric", _quadric(domain, grid)),
        ("filled", np.array((domain.target & inside).sum() / max(1, inside.sum()), dtype=np.float32)),
        ("opposed", _opposed(domain, grid)),
        ("inside", np.array(float((domain.source & domain.target).any()), dtype=np.float32)),
    ]


def _smooth_surface(domain: Domain) -> tuple[Floats, Floats]:
    """Distance in mm to the wanted side, and its mean without what is near the source: maps (k, j, i).

    Both vary slowly, so large blocks are looked at on every other voxel.
    """
    shape, radius = domain.free.shape, domain.radius_mm
    factors = coarsening(domain, _SMOOTH_VOXELS)
    picks = picked(shape, factors)
    target = domain.target[picks]
    spacing_mm = [n * step for n, step in zip(factors, domain.spacing_mm, strict=True)]
    away = np.full(target.shape, 2 * radius, dtype=np.float32)
    if target.any():
        away = np.minimum(ndimage.distance_transform_edt(~target, sampling=spacing_mm), 2 * radius).astype(np.float32)
    trust = np.float32(1) - np.exp(-((domain.distance_mm[picks] / np.float32(0.5 * radius)) ** 2))
    wanted, all_of_it = (box_blurred(values, 0.3 * radius, spacing_mm) for values in (trust * target, trust))
    continuation = np.asarray(wanted / np.maximum(all_of_it, 1e-3), dtype=np.float32)
    return refined(away, factors, shape), refined(continuation, factors, shape)


def context(domain: Domain, evidence: Evidence, odds: Floats) -> Floats:
    """What a first judgement says around each voxel.

    Args:
        domain: What may change.
        evidence: What is known of each node.
        odds: Log-odds (node,) by that alone.

    Returns:
        Float32 array (node, feature), in the order of `CONTEXT_FEATURES`: the log-odds, the mean chance around the
        node at three scales, how much doubt a path from the source has to cross, the part of the domain that
        would change, how long the source is in edit radii, and whether the wanted side floods the node and its
        neighbors.

    References:
        Tu, Bai, Auto-context and its application to high-level vision tasks and 3D brain image segmentation, IEEE
        TPAMI 2010.
    """
    grid, spacing_mm = evidence.grid, domain.spacing_mm
    chance = (1 / (1 + np.exp(-odds))).astype(np.float32)
    chance[domain.must.ravel()[grid.voxels]] = 1
    sides = domain.target.astype(np.float32)
    sides[domain.open_to_change] = chance
    around = [
        box_blurred(sides, width, spacing_mm)[domain.open_to_change]
        for width in (domain.finest_mm, 2.5 * domain.finest_mm, 0.3 * domain.radius_mm)
    ]
    start = _start(domain, grid)
    doubt = np.float32(1) - chance
    lengths = grid.length_mm * (doubt[grid.first] + doubt[grid.second]) * np.float32(0.5)
    way = np.minimum(path_lengths(lengths, start, grid) / domain.radius_mm, 2)
    places = indices_of(domain.source) * spacing_mm
    length = min(float(np.linalg.norm(np.ptp(places, axis=0))) / domain.radius_mm, 3.0)
    numbers = [np.full(grid.size, number) for number in (chance.mean(dtype=np.float64), length)]
    return np.stack([odds, *around, way, *numbers, *_floods(domain, evidence.slope)], axis=1).astype(np.float32)


def _floods(domain: Domain, slope: Floats) -> list[Floats]:
    """Whether the wanted side floods each node, and the mean of that around it."""
    open_to_change = domain.open_to_change
    sources = _inner(domain.target) | domain.near, _inner(~domain.target & ~open_to_change)
    region = ndimage.binary_dilation(open_to_change, _CROSS, iterations=_SHORE)
    wanted, other, steep = (values[region] for values in (*sources, slope))
    flood = domain.target.astype(np.float32)
    flood[region] = flooded(steep, wanted, other, build_grid(region, domain.spacing_mm))
    return [values[open_to_change] for values in (flood, box_blurred(flood, domain.finest_mm, domain.spacing_mm))]


def _inner(side: Mask) -> Mask:
    """The voxels of a side that are surely on it: two away from where sides meet."""
    return np.asarray(ndimage.binary_erosion(side, _CROSS, iterations=2, border_value=1))


def _opposed(domain: Domain, grid: Grid) -> Floats:
    """How much nearer each voxel is to the source than to what earlier prompts hold on the other side, in [0, 1]."""
    if not domain.against.any():
        return np.ones(1, dtype=np.float32)
    away = distance_mm(domain.against, domain.spacing_mm).ravel()[grid.voxels]
    near = domain.distance_mm.ravel()[grid.voxels]
    return np.asarray(away / np.maximum(away + near, domain.finest_mm), dtype=np.float32)


def _quadric(domain: Domain, grid: Grid) -> Floats:
    """Log-odds that a voxel lies on the wanted side of a quadric fitted to the surface outside the near half."""
    far = domain.distance_mm > 0.5 * domain.radius_mm
    wanted = np.concatenate([appearance.thinned(domain.target & far, 700), appearance.thinned(domain.near, 200)])
    other = appearance.thinned(~domain.target & ~domain.free & far, 700)
    if min(len(wanted), len(other)) < appearance.LEAST_EXAMPLES:
        return np.zeros(grid.size, dtype=np.float32)
    terms = _quadratic_terms(np.concatenate([wanted, other, grid.voxels]), domain)
    n = len(wanted) + len(other)
    return appearance.log_odds(terms[:, n:], appearance.fit_logistic(terms[:, :n].T, np.arange(n) < len(wanted)))


def _quadratic_terms(voxels: NDArray[np.intp], domain: Domain) -> Floats:
    """The nine monomials of first and second degree of places about the source, in edit radii: array (9, voxel)."""
    middle = indices_of(domain.source).mean(axis=0)
    places = np.stack(np.unravel_index(voxels, domain.free.shape)) - middle[:, None]
    z, y, x = places * (np.asarray(domain.spacing_mm) / domain.radius_mm)[:, None]
    return np.stack([z, y, x, z * z, y * y, x * x, z * y, y * x, x * z]).astype(np.float32)


def _contrast(domain: Domain, maps: Floats, grid: Grid) -> Columns:
    """How far each voxel's smoothed intensity is from the stroke's, in deviations of the noise."""
    here = domain.source | domain.near
    noise = float(np.abs(maps[0] - maps[1]).mean()) + 1e-6
    middle = float(maps[1][here].mean(dtype=np.float64))
    return [("contrast", np.minimum(np.abs(maps[1].ravel()[grid.voxels] - middle) / noise, 6))]


def box_blurred(values: NDArray[np.float32], sigma_mm: float, spacing_mm: Sequence[float]) -> Floats:
    """Two passes of a running mean: nearly a Gaussian, and as fast for any width."""
    blurred = np.asarray(values, dtype=np.float32)
    for axis, step in enumerate(spacing_mm):
        width = round(sigma_mm / step * np.sqrt(6)) | 1  # two boxes of w voxels have the variance (w^2 - 1) / 6
        for _ in range(2 if width > 1 else 0):
            blurred = ndimage.uniform_filter1d(blurred, width, axis=axis, mode="nearest")
    return blurred
