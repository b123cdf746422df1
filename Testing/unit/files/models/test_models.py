"""Model folders: what is written comes back, what is damaged is refused, nothing is ever half there."""

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_examples import TINY_UNET, model_spec, random_patches, stage_spec, unet_specs
from safetensors.numpy import save as to_safetensors

from DeepSegmentLib.data import Segment
from DeepSegmentLib.errors import ChecksumError, InvalidInputError, ModelError, ResourceError
from DeepSegmentLib.files.models import (
    CARD_FILE,
    SPEC_FILE,
    WEIGHTS_FILE,
    copy_model,
    load_model,
    problem_with_weights,
    read_spec,
    save_model,
    verify_model,
    write_model,
)
from DeepSegmentLib.networks import runtime
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.model_json import spec_from_json, spec_to_json
from DeepSegmentLib.networks.model_spec import Channel, ModelSpec, Part, with_weights
from DeepSegmentLib.networks.runtime import TorchNetwork, module_from_weights, on_array, weights_of
from DeepSegmentLib.networks.stage_spec import WeightsFile
from DeepSegmentLib.networks.unet_spec import UNetSpec


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good model folder; copied, never changed."""
    folder = tmp_path_factory.mktemp("models") / "tiny-brain"
    save_model(folder, model_spec(), UNet(TINY_UNET), card="# Tiny brain\n")
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A good model folder to damage."""
    return shutil.copytree(saved, tmp_path / "tiny-brain")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def set_weights(folder: Path, content: bytes) -> None:
    """Exchange the weights and the checksum with them."""
    (folder / WEIGHTS_FILE).write_bytes(content)
    edit_stage(folder, weights=[{"file": WEIGHTS_FILE, "sha256": hashlib.sha256(content).hexdigest()}])


def edit_spec(folder: Path, **changes: Any) -> None:
    document = json.loads((folder / SPEC_FILE).read_text("utf-8")) | changes
    (folder / SPEC_FILE).write_text(json.dumps(document), "utf-8")


def edit_stage(folder: Path, **changes: Any) -> None:
    parts = json.loads((folder / SPEC_FILE).read_text("utf-8"))["parts"]
    parts[0]["stages"][0] |= changes
    edit_spec(folder, parts=parts)


def spec_for(network: UNetSpec) -> Any:
    first = model_spec().channels[0]
    channels = tuple(replace(first, name=str(n)) for n in range(network.in_channels))
    segments = tuple(Segment(f"région {n}", n) for n in range(1, network.out_channels + 1))
    shape = (8, 8, 8) if network.dimensions == 3 else (1, 8, 8)
    return model_spec(network=network, channels=channels, segments=segments, output="regions", patch_shape=shape)


@given(unet_specs(), st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=9))
def test_save_and_load_is_identity(tmp_path_factory: pytest.TempPathFactory, network: UNetSpec, card: str) -> None:
    folder = tmp_path_factory.mktemp("m") / "model"
    unet = UNet(network)
    written = save_model(folder, spec_for(network), unet, card=card)
    model = load_model(folder, "cpu")
    assert model.spec == written == read_spec(folder) == verify_model(folder)
    assert with_weights(written, iter([""])) == spec_for(network)
    assert (folder / CARD_FILE).read_text("utf-8") == card
    patches = random_patches(1, network.in_channels, 4, 4, 4)
    np.testing.assert_array_equal(
        on_array(model.networks[0], patches), on_array(TorchNetwork(unet, network, torch.device("cpu")), patches)
    )


@given(unet_specs())
def test_half_is_half_the_size_and_as_good_as_half_numbers(
    tmp_path_factory: pytest.TempPathFactory, network: UNetSpec
) -> None:
    root = tmp_path_factory.mktemp("m")
    unet = UNet(network)
    for name in ("full", "half"):
        save_model(root / name, spec_for(network), unet, card="", half=name == "half")
    full, half = ((root / name / WEIGHTS_FILE).stat().st_size for name in ("full", "half"))
    assert full - half >= 2 * sum(parameter.numel() for parameter in unet.parameters()) - 64
    network_loaded = load_model(root / "half", "cpu").networks[0]
    assert isinstance(network_loaded, TorchNetwork)
    for name, weight in weights_of(network_loaded.module).items():
        expected = weights_of(unet)[name]
        assert weight.dtype == expected.dtype
        np.testing.assert_array_equal(weight, expected.astype(np.float16) if weight.dtype == np.float32 else expected)


def test_the_same_model_is_the_same_bytes(tmp_path: Path) -> None:
    unet = UNet(TINY_UNET)
    for name in "ab":
        save_model(tmp_path / name, model_spec(), unet, card="é\n")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted([SPEC_FILE, WEIGHTS_FILE, CARD_FILE])
    for name in (SPEC_FILE, WEIGHTS_FILE, CARD_FILE):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_reading_and_verifying_need_no_torch(saved: Path) -> None:
    code = (
        "import sys, pathlib; from DeepSegmentLib.files.models import verify_model;"
        "verify_model(pathlib.Path(sys.argv[1])); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(saved)], check=False).returncode == 0


# Saving: complete or not at all ------------------------------------------------------------------------------------


def spoiled(value: float) -> UNet:
    unet = UNet(TINY_UNET)
    with torch.no_grad():
        next(unet.parameters()).fill_(value)
    return unet


@pytest.mark.parametrize(
    ("network", "options", "error", "message"),
    [
        (UNet(replace(TINY_UNET, features=(4, 4))), {}, InvalidInputError, "describes another network"),
        (spoiled(float("nan")), {}, InvalidInputError, "'encoder.* is not finite as float32"),
        (spoiled(1e6), {"half": True}, InvalidInputError, "is not finite as float16"),
        (UNet(TINY_UNET), {"card": "\ud800"}, UnicodeEncodeError, "surrogates not allowed"),
    ],
)
def test_a_failed_save_leaves_nothing(
    tmp_path: Path, network: UNet, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        save_model(tmp_path / "m", model_spec(), network, **({"card": ""} | options))
    assert list(tmp_path.iterdir()) == []


def test_large_weights_are_fine_in_float32(tmp_path: Path) -> None:
    save_model(tmp_path / "m", model_spec(), spoiled(1e6), card="")
    verify_model(tmp_path / "m")


def test_a_model_is_not_overwritten(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(InvalidInputError, match=r"tiny-brain exists; remove it or choose another name"):
        save_model(folder, model_spec(), UNet(TINY_UNET), card="")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert list(folder.parent.iterdir()) == [folder]


def test_missing_parents_are_made(tmp_path: Path) -> None:
    save_model(tmp_path / "a" / "b", model_spec(), UNet(TINY_UNET), card="")
    assert verify_model(tmp_path / "a" / "b").name == "tiny-brain"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match=r"file.m cannot be written: "):
        save_model(tmp_path / "file" / "m", model_spec(), UNet(TINY_UNET), card="")


# Several weights files: members, stages, parts ----------------------------------------------------------------------


def two_parts() -> ModelSpec:
    """Two parts of one segment, the second of two members."""
    networks = replace(TINY_UNET, out_channels=2)
    first, second = (
        stage_spec(network=networks, weights=tuple(WeightsFile(f"{name}.safetensors") for name in names))
        for names in (("weights",), ("weights-2", "weights-3"))
    )
    return replace(model_spec(), parts=(Part(("left",), (first,)), Part(("right",), (second,))))


def members(count: int) -> list[dict[str, Any]]:
    torch.manual_seed(0)
    return [weights_of(UNet(replace(TINY_UNET, out_channels=2))) for _ in range(count)]


def test_members_and_parts_are_written_one_by_one_and_read_again(tmp_path: Path) -> None:
    arrays = members(3)
    written = write_model(tmp_path / "m", two_parts(), iter(arrays), card="# Two\n", license_text="CC0")
    assert verify_model(tmp_path / "m") == written
    assert (tmp_path / "m" / "LICENSE").read_text() == "CC0"
    assert len({file.sha256 for file in written.weights}) == 3
    one, two = load_model(tmp_path / "m", "cpu").networks
    patches = random_patches(1, 1, 4, 4, 4)
    alone = [
        on_array(
            TorchNetwork(module_from_weights(two_parts().stages[0].network, each), TINY_UNET, torch.device("cpu")),
            patches,
        )
        for each in arrays
    ]
    np.testing.assert_array_equal(on_array(one, patches), alone[0])
    np.testing.assert_allclose(on_array(two, patches), (alone[1] + alone[2]) / 2, atol=1e-6)
    copy_model(tmp_path / "m", tmp_path / "copy")
    assert contents(tmp_path / "copy") == contents(tmp_path / "m")


def test_on_several_devices_each_has_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path / "m", two_parts(), iter(members(3)), card="")
    write_model(tmp_path / "one", model_spec(), iter([weights_of(UNet(TINY_UNET))]), card="")
    alone = load_model(tmp_path / "m", "cpu").networks
    monkeypatch.setattr(runtime, "choose_devices", lambda _: (torch.device("cpu"),) * 3)
    model, patches = load_model(tmp_path / "m", "cuda"), random_patches(1, 1, 4, 4, 4)
    assert model.device == "cpu, cpu, cpu"
    assert [len(runtime.copies_of(network)) for network in model.networks] == [3, 3]
    for network, expected in zip(model.networks, alone, strict=True):
        for copy in runtime.copies_of(network):
            np.testing.assert_array_equal(on_array(copy, patches), on_array(expected, patches))
    assert len({id(copy) for copy in runtime.copies_of(load_model(tmp_path / "one", "cuda").networks[0])}) == 3


def test_a_part_is_read_when_it_runs_and_its_damage_is_told_then(tmp_path: Path) -> None:
    write_model(tmp_path / "m", two_parts(), iter(members(3)), card="")
    (tmp_path / "m" / "weights-3.safetensors").write_bytes(b"other")
    one, two = load_model(tmp_path / "m", "cpu").networks
    assert on_array(one, random_patches(1, 1, 4, 4, 4)).shape == (1, 2, 4, 4, 4)
    for read in (lambda: on_array(two, random_patches(1, 1, 4, 4, 4)), lambda: verify_model(tmp_path / "m")):
        with pytest.raises(ChecksumError, match="weights-3"):
            read()
    (tmp_path / "m" / "weights-2.safetensors").unlink()
    assert "weights-2.safetensors is missing" in problem_with_weights(
        tmp_path / "m", ["weights.safetensors", "weights-2.safetensors"]
    )


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (lambda: members(2), "3 weights files"),
        (lambda: members(4), "3 weights files"),
        (lambda: [*members(2), {}], "more blocks than the 0 weights"),
        (lambda: [*members(2), weights_of(UNet(TINY_UNET))], "must have shape"),
    ],
)
def test_weights_that_do_not_fit_the_spec_leave_nothing(
    tmp_path: Path, weights: Callable[[], list[Any]], message: str
) -> None:
    with pytest.raises((InvalidInputError, ModelError), match=message):
        write_model(tmp_path / "m", two_parts(), iter(weights()), card="")
    assert list(tmp_path.iterdir()) == []


def test_other_float_types_become_float32_and_truth_whole_numbers(tmp_path: Path) -> None:
    arrays = {name: weight.astype(np.float64) for name, weight in weights_of(UNet(TINY_UNET)).items()}
    write_model(tmp_path / "m", model_spec(), iter([arrays]), card="")
    network = load_model(tmp_path / "m", "cpu").networks[0]
    assert isinstance(network, TorchNetwork)
    assert {weight.dtype for weight in weights_of(network.module).values()} == {np.dtype(np.float32)}


def test_a_model_of_format_1_still_opens() -> None:
    bundled = Path(__file__).parents[4] / "Resources" / "Models" / "brain-mr"
    assert json.loads((bundled / SPEC_FILE).read_text("utf-8"))["format_version"] == 1
    spec = read_spec(bundled)
    assert [len(part.stages) for part in spec.parts] == [1]
    assert spec_from_json(spec_to_json(spec)) == spec


# Loading: every damage has its words -------------------------------------------------------------------------------


def replace_spec(content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / SPEC_FILE).write_bytes(content)


def spec_as_folder(folder: Path) -> None:
    (folder / SPEC_FILE).unlink()
    (folder / SPEC_FILE).mkdir()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, "model.json is missing; a model is a folder with model.json and weights.safetensors"),
        (lambda folder: (folder / SPEC_FILE).unlink(), "model.json is missing"),
        (spec_as_folder, "model.json cannot be read"),
        (replace_spec(b""), "model.json: not valid JSON .*again from its source"),
        (replace_spec(b"{"), "not valid JSON"),
        (replace_spec(b"\xff\xfe{"), "not valid JSON"),
        (replace_spec(b"[" * 100_000), "not valid JSON"),
        (replace_spec(b'{"name": "a", "name": "b"}'), "key 'name' appears twice"),
        (replace_spec(b"1" * 5000), "not valid JSON"),
        (replace_spec(b"null"), "model must be an object"),
        (replace_spec(b" " * (5 << 20)), "model.json has 5242880 bytes, more than"),
        (lambda folder: edit_spec(folder, format_version=3), "newer than 2, .*update DeepSegment"),
        (lambda folder: edit_spec(folder, format_version="1"), "format_version must be a whole number"),
        (lambda folder: edit_spec(folder, surprise=1), "model.json: model: unknown key 'surprise'"),
        (lambda folder: edit_stage(folder, spacing_mm=[1, 1, float("nan")]), "NaN is no number in JSON"),
    ],
)
def test_a_damaged_spec_is_refused(folder: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(folder)
    for read in (read_spec, verify_model, lambda path: load_model(path, "cpu")):
        with pytest.raises(ModelError, match=message) as caught:
            read(folder)
        assert str(folder / SPEC_FILE) in str(caught.value)


def changed_weights(**changes: Any) -> bytes:
    weights = weights_of(UNet(TINY_UNET)) | changes
    return to_safetensors({name: weight for name, weight in weights.items() if weight is not None})


class Payload:
    """Leaves a mark when it is unpickled."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("pwned"),)


def with_header(header: bytes, length: int | None = None) -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little") + header


HEAD = {"decoder.0.head.bias": np.zeros(3)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no intact safetensors file"),
        (b"\x00" * 8, "no intact safetensors file"),
        (changed_weights()[:-10], "no intact safetensors file"),
        (changed_weights()[:100], "no intact safetensors file"),
        (changed_weights() + b"x", "no intact safetensors file"),
        (with_header(b"{}", 2**63), "no intact safetensors file"),
        (with_header(b"{}", 99_000_000), "no intact safetensors file"),
        (with_header(b"[1, 2]"), "no intact safetensors file"),
        (with_header(b'{"a":{"dtype":"F32","shape":[99999999999],"data_offsets":[0,4]}}') + b"0000", "no intact"),
        (with_header(b'{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}') + b"0000", "'a' has the type BF16"),
        (pickle.dumps(Payload()), "no intact safetensors file"),
    ],
    ids=range(11),
)
def test_damaged_weights_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    monkeypatch.chdir(folder.parent)
    set_weights(folder, content)
    for read in (verify_model, lambda path: load_model(path, "cpu")):
        with pytest.raises(ModelError, match=message) as caught:
            read(folder)
        assert str(folder / WEIGHTS_FILE) in str(caught.value)
    assert not Path("pwned").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decoder.0.head.bias": None}, "'decoder.0.head.bias' is missing"),
        ({"more": np.zeros(2, np.float32)}, "'more' is not part of the network"),
        ({"nothing": np.zeros((0, 3), np.float32)}, "'nothing' is not part of the network"),
        ({"decoder.0.head.bias": np.zeros(4, np.float32)}, r"must have shape \(3,\), got \(4,\)"),
        ({"decoder.0.head.bias": np.zeros(3, np.int64)}, "unsupported type int64"),
        ({"decoder.0.head.bias": np.array([0, np.inf, 0], np.float32)}, "NaN or infinite"),
        ({"decoder.0.head.bias": np.array([0, np.nan, 0], np.float16)}, "NaN or infinite"),
    ],
)
def test_weights_of_another_network_are_refused(folder: Path, changes: dict[str, Any], message: str) -> None:
    set_weights(folder, changed_weights(**changes))
    with pytest.raises(ModelError, match=rf"weights.safetensors: weight {'.*' + message}.*again from its source"):
        load_model(folder, "cpu")


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_any_changed_byte_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, saved: Path, place: int, by: int
) -> None:
    folder = shutil.copytree(saved, tmp_path_factory.mktemp("m") / "m")
    content = bytearray((folder / WEIGHTS_FILE).read_bytes())
    content[place % len(content)] ^= by
    (folder / WEIGHTS_FILE).write_bytes(content)
    recorded, found = read_spec(saved).weights_sha256, hashlib.sha256(content).hexdigest()
    for read in (verify_model, lambda path: load_model(path, "cpu")):
        with pytest.raises(ChecksumError, match=f"SHA-256 {found}, but model.json says {recorded}"):
            read(folder)


def test_missing_weights_and_missing_checksums_are_refused(folder: Path) -> None:
    edit_stage(folder, weights=[{"file": WEIGHTS_FILE}])
    with pytest.raises(ModelError, match="has no checksum"):
        load_model(folder, "cpu")
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(ModelError, match=r"weights\.safetensors is missing"):
        load_model(folder, "cpu")


def test_a_missing_device_is_a_resource_error(saved: Path) -> None:
    with pytest.raises(ResourceError, match="'cuda:99' is not there"):
        load_model(saved, "cuda:99")


def test_two_channels_keep_their_order(tmp_path: Path) -> None:
    network = replace(TINY_UNET, in_channels=2)
    first = model_spec().channels[0]
    spec = model_spec(network=network, channels=(first, Channel("T2w", "MR")))
    save_model(tmp_path / "m", spec, UNet(network), card="")
    assert [channel.name for channel in read_spec(tmp_path / "m").channels] == ["T1w", "T2w"]


@pytest.mark.skipif(os.name != "posix", reason="limits of files are those of POSIX")
def test_weights_that_have_no_room_are_told(tmp_path):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(ResourceError, match=r"weights\.safetensors cannot be written .*make room"):
            save_model(tmp_path / "m", model_spec(), UNet(TINY_UNET), card="")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
