"""What the worker does for the jobs of learning; each gives the answer of a `LearningResult`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.data import Progress
from DeepSegmentLib.errors import DeepSegmentError
from DeepSegmentLib.files.projects.folder import PROJECT_FILE

from .learning_jobs import CollectJob, CompareJob, DrawCasesJob, LearningJob, NextJob, PromoteJob, TrainJob

if TYPE_CHECKING:
    from collections.abc import Callable

    from DeepSegmentLib.data import ProgressCallback
    from DeepSegmentLib.hosts.warm_model import WarmModels
    from DeepSegmentLib.service.training.watch import Preparation
    from DeepSegmentLib.training.fitting.fit import StepFinished


def learn(job: LearningJob, models: WarmModels, on_progress: ProgressCallback) -> dict[str, Any]:
    """Do a job.

    Raises:
        DeepSegmentError: What the job's use case raises.
    """
    if isinstance(job, CollectJob):
        return _collect(job, on_progress)
    if isinstance(job, DrawCasesJob):
        return _draw(job, on_progress)
    if isinstance(job, TrainJob):
        return _train(job, on_progress)
    if isinstance(job, CompareJob):
        return _compare(job, on_progress)
    if isinstance(job, NextJob):
        return _next(job, models, on_progress)
    return _promote(job) if isinstance(job, PromoteJob) else _roll_back(job.model)


def _collect(job: CollectJob, on_progress: ProgressCallback) -> dict[str, Any]:
    """The name of the case, its revision, and whether it is new."""
    from DeepSegmentLib.networks.model_spec import Channel
    from DeepSegmentLib.service.projects.case_pictures import draw_case
    from DeepSegmentLib.service.projects.making import making_of
    from DeepSegmentLib.service.projects.project import Collecting, collect_case, make_where_new

    folder, said = Path(job.project), job.said
    journal = Path(said.journal) if said.journal else None
    collecting = Collecting(
        status=said.status,
        by=said.by,
        patient=said.patient,
        drawn=None if said.drawn is None else dict.fromkeys(said.drawn, ()),
        absent=said.absent,
        making=making_of(job.made_by, journal),
        journal=journal,
        notes=said.notes,
    )
    on_progress(Progress("collect the case", 0.0))
    make_where_new(folder, folder.name, (Channel("volume", job.volume.modality),))
    record = collect_case(folder, job.volume, job.label_map, collecting)
    with suppress(DeepSegmentError):  # the case is there; it is drawn when the project is looked at
        draw_case(folder, record, job.volume, job.label_map)
    return {"case": record.name, "revision": record.revision, "status": record.status}


def _draw(job: DrawCasesJob, on_progress: ProgressCallback) -> dict[str, Any]:
    from DeepSegmentLib.service.projects.case_pictures import draw_missing

    return {"drawn": draw_missing(Path(job.project), on_progress)}


def _train(job: TrainJob, on_progress: ProgressCallback) -> dict[str, Any]:
    """What was measured, see `train_on_project`."""
    from DeepSegmentLib.service.training.train import plan_training, train_on_project
    from DeepSegmentLib.service.training.train_request import TrainRequest
    from DeepSegmentLib.service.training.watch import Watch

    request = TrainRequest(Path(job.project), job.name, job.parent, minutes=job.minutes, statuses=job.statuses)
    settings = plan_training(request, Watch(on_progress)).training

    def on_start(begin: Preparation) -> None:
        on_progress(Progress("train", settings.progress(begin.done, 0.0)))

    def on_step(step: StepFinished) -> None:
        done = settings.progress(step.iteration, step.seconds)
        on_progress(Progress("train", done, step.seconds * (1 - done) / done))

    return train_on_project(request, Watch(on_progress, on_start, on_step))


def _compare(job: CompareJob, on_progress: ProgressCallback) -> dict[str, Any]:
    """Where the page is."""
    from DeepSegmentLib.service.learning.compare_page import write_page
    from DeepSegmentLib.service.learning.compare_training import compare_on_project

    done = compare_on_project(Path(job.project), job.training, device=job.device, on_progress=on_progress)
    if done.page is not None:
        write_page(done.comparison, done.page, done.pictures)
    return {"page": str(done.page or "")}


def _promote(job: PromoteJob) -> dict[str, Any]:
    """What is in use now, and what was before."""
    from DeepSegmentLib.service.learning.promote import promote
    from DeepSegmentLib.service.training.train_request import CANDIDATE, COMPARISON, TRAININGS

    folder = Path(job.project) / TRAININGS / job.training
    done = promote(folder / CANDIDATE, comparison=folder / COMPARISON, anyway=job.anyway)
    return {"model": done.name, "version": done.version, "before": done.before}


def _roll_back(model: str) -> dict[str, Any]:
    from DeepSegmentLib.service.learning.promote import roll_back

    done = roll_back(model)
    return {"model": done.name, "version": done.version, "before": done.before}


def _next(job: NextJob, models: WarmModels, on_progress: ProgressCallback) -> dict[str, Any]:
    """See `next_report`."""
    from DeepSegmentLib.service.batch.find_volumes import find_volumes
    from DeepSegmentLib.service.learning.next_cases import NextSettings, next_report, rank_next

    load: Callable[..., Any] = models.load
    project = Path(job.project) if job.project and (Path(job.project) / PROJECT_FILE).exists() else None
    return next_report(
        rank_next(
            find_volumes([Path(job.folder)], on_progress),
            job.model,
            project=project,
            settings=NextSettings(device=job.device),
            load=load,
            on_progress=on_progress,
        )
    )
