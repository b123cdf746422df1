"""Known models: found by words, downloaded by the user's wish only, added complete or not at all."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from local_web import LocalWeb, breaks_off, certificate, hangs, https_context, local_web, refuses, whole
from model_examples import TINY_UNET, model_spec

from DeepSegmentLib.data.progress import Progress
from DeepSegmentLib.errors import Cancelled, ChangedError, ChecksumError, DownloadError, LicenceError, ModelError
from DeepSegmentLib.files.models import read_spec, save_model
from DeepSegmentLib.files.models.known_models import Download, KnownModel, known_models, read_known_models
from DeepSegmentLib.files.models.places import downloads_folder
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.service.catalogue import list_models, remove_model
from DeepSegmentLib.service.models.get_model import available_models, download_question, find_known, get_model


@pytest.fixture(scope="module")
def zipped(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("published")
    save_model(folder / "m", model_spec(name="published"), UNet(TINY_UNET), card="")
    return Path(shutil.make_archive(str(folder / "packed"), "zip", folder / "m")).read_bytes()


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalWeb, Path]]:
    made = certificate(tmp_path_factory.mktemp("certificate"))
    if made is None:
        pytest.skip("no openssl command to make a certificate with")
    with local_web(https_context(*made)) as web:
        yield web, made[0]


@pytest.fixture
def web(secure: tuple[LocalWeb, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalWeb:
    """A server that is trusted; the user has no models."""
    web, trusted = secure
    web.asked.clear()
    web.answers.clear()
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    monkeypatch.setattr("DeepSegmentLib.files.download._PAUSES_S", (0.0, 0.0))
    monkeypatch.setenv("DEEPSEGMENT_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return web


@pytest.fixture
def publish(web: LocalWeb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., KnownModel]:
    """Makes a list of known models, of those that were published so far."""
    monkeypatch.setenv("DEEPSEGMENT_CATALOGUE", str(tmp_path / "lists"))
    (tmp_path / "lists").mkdir()
    listed: list[KnownModel] = []

    def add(**changes: object) -> KnownModel:
        words = {
            "name": "liver", "title": "Liver (Somebody)", "source": "Somebody", "kind": "DeepSegment model",
            "files": (Download(f"{web.address}/m.zip"),), "licence": "CC0-1.0", "licence_url": "",
            "non_commercial": False, "needs_key": False, "citation": "", "modality": "CT", "structures": ("liver",),
            "body_region": "abdomen", "spacing_mm": None, "sample_data": "", "description": "The liver.",
        }  # fmt: skip
        known = KnownModel(**words | changes)
        listed.append(known)
        document = {"read_from": [], "left_out": "", "models": [asdict(each) for each in listed]}
        (tmp_path / "lists" / "a.json").write_text(json.dumps(document))
        read_known_models.cache_clear()
        return known

    yield add
    read_known_models.cache_clear()


def added() -> list[str]:
    return [entry.name for entry in list_models() if not entry.bundled]


def test_a_known_model_comes_and_nothing_else_stays(
    web: LocalWeb, publish: Callable[..., KnownModel], zipped: bytes, tmp_path: Path
) -> None:
    publish()
    web.serve("/m.zip", whole(zipped))
    events: list[Progress] = []
    entry = get_model("LIVER", events.append)
    assert (entry.name, entry.license, entry.bytes > 1000) == ("liver", "CC0-1.0", True)
    assert added() == ["liver"]
    assert [path.name for path in downloads_folder("x").parent.parent.iterdir() if path.is_dir()] == ["liver"]
    fractions = [event.fraction for event in events]
    assert fractions == sorted(fractions)
    assert {event.stage for event in events} >= {"download liver", "unpack m.zip", "try it out"}
    with pytest.raises(ModelError, match="liver is here already"):
        get_model("liver")
    assert len(web.asked) == 1


def test_it_is_only_the_wish_that_opens_a_connection(web: LocalWeb, publish: Callable[..., KnownModel]) -> None:
    publish()
    available_models(["liver"])
    find_known("liver")
    download_question("liver")
    list_models()
    assert web.asked == []


def test_what_was_stopped_goes_on(web: LocalWeb, publish: Callable[..., KnownModel], zipped: bytes) -> None:
    publish()
    web.serve("/m.zip", hangs(zipped, 1000, 0.5), whole(zipped))

    def stop(event: Progress) -> None:
        if event.fraction > 0:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        get_model("liver", stop)
    assert added() == []
    (found,) = available_models()
    assert (found.installed, found.begun_bytes >= 1000) == (False, True)
    get_model("liver")
    assert web.asked[-1][1]["Range"] == "bytes=1000-"
    assert available_models()[0].installed


def test_removing_frees_what_was_begun(web: LocalWeb, publish: Callable[..., KnownModel], zipped: bytes) -> None:
    publish()
    web.serve("/m.zip", breaks_off(zipped, 1000), breaks_off(zipped, 0))
    with pytest.raises(DownloadError):
        get_model("liver")
    assert remove_model("Liver").bytes >= 1000
    assert not downloads_folder("liver").parent.exists()
    with pytest.raises(ModelError, match="no model named"):
        remove_model("liver")


@pytest.mark.parametrize("answer", [refuses(404), breaks_off(b"PK", 0)], ids=["not there", "breaks off at once"])
def test_where_nothing_came_no_folder_stays(
    web: LocalWeb, publish: Callable[..., KnownModel], answer: Callable[..., None]
) -> None:
    publish()
    web.serve("/m.zip", answer)
    with pytest.raises(DownloadError):
        get_model("liver")
    assert not downloads_folder("liver").parent.exists()


def test_several_files_make_one_model(
    web: LocalWeb, publish: Callable[..., KnownModel], zipped: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All files are there, under their own names, when the importer is asked."""
    from DeepSegmentLib.service.models import get_model as module

    seen: list[list[str]] = []

    def add_model(sources: list[Path], *_: object, **__: object) -> object:
        seen.append([source.name for source in sources])
        raise Cancelled("enough")

    monkeypatch.setattr(module, "add_model", add_model)
    names = ["Dataset291_a.zip", "Dataset292_b.zip", "m.zip?download=1"]
    publish(files=tuple(Download(f"{web.address}/{name}") for name in names))
    for name in names:
        web.serve(f"/{name}", whole(zipped))
    with pytest.raises(Cancelled):
        get_model("liver")
    assert seen == [["Dataset291_a.zip", "Dataset292_b.zip", "m.zip"]]


def test_terms_are_asked_before_anything_comes_and_once(
    web: LocalWeb, publish: Callable[..., KnownModel], zipped: bytes
) -> None:
    for name in ("one", "two"):
        publish(name=name, licence="CC-BY-NC-4.0", files=(Download(f"{web.address}/m.zip"),))
    web.serve("/m.zip", whole(zipped))
    assert download_question("one") == "licence CC-BY-NC-4.0: not for commercial use"
    asked: list[str] = []
    with pytest.raises(LicenceError, match=r"one: licence CC-BY-NC-4.0: not for commercial use.*--accept-licence"):
        get_model("one", agrees=lambda terms: bool(asked.append(terms)))
    assert web.asked == []
    assert asked == ["one: licence CC-BY-NC-4.0: not for commercial use"]
    get_model("one", agrees=lambda _: True)
    assert download_question("two") == ""
    get_model("two")
    assert added() == ["one", "two"]


def test_a_key_is_said(publish: Callable[..., KnownModel]) -> None:
    publish(licence="Theirs", licence_url="https://x.org/l", needs_key=True)
    assert download_question("liver") == "licence Theirs (https://x.org/l): only for holders of a key"


def test_another_file_than_last_time_is_asked_about(
    web: LocalWeb, publish: Callable[..., KnownModel], zipped: bytes
) -> None:
    publish()
    web.serve("/m.zip", whole(zipped))
    get_model("liver")
    remove_model("liver")
    web.serve("/m.zip", whole(zipped + b"\0" * 3, '"2"'))
    with pytest.raises(ChangedError, match=r"gives another file than .*--accept-change"):
        get_model("liver")
    assert added() == []
    count = len(web.asked)
    get_model("liver", accept_change=True)
    assert len(web.asked) == count
    remove_model("liver")
    get_model("liver")


def test_published_checksums_count(web: LocalWeb, publish: Callable[..., KnownModel], zipped: bytes) -> None:
    publish(files=(Download(f"{web.address}/m.zip", sha256="0f" * 32),))
    web.serve("/m.zip", whole(zipped))
    with pytest.raises(ChecksumError, match="is published; it was deleted"):
        get_model("liver", accept_change=True)
    assert added() == []


def test_a_file_that_is_no_model_is_not_kept(web: LocalWeb, publish: Callable[..., KnownModel], zipped: bytes) -> None:
    publish()
    web.serve("/m.zip", whole(zipped[:-30]))
    with pytest.raises(ModelError, match="intact zip"):
        get_model("liver")
    assert added() == []
    web.serve("/m.zip", whole(zipped, '"2"'))
    get_model("liver", accept_change=True)


def test_what_can_only_be_got_by_hand_is_told(publish: Callable[..., KnownModel]) -> None:
    publish(files=(), description="Ask Somebody for it")
    with pytest.raises(ModelError, match=r"only be got by hand: Ask Somebody for it.*models add FILE"):
        get_model("liver")


def test_names_nearly_right_are_told(publish: Callable[..., KnownModel]) -> None:
    publish()
    with pytest.raises(ModelError, match="no model named 'lever'; did you mean liver"):
        get_model("lever")


def test_where_it_came_from_is_told(web: LocalWeb, publish: Callable[..., KnownModel], zipped: bytes) -> None:
    publish()
    web.serve("/m.zip", whole(zipped))
    entry = get_model("liver")
    assert entry.kind == "DeepSegment model"
    assert read_spec(entry.path).name == "liver"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], {"liver", "brain_mr"}),
        (["liver"], {"liver"}),
        (["LIV"], {"liver"}),
        (["livers"], {"liver"}),
        (["MR"], {"brain_mr"}),
        (["mr", "liver"], set()),
        (["left kidney"], {"brain_mr"}),
        (["kidney_left"], {"brain_mr"}),
        (["somebody"], {"liver", "brain_mr"}),
        (["iver"], set()),
    ],
)
def test_models_are_found_by_organ_modality_and_name(
    publish: Callable[..., KnownModel], words: list[str], found: set[str]
) -> None:
    publish()
    publish(name="brain_mr", title="Brain", modality="MR", structures=("kidney_left",), description="", body_region="")
    assert {each.known.name for each in available_models(words)} == found


def test_the_list_that_ships_finds_the_liver_in_mr() -> None:
    if not os.environ.get("DEEPSEGMENT_CATALOGUE"):
        names = {each.known.name for each in available_models(["liver", "MR"])}
        assert "totalseg-total_mr" in names
        assert all(file.url.startswith("https://") for known in known_models() for file in known.files)
