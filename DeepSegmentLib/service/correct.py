"""Correct the segments of a volume by prompts, with a journal on disk: for scripts, and as the model for shells."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from DeepSegmentLib import __version__
from DeepSegmentLib.correction.session import CorrectionSession
from DeepSegmentLib.correction.settings import CorrectionSettings
from DeepSegmentLib.data import Point, Scribble
from DeepSegmentLib.data.name_lookup import known_name
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.atomic import folder_of
from DeepSegmentLib.files.journal import Journal, volume_checksum
from DeepSegmentLib.files.output_checks import check_new_folder, check_outputs, inputs_of
from DeepSegmentLib.files.prompts import read_prompts
from DeepSegmentLib.files.segmentations.grids_and_layers import match_grid
from DeepSegmentLib.files.segmentations.labelmaps import (
    label_table_path,
    read_labelmap,
    read_provenance,
    segmentation_outputs,
    write_segmentation,
)
from DeepSegmentLib.files.volumes import read_input

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from DeepSegmentLib.data import LabelMap, LabelUpdate, Prompt, Volume
    from DeepSegmentLib.files.output_checks import Inputs


class JournaledSession:
    """A correction session whose every change is in a journal before it is handed out.

    Attributes:
        session: What corrects; its labels, prompts, preview and suggested radius may be asked for.
        journal: What remembers.
    """

    def __init__(self, session: CorrectionSession, journal: Journal) -> None:
        """Join a session and a journal that stand at the same labels; see `begin` and `resume`."""
        self.session, self.journal = session, journal

    @classmethod
    def begin(
        cls, volume: Volume, labels: LabelMap, folder: Path, *, model: Mapping[str, str] | None = None, **limits: Any
    ) -> Self:
        """Begin with labels as they are, and a journal in a new folder.

        Args:
            volume: The image; on the labels' grid.
            labels: What to correct.
            folder: Of the journal; new or empty.
            model: What made the labels, see `Journal.create`.
            limits: What may change, see `CorrectionSession`.

        Raises:
            InvalidInputError: The grids differ, a name is unknown, or there is something in the folder.
            VolumeFileError: The journal cannot be written.
        """
        session = CorrectionSession(volume, labels, **limits)
        checksum = volume_checksum(volume)
        return cls(session, Journal.create(folder, labels, volume_checksum=checksum, model=model))

    @classmethod
    def resume(cls, volume: Volume, folder: Path, **limits: Any) -> Self:
        """Go on where a journal ends; everything in it can be undone, and all its prompts hold.

        Raises:
            InvalidInputError: The volume is not the one that was corrected.
            VolumeFileError: The journal is damaged, or another process has it.
        """
        journal = Journal.open(folder)
        try:
            journal.check_volume(volume)
            return cls(_replayed(volume, journal, limits), journal)
        except BaseException:
            journal.close()
            raise

    def apply(self, prompt: Prompt, settings: CorrectionSettings | None = None) -> LabelUpdate:
        """As `CorrectionSession.apply`; where it cannot be recorded, nothing changes."""
        chosen = settings or CorrectionSettings()
        update = self.session.apply(prompt, chosen)
        with _or_else(self.session.undo):
            self.journal.record(prompt, chosen, update, prompt.segment)
        return update

    def edit(self, update: LabelUpdate) -> None:
        """As `CorrectionSession.edit`; where it cannot be recorded, nothing changes."""
        self.session.edit(update)
        with _or_else(self.session.undo):
            self.journal.record_edit(update)

    def undo(self) -> LabelUpdate | None:
        """As `CorrectionSession.undo`; where it cannot be recorded, nothing changes."""
        update = self.session.undo()
        if update is not None:
            with _or_else(self.session.redo):
                self.journal.record_undo(update)
        return update

    def redo(self) -> LabelUpdate | None:
        """As `CorrectionSession.redo`; where it cannot be recorded, nothing changes."""
        update = self.session.redo()
        if update is not None:
            with _or_else(self.session.undo):
                self.journal.record_redo(update)
        return update

    def close(self) -> None:
        """Let others have the journal."""
        self.journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class CorrectRequest:
    """What to correct, by what, and where to put it.

    Attributes:
        output: Segmentation to write: .seg.nrrd, or a labelmap with a JSON label table.
        image: Volume file or DICOM folder; may be missing where a journal is only read.
        labels: Labelmap or .seg.nrrd on the image's grid; None where a journal is resumed.
        prompts: JSON file of prompts, see `files.prompts`; may be missing where a journal is resumed.
        journal: Folder of the journal, or None for none.
        resume: Whether the journal is there already.
        segment: The segment of prompts that name none.
        radius_mm: Edit radius; None for one that fits each error.
        settings: How prompts are understood; its radius is not used.
        replace: An output that exists may be replaced; an input never.
    """

    output: Path
    image: Path | None = None
    labels: Path | None = None
    prompts: Path | None = None
    journal: Path | None = None
    resume: bool = False
    segment: str | None = None
    radius_mm: float | None = None
    settings: CorrectionSettings = field(default_factory=CorrectionSettings)
    replace: bool = False

    def __post_init__(self) -> None:
        if self.resume and (self.journal is None or self.labels is not None):
            raise InvalidInputError("a journal that is resumed brings its labels along; name the journal and no labels")
        if not self.resume and (self.image is None or self.labels is None or self.prompts is None):
            raise InvalidInputError("an image, its labels and prompts are needed, or a journal to resume")
        if self.resume and (self.image is None) != (self.prompts is None):
            raise InvalidInputError("to correct on from a journal, the image and prompts are needed, both of them")
        if self.radius_mm is not None:
            replace(self.settings, radius_mm=self.radius_mm)  # refuses one that has no sense before files are read


def correct_files(request: CorrectRequest) -> dict[str, Any]:
    """Correct a labelmap in files, or bring back what a journal holds.

    Returns:
        The report: output, journal, for each new prompt what it did, and the volume of each segment in ml.

    Raises:
        InvalidInputError: The files do not fit each other, a prompt names an unknown segment or lies outside, or the
            output is an input or exists.
        VolumeFileError: A file cannot be read or written, or the journal is damaged.
    """
    _check_request(request)
    prompts = () if request.prompts is None else read_prompts(request.prompts, request.segment)
    labels, provenance, steps = _resumed(request, prompts) if request.resume else _corrected(request, prompts)
    _check_output(request)  # again: it took a while, and others work too
    write_segmentation(labels, request.output, provenance)
    return {
        "output": str(request.output),
        "journal": None if request.journal is None else str(request.journal),
        "prompts": steps,
        "volumes_ml": {name: round(ml, 3) for name, ml in labels.volumes_ml().items()},
    }


def _check_output(request: CorrectRequest) -> Inputs:
    """Check the output; what it may not be."""
    table = request.labels and label_table_path(request.labels)
    resumed = request.journal if request.resume else None
    inputs = inputs_of([request.image, request.labels], [table, request.prompts, resumed])
    check_outputs(segmentation_outputs(request.output), inputs, replace=request.replace)
    return inputs


def _check_request(request: CorrectRequest) -> None:
    inputs = _check_output(request)
    if request.journal is not None and not request.resume:
        if request.journal.resolve() in (request.output.resolve(), *request.output.resolve().parents):
            raise InvalidInputError(f"{request.output} lies in the journal {request.journal}; write it beside")
        told = ", or go on with the journal in it (--resume)"
        check_new_folder(request.journal, inputs, beside=segmentation_outputs(request.output), instead=told)


def corrected_provenance(provenance: Mapping[str, str], corrections: int) -> dict[str, str]:
    """What a segmentation carries with it after so many more corrections."""
    earlier = provenance.get("corrections", "")
    return {
        **provenance,
        "corrected_by": f"DeepSegment {__version__}",
        "corrected": datetime.now(UTC).isoformat(timespec="seconds"),
        "corrections": str(corrections + (int(earlier) if earlier.isdecimal() else 0)),
    }


def apply_prompts(
    doer: CorrectionSession | JournaledSession,
    prompts: Sequence[Prompt],
    settings: CorrectionSettings,
    radius_mm: float | None = None,
) -> list[dict[str, Any]]:
    """Make prompts true, one after the other.

    Args:
        doer: What corrects.
        prompts: Each for a segment of the session.
        settings: How to understand them; its radius counts for boxes and lassos only, which bring their own limits.
        radius_mm: Edit radius; None for one that fits each error.

    Returns:
        What each did: "segment", "positive", "radius_mm" and "changed_voxels".

    Raises:
        InvalidInputError: A prompt's segment is unknown or locked, or the prompt lies outside the volume; what was
            applied before it stays.
        VolumeFileError: The journal cannot be written.
    """
    session = doer.session if isinstance(doer, JournaledSession) else doer
    steps = []
    names = [segment.name for segment in session.segments]
    for typed in prompts:
        prompt = replace(typed, segment=known_name(typed.segment, names, "no segment named"))
        radius = _radius(session, prompt, settings) if radius_mm is None else radius_mm
        update = doer.apply(prompt, replace(settings, radius_mm=radius))
        steps.append(
            {
                "segment": prompt.segment,
                "positive": prompt.positive,
                "radius_mm": round(radius, 2),
                "changed_voxels": int(update.changed.sum()),
            }
        )
    return steps


def _radius(session: CorrectionSession, prompt: Prompt, settings: CorrectionSettings) -> float:
    """A radius that fits the error at a prompt."""
    return session.suggest_radius(prompt) if isinstance(prompt, Point | Scribble) else settings.radius_mm


_Outcome = tuple["LabelMap", "Mapping[str, str]", list[dict[str, Any]]]


def _corrected(request: CorrectRequest, prompts: tuple[Prompt, ...]) -> _Outcome:
    """The labels of a file after the prompts."""
    if request.image is None or request.labels is None:
        raise InvalidInputError("an image and its labels are needed")
    volume, provenance = read_input(request.image), read_provenance(request.labels)
    labels = match_grid(read_labelmap(request.labels), volume.geometry)
    if request.journal is None:
        session = CorrectionSession(volume, labels)
        return _after(session, session, prompts, request, provenance)
    with folder_of(request.journal):
        recorded = JournaledSession.begin(volume, labels, request.journal, model=provenance)
        try:
            with recorded:
                return _after(recorded.session, recorded, prompts, request, provenance)
        except BaseException:
            if not recorded.session.prompts:  # else the journal would be in the way of the next try
                shutil.rmtree(request.journal, ignore_errors=True)
            raise


def _resumed(request: CorrectRequest, prompts: tuple[Prompt, ...]) -> _Outcome:
    """The labels of a journal, after more prompts if there are any."""
    if request.journal is None:
        raise InvalidInputError("a journal is needed")
    if request.image is None:
        with Journal.open(request.journal) as journal:
            return journal.labels(), corrected_provenance(journal.header.model, _corrections_in(journal)), []
    with JournaledSession.resume(read_input(request.image), request.journal) as recorded:
        return _after(recorded.session, recorded, prompts, request, recorded.journal.header.model)


def _after(
    session: CorrectionSession,
    doer: CorrectionSession | JournaledSession,
    prompts: tuple[Prompt, ...],
    request: CorrectRequest,
    provenance: Mapping[str, str],
) -> _Outcome:
    """What there is after the prompts, and what each did."""
    steps = apply_prompts(doer, prompts, request.settings, request.radius_mm)
    return session.labels, corrected_provenance(provenance, len(session.prompts)), steps


def _corrections_in(journal: Journal) -> int:
    """How many corrections a journal holds that were not undone."""
    done: list[bool] = []
    undone: list[bool] = []
    for entry in journal.entries():
        if entry.kind == "undo":
            undone.append(done.pop())
        elif entry.kind == "redo":
            done.append(undone.pop())
        else:
            done.append(entry.prompt is not None)
            undone.clear()
    return sum(done)


def _replayed(volume: Volume, journal: Journal, limits: Mapping[str, Any]) -> CorrectionSession:
    """A session at the end of a journal, with its history."""
    session = CorrectionSession(volume, journal.start(), **limits)
    for entry in journal.entries():
        if entry.kind == "undo":
            session.undo()
        elif entry.kind == "redo":
            session.redo()
        else:
            session.replay(entry.change, entry.prompt)
    return session


@contextmanager
def _or_else(revert: Callable[[], object]) -> Iterator[None]:
    """Take a change back where what must follow it fails."""
    try:
        yield
    except BaseException:
        revert()
        raise
