"""Which volumes without labels are learned from, and how much they weigh. Torch-free."""

from __future__ import annotations

import math
from dataclasses import dataclass

from DeepSegmentLib.errors import InvalidInputError

_STEEPNESS = 5.0  # of the ramp, as in Mean Teacher


@dataclass(frozen=True)
class UnlabelledVolume:
    """A volume that nobody drew in.

    Attributes:
        path: Of its file or DICOM folder, below the folder of all of them; of several channels the first.
        digest: Of its voxels, all channels: other voxels of that name are refused.
        channels: Files of further channels, where it has such, likewise.
        series: Which DICOM series of the folder, where it holds several.
    """

    path: str
    digest: str
    channels: tuple[str, ...] = ()
    series: str | None = None


@dataclass(frozen=True)
class UnlabelledSettings:
    """How volumes without labels are learned from.

    Attributes:
        folder: Where they are.
        volumes: Which.
        weight: Of their loss beside that of the cases, at most; 0 trains as if they were not there.
        threshold: Least probability of an answer of the teacher that is believed.
        ramp_up: Share of the training in which the weight grows to what it is: a young teacher knows little.

    References:
        Tarvainen and Valpola, Mean teachers are better role models, NeurIPS 2017 (ramp-up); Sohn et al., FixMatch,
        NeurIPS 2020 (threshold of 0.95, weight of 1).
    """

    folder: str = ""
    volumes: tuple[UnlabelledVolume, ...] = ()
    weight: float = 1.0
    threshold: float = 0.95
    ramp_up: float = 0.4

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 100:
            raise InvalidInputError(f"the weight of unlabelled volumes must be from 0 to 100, got {self.weight}")
        if not 0.5 <= self.threshold <= 1:
            raise InvalidInputError(f"the threshold of answers must be from 0.5 to 1, got {self.threshold}")
        if not 0 <= self.ramp_up <= 1:
            raise InvalidInputError(f"the share of the ramp-up must be from 0 to 1, got {self.ramp_up}")

    def weight_at(self, progress: float) -> float:
        """The weight of the loss.

        Args:
            progress: Of the whole training, 0 to 1.
        """
        if progress >= self.ramp_up:
            return self.weight
        return self.weight * math.exp(-_STEEPNESS * (1 - progress / self.ramp_up) ** 2)
