"""How a network is fitted: steps, learning rate, precision, what is minimised."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from DeepSegmentLib.errors import InvalidInputError

_MOST_WORKERS = 256
_LONGEST_MINUTES = 60 * 24 * 365
_POLY_POWER = 0.9


@dataclass(frozen=True)
class TrainSettings:
    """How to train.

    Attributes:
        iterations: Optimiser steps in all; with `minutes` at most.
        batch_size: Samples a step, of all processes that train together.
        learning_rate: Peak of the schedule, after a linear warm-up.
        warm_up: Steps of the warm-up.
        weight_decay: Of the optimiser.
        average: Decay of the exponential moving average of the weights, which is the result.
        clip: Largest norm of the gradient.
        checkpoint_every: Steps between checkpoints; there is one each minute besides.
        workers: Processes that make samples beside the training; each has the cases in its own memory.
        seed: Of the first weights and all that is drawn.
        optimizer: "adamw", or "sgd" with Nesterov momentum.
        momentum: Of "sgd".
        schedule: "cosine" to zero, or "poly": (1 - progress)^0.9.
        precision: Of the network's layers; "auto" is bfloat16 where the processor or the card computes with it, and
            float32 elsewhere. Weights, norms' statistics and losses are float32 always.
        accumulate: Batches whose gradients are added up in a step.
        minutes: Time of all steps; the schedule then goes by time and the training ends with it. None: by steps, and
            the same seed gives the same model.
        patience: Validations without a better result than chance explains, after which it stops; 0 for never.

    References:
        Isensee et al., nnU-Net, Nat Methods 2021 (SGD with Nesterov momentum, poly); Loshchilov & Hutter, AdamW, ICLR
        2019; Polyak & Juditsky, SIAM J Control Optim 1992 (averaging).
    """

    iterations: int
    batch_size: int = 1
    learning_rate: float = 1e-3
    warm_up: int = 100
    weight_decay: float = 1e-2
    average: float = 0.998
    clip: float = 5.0
    checkpoint_every: int = 100
    workers: int = 1
    seed: int = 0
    optimizer: Literal["adamw", "sgd"] = "adamw"
    momentum: float = 0.99
    schedule: Literal["cosine", "poly"] = "cosine"
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    accumulate: int = 1
    minutes: float | None = None
    patience: int = 0

    def __post_init__(self) -> None:
        counts = (self.iterations, self.batch_size, self.checkpoint_every, self.accumulate)
        if min(counts) < 1:
            raise InvalidInputError(
                "iterations, batch size, checkpoint interval and accumulated batches must be at least 1"
            )
        if min(self.warm_up, self.patience) < 0 or self.weight_decay < 0:
            raise InvalidInputError("warm_up, patience and weight_decay must be 0 or more")
        if not (self.learning_rate > 0 and self.clip > 0 and math.isfinite(self.learning_rate)):
            raise InvalidInputError(f"learning_rate and clip must be above 0, got {self.learning_rate} and {self.clip}")
        if not 0 <= self.average < 1 or not 0 <= self.momentum < 1:
            raise InvalidInputError(
                f"decay of the average and momentum must be in [0, 1), got {self.average} and {self.momentum}"
            )
        self._check_words()

    def _check_words(self) -> None:
        if not 0 <= self.workers <= _MOST_WORKERS:
            raise InvalidInputError(f"workers must be from 0 to {_MOST_WORKERS}, got {self.workers}")
        if not 0 <= self.seed < 1 << 63:
            raise InvalidInputError(f"the seed must be 0 or more and below 2^63, got {self.seed}")
        if self.optimizer not in ("adamw", "sgd") or self.schedule not in ("cosine", "poly"):
            raise InvalidInputError(f"unknown optimizer {self.optimizer!r} or schedule {self.schedule!r}")
        if self.precision not in ("float32", "bfloat16", "auto"):
            raise InvalidInputError(f"precision must be float32, bfloat16 or auto, got {self.precision!r}")
        if self.minutes is not None and not 0 < self.minutes <= _LONGEST_MINUTES:
            raise InvalidInputError(f"minutes must be above 0 and at most {_LONGEST_MINUTES}, got {self.minutes}")

    def rate_at(self, iteration: int, progress: float) -> float:
        """The learning rate as a fraction of its peak.

        Args:
            iteration: Steps done.
            progress: Of the whole training, 0 to 1, by steps or by time.
        """
        if iteration < self.warm_up:
            return (iteration + 1) / self.warm_up
        progress = min(1.0, progress)
        if self.schedule == "poly":
            return float((1 - progress) ** _POLY_POWER)
        return 0.5 * (1 + math.cos(progress * math.pi))

    def progress(self, iteration: int, seconds: float) -> float:
        """How much of the training is done, 0 to 1, after so many steps and so much time."""
        by_time = 0.0 if self.minutes is None else seconds / (60 * self.minutes)
        return min(1.0, max(iteration / self.iterations if self.minutes is None else 0.0, by_time))

    def is_over(self, iteration: int, seconds: float) -> bool:
        """Whether all steps are done, or the time is."""
        return iteration >= self.iterations or self.progress(iteration, seconds) >= 1


@dataclass(frozen=True)
class LossSettings:
    """What is minimised.

    Attributes:
        dice: Weight of the soft Dice loss, the mean over the classes that occur in the batch.
        cross_entropy: Weight of the cross-entropy.
        balance: Classes weigh in the cross-entropy as their voxels in the batch to the power of minus this; 0 for all
            alike. Small structures are found late without it.
        focal: Exponent of the focal loss; 0 for plain cross-entropy.
        marginal: Whether what nobody drew is unknown; otherwise it counts as background, as in other trainers.
        batch_dice: Whether the Dice is that of the whole batch, or the mean of those of its samples.
    """

    dice: float = 1.0
    cross_entropy: float = 1.0
    balance: float = 0.5
    focal: float = 0.0
    marginal: bool = True
    batch_dice: bool = True

    def __post_init__(self) -> None:
        if not (min(self.dice, self.cross_entropy) >= 0 < self.dice + self.cross_entropy):
            raise InvalidInputError(
                f"dice and cross_entropy must be 0 or more, one of them above; got {self.dice} and {self.cross_entropy}"
            )
        if not (0 <= self.balance <= 1 and 0 <= self.focal <= 10):
            raise InvalidInputError(f"balance must be in 0..1 and focal in 0..10, got {self.balance} and {self.focal}")
