"""Models are added and downloaded in the worker's process: told, stopped, and complete or not at all."""

import json
import os
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_web import LocalWeb, certificate, hangs, https_context, local_web, whole
from model_examples import TINY_UNET, model_spec

from DeepSegmentLib.errors import ChangedError, LicenceError, ModelError
from DeepSegmentLib.files.models import save_model
from DeepSegmentLib.files.models.importers.door import Words
from DeepSegmentLib.files.models.known_models import Download, KnownModel
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
from DeepSegmentLib.hosts.worker.model_jobs import AddModelJob, GetModelJob, ModelResult
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.service.catalogue import ModelEntry
from DeepSegmentLib.service.models.pack_models import pack_models

names = st.text(max_size=8)
words = st.builds(
    Words,
    name=names,
    version=names,
    license=names,
    folds=st.lists(names, max_size=3).map(tuple),
    configuration=names,
    details=st.dictionaries(names, st.integers() | st.lists(names), max_size=2),
)


@given(words, names, st.booleans(), st.booleans())
def test_what_is_asked_is_heard(said: Words, name: str, licence: bool, change: bool) -> None:
    for job in (
        AddModelJob(("/a.zip", f"/b/{name.replace(chr(0), '')}x"), said, licence),
        GetModelJob(name, licence, change),
    ):
        heard = decode_job(json.loads(encode_job(job, 1, Path())), Path())
        assert type(heard) is type(job)
        assert vars(heard) == vars(job)
        assert voxel_bytes(job) == 0


@given(names, names, st.booleans(), st.integers(0, 1 << 40))
def test_what_came_of_it_is_heard(name: str, text: str, bundled: bool, size: int) -> None:
    entry = ModelEntry(name, "1", Path("/models") / "m", bundled, text, "CC0-1.0", "", "kind", size)
    heard = decode_event(encode_event(Finished(ModelResult(entry)), 1, Path()), Path())
    assert heard.result.entry == entry


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    save_model(folder / "m", model_spec(name="liver", license="CC-BY-NC-4.0"), UNet(TINY_UNET), card="")
    return Path(shutil.make_archive(str(folder / "liver"), "zip", folder / "m"))


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory):
    made = certificate(tmp_path_factory.mktemp("certificate"))
    if made is None:
        pytest.skip("no openssl command to make a certificate with")
    with local_web(https_context(*made)) as web:
        yield web, made[0]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, secure: tuple[LocalWeb, Path]):
    """A worker of a user who knows of one model and trusts the server here."""
    web, trusted = secure
    home = tmp_path_factory.mktemp("home")
    (home / "lists").mkdir()
    known = KnownModel(
        "spleen", "Spleen", "Somebody", "DeepSegment model", (Download(f"{web.address}/m.zip"),), "CC0-1.0", "",
        False, False, "", "CT", ("spleen",), "", None, "", "The spleen.",
    )  # fmt: skip
    document = {"read_from": [], "left_out": "", "models": [asdict(known)]}
    (home / "lists" / "a.json").write_text(json.dumps(document))
    told = {"XDG_DATA_HOME": home, "DEEPSEGMENT_MODELS": home / "models", "DEEPSEGMENT_CATALOGUE": home / "lists"}
    environment = {**os.environ, "SSL_CERT_FILE": str(trusted), "OMP_NUM_THREADS": "1", "NO_PROXY": "*"}
    client = WorkerClient(environment=environment | {key: str(value) for key, value in told.items()})
    client.home = home
    yield client
    client.close()


def events_of(client: WorkerClient, job, *, cancel_after: str = ""):
    """All events of a job; it is cancelled when a stage begins with these words."""
    client.submit(job)
    events = []
    end = time.monotonic() + 60
    while client.busy and time.monotonic() < end:
        new = client.poll()
        events += new
        if cancel_after and any(isinstance(e, Progressed) and e.progress.stage.startswith(cancel_after) for e in new):
            client.cancel()
        time.sleep(0.01)
    return events


def test_a_model_is_added_when_its_terms_are_agreed_to(client: WorkerClient, model: Path) -> None:
    *_, end = events_of(client, AddModelJob((str(model),), Words(name="mine")))
    assert isinstance(end, Failed)
    assert type(end.error) is LicenceError
    *progress, end = events_of(client, AddModelJob((str(model),), Words(name="mine"), accept_licence=True))
    assert (end.result.entry.name, end.result.entry.path) == ("mine", client.home / "models" / "mine")
    assert {event.progress.stage for event in progress} >= {
        "unpack liver.zip",
        "convert DeepSegment model",
        "try it out",
    }
    *_, end = events_of(client, AddModelJob((str(model),), Words(name="mine")))
    assert type(end.error) is ModelError


def test_a_pack_brings_its_models(client: WorkerClient, model: Path, tmp_path: Path) -> None:
    events_of(client, AddModelJob((str(model),), accept_licence=True))
    pack_models(["brain-mr", str(client.home / "models" / "liver")], tmp_path / "pack.zip")
    shutil.rmtree(client.home / "models" / "liver")
    *_, end = events_of(client, AddModelJob((str(tmp_path / "pack.zip"),), accept_licence=True))
    assert (end.result.entry.name, end.result.entry.path) == ("liver", client.home / "models" / "liver")
    *_, end = events_of(client, AddModelJob((str(tmp_path / "pack.zip"),)))
    assert end.result.entry.name == "brain-mr"


def test_a_download_is_stopped_at_once_and_goes_on(
    client: WorkerClient, secure: tuple[LocalWeb, Path], model: Path
) -> None:
    web, _ = secure
    content = model.read_bytes()
    web.serve("/m.zip", hangs(content, 1000, 5.0), whole(content))
    *_, end = events_of(client, GetModelJob("spleen", accept_licence=True), cancel_after="download")
    assert isinstance(end, Stopped)
    assert not (client.home / "models" / "spleen").exists()
    *progress, end = events_of(client, GetModelJob("spleen", accept_licence=True))
    assert end.result.entry.name == "spleen"
    assert {event.progress.stage.split(":")[0] for event in progress} >= {"download spleen", "try it out"}
    assert not (client.home / "models" / ".downloads").exists()


def test_another_file_than_before_is_asked_about(
    client: WorkerClient, secure: tuple[LocalWeb, Path], model: Path
) -> None:
    web, _ = secure
    web.serve("/m.zip", whole(model.read_bytes() + b"\0"))
    shutil.rmtree(client.home / "models" / "spleen")
    *_, end = events_of(client, GetModelJob("spleen", accept_licence=True))
    assert type(end.error) is ChangedError
    *_, end = events_of(client, GetModelJob("spleen", accept_licence=True, accept_change=True))
    assert isinstance(end, Finished)
