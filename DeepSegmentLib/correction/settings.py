"""How a prompt is to be understood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from DeepSegmentLib.data.prompts import LONGEST_MM
from DeepSegmentLib.errors import InvalidInputError

Mode = Literal["fix", "grow"]


@dataclass(frozen=True)
class CorrectionSettings:
    """What the user chose beside the prompt.

    Attributes:
        radius_mm: How far from the prompt labels may change; boxes and lassos bring their own limits.
        aggressiveness: 0 changes only what is certain, 1 all that is possible, 0.5 what is clearly likelier than not.
        mode: "fix" corrects the segment towards or away from the prompt; "grow" makes the segment anew from all
            prompts that it got so far.
        overwrite: Whether voxels may be taken from other segments of the same layer that are not locked.

    Example:
        >>> CorrectionSettings(radius_mm=8, overwrite=True)
        CorrectionSettings(radius_mm=8, aggressiveness=0.5, mode='fix', overwrite=True)
    """

    radius_mm: float = 10.0
    aggressiveness: float = 0.5
    mode: Mode = "fix"
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.radius_mm < np.inf:
            raise InvalidInputError(f"the edit radius must be above 0 mm, got {self.radius_mm}")
        if self.radius_mm > LONGEST_MM:
            raise InvalidInputError(f"the edit radius must be at most {LONGEST_MM:g} mm, got {self.radius_mm}")
        if not 0 <= self.aggressiveness <= 1:
            raise InvalidInputError(f"aggressiveness must be in 0..1, got {self.aggressiveness}")
        if self.mode not in ("fix", "grow"):
            raise InvalidInputError(f"unknown mode {self.mode!r}; known: fix, grow")
