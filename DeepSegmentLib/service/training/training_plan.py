"""The recipe that is made for a training: by the cases and the machine, or by the model that it begins from."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from DeepSegmentLib.data import Progress, Segment
from DeepSegmentLib.data.folds import in_random_order
from DeepSegmentLib.errors import DeepSegmentError, InvalidInputError
from DeepSegmentLib.files.models import read_spec
from DeepSegmentLib.files.projects import open_project
from DeepSegmentLib.networks.model_spec import Channel as ModelChannel
from DeepSegmentLib.networks.model_spec import ModelSpec, Part
from DeepSegmentLib.service.catalogue import find_model
from DeepSegmentLib.service.projects.project import labelled_cases
from DeepSegmentLib.training.fine_tuning.settings import suggested_tuning
from DeepSegmentLib.training.fitting.settings import TrainSettings
from DeepSegmentLib.training.patches.case_source import PatchSettings
from DeepSegmentLib.training.planning.fingerprint import fingerprint
from DeepSegmentLib.training.planning.machine import this_machine
from DeepSegmentLib.training.planning.plan import plan_stage

from .candidate import digest_of, told_digests, unlabelled_digests
from .case_recipe import CaseRecipe, Parent, read_case_recipe
from .train_request import TRAININGS, TrainRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from DeepSegmentLib.data import ProgressCallback
    from DeepSegmentLib.files.projects import CaseRecord
    from DeepSegmentLib.training.cases.labelled_case import LabelledCase


_MOST_MEASURED = 50
_FEWEST_PATIENTS = 3
_WATCHED = 5
_ENDLESS = 1_000_000
_FROM_NOTHING, _FROM_PARENT = 4000, 1000


def planned_recipe(request: TrainRequest, records: Sequence[CaseRecord], on_progress: ProgressCallback) -> CaseRecipe:
    """Make the recipe of a training.

    Args:
        request: What to train.
        records: The cases that may be learned from or held out.
        on_progress: Told which case is measured; may raise `Cancelled`.

    Raises:
        DeepSegmentError: The parent or a case cannot be read, or the parent cannot be tuned.
    """
    held_out = _held_out(request, records)
    learned = [record for record in records if record.name not in held_out]
    if not learned:
        raise InvalidInputError("all cases are held out, so none is left to learn from; hold out fewer (--held-out)")
    segments = _drawn_segments(request, learned)
    make = _from_parent if request.parent else _from_nothing
    recipe = make(request, learned, segments, on_progress)
    return replace(recipe, held_out=held_out, watched=held_out[:_WATCHED])


def _held_out(request: TrainRequest, records: Sequence[CaseRecord]) -> tuple[str, ...]:
    """Names of the held-out cases: of the patients a share, at least one where there are three.

    Nobody of whom the parent has learned is among them; those that earlier trainings held out come first, so that a
    model can be compared with the ones before.
    """
    share = request.held_out
    if isinstance(share, tuple):
        return share
    groups = in_random_order((record.group for record in records), (request.seed, 5))
    count = round(share * len(groups))
    if share and not count and len(groups) >= _FEWEST_PATIENTS:
        count = 1
    parent = read_spec(find_model(request.parent).path) if request.parent else None
    known = _known_digests(parent) | unlabelled_digests(parent) if parent else frozenset()
    learned = {record.group for record in records if digest_of(record) in known}
    before = _held_out_before(request)
    earlier = {record.group for record in records if record.name in before}
    order = sorted((each for each in groups if each not in learned), key=lambda each: each not in earlier)
    chosen = {*order[:count]}
    return tuple(record.name for record in records if record.group in chosen)


def _held_out_before(request: TrainRequest) -> frozenset[str]:
    """Names of cases that other trainings of the project hold out."""
    names: set[str] = set()
    for path in (request.project / TRAININGS).glob("*/recipe.json"):
        with suppress(DeepSegmentError):
            names |= {*read_case_recipe(path).held_out}
    return frozenset(names)


def _known_digests(parent: ModelSpec) -> frozenset[str]:
    """Of all cases that a model has learned from, by itself or by its parents."""
    told = (parent.provenance.get(key, "").split(",") for key in ("case_digests", "parent_case_digests"))
    return frozenset(digest for each in told for digest in each) - {""}


def _drawn_segments(request: TrainRequest, learned: Sequence[CaseRecord]) -> tuple[Segment, ...]:
    """Of the project's segments those that were drawn in a case that is learned from."""
    drawn = {each.name for record in learned for each in record.drawn}
    table = open_project(request.project).record.segments
    kept = [segment for segment in table if segment.name in drawn]
    return tuple(replace(segment, value=n) for n, segment in enumerate(kept, start=1))


def _from_nothing(
    request: TrainRequest, learned: Sequence[CaseRecord], segments: tuple[Segment, ...], on_progress: ProgressCallback
) -> CaseRecipe:
    project = open_project(request.project)
    measured = fingerprint(_measured_cases(request, learned, on_progress))
    channels = project.record.channels
    plan = plan_stage(measured, [channel.modality for channel in channels], len(segments) + 1, this_machine())
    spec = ModelSpec(
        name=request.name,
        version="0.1.0",
        description=f"{len(segments)} segments, trained on the cases of a project.",
        license="unknown",
        channels=tuple(ModelChannel(channel.name, channel.modality) for channel in channels),
        segments=segments,
        parts=(Part(tuple(segment.name for segment in segments), (plan.stage,)),),
    )
    training = _schedule(request, _FROM_NOTHING, 3e-3, plan.batch_size)
    return CaseRecipe(spec, training, reasons=plan.reasons)


def _measured_cases(
    request: TrainRequest, learned: Sequence[CaseRecord], on_progress: ProgressCallback
) -> Iterator[LabelledCase]:
    """Of many cases some, evenly picked, are enough to know what they are like."""
    chosen = learned[:: -(-len(learned) // _MOST_MEASURED)]
    for n, record in enumerate(chosen):
        on_progress(Progress(f"measure case {n + 1} of {len(chosen)}, {record.name}", n / len(chosen)))
        yield from labelled_cases(request.project, [record.name], statuses=(record.status,))


def _from_parent(
    request: TrainRequest, learned: Sequence[CaseRecord], segments: tuple[Segment, ...], _: ProgressCallback
) -> CaseRecipe:
    from DeepSegmentLib.training.fine_tuning.transplant import transplanted

    entry = find_model(request.parent)
    parent = read_spec(entry.path)
    wanted = (*segments, *_still_known(parent, segments))
    change = transplanted(parent, wanted)
    known = _known_digests(parent)
    new_cases = sum(digest_of(record) not in known for record in learned)
    tuning, reason = suggested_tuning(new_cases, len(change.new))
    spec = replace(
        change.spec,
        name=request.name,
        version=_next_version(parent) if request.name == parent.name else "0.1.0",
        description=f"{parent.description} Tuned on the cases of a project.",
        provenance=told_digests(parent_case_digests=known, unlabelled_digests=unlabelled_digests(parent)),
    )
    training = _schedule(request, _FROM_PARENT, 1e-3, 2)
    origin = Parent(str(request.parent), parent.version, parent.weights_sha256)
    told = [f"begins from {parent.name} {parent.version}, its grid and patch", reason]
    told += [f"new: {', '.join(change.new)}"] if change.new else []
    told += [f"no longer learned: {', '.join(change.dropped)}"] if change.dropped else []
    return CaseRecipe(spec, training, PatchSettings(), parent=origin, tuning=tuning, reasons=tuple(told))


def _still_known(parent: ModelSpec, segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Segments of the parent that no case has: they stay, unknown in all cases."""
    names = {segment.name.casefold() for segment in segments}
    codes = [segment.terminology for segment in segments if segment.terminology is not None]
    return tuple(
        each for each in parent.segments if each.name.casefold() not in names and each.terminology not in codes
    )


def _next_version(parent: ModelSpec) -> str:
    head, _, last = parent.version.rpartition(".")
    return f"{head}.{int(last) + 1}" if last.isdecimal() and head else f"{parent.version}.1"


def _schedule(request: TrainRequest, iterations: int, rate: float, batch: int) -> TrainSettings:
    steps = _ENDLESS if request.minutes is not None else request.iterations or iterations
    return TrainSettings(
        iterations=steps,
        batch_size=batch,
        learning_rate=rate,
        warm_up=min(50, max(1, steps // 10)),
        average=0.99 if steps < 2000 else 0.995,
        clip=12.0,
        checkpoint_every=100,
        workers=0,
        seed=request.seed,
        precision=request.precision,
        minutes=request.minutes,
    )
