"""Rankings that choose one volume after the other, because what is chosen makes others like it less urgent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .chance import gumbel
from .likeness import Likeness
from .reasons import likeness_words, need_words, sentence, unsure_words
from .volumes import RankedVolume

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .volumes import Collected, RankSettings, Unlabelled

_ROUND = 3
"""Of so many turns the last is for all segments, the others for one each: two thirds of a choice are stratified."""
_LEAST_SCORE = 1e-6
"""Below it the network is sure; the logarithm stays a number."""


class _Choice:
    """What is left to choose from, how far it is from what is chosen, and what is chosen."""

    def __init__(self, volumes: Sequence[Unlabelled], collected: Collected) -> None:
        self.volumes, self.collected = volumes, collected
        self.likeness = Likeness([each.measures for each in volumes], collected.measures)
        self.ranked: list[RankedVolume] = []
        self.left = np.ones(len(volumes), bool)
        self.names = [each.segment for each in volumes[0].measures.segments]
        self.ml = np.array([[each.ml for each in volume.measures.segments] for volume in volumes])
        self.counts = np.array([collected.drawn.get(name, 0) for name in self.names])
        self._usual = float(np.median(self.likeness.nearest))

    def best(self, values: NDArray[np.float64]) -> int:
        """The volume of the largest value that is left; copies of chosen ones come when nothing else is left."""
        fresh = self.left & (self.likeness.nearest > 0)
        among = np.flatnonzero(fresh if fresh.any() else self.left)
        return int(among[values[among].argmax()])

    def take(self, n: int, score: float, *words: str) -> None:
        """Choose a volume, with a score and the parts of its reason but for its likeness."""
        near = likeness_words(float(self.likeness.nearest[n]), self._usual, collected=bool(self.collected.measures))
        self.ranked.append(RankedVolume(self.volumes[n], score, sentence(*words, near)))
        self.left[n] = False
        self.likeness.choose(n)
        self.counts = self.counts + (self.ml[n] > 0)

    def novelty(self) -> NDArray[np.float64]:
        """From 0 for copies towards 1 for what is far from all that is collected or chosen; 1 while nothing is.

        It saturates, so that a volume that is like no other, such as a broken one, does not outweigh all else.
        """
        nearest = self.likeness.nearest
        if np.isinf(nearest).any():
            return np.ones(len(nearest))
        usual = float(np.median(nearest[nearest > 0])) if (nearest > 0).any() else 1.0
        return nearest / (nearest + usual)


def rank_diverse(
    volumes: Sequence[Unlabelled], collected: Collected, _settings: RankSettings
) -> tuple[RankedVolume, ...]:
    """The farthest first from all that is collected or chosen; of nothing, the one in the middle.

    References:
        Gonzalez, Clustering to minimize the maximum intercluster distance, Theor Comput Sci 1985: at most twice as far
        as the best choice leaves any volume from the nearest chosen one.
    """
    choice = _Choice(volumes, collected)
    if not collected.measures:
        choice.take(choice.best(-choice.likeness.from_middle()), 0.0, "the most usual of all")
    while choice.left.any():
        n = choice.best(choice.likeness.nearest)
        distance = float(choice.likeness.nearest[n])
        choice.take(n, distance, f"differs by {distance:.2f} from the nearest before it" if distance else "")
    return tuple(choice.ranked)


def rank_balanced(
    volumes: Sequence[Unlabelled], collected: Collected, _settings: RankSettings
) -> tuple[RankedVolume, ...]:
    """Those richest in the segments that the cases, and the volumes chosen before, have least of.

    A segment counts by how much there is of it, up to its usual volume among those where it is found, and as one over
    one more than the cases that have it.
    """
    choice = _Choice(volumes, collected)
    usual = np.array([np.median(ml[ml > 0]) if (ml > 0).any() else 1.0 for ml in choice.ml.T])
    richness = np.minimum(choice.ml / usual, 1)
    while choice.left.any():
        worth = richness / (1 + choice.counts)
        n = choice.best(worth.sum(axis=1))
        choice.take(n, float(worth[n].sum()), _balance_words(choice, n, worth[n]))
    return tuple(choice.ranked)


def _balance_words(choice: _Choice, n: int, worth: NDArray[np.float64]) -> str:
    if not worth.any():
        return unsure_words(choice.volumes[n].measures)
    rarest = int(worth.argmax())
    return need_words(choice.names[rarest], int(choice.counts[rarest]))


def rank_combined(
    volumes: Sequence[Unlabelled], collected: Collected, settings: RankSettings
) -> tuple[RankedVolume, ...]:
    """Uncertainty segment by segment, with noise that fades as cases are collected, among volumes that differ.

    At two of three turns a segment is asked for, the one that cases and chosen volumes have least of, and the network's
    uncertainty of that segment counts; at the third turn that of all that is found. To the logarithm of the uncertainty
    noise of the Gumbel distribution is added, less of it the more cases there are, and the logarithm of how new a
    volume is. So no copy comes before another volume, and segments that are rare or small have their turn.

    Stratifying by class and fading noise on a logarithmic scale are those of ClaSP PE, which chooses patches and draws
    classes by chance; that the scarcest segment comes first, how fast noise fades (as one over one more than the cases)
    and the factor for what is new are ours, and were not compared in that study.

    References:
        Lüth et al., ClaSP PE, 2026, arXiv:2601.13677; Kirsch et al., Stochastic batch acquisition, TMLR 2023 (power
        noise).
    """
    choice, noise = _Choice(volumes, collected), gumbel(volumes, settings.seed, "combined") / (1 + collected.cases)
    entropies, of_all = _entropies(volumes, top=settings.top)
    served = np.zeros(len(choice.names), int)
    while choice.left.any():
        wanted = _wanted(choice, served) if len(choice.ranked) % _ROUND < _ROUND - 1 else None
        scores = (of_all if wanted is None else entropies[:, wanted]) * choice.novelty()
        values = np.log(np.maximum(scores, _LEAST_SCORE)) + noise
        n = choice.best(values if wanted is None else np.where(choice.ml[:, wanted] > 0, values, -np.inf))
        if wanted is None:
            words = unsure_words(volumes[n].measures)
        else:
            served[wanted] += 1
            words = sentence(_scarce_words(choice, wanted), unsure_words(volumes[n].measures, choice.names[wanted]))
        choice.take(n, float(scores[n]), words)
    return tuple(choice.ranked)


def _entropies(volumes: Sequence[Unlabelled], *, top: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each segment (volume, segment), and of all that is found (volume)."""
    measures = [volume.measures for volume in volumes]
    each = [[s.top_entropy if top else s.entropy for s in m.segments] for m in measures]
    return np.array(each), np.array([m.top_entropy if top else m.entropy for m in measures])


def _wanted(choice: _Choice, served: NDArray[np.int_]) -> int | None:
    """The segment that is rarest among those that a volume has which is left and no copy; None where none has any."""
    fresh = choice.left & (choice.likeness.nearest > 0)
    there = (choice.ml[fresh if fresh.any() else choice.left] > 0).any(axis=0)
    among = np.flatnonzero(there)
    return int(min(among, key=lambda s: (choice.counts[s], served[s], s))) if among.size else None


def _scarce_words(choice: _Choice, segment: int) -> str:
    """Why this segment's turn it is, where some others are less rare."""
    count = int(choice.counts[segment])
    return need_words(choice.names[segment], count) if count < choice.counts.max(initial=0) else ""
