"""What a comparison of two models found, and its file (`comparison.json`)."""

# ruff: noqa: TC003 - the JSON reader resolves the annotations at run time.
from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from DeepSegmentLib.data.dataclass_json import from_json, to_json
from DeepSegmentLib.errors import ModelError, VolumeFileError
from DeepSegmentLib.evaluation.paired import PairedDifference, paired_difference
from DeepSegmentLib.files.atomic import write_text
from DeepSegmentLib.files.opening import read_json

_LARGEST = 64 << 20
PAGE = "comparison.html"
"""Its page."""
LOOKS_WORSE = 0.02
"""Of the Dice: by so much a mean may fall on too few cases without being told as a loss."""


@dataclass(frozen=True)
class Judged:
    """A model that is compared.

    Attributes:
        name: Of the model; empty for none.
        version: Of the model.
        sha256: Of its weights.
        trained: When, as it tells itself (ISO 8601); empty where it does not.
        learned_from: How many cases, likewise.
    """

    name: str = ""
    version: str = ""
    sha256: str = ""
    trained: str = ""
    learned_from: str = ""


@dataclass(frozen=True)
class Scores:
    """Of a segment in a case.

    Attributes:
        dice: Overlap, 0 to 1.
        nsd: Part of the surfaces that agrees, 0 to 1.
        hd95_mm: 95th percentile of the surface distances; None where it is infinite.
    """

    dice: float
    nsd: float
    hd95_mm: float | None


@dataclass(frozen=True)
class SegmentPair:
    """A segment in a case, by both models.

    Attributes:
        name: Of the segment.
        old: None where the old model does not have the segment.
        new: None where the new model does not.
    """

    name: str
    old: Scores | None
    new: Scores | None


@dataclass(frozen=True)
class JudgedCase:
    """A case on which both were tried.

    Attributes:
        name: Of the case.
        patient: Of whom it is, or the case itself.
        segments: Those that were drawn and that either model has.
        truth: Digest of the labels and of what is known of them: another revision is another case.
        picture: Name of its picture in the folder of the pictures; empty without.
    """

    name: str
    patient: str
    segments: tuple[SegmentPair, ...]
    truth: str = ""
    picture: str = ""


@dataclass(frozen=True)
class SegmentFinding:
    """What came out for a segment.

    Attributes:
        name: Of the segment.
        dice: New against old.
        nsd: Likewise.
        hd95_mm: Likewise; lower is better.
    """

    name: str
    dice: PairedDifference
    nsd: PairedDifference
    hd95_mm: PairedDifference

    @property
    def is_worse(self) -> bool:
        """Whether Dice or surfaces are worse beyond chance, or look so where there are too few cases to tell."""
        fell = self.dice.verdict == "too few" and self.dice.difference < -LOOKS_WORSE
        return fell or "worse" in (self.dice.verdict, self.nsd.verdict)

    @property
    def is_better(self) -> bool:
        """Whether the Dice is better beyond chance, and the surfaces are not worse."""
        return self.dice.verdict == "better" and not self.is_worse


@dataclass(frozen=True)
class Comparison:
    """All scores of two models on the same cases.

    Attributes:
        old: The old model; without a name where there is none.
        new: The new one.
        tolerance_mm: Of `Scores.nsd`.
        cases: In the order in which they were tried.
        created: Date and time (ISO 8601, UTC).
        planned: How many cases there are; more than `cases` where it was interrupted.
    """

    old: Judged
    new: Judged
    tolerance_mm: float
    cases: tuple[JudgedCase, ...]
    created: str = ""
    planned: int = 0

    @property
    def segments(self) -> tuple[str, ...]:
        """Names of all segments, in the order in which they first appear."""
        return tuple(dict.fromkeys(pair.name for case in self.cases for pair in case.segments))

    @property
    def lost(self) -> tuple[str, ...]:
        """Names of the drawn segments that the old model has and the new one does not."""
        pairs = [pair for case in self.cases for pair in case.segments]
        return tuple(dict.fromkeys(pair.name for pair in pairs if pair.old is not None and pair.new is None))

    def findings(self) -> tuple[SegmentFinding, ...]:
        """What came out for each segment that both have; first for all together, named "": the mean of each case."""
        shared = [name for name in self.segments if any(True for _ in self._pairs(name))]
        return (*([self._all()] if shared else []), *(self._finding(name) for name in shared))

    def _pairs(self, name: str) -> Iterator[tuple[str, Scores, Scores]]:
        for case in self.cases:
            for pair in case.segments:
                if pair.name == name and pair.old is not None and pair.new is not None:
                    yield case.patient, pair.old, pair.new

    def _finding(self, name: str) -> SegmentFinding:
        return _finding(name, list(self._pairs(name)))

    def _all(self) -> SegmentFinding:
        """Of each case the mean over the segments that both models have."""
        rows = []
        for case in self.cases:
            both = [(pair.old, pair.new) for pair in case.segments if pair.old is not None and pair.new is not None]
            if both:
                old, new = (_mean([each for each in side if each is not None]) for side in zip(*both, strict=True))
                rows.append((case.patient, old, new))
        return _finding("", rows)


def _mean(scores: list[Scores]) -> Scores:
    distances = [each.hd95_mm for each in scores]
    mean_mm = None if None in distances else sum(d for d in distances if d is not None) / len(distances)
    return Scores(sum(s.dice for s in scores) / len(scores), sum(s.nsd for s in scores) / len(scores), mean_mm)


def _finding(name: str, rows: list[tuple[str, Scores, Scores]]) -> SegmentFinding:
    patients = [patient for patient, _, _ in rows]

    def difference(metric: str, *, higher_is_better: bool) -> PairedDifference:
        old, new = ([_number(getattr(row[side], metric)) for row in rows] for side in (1, 2))
        return paired_difference(old, new, patients, higher_is_better=higher_is_better)

    return SegmentFinding(
        name,
        difference("dice", higher_is_better=True),
        difference("nsd", higher_is_better=True),
        difference("hd95_mm", higher_is_better=False),
    )


def _number(value: float | None) -> float:
    return math.inf if value is None else value


def read_comparison(path: Path) -> Comparison:
    """Read a comparison.

    Raises:
        VolumeFileError: The file cannot be read, or is none.
    """
    try:
        found: Comparison = from_json(Comparison, read_json(path, largest=_LARGEST), path.name)
    except ModelError as error:
        raise VolumeFileError(f"{path} is no comparison: {error}; compare again") from error
    return found


def write_comparison(comparison: Comparison, path: Path) -> None:
    """Write a comparison, completely or not at all."""
    write_text(path, json.dumps(to_json(comparison), indent=1, allow_nan=False) + "\n")
