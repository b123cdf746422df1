"""Whether one model is better than another on the same cases, beyond what chance explains.

Differences are taken case by case, averaged for each patient, and patients are drawn again and again (paired cluster
bootstrap): percentiles of the mean give the interval, widened by sqrt(n / (n - 1)), as that of few is too narrow.
Beside it the signs of the patients' differences are flipped in all ways or in many (permutation test). A difference
counts where both say so; the test alone keeps its error rate for any number of patients, and needs six to say anything.

References:
    Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 15. Hesterberg, What teachers should
    know about the bootstrap, Am Stat 2015 (narrowness). Fisher, The Design of Experiments, 1935 (sign flips).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from DeepSegmentLib.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Verdict = Literal["better", "worse", "no difference", "too few"]

_FEWEST = 6
"""Patients: of fewer, flipped signs never give a p-value below 0.05."""
_DRAWS = 10_000
_ALL_FLIPS = 12


@dataclass(frozen=True)
class PairedDifference:
    """New against old.

    Attributes:
        cases: How many cases both have a finite score for.
        patients: How many patients these are of.
        old: Mean score of the old one over the patients; NaN without cases.
        new: Mean score of the new one, likewise.
        difference: Mean over the patients of new minus old.
        low: Lower end of the 95 % interval of the difference; NaN for fewer than two patients.
        high: Upper end.
        p: Of the permutation test, two-sided; 1 for fewer than two patients.
        verdict: "better" or "worse" than the old one beyond chance, "no difference" that is, or "too few" patients.
    """

    cases: int
    patients: int
    old: float
    new: float
    difference: float
    low: float
    high: float
    p: float
    verdict: Verdict


def paired_difference(
    old: Sequence[float], new: Sequence[float], patients: Sequence[str], *, higher_is_better: bool = True, seed: int = 0
) -> PairedDifference:
    """Compare the scores of two models on the same cases.

    Args:
        old: Score of each case; cases where either score is not finite are left out.
        new: Likewise.
        patients: Of whom each case is.
        higher_is_better: Whether a higher score is a better one.
        seed: Of the draws.

    Raises:
        InvalidInputError: There are not as many scores as patients.
    """
    if not len(old) == len(new) == len(patients):
        raise InvalidInputError(f"scores must be of the same cases, got {len(old)}, {len(new)} and {len(patients)}")
    before, after = np.array(old, float), np.array(new, float)
    counts = np.isfinite(before) & np.isfinite(after)
    if not counts.any():
        return PairedDifference(0, 0, *(math.nan,) * 5, p=1.0, verdict="too few")
    of_whom = np.array(patients, dtype=object)[counts]
    means = _patient_means((after - before)[counts], of_whom)
    low, high = _interval(means, seed)
    p = _sign_flips(means, seed)
    return PairedDifference(
        int(counts.sum()),
        len(means),
        float(_patient_means(before[counts], of_whom).mean()),
        float(_patient_means(after[counts], of_whom).mean()),
        float(means.mean()),
        low,
        high,
        p,
        _verdict(means, (low, high), p, higher_is_better=higher_is_better),
    )


def _patient_means(differences: NDArray[np.float64], patients: NDArray[np.object_]) -> NDArray[np.float64]:
    return np.array([differences[patients == each].mean() for each in dict.fromkeys(patients.tolist())])


def _interval(means: NDArray[np.float64], seed: int) -> tuple[float, float]:
    n = len(means)
    if n < 2:
        return math.nan, math.nan
    drawn = np.random.default_rng((seed, 1)).integers(n, size=(_DRAWS, n))
    low, high = np.percentile(means[drawn].mean(axis=1), [2.5, 97.5])
    middle, wider = means.mean(), math.sqrt(n / (n - 1))
    return float(middle + (low - middle) * wider), float(middle + (high - middle) * wider)


def _sign_flips(means: NDArray[np.float64], seed: int) -> float:
    """How often flipped signs give a mean at least as far from zero; exact for few patients."""
    n, found = len(means), abs(means.sum())
    if n < 2:
        return 1.0
    if n <= _ALL_FLIPS:
        signs = 1 - 2 * (np.arange(1 << n)[:, None] >> np.arange(n) & 1)
        return float((np.abs(signs @ means) >= found * (1 - 1e-12)).mean())
    signs = np.random.default_rng((seed, 2)).choice([-1.0, 1.0], size=(_DRAWS, n))
    return float((1 + (np.abs(signs @ means) >= found * (1 - 1e-12)).sum()) / (1 + _DRAWS))


def _verdict(means: NDArray[np.float64], interval: tuple[float, float], p: float, *, higher_is_better: bool) -> Verdict:
    if len(means) < _FEWEST:
        return "too few"
    low, high = interval
    if p >= 0.05 or low <= 0 <= high:
        return "no difference"
    return "better" if (means.mean() > 0) == higher_is_better else "worse"
