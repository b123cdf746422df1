"""Models that want memory, time, or files that are not theirs: refused by name, before anything is made."""

import hashlib
import json
import os
import shutil
import time
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_examples import TINY_UNET, model_spec, stage_of
from safetensors.numpy import save as to_safetensors

from DeepSegmentLib.errors import ModelError, ResourceError
from DeepSegmentLib.files.models import (
    CARD_FILE,
    SPEC_FILE,
    WEIGHTS_FILE,
    copy_model,
    load_model,
    read_card,
    read_spec,
    save_model,
    verify_model,
    weights,
)
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.runtime import weights_of

posix = pytest.mark.skipif(os.name != "posix", reason="pipes and links are those of POSIX")

NASTY = [
    None, True, -1, 0, 1 << 31, 10**18, 10**30, 10**4000, 1e308, -1e-320, "", "\ud800", "x" * 100_000, [], {}, [[]],
    [10**9] * 3, [0, 0, 0], [-1, -1, -1], list(range(50_000)), {"a" * 5000: "\ud800"},
    json.loads("[" * 90 + "]" * 90), ["\x1b[31m"] * 1000,
]  # fmt: skip


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A good model folder; copied, never changed."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "tiny-brain"
    save_model(folder, model_spec(), UNet(TINY_UNET), card="# Tiny brain\n")
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """A good model folder to change."""
    return shutil.copytree(saved, tmp_path / "tiny-brain")


def paths_in(value, path=()):
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(*path, key) for key, _ in entries] + [
        found for key, entry in entries for found in paths_in(entry, (*path, key))
    ]


@given(st.data())
def test_any_value_anywhere_is_taken_or_refused_at_once_and_in_few_words(saved, tmp_path_factory, data):
    document = json.loads((saved / SPEC_FILE).read_text())
    *way, last = data.draw(st.sampled_from(paths_in(document)))
    place = document
    for key in way:
        place = place[key]
    place[last] = data.draw(st.sampled_from(NASTY))
    folder = tmp_path_factory.mktemp("m")
    (folder / SPEC_FILE).write_text(json.dumps(document))
    start = time.process_time()
    refusal = ""
    try:
        read_spec(folder)
    except ModelError as error:
        refusal = str(error)
    assert len(refusal) < 1500 + len(str(folder))
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch_shape": [10**9] * 3}, "patch_shape may have at most 1073741824 voxels"),
        ({"spacing_mm": [1e-9, 1, 1]}, r"spacing_mm must be three lengths from 0\.001 to 1000 mm"),
        ({"features": [10**9, 4]}, "at most 65536 channels or features, this one has 1000000000"),
        ({"features": [4] * 17, "kernel_sizes": [[3] * 3] * 17, "strides": [[1] * 3] * 17, "encoder_blocks": [1] * 17,
          "decoder_blocks": [1] * 16}, "at most 16 stages"),
        ({"encoder_blocks": [1, 10**6]}, "at most 100 blocks in a stage"),
        ({"kernel_sizes": [[3, 3, 3], [10**9 + 1, 3, 3]]}, "at most 31 voxels along a kernel"),
        ({"strides": [[1, 1, 1], [4096, 1, 1]]}, "at most 1024 times down-sampling"),
        ({"format_version": -(10**30)}, r"format_version must be a whole number below 2\^63"),
    ],
)  # fmt: skip
def test_what_no_network_is_is_named(folder, changes, message):
    document = json.loads((folder / SPEC_FILE).read_text())
    for key, value in changes.items():
        stage = stage_of(document)
        next(place for place in (document, stage, stage["network"]) if key in place)[key] = value
    (folder / SPEC_FILE).write_text(json.dumps(document))
    with pytest.raises(ModelError, match=message):
        read_spec(folder)


@posix
@pytest.mark.parametrize("name", [SPEC_FILE, WEIGHTS_FILE, CARD_FILE])
@pytest.mark.parametrize("kind", ["pipe", "link out", "broken link", "loop", "device"])
def test_what_is_no_plain_file_of_the_folder_is_not_opened(folder, tmp_path, name, kind):
    (tmp_path / "secret").write_text("secret")
    (folder / name).unlink()
    targets = {"link out": tmp_path / "secret", "broken link": "nowhere", "loop": name, "device": "/dev/zero"}
    if kind == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).symlink_to(targets[kind])
    if name == CARD_FILE:
        assert read_card(folder) == ""
    for read in (verify_model, lambda path: copy_model(path, tmp_path / "copy")):
        if name == CARD_FILE and read is verify_model:
            continue
        with pytest.raises(ModelError, match=rf"{name} cannot be read: .*(pipe|link|does not exist|loop|levels)"):
            read(folder)
    assert not (tmp_path / "copy").exists()


@posix
def test_a_link_to_a_file_of_the_folder_is_followed(folder):
    (folder / WEIGHTS_FILE).rename(folder / "v2.safetensors")
    (folder / WEIGHTS_FILE).symlink_to("v2.safetensors")
    assert load_model(folder, "cpu").spec.name == "tiny-brain"


@posix
def test_a_linked_folder_is_a_model(folder, tmp_path):
    (tmp_path / "linked").symlink_to(folder)
    assert verify_model(tmp_path / "linked").name == "tiny-brain"


def set_weights(folder, content):
    (folder / WEIGHTS_FILE).write_bytes(content)
    document = json.loads((folder / SPEC_FILE).read_text())
    stage_of(document)["weights"][0]["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / SPEC_FILE).write_text(json.dumps(document))


def with_table(table, rest=b""):
    return len(table).to_bytes(8, "little") + table + rest


@pytest.mark.parametrize(
    "content",
    [
        with_table(b"[" * 200_000),
        with_table(b'{"a":' * 200_000),
        with_table(b'{"a":{},"a":{}}'),
        with_table(b" " * (5 << 20)),
        with_table(b'{"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,4]}}', b"0000"),
        with_table(b'{"a":{"dtype":"F32","shape":[1073741824],"data_offsets":[0,4294967296]}}', b"0000"),
        with_table(b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', b"0000"),
        with_table(b'{"a":{"dtype":"F32","shape":[0,' + b"1," * 80 + b'1],"data_offsets":[0,0]}}'),
    ],
    ids=range(8),
)
def test_tables_of_weights_that_lie_are_refused(folder, content):
    set_weights(folder, content)
    with pytest.raises(ModelError, match="no intact safetensors file"):
        verify_model(folder)


def test_weights_that_are_not_those_recorded_are_never_held(folder):
    with (folder / WEIGHTS_FILE).open("wb") as file:
        file.truncate(300 << 20)  # takes no room on the disk
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match="SHA-256"):
            verify_model(folder)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_a_file_that_is_larger_than_any_model_is_not_read(folder):
    with (folder / WEIGHTS_FILE).open("wb") as file:
        file.truncate(5 << 30)
    with pytest.raises(ModelError, match="5368709120 bytes, more than"):
        verify_model(folder)


def test_weights_that_do_not_fit_into_memory_are_not_read(folder, monkeypatch):
    monkeypatch.setattr(weights, "available_memory_bytes", lambda: 1000)
    with pytest.raises(ResourceError, match=r"GB of memory, .* are free"):
        verify_model(folder)


def test_a_network_larger_than_its_weights_is_never_built(folder):
    """Thousands of features would take gigabytes; the file has kilobytes."""
    document = json.loads((folder / SPEC_FILE).read_text())
    stage_of(document)["network"]["features"] = [65536, 65536]
    (folder / SPEC_FILE).write_text(json.dumps(document))
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match="must have shape"):
            load_model(folder, "cpu")
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_weights_that_hold_no_numbers_are_refused(folder):
    changed = weights_of(UNet(TINY_UNET))
    next(iter(changed.values())).fill(np.nan)
    set_weights(folder, to_safetensors(changed))
    with pytest.raises(ModelError, match="NaN or infinite"):
        load_model(folder, "cpu")
