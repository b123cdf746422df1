"""Where a segment is probably wrong: places to look at next, the worst first.

Everything is judged on blocks of voxels around the segment, at most `_MOST_BLOCKS`, so time and memory stay bounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from scipy import ndimage
from scipy.special import expit, logit

from DeepSegmentLib.correction.correct import fitting_radius
from DeepSegmentLib.data.geometry import Box, as_index, bounding_box
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.imaging.peaks import block_centers, block_means, highest_peaks, suppress

from .wrong_border import Scene, Suspicion, small_pieces, suspect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from DeepSegmentLib.data import Geometry

    Floats = NDArray[np.float32]
    Mask = NDArray[np.bool_]

Kind = Literal["shape", "tissue", "edge", "network", "slices", "island", "hole"]

_MOST_BLOCKS = 700_000
_MARGIN_STEPS = 12.0
"""How much is seen around the segment, in steps: what its surroundings look like."""

_BALL_STEPS, _APART_STEPS = 2.0, 8.0
"""Wrong voxels are counted in a ball of this deviation; two places are at least so far apart. Of 1.5 to 4 steps, 2 and
2.5 found most errors on the tune split."""

_LEAST = 0.1
"""Places with a lower score are not offered."""

_ODD_PIECE_SCORE = 0.15
"""What a small island or hole scores at least: after likely errors, before nothing."""

_WIDEST_STEPS = 16
"""A place is at most twice as wide, in steps."""

_ROUND_STEPS = 4.0
"""Labels that change so near to what is suspicious, in steps, make an accepted place new."""

_LEAST_ODDS = 0.01
"""Probabilities are kept this far from 0 and 1."""

_PLAIN, _PLAIN_ODDS = ("island", "hole", "slices"), 1.0
"""What a person sees at once is named first, from these log-odds on, whatever else speaks for a place."""

_REASONS: dict[Kind, tuple[str, str]] = {
    "shape": ("bump or thin bridge", "dent or gap"),
    "tissue": ("looks like the surroundings", "looks like the segment"),
    "edge": ("border without an edge in the image", "border without an edge in the image"),
    "network": ("network disagrees", "network disagrees"),
    "slices": ("single slice sticks out", "single slice is missing"),
    "island": ("isolated piece", "isolated piece"),
    "hole": ("hole", "hole"),
}
"""Of each kind what a person reads, where something is too much and where something is missing."""


@dataclass(frozen=True)
class Place:
    """A place that deserves a look.

    Attributes:
        segment: Name of the segment.
        center_ras: Its middle, in RAS mm, in a voxel that is probably wrong.
        positive: Whether something is missing; else something is too much. The sign of the prompt that would mend it.
        score: About the share of wrong voxels around, 0 to 1.
        kind: What speaks for it most.
        reason: The same for people.
        extent_mm: Diameter of what is suspicious.
        radius_mm: Edit radius that fits.
        box: The voxels that were looked at.
        labels: Digest of the segment in the box: as long as it is the same, nothing has changed there.
    """

    segment: str
    center_ras: tuple[float, float, float]
    positive: bool
    score: float
    kind: Kind
    reason: str
    extent_mm: float
    radius_mm: float
    box: Box
    labels: str


def suspicious_places(
    mask: Mask,
    geometry: Geometry,
    segment: str = "",
    *,
    intensities: NDArray[Any] | None = None,
    probability: NDArray[Any] | None = None,
    entropy: NDArray[Any] | None = None,
    accepted: Sequence[Place] = (),
    count: int = 20,
) -> tuple[Place, ...]:
    """Find where a segment is probably wrong.

    Bends of the border, intensities that fit the other side, borders without an edge, disagreement with a network,
    slices at odds with their neighbors, islands and holes are weighed together: see `suspicion`.

    Args:
        mask: The segment (k, j, i).
        geometry: Its grid.
        segment: Its name.
        intensities: The image (k, j, i), if there is one; of several channels the one that shows the segment best.
        probability: What a network gives the segment (k, j, i), in [0, 1].
        entropy: The network's uncertainty (k, j, i), in [0, 1]; looked at where there is no probability.
        accepted: Places that were found right; they are not offered again until the segment changes there.
        count: At most so many.

    Returns:
        Places, the most suspicious first.

    Raises:
        InvalidInputError: An array has another shape than the grid.
    """
    for name, array in {"mask": mask, "image": intensities, "probability": probability, "entropy": entropy}.items():
        if array is not None and array.shape != geometry.shape:
            raise InvalidInputError(f"{name}: expected shape {geometry.shape}, got {array.shape}")
    view = _View.of(mask, geometry)
    if view is None or count < 1:
        return ()
    scene = view.scene(mask, intensities, _network(view, mask, probability, entropy))
    if scene.mask.all() or not scene.mask.any():
        return ()
    found = suspect(scene)
    best = _scores(scene, found)
    for place in accepted:
        if place.segment == segment and _digest(mask, place.box) == place.labels:
            middle = view.index(np.array(place.center_ras))
            suppress(best, middle, scene.spacing_mm, max(place.extent_mm / 2, _APART_STEPS * scene.step_mm))
    peaks, heights = highest_peaks(
        best, scene.spacing_mm, count=count, distance_mm=_APART_STEPS * scene.step_mm, least=_LEAST
    )
    return tuple(
        _place(view, scene, found, peak, score=float(height), mask=mask, segment=segment)
        for peak, height in zip(peaks, heights, strict=True)
    )


@dataclass(frozen=True, eq=False)
class _View:
    """The blocks of voxels around a segment.

    Attributes:
        geometry: The whole grid.
        box: Which voxels of it.
        blocks: Extent of a block (k, j, i), in voxels.
    """

    geometry: Geometry
    box: Box
    blocks: NDArray[np.int64]

    @classmethod
    def of(cls, mask: Mask, geometry: Geometry) -> _View | None:
        """Blocks as fine as can be afforded; None where the segment is empty."""
        tight = bounding_box(mask)
        if not tight.size:
            return None
        spacing = np.asarray(geometry.spacing_mm)
        target = float(spacing.min())
        while True:
            blocks = np.maximum(1, np.floor(target / spacing + 1e-6)).astype(np.int64)
            margin = np.ceil(_MARGIN_STEPS * np.prod(spacing * blocks) ** (1 / 3) / spacing)
            box = tight.grow(as_index(margin)).intersect(Box.of_shape(geometry.shape))
            if np.prod(-(-np.array(box.shape) // blocks)) <= _MOST_BLOCKS:
                return cls(geometry, box, blocks)
            target *= 1.1

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """Size of a block along (k, j, i)."""
        return np.asarray(np.asarray(self.geometry.spacing_mm) * self.blocks, dtype=np.float64)

    def means(self, array: NDArray[Any]) -> Floats:
        """An array of the whole grid, as means of the blocks."""
        return block_means(array[self.box.to_slices()], self.blocks)

    def scene(self, mask: Mask, intensities: NDArray[Any] | None, network: Floats | None) -> Scene:
        """What there is to be judged; islands stay, however small."""
        share = self.means(mask)
        solid = (share >= 0.5) | small_pieces(share > 0, int((share > 0).sum()))
        image = None if intensities is None else self.means(intensities)
        return Scene(solid, self.spacing_mm, image, network)

    def voxel(self, index: NDArray[Any]) -> NDArray[np.float64]:
        """Where in the whole grid the middle of a block is."""
        return np.asarray(block_centers(index, self.blocks, self.box.shape)[0] + self.box.start)

    def index(self, point_ras: NDArray[np.float64]) -> NDArray[np.float64]:
        """The block, with fractions, at a place in RAS mm."""
        voxel = self.geometry.ras_to_index(point_ras) - self.box.start
        return np.asarray((voxel - (self.blocks - 1) / 2) / self.blocks)


def _network(view: _View, mask: Mask, probability: NDArray[Any] | None, entropy: NDArray[Any] | None) -> Floats | None:
    """What a network says for the segment, as log-odds; entropy tells how sure it was of the mask as it is."""
    if probability is not None:
        return _log_odds(view.means(probability))
    if entropy is None:
        return None
    sure = np.linspace(0.5, 1 - _LEAST_ODDS, 200)
    bits = -(sure * np.log2(sure) + (1 - sure) * np.log2(1 - sure))
    certain = _log_odds(np.interp(-view.means(entropy), -bits, sure))
    return np.where(view.means(mask) >= 0.5, certain, -certain)


def _log_odds(chance: NDArray[Any]) -> Floats:
    return np.asarray(logit(np.clip(chance, _LEAST_ODDS, 1 - _LEAST_ODDS)), dtype=np.float32)


def _chance(found: Suspicion) -> Floats:
    return np.where(found.near, expit(found.log_odds), np.float32(0))


def _scores(scene: Scene, found: Suspicion) -> Floats:
    """How much is probably wrong around each voxel, of its own side of the border."""
    chance, deviation = _chance(found), _BALL_STEPS * scene.step_mm / scene.spacing_mm
    around = [ndimage.gaussian_filter(chance * side, deviation, mode="nearest") for side in (scene.mask, ~scene.mask)]
    odd = (found.parts["island"] > 0) | (found.parts["hole"] > 0)
    scores = np.maximum(np.where(scene.mask, *around), _ODD_PIECE_SCORE * odd)
    return np.asarray(found.near * scores, dtype=np.float32)


def _place(
    view: _View, scene: Scene, found: Suspicion, peak: NDArray[np.int64], *, score: float, mask: Mask, segment: str
) -> Place:
    """What to say about a peak."""
    positive = not scene.mask[tuple(peak)]
    piece, part = _piece(scene, found, peak)
    span = np.ptp(np.argwhere(piece), axis=0) + 1
    depth = ndimage.distance_transform_edt(np.pad(piece, 1), sampling=scene.spacing_mm).max()
    extent = float(np.linalg.norm(span * scene.spacing_mm) / np.sqrt(3))
    kind, reason = _reason(
        found, piece, part, positive=positive, ml=float(piece.sum() * np.prod(scene.spacing_mm) / 1e3)
    )
    voxel = view.voxel(peak)
    r, a, s = view.geometry.index_to_ras(voxel).tolist()
    reach = np.ceil((extent / 2 + _ROUND_STEPS * scene.step_mm) / np.asarray(view.geometry.spacing_mm))
    middle = as_index(np.floor(voxel + 0.5))
    box = Box(middle, middle).grow(as_index(reach)).intersect(Box.of_shape(mask.shape))
    radius = fitting_radius(float(depth), float(view.geometry.voxel_volume_mm3 ** (1 / 3)))
    return Place(segment, (r, a, s), positive, score, kind, reason, extent, radius, box, _digest(mask, box))


def _piece(scene: Scene, found: Suspicion, peak: NDArray[np.int64]) -> tuple[Mask, tuple[slice, ...]]:
    """The suspicious voxels of the peak's side that hang together with it, in a block around it, and that block."""
    reach = np.ceil(_WIDEST_STEPS * scene.step_mm / scene.spacing_mm)
    middle = as_index(peak)
    part = Box(middle, as_index(peak + 1)).grow(as_index(reach)).intersect(Box.of_shape(scene.mask.shape)).to_slices()
    chance = _chance(found)
    here = chance[middle]
    wrong = (chance[part] >= 0.5 * here) & (scene.mask[part] == scene.mask[middle])
    pieces, _ = ndimage.label(wrong)
    return pieces == pieces[tuple(n - span.start for n, span in zip(middle, part, strict=True))], part


def _reason(found: Suspicion, piece: Mask, part: tuple[slice, ...], *, positive: bool, ml: float) -> tuple[Kind, str]:
    """What speaks most for a piece being wrong."""
    weights = {name: float(log_odds[part][piece].mean()) for name, log_odds in found.parts.items()}
    plain = [name for name in _PLAIN if weights[name] > _PLAIN_ODDS]
    kind = cast("Kind", plain[0] if plain else max(weights, key=weights.__getitem__))
    if kind == "network" and weights[kind] <= 0:
        return kind, "uncertain border"
    text = _REASONS[kind][positive]
    return kind, f"{text}, {ml:.1f} ml" if kind in ("island", "hole") else text


def _digest(mask: Mask, box: Box) -> str:
    """A digest of a part of a mask."""
    return blake2b(np.packbits(mask[box.to_slices()]).tobytes(), digest_size=16).hexdigest()
