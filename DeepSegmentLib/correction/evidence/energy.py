"""What changing each voxel is worth, and what it costs to part neighbors.

The worth is the log-odds that a voxel belongs to the wanted side. A small network of one hidden layer makes a first
guess from the evidence at the voxel; a second one looks at the guesses around it, too. Their weights are in
`energy.json`; `Testing/benchmarks/correction/fit_energy.py` made them from corrections of masks whose truth is known.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .features import CONTEXT_FEATURES, FEATURES, context

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from DeepSegmentLib.correction.rules.domain import Domain
    from DeepSegmentLib.correction.settings import CorrectionSettings

    from .features import Evidence

    Floats = NDArray[np.float32]
    Indices = NDArray[np.intp]

_SPAN = 2.0
"""Log-odds that aggressiveness adds at 1 and takes at 0."""

_CAUTION = 0.9
"""Log-odds that a correction must have for it: what is made wrong annoys more than what stays wrong."""

_TIE = 0.9
"""Cost of parting two alike neighbors of a cubic voxel, in log-odds."""

_NETWORK, _WIDE = 0.24, 0.77
"""How much of a segmentation network's log-odds counts, and log-odds for the mistakes of networks being wide ones.

Little of it counts, as it made the mistake that is being corrected; both numbers are fitted, too.
"""

_CERTAIN = 1000.0
"""What a voxel is worth that must change: more than all its neighbors."""

_SURE = 0.02
"""Network probabilities nearer to 0 or 1 count as this."""


@dataclass(frozen=True, eq=False)
class Weights:
    """A network of one hidden layer of tanh units, as arrays (unit, feature), (unit,), (unit,) and a number."""

    hidden: NDArray[np.float32]
    hidden_bias: NDArray[np.float32]
    output: NDArray[np.float32]
    output_bias: float


@cache
def fitted_weights() -> tuple[Weights, Weights]:
    """The weights that come with the library: of the network that sees the evidence, and of that for the context."""
    stored = json.loads((Path(__file__).parent / "energy.json").read_text(encoding="utf-8"))
    return _weights(stored["first"], FEATURES), _weights(stored["second"], (*FEATURES, *CONTEXT_FEATURES))


def _weights(stored: dict[str, Any], features: tuple[str, ...]) -> Weights:
    if tuple(stored["features"]) != features:
        raise RuntimeError("energy.json was fitted to other evidence; run Testing/benchmarks/correction/fit_energy.py")
    hidden, bias, output = (
        np.array(stored[name], dtype=np.float32) for name in ("hidden_weights", "hidden_bias", "output_weights")
    )
    return Weights(hidden, bias, output, float(stored["output_bias"]))


def log_odds(values: Floats, weights: Weights) -> Floats:
    """Log-odds (node,) that nodes with this evidence (node, feature) belong to the wanted side."""
    units = np.tanh(values @ weights.hidden.T + weights.hidden_bias)
    return np.asarray(units @ weights.output + np.float32(weights.output_bias), dtype=np.float32)


def belief(evidence: Evidence, domain: Domain) -> Floats:
    """The log-odds (node,) that each node belongs to the wanted side, from the evidence alone."""
    first, second = fitted_weights()
    around = context(domain, evidence, log_odds(evidence.values, first))
    return log_odds(np.concatenate([evidence.values, around], axis=1), second)


def gains(evidence: Evidence, domain: Domain, settings: CorrectionSettings) -> Floats:
    """What changing each node is worth by itself, as log-odds (node,).

    Args:
        evidence: What is known of each node of the domain.
        domain: What may change.
        settings: How eager to be.
    """
    voxels = evidence.grid.voxels
    caution = _CAUTION if settings.mode == "fix" else 0.0
    worth = belief(evidence, domain) + np.float32(_SPAN * (2 * settings.aggressiveness - 1) - caution)
    if domain.probability is not None:
        sure = np.clip(domain.probability.ravel()[voxels], _SURE, 1 - _SURE)
        worth += np.float32(_NETWORK) * np.log(sure / (1 - sure)) + np.float32(_WIDE)
    worth[domain.must.ravel()[voxels]] = _CERTAIN
    return np.asarray(worth, dtype=np.float32)


def ties(evidence: Evidence) -> Floats:
    """What parting the two voxels of each inner face costs (face,): less across an edge of the image.

    A face counts by its area over the distance of the two voxels, so that the cost of a surface does not depend on
    how it is sampled.

    References:
        Boykov, Jolly, Interactive graph cuts, ICCV 2001; Boykov, Kolmogorov, Computing geodesics and minimal surfaces
        via graph cuts, ICCV 2003 (weights of anisotropic grids).
    """
    grid = evidence.grid
    return _ties(evidence, grid.voxels[grid.first], grid.voxels[grid.second], grid.length_mm)


def rim_gains(evidence: Evidence, domain: Domain) -> Floats:
    """What the neighbors that cannot change add to the gain of each node (node,), by which side they are on."""
    grid = evidence.grid
    outer = _ties(evidence, grid.voxels[grid.rim], grid.beyond, grid.rim_length_mm)
    sides = np.where(domain.target.ravel()[grid.beyond], outer, -outer)
    return np.bincount(grid.rim, sides, grid.size).astype(np.float32)


def _ties(evidence: Evidence, ours: Indices, theirs: Indices, length_mm: Floats) -> Floats:
    step = evidence.intensity[ours] - evidence.intensity[theirs]
    return np.asarray(_TIE * np.exp(-(step * step) / evidence.edge) * (evidence.finest_mm / length_mm) ** 2, np.float32)
