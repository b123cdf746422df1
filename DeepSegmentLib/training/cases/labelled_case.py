"""A volume with its labels, and what of these is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from DeepSegmentLib.data import Box, LabelMap, Volume


@dataclass(frozen=True, eq=False)
class LabelledCase:
    """A volume, its labels, and what of these is known.

    Attributes:
        name: Of the case.
        volume: Intensities.
        label_map: Segments on the volume's grid, stored as the volume is.
        drawn: For each segment that somebody drew, by name, the boxes of the volume's grid in which they looked for
            it; no box for everywhere. A segment that is not named is unknown, wherever the label map has it or not.
        reviewed: Boxes of the volume's grid in which somebody looked at all; None for everywhere. Voxels outside count
            less.
        patient: Tells patients apart; volumes of one patient are never parted. Empty where it is not known: then the
            case stands for itself.
    """

    name: str
    volume: Volume
    label_map: LabelMap
    drawn: Mapping[str, tuple[Box, ...]] = field(default_factory=dict)
    reviewed: tuple[Box, ...] | None = None
    patient: str = ""

    def __post_init__(self) -> None:
        if not self.label_map.geometry.is_close(self.volume.geometry):
            raise InvalidInputError(f"case {self.name!r}: labels and volume must be on one grid; match them first")
        if not self.drawn:
            raise InvalidInputError(f"case {self.name!r}: no segment was drawn, so there is nothing to learn from")
        object.__setattr__(self, "drawn", dict(self.drawn))

    @property
    def group(self) -> str:
        """What folds may not part: the patient, or the case itself."""
        return self.patient or self.name
