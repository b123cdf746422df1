"""What a project and its cases say of themselves (`project.json`, `case.json`)."""

# ruff: noqa: TC001 - the JSON reader resolves the annotations at run time.
from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from DeepSegmentLib.data import Box, Segment
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.networks.model_spec import Channel

if TYPE_CHECKING:
    from pathlib import Path

FORMAT_VERSION = 1
"""Of both files; one more whenever an older reader would misunderstand them."""

Status = Literal["draft", "reviewed", "approved"]
STATUSES: tuple[Status, ...] = get_args(Status)
"""How far a case is, in their order; only approved ones are learned from, unless the user says otherwise."""

_CASE = re.compile(r"case_[0-9]{4,9}", re.ASCII)
_CHANNEL_FILE = re.compile(r"volume_[0-9]{4}\.nii\.gz", re.ASCII)
_LABELS_FILE = re.compile(r"labels\.[0-9]{1,9}\.seg\.nrrd", re.ASCII)
_JOURNAL = re.compile(r"journal\.[0-9]{1,9}", re.ASCII)
_KEY = re.compile(r"[0-9a-f]{64}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{32}", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{16}", re.ASCII)
_LONGEST_NOTES = 10_000


@dataclass(frozen=True)
class ProjectRecord:
    """What a project is.

    Attributes:
        name: For people.
        created: Date and time (ISO 8601, UTC).
        key: By which patients' names are hashed, 64 hexadecimal digits; it never leaves the project.
        channels: Of its volumes, in the order of their files.
        segments: All segments that its cases have; their values and layers are those of the table only.
        format_version: Of the file.
    """

    name: str
    created: str
    key: str
    channels: tuple[Channel, ...]
    segments: tuple[Segment, ...] = ()
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        _check_version(self.format_version)
        if not _KEY.fullmatch(self.key):
            raise InvalidInputError("the key of a project must be 64 hexadecimal digits")
        if not self.channels or len({channel.name for channel in self.channels}) < len(self.channels):
            raise InvalidInputError("a project needs at least one channel, each of a name of its own")
        if len({segment.name.casefold() for segment in self.segments}) < len(self.segments):
            raise InvalidInputError("a project names a segment twice")


@dataclass(frozen=True)
class DrawnSegment:
    """A segment that somebody drew, or looked for and did not find.

    Attributes:
        name: Of the segment.
        boxes: Of the volume's grid, in which they looked for it; none for everywhere.
    """

    name: str
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True)
class StatusChange:
    """When a case got a status.

    Attributes:
        status: Which.
        when: Date and time (ISO 8601, UTC).
        by: Whoever says so; empty where nobody is named.
    """

    status: Status
    when: str
    by: str = ""


@dataclass(frozen=True)
class Making:
    """How the labels of a case were made.

    Attributes:
        model: Name of the model whose result was corrected; empty for labels made by hand.
        model_version: Its version.
        model_sha256: Of its weights.
        corrections: How many changes were made to its result.
        prompts: How many prompts were given for them.
        minutes: Time spent; 0 where nobody measured it.
    """

    model: str = ""
    model_version: str = ""
    model_sha256: str = ""
    corrections: int = 0
    prompts: int = 0
    minutes: float = 0.0

    def __post_init__(self) -> None:
        if min(self.corrections, self.prompts, self.minutes) < 0:
            raise InvalidInputError("corrections, prompts and minutes must be 0 or more")


@dataclass(frozen=True)
class CaseRecord:
    """What is known of a case.

    Attributes:
        name: Such as "case_0001".
        collected: Date and time of its first revision (ISO 8601, UTC).
        volume_digest: Of the voxels, by which the same volume is known again, wherever it comes from.
        channels: Files of the volume's channels.
        labels: File of the labels of the newest revision.
        drawn: The segments that were drawn; all others are unknown.
        history: Every status that it had, the last one counts.
        revision: Of the labels, from 1 on.
        patient: Tells patients apart: a keyed hash; empty where nobody said.
        reviewed: Boxes of the volume's grid in which somebody looked at all; None for everywhere.
        making: How the labels were made.
        journal: Folder of the corrections' journal; empty without.
        notes: Text of whoever collected it.
        format_version: Of the file.
    """

    name: str
    collected: str
    volume_digest: str
    channels: tuple[str, ...]
    labels: str
    drawn: tuple[DrawnSegment, ...]
    history: tuple[StatusChange, ...]
    revision: int = 1
    patient: str = ""
    reviewed: tuple[Box, ...] | None = None
    making: Making = field(default_factory=Making)
    journal: str = ""
    notes: str = ""
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        _check_version(self.format_version)
        for what, text, pattern in (
            ("name", self.name, _CASE),
            ("volume_digest", self.volume_digest, _DIGEST),
            ("labels", self.labels, _LABELS_FILE),
            *(("channel", file, _CHANNEL_FILE) for file in self.channels),
            *((("patient", self.patient, _HASH),) if self.patient else ()),
            *((("journal", self.journal, _JOURNAL),) if self.journal else ()),
        ):
            if not pattern.fullmatch(text):
                raise InvalidInputError(f"{what} of a case must look like {pattern.pattern}, got {text[:60]!r}")
        if not self.channels or not self.history or self.revision < 1 or len(self.notes) > _LONGEST_NOTES:
            raise InvalidInputError(
                f"a case needs channels, a status, a revision of 1 or more, and notes below {_LONGEST_NOTES} letters"
            )
        names = [each.name for each in self.drawn]
        if not names or len({*names}) < len(names):
            raise InvalidInputError("a case needs at least one drawn segment, each named once")

    @property
    def status(self) -> Status:
        """The last one."""
        return self.history[-1].status

    @property
    def group(self) -> str:
        """What folds may not part: the patient, or the case itself where nobody said."""
        return self.patient or self.name


@dataclass(frozen=True)
class DamagedCase:
    """A folder among the cases that cannot be read.

    Attributes:
        folder: Which.
        problem: What is wrong with it.
    """

    folder: Path
    problem: str


def patient_hash(project: ProjectRecord, patient: str) -> str:
    """What tells a patient apart in a project, without their name: HMAC-SHA-256 by its key, 16 hexadecimal digits.

    Args:
        project: Whose key is used; in another project the same patient has another hash.
        patient: Whatever names them always in the same way, such as the hospital's number; empty gives an empty hash.

    References:
        Krawczyk et al., RFC 2104 (HMAC).
    """
    text = " ".join(patient.split()).casefold()
    if not text:
        return ""
    return hmac.new(bytes.fromhex(project.key), text.encode(), hashlib.sha256).hexdigest()[:16]


def is_case_name(name: str) -> bool:
    """Whether a case may be called so."""
    return _CASE.fullmatch(name) is not None


def _check_version(version: int) -> None:
    if version != FORMAT_VERSION:
        raise InvalidInputError(
            f"format {version} of a project is not {FORMAT_VERSION}, which is known here; update DeepSegment"
        )
