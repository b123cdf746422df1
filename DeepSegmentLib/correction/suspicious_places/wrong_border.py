"""How likely each voxel near a segment's border is on the wrong side, from the mask, the image and a network.

A logistic regression on six numbers, or three where there is no image. Its weights were fitted to masks with known
errors by `Testing/benchmarks/correction/suspicious_places.py fit`; the answer is the log-odds that the voxel belongs to
a wrong piece at least four voxels thick.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from scipy.special import ndtr

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Regression:
    """A logistic regression.

    Attributes:
        bias: Log-odds of a voxel whose terms are all as usual.
        weights: Of each term its weight and what is usual.
    """

    bias: float
    weights: Mapping[str, tuple[float, float]]


WITH_IMAGE = Regression(
    -6.682,
    MappingProxyType(
        {
            "bend": (-7.164, -0.021),
            "wide bend": (6.975, -0.057),
            "depth": (-4.213, 0.279),
            "tissue": (0.998, -1.262),
            "local tissue": (1.618, -1.156),
            "edge": (-1.330, 1.171),
        }
    ),
)
SHAPE_ALONE = Regression(
    -4.223, MappingProxyType({"bend": (0.534, -0.021), "wide bend": (3.532, -0.057), "depth": (-7.047, 0.279)})
)

_NETWORK = 1.0
"""Log-odds of a network count as they are: it was trained for this. Half and twice did no better on the tune split."""

_STEP_BETWEEN_SLICES = 8.0
_ODD_PIECE = 3.0
"""Log-odds for what the fitted masks hardly show: a slice at odds with both neighbors, a small island or hole."""

_SMALL = 0.05
"""Islands and holes up to this share of the segment are suspicious."""

_THICK_SLICES = 1.5
"""Slices so many times as thick as the pixels are wide can be at odds with their neighbors."""

_BINS = 64


@dataclass(frozen=True, eq=False)
class Scene:
    """A segment and its surroundings, all on one grid (k, j, i).

    Attributes:
        mask: The segment.
        spacing_mm: Voxel size along (k, j, i).
        image: Intensities, or None.
        network: What a network says for the segment, as log-odds, or None.
    """

    mask: Mask
    spacing_mm: NDArray[np.float64]
    image: Floats | None = None
    network: Floats | None = None

    @property
    def step_mm(self) -> float:
        """Edge of a cube as large as a voxel."""
        return float(np.prod(self.spacing_mm) ** (1 / 3))


@dataclass(frozen=True, eq=False)
class Suspicion:
    """What was found, voxel by voxel (k, j, i).

    Attributes:
        near: Voxels near enough to the border to be judged.
        log_odds: Of each voxel to be on the wrong side; only of those that are near.
        parts: What speaks for it, in log-odds: "shape", "tissue", "edge", "network", "slices", "island", "hole".
    """

    near: Mask
    log_odds: Floats
    parts: Mapping[str, Floats]


def suspect(scene: Scene) -> Suspicion:
    """Judge the voxels around a segment's border."""
    depth = signed_depth(scene)
    near = np.abs(depth) <= _reach(scene.mask)
    regression = SHAPE_ALONE if scene.image is None else WITH_IMAGE
    found = terms(scene, depth)
    weighed = {name: weight * (found[name] - usual) for name, (weight, usual) in regression.weights.items()}
    parts = {
        "shape": weighed["bend"] + weighed["wide bend"] + weighed["depth"],
        "slices": _STEP_BETWEEN_SLICES * np.clip(_slice_steps(scene) - 0.5, 0, 0.5),
        **{name: _ODD_PIECE * odd for name, odd in _odd_pieces(scene.mask).items()},
    }
    if scene.image is not None:
        parts |= {"tissue": weighed["tissue"] + weighed["local tissue"], "edge": weighed["edge"]}
    if scene.network is not None:
        parts["network"] = _NETWORK * _against(scene.mask) * _smooth(scene, scene.network, 2.0)
    log_odds = np.full(scene.mask.shape, regression.bias, dtype=np.float32)
    for part in parts.values():
        log_odds += part
    return Suspicion(near, log_odds, parts)


def signed_depth(scene: Scene) -> Floats:
    """Distance to the border in steps, positive outside, half a step at the voxels beside it."""
    inside = ndimage.distance_transform_edt(scene.mask, sampling=scene.spacing_mm)
    outside = ndimage.distance_transform_edt(~scene.mask, sampling=scene.spacing_mm)
    depth = (outside - inside).astype(np.float32) / scene.step_mm
    return np.asarray(depth - 0.5 * np.sign(depth), dtype=np.float32)


def terms(scene: Scene, depth: Floats) -> dict[str, Floats]:
    """The numbers that are weighed, by name; without an image only those of the shape."""
    against = _against(scene.mask)
    solid = scene.mask.astype(np.float32)
    found = {
        "bend": against * (_smooth(scene, solid, 3.0) - ndtr(-depth / 3.0)),
        "wide bend": against * (_smooth(scene, solid, 6.0) - ndtr(-depth / 6.0)),
        "depth": np.minimum(np.abs(depth) / _radius(scene.mask), 2.0).astype(np.float32),
    }
    if scene.image is None:
        return found
    image = _smooth(scene, scene.image, 0.7)
    cores = _cores(scene.mask, depth)
    found["tissue"] = against * _smooth(scene, _tissue(image, *cores), 1.5)
    found["local tissue"] = against * _same_side(scene, _local_tissue(scene, image, *cores), 3.0)
    found["edge"] = _edges(scene, depth)
    return found


def _against(mask: Mask) -> Floats:
    """The sign of evidence for the segment where it speaks against the mask: 1 outside, -1 inside."""
    return np.where(mask, np.float32(-1), np.float32(1))


def _radius(mask: Mask) -> float:
    """Radius of a ball as large as the mask, in voxels."""
    return float((3 * max(1, mask.sum()) / (4 * np.pi)) ** (1 / 3))


def _reach(mask: Mask) -> float:
    """How far from the border voxels are judged, in steps: most of a small segment, a shell of a large one."""
    return float(np.clip(0.7 * _radius(mask), 3, 10))


def _smooth(scene: Scene, values: NDArray[np.generic], steps: float) -> Floats:
    """Values averaged with Gaussian weights of a deviation in steps."""
    deviation = steps * scene.step_mm / scene.spacing_mm
    smooth = ndimage.gaussian_filter(values.astype(np.float32), deviation, mode="nearest", truncate=3)
    return np.asarray(smooth, dtype=np.float32)


def _averaged(scene: Scene, values: Floats, where: Mask, steps: float, otherwise: float = 0.0) -> Floats:
    """Local means of the values at some voxels; far from all of them `otherwise`."""
    share = _smooth(scene, where, steps)
    return np.asarray((_smooth(scene, values * where, steps) + 1e-3 * otherwise) / (share + 1e-3), dtype=np.float32)


def _same_side(scene: Scene, values: Floats, steps: float) -> Floats:
    """Local means over voxels of the same side of the border."""
    return np.where(
        scene.mask, _averaged(scene, values, scene.mask, steps), _averaged(scene, values, ~scene.mask, steps)
    )


def _cores(mask: Mask, depth: Floats) -> tuple[Mask, Mask]:
    """Voxels that are likely inside, and likely outside; whole sides where these are too thin."""
    inside, outside = depth < -1.5, (depth > 1.5) & (depth < 12)
    return inside if inside.sum() >= 50 else mask, outside if outside.sum() >= 50 else ~mask


def _tissue(image: Floats, inside: Mask, outside: Mask) -> Floats:
    """Log-odds of each intensity to be of the segment, by histograms of both sides."""
    samples = image[inside], image[outside]
    low, high = np.percentile(np.concatenate(samples), (0.5, 99.5))
    scale = (_BINS - 1e-3) / max(high - low, 1e-6)
    counts = [np.bincount(_bins(values, low, scale), minlength=_BINS).astype(np.float64) for values in samples]
    shares = [ndimage.gaussian_filter1d(count, 1.5) / count.sum() + 1e-3 for count in counts]
    return np.asarray(np.log(shares[0] / shares[1])[_bins(image, low, scale)], dtype=np.float32)


def _bins(values: Floats, low: float, scale: float) -> NDArray[np.intp]:
    return np.asarray(np.clip((values - low) * scale, 0, _BINS - 1), dtype=np.intp)


def _local_tissue(scene: Scene, image: Floats, inside: Mask, outside: Mask) -> Floats:
    """How much nearer each intensity is to the mean inside, nearby, than to that outside, in deviations."""
    means = [_averaged(scene, image, side, 6.0, float(image[side].mean())) for side in (inside, outside)]
    deviation = 0.5 * (image[inside].std() + image[outside].std()) + 1e-6
    nearer = (np.abs(image - means[1]) - np.abs(image - means[0])) / deviation
    return np.asarray(np.clip(nearer, -4, 4), dtype=np.float32)


def _edges(scene: Scene, depth: Floats) -> Floats:
    """How steep the image is along the border nearby; 1 is usual for this segment."""
    border = np.abs(depth) < 1.0
    slope = ndimage.gaussian_gradient_magnitude(scene.image, scene.step_mm / scene.spacing_mm)
    usual = float(np.median(slope[border])) if border.any() else 0.0
    nearby = _averaged(scene, slope.astype(np.float32), border, 4.0, usual)
    return np.asarray(np.minimum(nearby / (usual + 1e-6), 4), dtype=np.float32)


def _slice_steps(scene: Scene) -> Floats:
    """How much a thick slice is at odds with both its neighbors, from 0 to 1."""
    axis = int(scene.spacing_mm.argmax())
    solid = scene.mask.astype(np.float32)
    if scene.spacing_mm[axis] < _THICK_SLICES * np.sort(scene.spacing_mm)[1] or solid.shape[axis] < 3:
        return np.zeros_like(solid)
    around = ndimage.correlate1d(solid, (0.5, 0.0, 0.5), axis=axis, mode="nearest")
    deviation = 2 * scene.spacing_mm.min() / scene.spacing_mm
    deviation[axis] = 0
    odds = ndimage.gaussian_filter(_against(scene.mask) * (around - solid), deviation, mode="nearest")
    return np.asarray(odds, dtype=np.float32)


def _odd_pieces(mask: Mask) -> dict[str, Mask]:
    """Small pieces apart from the rest, and small holes."""
    whole = int(mask.sum())
    around = np.pad(~mask, 1, constant_values=True)
    return {"island": small_pieces(mask, whole), "hole": small_pieces(around, whole)[1:-1, 1:-1, 1:-1]}


def small_pieces(mask: Mask, whole: int) -> Mask:
    """Connected pieces (6 neighbors) that are but a small share of a whole number of voxels."""
    pieces, _ = ndimage.label(mask)
    sizes = np.bincount(pieces.ravel())
    small = (sizes <= _SMALL * whole) & (np.arange(len(sizes)) > 0)
    return np.asarray(small[pieces])
