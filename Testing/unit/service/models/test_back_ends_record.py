"""The record of which back ends were fastest."""

import json
import os
from dataclasses import replace

import pytest
from model_examples import TINY_UNET, model_spec

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.models import save_model
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.back_ends.engine import versions
from DeepSegmentLib.networks.stage_spec import WeightsFile
from DeepSegmentLib.service.models import back_ends_record
from DeepSegmentLib.service.models.back_ends_record import BackEndsRecord, back_ends_file, is_chosen, load_model


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty data folder of the user."""
    monkeypatch.setattr(back_ends_record, "user_folder", lambda: tmp_path / "DeepSegment")


def test_what_is_kept_is_known_again():
    assert BackEndsRecord().known("model a") is None
    BackEndsRecord().keep("model a", "openvino float32")
    BackEndsRecord().keep("model b", "torch float32")
    BackEndsRecord().keep("model a", "openvino bfloat16")
    assert BackEndsRecord().known("model a") == "openvino bfloat16"
    assert BackEndsRecord().known("model b") == "torch float32"
    assert [path.name for path in back_ends_file().parent.iterdir()] == ["back-ends.json"]


@pytest.mark.parametrize("damage", [b"", b"\x80", b"{", b"[]", b"7", b"[" * 100_000, b'{"a": 3}', b'{"a": ["b"]}'])
def test_a_damaged_record_is_begun_anew(damage):
    back_ends_file().parent.mkdir()
    back_ends_file().write_bytes(damage)
    assert BackEndsRecord().known("a") is None
    BackEndsRecord().keep("a", "torch float32")
    assert BackEndsRecord().known("a") == "torch float32"


@pytest.mark.skipif(os.name != "posix", reason="pipes are those of POSIX")
def test_a_record_that_is_no_small_file_is_not_read():
    back_ends_file().parent.mkdir()
    os.mkfifo(back_ends_file())
    assert BackEndsRecord().known("a") is None
    BackEndsRecord().keep("a", "torch float32")
    assert BackEndsRecord().known("a") is None


def test_a_record_that_cannot_be_written_is_left():
    back_ends_file().parent.write_text("a file where the folder should be")
    BackEndsRecord().keep("a", "torch float32")
    assert BackEndsRecord().known("a") is None


def test_the_record_stays_small():
    for n in range(back_ends_record._MOST_ENTRIES + 5):
        BackEndsRecord().keep(str(n), "torch float32")
    assert len(json.loads(back_ends_file().read_text())) == back_ends_record._MOST_ENTRIES
    assert BackEndsRecord().known("0") is None


def test_models_are_loaded_for_a_precision(tmp_path):
    save_model(tmp_path / "model", model_spec(), UNet(TINY_UNET), card="")
    assert load_model(tmp_path / "model", "cpu", "float32").engine == ""
    with pytest.raises(InvalidInputError, match="unknown precision 'half'"):
        load_model(tmp_path / "model", "cpu", "half")


def test_what_an_engine_keeps_is_known_without_torch():
    """The record is read by its words alone: this holds them to what `ChosenBackEnd` writes."""
    torch = pytest.importorskip("torch")
    from DeepSegmentLib.networks.back_ends.choice import ChosenBackEnd
    from DeepSegmentLib.networks.back_ends.engine import Engine

    stage = model_spec(weights=(WeightsFile("weights.safetensors", "1e" * 32),)).stages[0]
    assert not is_chosen([stage])
    engine = Engine("float32", BackEndsRecord(), weights_sha256=stage.weights[0].sha256)
    chosen = ChosenBackEnd(torch.nn.Conv3d(1, 2, 3, padding=1), engine, None)
    BackEndsRecord().keep(chosen._key(), "torch float32")
    assert is_chosen([stage])
    assert not is_chosen([stage, replace(stage, weights=(WeightsFile("others.safetensors", "0f" * 32),))])


def test_after_an_update_of_torch_nothing_is_known(monkeypatch):
    stage = model_spec(weights=(WeightsFile("weights.safetensors", "1e" * 32),)).stages[0]
    BackEndsRecord().keep(f"{stage.weights[0].sha256} 1x1x8x8x8 checked; {versions()}", "torch float32")
    assert is_chosen([stage])
    monkeypatch.setattr(back_ends_record, "versions", lambda: "torch 99.0, openvino none")
    assert not is_chosen([stage])
