"""Models in one file, for a machine without network: what went in comes out, and nothing else."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_examples import TINY_UNET, model_spec

from DeepSegmentLib.errors import (
    Cancelled,
    ChecksumError,
    DeepSegmentError,
    ExistsError,
    InvalidInputError,
    LicenceError,
    MissingPackageError,
    ModelError,
)
from DeepSegmentLib.files.models import WEIGHTS_FILE, save_model
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.service.catalogue import find_model, list_models, remove_model
from DeepSegmentLib.service.models import pack_models as module
from DeepSegmentLib.service.models.pack_models import pack_models, unpack_models

Move = Callable[[], None]


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with two models."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("DEEPSEGMENT_MODELS", str(tmp_path / "here"))
    for name in ("liver", "spleen"):
        save_model(tmp_path / "here" / name, model_spec(name=name), UNet(TINY_UNET), card=f"# {name}")
    return tmp_path / "here"


@pytest.fixture
def move(user: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Move:
    """Goes to another machine, without models."""
    return lambda: monkeypatch.setenv("DEEPSEGMENT_MODELS", str(tmp_path / "there"))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def added() -> list[str]:
    return [entry.name for entry in list_models() if not entry.bundled]


def test_what_was_packed_comes_out_as_it_was(user: Path, move: Move, tmp_path: Path) -> None:
    before = {name: content(user / name) for name in ("liver", "spleen")}
    packed = pack_models(["Liver", "spleen", "liver"], tmp_path / "p.zip")
    assert (packed.models, packed.wheels) == (("liver", "spleen"), ())
    assert packed.bytes == (tmp_path / "p.zip").stat().st_size
    move()
    out = unpack_models(tmp_path / "p.zip")
    assert [entry.name for entry in out.added] == ["liver", "spleen"]
    assert {name: content(find_model(name).path) for name in before} == before
    assert not [path for path in (tmp_path / "there").iterdir() if path.name[0] == "." and path.is_dir()]


def test_models_that_are_there_stay(user: Path, move: Move, tmp_path: Path) -> None:
    pack_models(["liver", "spleen"], tmp_path / "p.zip")
    move()
    unpack_models(tmp_path / "p.zip")
    remove_model("spleen")
    out = unpack_models(tmp_path / "p.zip")
    assert ([entry.name for entry in out.added], out.known) == (["spleen"], ("liver",))


def test_another_model_of_the_name_is_not_replaced(user: Path, move: Move, tmp_path: Path) -> None:
    pack_models(["liver", "spleen"], tmp_path / "p.zip")
    move()
    save_model(tmp_path / "there" / "spleen", model_spec(name="spleen"), UNet(TINY_UNET), card="")
    with pytest.raises(ModelError, match="already a model 'spleen'"):
        unpack_models(tmp_path / "p.zip")
    assert added() == ["spleen"]


def test_damaged_models_are_not_packed(user: Path, tmp_path: Path) -> None:
    weights = user / "liver" / WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ChecksumError):
        pack_models(["spleen", "liver"], tmp_path / "p.zip")
    assert not (tmp_path / "p.zip").exists()


def test_a_file_that_is_there_is_kept_unless_it_may_go(user: Path, tmp_path: Path) -> None:
    (tmp_path / "p.zip").write_bytes(b"mine")
    with pytest.raises(ExistsError, match="--replace"):
        pack_models(["liver"], tmp_path / "p.zip")
    pack_models(["liver"], tmp_path / "p.zip", replace=True)
    with pytest.raises(InvalidInputError, match="read as a whole"):
        pack_models(["liver"], user / "liver" / "p.zip")


def test_stopped_work_leaves_nothing(user: Path, move: Move, tmp_path: Path) -> None:
    def stop(_: object) -> None:
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        pack_models(["liver"], tmp_path / "p.zip", stop)
    assert not (tmp_path / "p.zip").exists()
    pack_models(["liver"], tmp_path / "p.zip")
    move()
    with pytest.raises(Cancelled):
        unpack_models(tmp_path / "p.zip", stop)
    assert added() == []


def rewritten(pack: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """The pack with other members."""
    with ZipFile(pack) as source:
        members = {name: source.read(name) for name in source.namelist()}
    change(members)
    with ZipFile(pack, "w") as target:
        for name, value in members.items():
            target.writestr(name, value)
    return pack


def other_weights(members: dict[str, bytes]) -> None:
    members["models/liver/weights.safetensors"] = members["models/liver/weights.safetensors"][:-1] + b"x"


def newer(members: dict[str, bytes]) -> None:
    members["manifest.json"] = json.dumps(json.loads(members["manifest.json"]) | {"format": 2}).encode()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (other_weights, "is not the file that was packed; copy the pack again"),
        (lambda members: members.update({"models/liver/extra.txt": b""}), "'models/liver/extra.txt' is not both"),
        (lambda members: members.pop("models/liver/model.json"), "'models/liver/model.json' is not both"),
        (lambda members: members.pop("manifest.json"), r"is no pack of models, it has no manifest.json"),
        (lambda members: members.update({"manifest.json": b"[]"}), "is not that of a pack"),
        (
            lambda members: members.update({"manifest.json": b'{"format": 1, "models": [["x"]], "files": {}}'}),
            "is not that of a pack",
        ),
        (newer, "of the newer format 2; update DeepSegment"),
        (lambda members: members.update({"../models/liver/model.json": b""}), "points outside the archive"),
    ],
)
def test_packs_that_were_changed_are_refused(
    user: Path, move: Move, tmp_path: Path, change: Callable[[dict[str, bytes]], None], told: str
) -> None:
    pack_models(["liver"], tmp_path / "p.zip")
    rewritten(tmp_path / "p.zip", change)
    move()
    with pytest.raises(ModelError, match=told):
        unpack_models(tmp_path / "p.zip")
    assert added() == []


def test_a_model_alone_is_no_pack(user: Path, move: Move, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "liver"), "zip", user / "liver")
    move()
    with pytest.raises(ModelError, match=r"is no pack of models.*models add"):
        unpack_models(Path(archive))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_pack_with_one_bit_turned_over_is_refused_or_the_same(
    user: Path, move: Move, tmp_path: Path, place: float, bit: int
) -> None:
    if not (tmp_path / "good.zip").exists():
        pack_models(["liver"], tmp_path / "good.zip")
        move()
    damaged = bytearray((tmp_path / "good.zip").read_bytes())
    damaged[int(place * len(damaged))] ^= 1 << bit
    (tmp_path / "p.zip").write_bytes(damaged)
    try:
        unpack_models(tmp_path / "p.zip")
    except DeepSegmentError:
        assert added() == []
    else:
        assert content(find_model("liver").path) == content(user / "liver")
        remove_model("liver")


def test_terms_are_asked_where_they_come_out(user: Path, move: Move, tmp_path: Path) -> None:
    save_model(user / "nc", model_spec(name="nc", license="CC-BY-NC-4.0"), UNet(TINY_UNET), card="")
    pack_models(["nc"], tmp_path / "p.zip")
    move()
    with pytest.raises(LicenceError, match="not for commercial use"):
        unpack_models(tmp_path / "p.zip")
    assert unpack_models(tmp_path / "p.zip", agrees=lambda _: True).added[0].name == "nc"


def wheel(folder: Path, name: str) -> None:
    folder.mkdir(exist_ok=True)
    with ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", "")
        file.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        file.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{name}-1.0.dist-info/RECORD", "")


def test_wheels_of_a_folder_go_along(user: Path, move: Move, tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "somewhat")
    with pytest.raises(InvalidInputError, match="holds no wheels"):
        pack_models(["liver"], tmp_path / "p.zip", wheels=str(user))
    packed = pack_models(["liver"], tmp_path / "p.zip", wheels=str(tmp_path / "wheels"))
    assert packed.wheels == ("somewhat-1.0-py3-none-any.whl",)
    move()
    assert unpack_models(tmp_path / "p.zip").wheels == 1
    subprocess.run([sys.executable, "-m", "zipfile", "-e", tmp_path / "p.zip", tmp_path / "out"], check=True)
    command = "pip install --no-index --find-links packed/wheels packed/wheels/*.whl"
    assert command in (tmp_path / "out" / "README.txt").read_text()
    assert (tmp_path / "out" / "wheels" / "somewhat-1.0-py3-none-any.whl").is_file()


def test_pip_downloads_the_wheels(user: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a folder here, which is pip's index of this test."""
    for name in ("first", "second"):
        wheel(tmp_path / "index", name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    wanted = ["first>=1.0", "second", 'third; extra == "x"']
    monkeypatch.setattr(module, "requires", lambda _: wanted)
    packed = pack_models(["liver"], tmp_path / "p.zip", wheels="download")
    assert packed.wheels == ("first-1.0-py3-none-any.whl", "second-1.0-py3-none-any.whl")
    monkeypatch.setattr(module, "requires", lambda _: ["fourth"])
    with pytest.raises(MissingPackageError, match=r"pip cannot download the wheels .*fourth"):
        pack_models(["liver"], tmp_path / "q.zip", wheels="download")
