"""From a prompt to the voxels that change.

Everything is read and computed on a block around the prompt, so a correction costs the same in any volume.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from .evidence.energy import gains, rim_gains, ties
from .evidence.features import gather
from .rules.constraints import look
from .rules.domain import coarsened, coarsening, refined
from .settings import CorrectionSettings
from .solving.mincut import cut
from .solving.randomwalk import walk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from DeepSegmentLib.data import Box, Prompt

    from .canvas import Canvas
    from .rules.domain import Domain

    Mask = NDArray[np.bool_]

_MOST_VOXELS = 120_000
"""Blocks of a correction are coarsened to at most this many voxels: an edit radius of some 24."""

_MOST_PREVIEW_VOXELS = 12_000
"""Blocks of a preview are coarsened to at most this many."""


_NARROWEST, _WIDEST = 6.0, 26.0
"""Suggested edit radii, in voxels."""

_PER_DEPTH, _MARGIN = 2.5, 4.0
"""Suggested edit radius: so many depths of the wrong piece, and so many voxels more."""


@dataclass(frozen=True, eq=False)
class Correction:
    """A segment's mask in a block, before and after.

    Attributes:
        box: Which voxels of the volume.
        before: The mask (k, j, i) that the correction was made for.
        after: The mask (k, j, i) that takes its place.
    """

    box: Box
    before: Mask
    after: Mask

    @property
    def changed(self) -> Mask:
        """Which voxels of the block change."""
        return np.asarray(self.before != self.after)


def correct(
    canvas: Canvas, prompt: Prompt, settings: CorrectionSettings | None = None, earlier: Sequence[Prompt] = ()
) -> Correction:
    """The best change of the segment that makes a prompt true.

    Only voxels within the edit radius (or inside the box or lasso) that are editable, that the prompt asks to change
    sides, and that no earlier prompt holds, can change.

    Args:
        canvas: The segment.
        prompt: What the user pointed at.
        settings: How to understand it.
        earlier: Prompts given before for this segment; they stay true.

    Raises:
        InvalidInputError: The prompt lies outside the volume, or the volume has NaN or infinite voxels there.

    References:
        Boykov, Jolly, Interactive graph cuts, ICCV 2001.
    """
    return _solved(canvas, prompt, settings or CorrectionSettings(), earlier, exact=True)


def preview(
    canvas: Canvas, prompt: Prompt, settings: CorrectionSettings | None = None, earlier: Sequence[Prompt] = ()
) -> Correction:
    """Nearly what `correct` would do, several times faster: for showing while the pointer moves.

    Args and errors are those of `correct`.
    """
    return _solved(canvas, prompt, settings or CorrectionSettings(), earlier, exact=False)


def _solved(
    canvas: Canvas, prompt: Prompt, settings: CorrectionSettings, earlier: Sequence[Prompt], *, exact: bool
) -> Correction:
    task = look(canvas, prompt, settings, earlier)
    domain = task.domain
    taken = domain.must.copy()
    if domain.free.any():
        taken |= domain.free & _taken(domain, settings, exact=exact)
    after = task.before.copy()
    if task.cleared is not None:
        after[task.cleared] = False
    after[taken] = task.side
    return Correction(task.box, task.before, after)


def _taken(domain: Domain, settings: CorrectionSettings, *, exact: bool) -> Mask:
    """Which voxels of a domain belong to the wanted side."""
    factors = coarsening(domain, _MOST_VOXELS if exact else _MOST_PREVIEW_VOXELS)
    if factors == (1, 1, 1):
        return _labeled(domain, settings, exact=exact) > 0.5
    coarse = _labeled(coarsened(domain, factors), settings, exact=exact)
    return refined(coarse, factors, domain.free.shape) > 0.5


def _labeled(domain: Domain, settings: CorrectionSettings, *, exact: bool) -> NDArray[np.float32]:
    """For each voxel of a domain how sure it is of the wanted side, in [0, 1]; the cut gives only 0 and 1."""
    labels = domain.target.astype(np.float32, order="C")  # else `ravel` may be a copy
    if not domain.open_to_change.any():
        return labels
    evidence = gather(domain)
    worth = gains(evidence, domain, settings) + rim_gains(evidence, domain)
    solve = cut if exact else walk
    labels.ravel()[evidence.grid.voxels] = solve(worth, ties(evidence), evidence.grid)
    return labels


def suggest_radius(canvas: Canvas, prompt: Prompt) -> float:
    """The edit radius, in mm, that fits the error at a prompt.

    The error is the connected piece at the prompt on which the network and the mask disagree; without a network, what
    a wide correction would change. Its radius is somewhat more than the piece's.

    Args:
        canvas: The segment.
        prompt: What the user pointed at.

    Raises:
        InvalidInputError: The prompt lies outside the volume.
    """
    step = float(np.prod(canvas.geometry.spacing_mm) ** (1 / 3))
    task = look(canvas, prompt, CorrectionSettings(radius_mm=_WIDEST * step))
    domain = task.domain
    if domain.probability is not None:
        wrong = (domain.probability > 0.5) & ~domain.target
    else:
        wrong = domain.must | (domain.free & _taken(domain, CorrectionSettings(), exact=False))
    pieces, _ = ndimage.label(wrong)
    here = np.unique(pieces[domain.source & wrong])
    if not len(here):
        return _NARROWEST * step
    depth = ndimage.distance_transform_edt(np.pad(np.isin(pieces, here), 1), sampling=domain.spacing_mm)
    return fitting_radius(float(depth.max()), step)


def fitting_radius(depth_mm: float, step_mm: float) -> float:
    """The edit radius, in mm, for a wrong piece that is so deep, on voxels of this size."""
    return float(np.clip(_PER_DEPTH * depth_mm + _MARGIN * step_mm, _NARROWEST * step_mm, _WIDEST * step_mm))
