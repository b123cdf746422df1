"""What is ranked: measured volumes without labels, beside what was collected already."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from DeepSegmentLib.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from DeepSegmentLib.segmentation.result_measures import ResultMeasures

Strategy = Literal["combined", "entropy", "diverse", "balanced", "random"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)


@dataclass(frozen=True)
class Unlabelled:
    """A volume that nobody annotated yet.

    Attributes:
        name: For people; tells volumes apart.
        digest: Of its voxels; chance depends on it and on the seed alone, so that neither the order of the volumes nor
            others among them change it.
        measures: Of what the model finds in it.
    """

    name: str
    digest: str
    measures: ResultMeasures


@dataclass(frozen=True)
class Collected:
    """What was collected already.

    Attributes:
        drawn: In how many cases each segment was drawn, by its name.
        measures: Of what the model finds in the volumes of the cases.
        cases: How many there are.
    """

    drawn: Mapping[str, int] = field(default_factory=dict)
    measures: tuple[ResultMeasures, ...] = ()
    cases: int = 0


@dataclass(frozen=True)
class RankSettings:
    """How volumes are ranked.

    Attributes:
        strategy: See `rank_volumes`.
        seed: Of all that is left to chance.
        top: Whether uncertainty is that of the most uncertain tenth of the voxels and not of all.
    """

    strategy: Strategy = "combined"
    seed: int = 0
    top: bool = False

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise InvalidInputError(f"strategy must be one of {', '.join(STRATEGIES)}, got {self.strategy!r}")
        if self.seed < 0:
            raise InvalidInputError(f"seed must be 0 or more, got {self.seed}")


@dataclass(frozen=True)
class RankedVolume:
    """A volume in its place.

    Attributes:
        volume: Which.
        score: What it was chosen by, 0 or more; larger is better, among those chosen by the same strategy and, of
            "combined", for the same segment.
        reason: A short sentence for people.
    """

    volume: Unlabelled
    score: float
    reason: str
