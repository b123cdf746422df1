"""Which weights of a parent learn, and how quickly. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from DeepSegmentLib.errors import InvalidInputError

_FEW, _SOME = 5, 20


@dataclass(frozen=True)
class FineTuning:
    """How a parent's weights are tuned.

    Attributes:
        method: What learns: "full": all weights; "decoder": all but the encoder; "heads": the last layers alone;
            "low_rank": the last layers, norms, and an addition of low rank to every convolution.
        rank: Of that addition.
        warm_up: Steps in which the last layers learn alone, so that new ones do not upset what is there.
        encoder_rate: Learning rate of the encoder as a fraction of that of the rest, with "full".

    References:
        Hu et al., LoRA, ICLR 2022 ("low_rank"); Kumar et al., Fine-Tuning can Distort Pretrained Features, ICLR 2022
        (last layers first).
    """

    method: Literal["full", "decoder", "heads", "low_rank"] = "full"
    rank: int = 4
    warm_up: int = 0
    encoder_rate: float = 1.0

    def __post_init__(self) -> None:
        if self.method not in ("full", "decoder", "heads", "low_rank"):
            raise InvalidInputError(f"method must be full, decoder, heads or low_rank, got {self.method!r}")
        if self.rank < 1 or self.warm_up < 0 or not 0 < self.encoder_rate <= 1:
            raise InvalidInputError(
                "rank must be 1 or more, warm_up 0 or more and encoder_rate above 0 and at most 1, got "
                f"{self.rank}, {self.warm_up} and {self.encoder_rate}"
            )


def suggested_tuning(cases: int, new_segments: int) -> tuple[FineTuning, str]:
    """What suits so many cases, and why.

    Args:
        cases: That are learned from and that the parent does not know.
        new_segments: That the parent does not have.
    """
    warm_up = 100 if new_segments else 0
    if cases < _FEW:
        told = f"{cases} new cases are few: norms, heads and additions of rank 4 learn, the rest stays as it is"
        return FineTuning("low_rank", warm_up=warm_up), told
    if cases < _SOME:
        told = f"{cases} new cases: all weights learn, those of the encoder at a third of the rate"
        return FineTuning("full", warm_up=warm_up, encoder_rate=1 / 3), told
    return FineTuning("full", warm_up=warm_up), f"{cases} new cases are enough for all weights to learn alike"
