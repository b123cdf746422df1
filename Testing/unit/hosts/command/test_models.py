"""`deepsegment models`: found, got, added, moved and removed by commands; what is asked, told and left."""

import io
import json
import os
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from local_web import certificate, https_context, local_web, whole
from model_examples import TINY_UNET, model_spec

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.files.models import save_model
from DeepSegmentLib.files.models.known_models import Download, KnownModel, read_known_models
from DeepSegmentLib.files.volumes import write_volume
from DeepSegmentLib.hosts.command.main import main
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.service.models import get_model as get_model_module


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("DEEPSEGMENT_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def source(user: Path, tmp_path: Path) -> Path:
    """A zip of a model for non-commercial use."""
    save_model(tmp_path / "m", model_spec(name="liver", license="CC-BY-NC-4.0"), UNet(TINY_UNET), card="# Liver\n")
    return Path(shutil.make_archive(str(tmp_path / "liver"), "zip", tmp_path / "m"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> Terminal:
    """A user at a terminal who says this."""
    told = Terminal()
    monkeypatch.setattr(sys, "stdin", Terminal(text))
    monkeypatch.setattr(sys, "stderr", told)
    return told


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["models", *map(str, words)])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_add_tells_what_it_is_and_info_shows_it(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "add", source, "--name", "mine", "--accept-licence")
    assert (code, out.startswith("added mine 1.0: DeepSegment model, ")) == (0, True)
    code, out, _ = run(capsys, "info", "MINE")
    assert code == 0
    for line in (
        "kind: DeepSegment model",
        "1 weights file",
        "network: unet, 3D, patches of 8 x 8 x 8 voxels at 1 x 1",
    ):
        assert line in out
    _, out, _ = run(capsys, "info", "mine", "--json")
    assert json.loads(out)["kind"] == "DeepSegment model"
    code, _, err = run(capsys, "info", "mime")
    assert (code, "did you mean mine?" in err) == (4, True)
    code, out, _ = run(capsys, "remove", "mine")
    assert (code, out.startswith("removed mine, ")) == (0, True)


def test_terms_are_asked_at_a_terminal_only(
    source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = run(capsys, "add", source)
    assert (code, "--accept-licence" in err) == (4, True)
    for text in ("n\n", "\n", ""):
        told = answer(monkeypatch, text)
        assert main(["models", "add", str(source)]) == 4
        assert "liver: licence CC-BY-NC-4.0: not for commercial use. Do you agree? [y/N]" in told.getvalue()
    answer(monkeypatch, "y\n")
    assert main(["models", "add", str(source), "--json"]) == 4
    assert main(["models", "add", str(source)]) == 0
    told = answer(monkeypatch, "")
    assert main(["models", "add", str(source), "--name", "second"]) == 0
    assert "agree" not in told.getvalue()


def test_a_taken_name_is_told_with_the_remedy(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "add", source, "--accept-licence")[0] == 0
    code, _, err = run(capsys, "add", source)
    assert (code, "(--name)" in err) == (4, True)


def test_a_pack_moves_models(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(capsys, "add", source, "--accept-licence")
    code, out, _ = run(capsys, "pack", "liver", tmp_path / "p.zip")
    assert (code, "p.zip: liver, " in out) == (0, True)
    code, _, err = run(capsys, "pack", tmp_path / "p.zip")
    assert (code, "name at least one model" in err) == (2, True)
    code, _, err = run(capsys, "add", tmp_path / "p.zip")
    assert (code, "deepsegment models unpack" in err) == (2, True)
    monkeypatch.setenv("DEEPSEGMENT_MODELS", str(tmp_path / "there"))
    assert run(capsys, "unpack", tmp_path / "p.zip")[:2] == (0, "added liver 1.0\n")
    assert run(capsys, "unpack", tmp_path / "p.zip")[:2] == (0, "liver was here already\n")
    assert json.loads(run(capsys, "unpack", tmp_path / "p.zip", "--json")[1]) == {
        "added": [], "known": ["liver"], "wheels": 0,
    }  # fmt: skip


def test_what_is_known_is_found_by_words(user: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "available", "liver", "mr")
    assert (code, "totalseg-total_mr" in out, "totalseg-total " in out) == (0, True, False)
    (first, *_) = json.loads(run(capsys, "available", "spleen", "--json")[1])
    assert {"name", "licence", "files", "structures", "installed", "begun_bytes"} <= first.keys()
    assert run(capsys, "available", "no", "such", "organ")[:2] == (
        0,
        "no known model tells of that; fewer words find more, and none all\n",
    )
    assert "by hand" in run(capsys, "available", "totalseg-face")[1]
    code, out, _ = run(capsys, "info", "TOTALSEG-total")
    assert (code, "not here yet; get it: deepsegment models get totalseg-total" in out) == (0, True)
    assert (" liver, " in out, "licence Apache-2.0" in out, "please cite: " in out) == (True, True, True)
    assert json.loads(run(capsys, "info", "totalseg-total", "--json")[1])["files"]
    code, _, err = run(capsys, "get", "totalseg")
    assert (code, "totalseg-total? (`deepsegment models available`" in err) == (4, True)


def test_a_stopped_download_is_told_to_be_kept(
    user: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(get_model_module, "get_model", stopped)
    code, _, err = run(capsys, "get", "totalseg-total")
    assert (code, "stopped; what was downloaded is kept, and the same command goes on there" in err) == (130, True)


def test_a_known_model_is_got_and_another_file_asked_about(
    source: Path, user: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = certificate(tmp_path)
    if made is None:
        pytest.skip("no openssl command to make a certificate with")
    monkeypatch.setenv("SSL_CERT_FILE", str(made[0]))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("DEEPSEGMENT_CATALOGUE", str(tmp_path / "lists"))
    with local_web(https_context(*made)) as web:
        known = KnownModel(
            "spleen", "Spleen", "Somebody", "x", (Download(f"{web.address}/m.zip"),), "CC0-1.0", "", False, False, "",
            "CT", ("spleen",), "", None, "", "The spleen.",
        )  # fmt: skip
        (tmp_path / "lists").mkdir()
        document = {"read_from": [], "left_out": "", "models": [asdict(known)]}
        (tmp_path / "lists" / "a.json").write_text(json.dumps(document))
        read_known_models.cache_clear()
        web.serve("/m.zip", whole(source.read_bytes()))
        code, out, err = run(capsys, "get", "spleen")
        assert (code, out.startswith("added spleen 1.0")) == (0, True)
        assert "download spleen ..." in err
        code, _, err = run(capsys, "get", "SPLEEN")
        assert (code, "spleen is here already; to get it anew, remove it first" in err) == (4, True)
        assert run(capsys, "remove", "spleen")[0] == 0
        web.serve("/m.zip", whole(source.read_bytes() + b"\0"))
        code, _, err = run(capsys, "get", "spleen")
        assert (code, "--accept-change" in err) == (4, True)
        told = answer(monkeypatch, "yes\n")
        assert main(["models", "get", "spleen"]) == 0
        assert "Take it? [y/N]" in told.getvalue()
    read_known_models.cache_clear()


def test_fast_takes_the_faster_model_or_tells_how_to_get_it(
    user: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = Volume(np.zeros((1, 9, 9, 9), np.float32), Geometry.from_spacing((9, 9, 9), (1, 1, 1)))
    write_volume(volume, tmp_path / "head.nrrd")
    save_model(user / "whole", model_spec(name="whole", coarse_model="coarse"), UNet(TINY_UNET), card="")
    command = ["segment", str(tmp_path / "head.nrrd"), str(tmp_path / "out.seg.nrrd"), "--model", "whole", "--fast"]
    assert main([*command, "--device", "cpu"]) == 4
    assert "deepsegment models get coarse" in capsys.readouterr().err
    save_model(user / "coarse", model_spec(name="coarse"), UNet(TINY_UNET), card="")
    assert main([*command, "--device", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"]["name"] == "coarse"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes are those of POSIX")
def test_a_pipe_is_not_waited_for(user: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe.zip")
    code, _, err = run(capsys, "add", tmp_path / "pipe.zip")
    assert (code, "is no plain file" in err) == (4, True)
