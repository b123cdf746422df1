"""Rank volumes without labels: which to annotate next, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.data import Progress
from DeepSegmentLib.data.progress import silent, watching
from DeepSegmentLib.errors import InvalidInputError, VolumeFileError
from DeepSegmentLib.files.models import load_model, read_spec
from DeepSegmentLib.files.projects import open_project, read_volume_of
from DeepSegmentLib.files.projects.folder import digest_of_volume
from DeepSegmentLib.segmentation.outputs import PredictSettings
from DeepSegmentLib.segmentation.result_measures import measure_result, unsure_from
from DeepSegmentLib.service.batch.find_volumes import OF_ONE_VOLUME, read_found
from DeepSegmentLib.service.catalogue import find_model
from DeepSegmentLib.service.projects.project import case_records
from DeepSegmentLib.service.segment import segment_volume
from DeepSegmentLib.training.annotate_next.rank import rank_volumes
from DeepSegmentLib.training.annotate_next.volumes import Collected, RankedVolume, RankSettings, Unlabelled

from .known_measures import KnownMeasures

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from DeepSegmentLib.data import ProgressCallback, Volume
    from DeepSegmentLib.files.projects import CaseRecord
    from DeepSegmentLib.networks.model_spec import ModelSpec
    from DeepSegmentLib.networks.runtime import Model
    from DeepSegmentLib.segmentation.result_measures import ResultMeasures
    from DeepSegmentLib.service.batch.find_inputs import Found


@dataclass(frozen=True)
class NextSettings:
    """How volumes are measured and ranked.

    Attributes:
        rank: Strategy, seed, and what counts as uncertainty.
        device: Where the network runs, see `segment_volume`.
    """

    rank: RankSettings = field(default_factory=RankSettings)
    device: str = "auto"


@dataclass(frozen=True)
class LeftOut:
    """A volume that has no place in the ranking.

    Attributes:
        name: As of `Found`.
        reason: Why.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class NextCases:
    """A ranking.

    Attributes:
        ranked: The volume to annotate first in front.
        left_out: Those without a place: collected already, copies of others, or not readable; and cases of the project
            that could not be compared with.
    """

    ranked: tuple[RankedVolume, ...]
    left_out: tuple[LeftOut, ...] = ()


def rank_next(
    volumes: Sequence[Found],
    model: str,
    *,
    project: Path | None = None,
    settings: NextSettings | None = None,
    load: Callable[[Path, str], Model] = load_model,
    on_progress: ProgressCallback = silent,
) -> NextCases:
    """Rank volumes by what a model finds in them and by what a project has.

    Each volume is segmented, one at a time; only a few numbers of the result are kept, also on disk: a ranking that was
    stopped, and the next one with the same model, measure no volume twice. Volumes of the project's cases are measured,
    too, where the strategy compares with them.

    Args:
        volumes: Such as `find_volumes` gives them; their names differ.
        model: Name in the catalogue, or a model folder; it must have all channels that the volumes have.
        project: Folder of the project that they are going to be collected in; None without.
        settings: How they are ranked.
        load: See `segment_volume`; should keep the last model.
        on_progress: Told how far the work is; may raise `Cancelled`.

    Raises:
        ModelError: The model is not there or damaged.
        InvalidInputError: A setting is out of range.
        VolumeFileError: There is no project.
        Cancelled: Raised by `on_progress`.
    """
    settings = settings or NextSettings()
    with watching(on_progress) as tell:
        work = _Work(model, settings, load, tell)
        records = () if project is None else case_records(project)
        measured = work.measure(volumes, {record.volume_digest: record.name for record in records})
        compared = settings.rank.strategy in ("combined", "diverse") and project is not None and measured
        cases = work.measure_cases(project, records) if compared and project is not None else ()
        ranked = rank_volumes(measured, _collected(records, cases, work.spec), settings.rank)
        tell(Progress("done", 1.0, 0.0))
    return NextCases(ranked, tuple(work.left_out))


def _collected(records: Sequence[CaseRecord], measures: Sequence[ResultMeasures], spec: ModelSpec) -> Collected:
    """What a project has; its segments by the names of the model's, which may be spelled with other capitals."""
    names = {segment.name.casefold(): segment.name for segment in spec.segments}
    drawn = Counter(names.get(each.name.casefold(), each.name) for record in records for each in record.drawn)
    return Collected(drawn, tuple(measures), len(records))


class _Work:
    """One ranking: what measures volumes, and what was left out."""

    def __init__(
        self,
        model: str,
        settings: NextSettings,
        load: Callable[[Path, str], Model],
        tell: ProgressCallback,
    ) -> None:
        self.spec = read_spec(find_model(model).path)
        self._unsure, self._known = unsure_from(self.spec), KnownMeasures(self.spec)
        self._segment = partial(
            segment_volume,
            model=model,
            device=settings.device,
            settings=PredictSettings(uncertainty=True),
            load=load,
        )
        self._tell = tell
        self.left_out: list[LeftOut] = []

    def measure(self, volumes: Sequence[Found], cases: dict[str, str]) -> list[Unlabelled]:
        """Measure volumes that are neither cases (by digest) nor copies of each other."""
        measured: dict[str, Unlabelled] = {}
        for n, each in enumerate(volumes):
            try:
                if each.error:
                    raise VolumeFileError(each.error)
                part = self._part(n, len(volumes), "volume")
                part(Progress("read", 0.0))
                volume = read_found(each, [channel.name for channel in self.spec.channels])
                digest = digest_of_volume(volume)
                if digest in cases:
                    self._leave_out(each.name, f"is in the project already, as {cases[digest]}")
                elif digest in measured:
                    self._leave_out(each.name, f"is the same volume as {measured[digest].name}")
                else:
                    measured[digest] = Unlabelled(each.name, digest, self._measures(volume, digest, part))
            except OF_ONE_VOLUME as error:
                self._leave_out(each.name, str(error))
        return list(measured.values())

    def measure_cases(self, project: Path, records: Sequence[CaseRecord]) -> list[ResultMeasures]:
        """Measure the volumes of cases; those that cannot be are told."""
        folder, measured = open_project(project), []
        for n, record in enumerate(records):
            try:
                volume, part = read_volume_of(folder, record), self._part(n, len(records), "case")
                measured.append(self._measures(volume, record.volume_digest, part))
            except OF_ONE_VOLUME as error:
                self._leave_out(record.name, f"was not compared with: {error}")
        return measured

    def _measures(self, volume: Volume, digest: str, on_progress: ProgressCallback) -> ResultMeasures:
        known = self._known.of(volume, digest)
        if known is not None:
            return known
        run = self._segment(volume, on_progress=on_progress)
        measures = measure_result(volume, run.prediction, unsure=self._unsure)
        self._known.keep(volume, digest, measures)
        return measures

    def _leave_out(self, name: str, reason: str) -> None:
        self.left_out.append(LeftOut(name, reason))

    def _part(self, n: int, count: int, what: str) -> ProgressCallback:
        """Progress of one of several volumes as that of the whole; its steps have one name, so that it is one line."""
        return lambda event: self._tell(Progress(f"{what} {n + 1} of {count}", (n + event.fraction) / count))


def next_report(cases: NextCases, *, count: int | None = None) -> dict[str, Any]:
    """A ranking for programs.

    Args:
        cases: The ranking.
        count: Only so many of the first; None for all.

    Raises:
        InvalidInputError: The count is below 1.
    """
    if count is not None and count < 1:
        raise InvalidInputError(f"count must be 1 or more, got {count}")
    rows = [
        {
            "rank": n,
            "volume": each.volume.name,
            "score": each.score,
            "reason": each.reason,
            "entropy": each.volume.measures.entropy,
            "volumes_ml": {segment.segment: segment.ml for segment in each.volume.measures.segments},
        }
        for n, each in enumerate(cases.ranked[:count], start=1)
    ]
    left_out = [{"volume": each.name, "reason": each.reason} for each in cases.left_out]
    return {"ranked": rows, "volumes": len(cases.ranked), "left_out": left_out}
