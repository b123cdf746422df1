"""Cases are collected, learned from, compared and promoted in the worker's process, which may be stopped in between."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from ball_projects import ball_case
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.errors import ExistsError, NotProvenError
from DeepSegmentLib.files.models import read_spec
from DeepSegmentLib.hosts.worker.client import WorkerClient
from DeepSegmentLib.hosts.worker.jobs_and_events import (
    Failed,
    Finished,
    Progressed,
    Stopped,
    decode_event,
    decode_job,
    encode_event,
    encode_job,
    voxel_bytes,
)
from DeepSegmentLib.hosts.worker.learning_jobs import (
    CollectJob,
    CompareJob,
    DrawCasesJob,
    LearningResult,
    NextJob,
    PromoteJob,
    RollBackJob,
    Said,
    TrainJob,
)
from DeepSegmentLib.service.learning.comparison import read_comparison
from DeepSegmentLib.service.projects.case_pictures import picture_of
from DeepSegmentLib.service.projects.project import case_records
from DeepSegmentLib.service.training.progress.trainings import trainings_of

names = st.text(max_size=8)
lists = st.lists(names, max_size=3).map(tuple)
said = st.builds(
    Said, st.sampled_from(("draft", "reviewed", "approved")), names, names, st.none() | lists, lists, names, names
)


@given(names, st.floats(0.1, 100) | st.none(), lists, st.booleans())
def test_what_is_asked_is_heard(name: str, minutes: float | None, statuses: tuple[str, ...], anyway: bool) -> None:
    for job in (
        DrawCasesJob("/p"),
        TrainJob("/p", name, name, minutes, statuses),
        CompareJob("/p", name, name),
        PromoteJob("/p", name, anyway),
        RollBackJob(name),
        NextJob("/volumes", name, "/p"),
    ):
        assert decode_job(json.loads(encode_job(job, 1, Path())), Path()) == job
        assert voxel_bytes(job) == 0


@given(said, st.dictionaries(names, names, max_size=3))
def test_a_case_and_what_is_said_of_it_are_heard(tmp_path_factory, words: Said, made_by: dict[str, str]) -> None:
    folder = tmp_path_factory.mktemp("voxels")
    volume, label_map = ball_case(1, (3, 4, 5))
    job = CollectJob("/p", volume, label_map, words, made_by)
    heard = decode_job(json.loads(encode_job(job, 1, folder)), folder)
    assert (heard.project, heard.said, heard.made_by) == ("/p", words, made_by)
    assert heard.volume.geometry.is_close(volume.geometry)
    assert (heard.volume.voxels == volume.voxels).all()
    assert (heard.label_map.layers == label_map.layers).all()
    assert heard.label_map.segments == label_map.segments
    assert voxel_bytes(job) == volume.voxels.nbytes + label_map.layers.nbytes


def test_an_answer_is_heard(tmp_path: Path) -> None:
    event = Finished(LearningResult({"case": "case_0001", "revision": 2}))
    assert decode_event(encode_event(event, 1, tmp_path), tmp_path).result.answer == event.result.answer


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory):
    home = tmp_path_factory.mktemp("home")
    told = {"XDG_DATA_HOME": str(home), "DEEPSEGMENT_MODELS": str(home / "models"), "OMP_NUM_THREADS": "1"}
    client = WorkerClient(environment=os.environ | told)
    client.models = home / "models"
    yield client
    client.close()


def events_of(client: WorkerClient, job, *, cancel_at: float = 2.0):
    """All events of a job; it is cancelled, with patience, when so much of the training is done."""
    client.submit(job)
    events = []
    end = time.monotonic() + 120
    while client.busy and time.monotonic() < end:
        new = client.poll()
        events += new
        told = [each.progress for each in new if isinstance(each, Progressed)]
        if any(each.stage == "train" and each.fraction > cancel_at for each in told):
            client.cancel(patience_s=60)
        time.sleep(0.01)
    return events


def collect(client, project, seed, **more):
    job = CollectJob(str(project), *ball_case(seed), Said(patient=str(seed), **more))
    *_, end = events_of(client, job)
    return end


def test_the_whole_loop_goes_through_the_worker(client: WorkerClient, tmp_path: Path) -> None:
    project = tmp_path / "project"
    ends = [collect(client, project, seed, status="approved") for seed in range(4)]
    assert [end.result.answer["case"] for end in ends] == [f"case_000{n}" for n in range(1, 5)]
    assert all(picture_of(project, record).is_file() for record in case_records(project))
    assert collect(client, project, 3).result.answer == {"case": "case_0004", "revision": 2, "status": "draft"}
    *_, end = events_of(client, TrainJob(str(project), "balls", minutes=0.1), cancel_at=0.4)
    assert isinstance(end, Stopped)
    (stopped,) = trainings_of(project)
    assert not stopped.finished
    assert 0 < stopped.fraction < 1
    assert (stopped.folder / "checkpoint.pt").is_file()
    *events, end = events_of(client, TrainJob(str(project), "balls"))
    told = [event.progress for event in events if event.progress.stage == "train"]
    assert told[-1].fraction == pytest.approx(1.0, abs=0.2)
    assert all(0 <= each.fraction <= 1 for each in told)
    assert end.result.answer["cases"] == 2  # one of the four is a draft now, one is held out
    (done,) = trainings_of(project)
    assert (done.finished, done.compared, done.fraction) == (True, False, 1.0)
    *_, end = events_of(client, PromoteJob(str(project), "balls"))
    assert isinstance(end, Failed)
    assert type(end.error) is NotProvenError
    *_, end = events_of(client, CompareJob(str(project), "balls"))
    assert Path(end.result.answer["page"]).read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert read_comparison(done.folder / "comparison.json").cases[0].name == done.recipe.held_out[0]
    *_, end = events_of(client, PromoteJob(str(project), "balls"))
    assert end.result.answer == {"model": "balls", "version": "0.1.0", "before": ""}
    assert read_spec(client.models / "balls").provenance["compared_cases"] == "1"
    *_, end = events_of(client, RollBackJob("balls"))
    assert isinstance(end, Failed)
    *_, end = events_of(client, PromoteJob(str(project), "balls", anyway=True))
    assert end.result.answer["before"] == "0.1.0"
    *_, end = events_of(client, RollBackJob("balls"))
    assert end.result.answer["version"] == "0.1.0"


def test_pictures_that_are_missing_are_drawn(client: WorkerClient, tmp_path: Path) -> None:
    collect(client, tmp_path / "p", 0)
    collect(client, tmp_path / "p", 1)
    first, second = (picture_of(tmp_path / "p", record) for record in case_records(tmp_path / "p"))
    drawn = first.read_bytes()
    first.unlink()
    *_, end = events_of(client, DrawCasesJob(str(tmp_path / "p")))
    assert end.result.answer == {"drawn": 1}
    assert first.read_bytes() == drawn
    assert second.is_file()


def test_a_folder_of_something_else_does_not_become_a_project(client: WorkerClient, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("text")
    end = collect(client, tmp_path, 0)
    assert type(end.error) is ExistsError
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_case_tells_what_made_its_labels(client: WorkerClient, tmp_path: Path) -> None:
    made_by = {"model": "brain-mr", "model_version": "0.1", "model_sha256": "f" * 64, "device": "cpu"}
    job = replace(CollectJob(str(tmp_path / "p"), *ball_case(0)), made_by=made_by)
    *_, end = events_of(client, job)
    assert isinstance(end, Finished)
    (record,) = case_records(tmp_path / "p")
    assert (record.making.model, record.making.model_version) == ("brain-mr", "0.1")
