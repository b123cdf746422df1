"""Rank unlabelled volumes so that annotating the first ones helps most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.errors import InvalidInputError

from .chance import gumbel
from .one_by_one import rank_balanced, rank_combined, rank_diverse
from .reasons import unsure_words
from .volumes import RankedVolume, Unlabelled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .volumes import Collected, RankSettings


def rank_volumes(
    volumes: Sequence[Unlabelled], collected: Collected, settings: RankSettings
) -> tuple[RankedVolume, ...]:
    """Rank volumes, the one to annotate first in front; each has its place, whatever their order was.

    Strategies:

    * "random": by chance among those in which the model finds something, those with more of its segments more often;
      those in which it finds nothing come last. Such foreground-aware random choice is a baseline that no method beat
      reliably in the nnActive benchmark.
    * "entropy": the mean uncertainty over what is found and a voxel around it, where a mean over the whole volume would
      tell how much background there is.
    * "diverse": the farthest first from what is collected and chosen (k-centre greedy), by intensities, sizes and the
      spacing; of nothing collected, the one in the middle comes first.
    * "balanced": those richest in segments that cases have least of.
    * "combined": see `rank_combined`.

    Args:
        volumes: Names differ; all were measured with one model.
        collected: What there is already.
        settings: Strategy and seed.

    Raises:
        InvalidInputError: Two volumes have one name, or they were measured with different models.

    References:
        Lüth et al., nnActive: a framework for evaluation of active learning in 3D biomedical segmentation, 2025,
        arXiv:2511.19183; Lüth et al., Finally outshining the random baseline (ClaSP PE), 2026, arXiv:2601.13677;
        Sener and Savarese, Active learning for convolutional neural networks: a core-set approach, ICLR 2018.
    """
    _check(volumes, collected)
    ordered = sorted(volumes, key=lambda volume: (volume.digest, volume.name))
    return _STRATEGIES[settings.strategy](ordered, collected, settings) if ordered else ()


def _check(volumes: Sequence[Unlabelled], collected: Collected) -> None:
    names = [volume.name for volume in volumes]
    if len({*names}) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInputError(f"two volumes have the name {twice!r}; names must differ")
    measures = [*(volume.measures for volume in volumes), *collected.measures]
    if len({(tuple(s.segment for s in m.segments), len(m.look), len(m.shape)) for m in measures}) > 1:
        raise InvalidInputError("the volumes were measured with different models; measure all with the same one")


def _rank_random(
    volumes: Sequence[Unlabelled], _collected: Collected, settings: RankSettings
) -> tuple[RankedVolume, ...]:
    shares = np.array([len(each.measures.found) / max(1, len(each.measures.segments)) for each in volumes])
    with np.errstate(divide="ignore"):  # where nothing is found; among these chance alone decides
        weights = np.log(shares)
    chance = gumbel(volumes, settings.seed, "random")
    order = sorted(range(len(volumes)), key=lambda n: (shares[n] > 0, max(weights[n], -1e9) + chance[n]), reverse=True)
    return tuple(RankedVolume(volumes[n], float(shares[n]), _random_words(volumes[n])) for n in order)


def _random_words(volume: Unlabelled) -> str:
    found, known = len(volume.measures.found), len(volume.measures.segments)
    return f"by chance: {found} of {known} segments found" if found else "nothing is found: missed, or not there"


def _rank_entropy(
    volumes: Sequence[Unlabelled], _collected: Collected, settings: RankSettings
) -> tuple[RankedVolume, ...]:
    scores = [each.measures.top_entropy if settings.top else each.measures.entropy for each in volumes]
    order = sorted(range(len(volumes)), key=lambda n: -scores[n])
    return tuple(RankedVolume(volumes[n], scores[n], unsure_words(volumes[n].measures)) for n in order)


_STRATEGIES: dict[str, Callable[[Sequence[Unlabelled], Collected, RankSettings], tuple[RankedVolume, ...]]] = {
    "combined": rank_combined,
    "entropy": _rank_entropy,
    "diverse": rank_diverse,
    "balanced": rank_balanced,
    "random": _rank_random,
}
