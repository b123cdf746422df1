"""Checkpoints of others: weights and numbers come out as torch wrote them, and nothing in them runs."""

import os
import pickle
import sys
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from bad_inputs.foreign.checkpoints import CHECKPOINTS, use
from bad_inputs.foreign.pickles import (
    CALLS,
    CANARY,
    attack,
    called,
    named,
    old_format,
    tensor,
    tensors,
    text,
    zip_format,
)
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.errors import DeepSegmentError, MissingPackageError, ModelError
from DeepSegmentLib.files.models.checkpoints import read_checkpoint, state_arrays

KINDS = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool]
both_formats = pytest.mark.parametrize("in_zip", [True, False], ids=["zip", "old"])


def written(path, content, *, in_zip=True):
    torch.save(content, path, _use_new_zipfile_serialization=in_zip)
    return path


@given(st.sampled_from(KINDS), st.lists(st.integers(0, 3), max_size=3), st.booleans(), st.booleans())
def test_weights_come_back(tmp_path_factory, kind, shape, in_zip, turned):
    tensor = (torch.randn(shape) * 9).to(kind)
    tensor = tensor.permute(tuple(reversed(range(tensor.ndim)))) if turned else tensor
    path = written(tmp_path_factory.mktemp("c") / "m.pth", {"w": tensor}, in_zip=in_zip)
    array = state_arrays(read_checkpoint(path))["w"]
    expected = (tensor.float() if kind.is_floating_point else tensor).numpy()
    assert array.dtype == expected.dtype
    np.testing.assert_array_equal(array, expected)


@both_formats
def test_numbers_of_numpy_are_plain_numbers(tmp_path, in_zip):
    """Also where NumPy 1 wrote them, whose modules had other names."""
    content = {
        "best": np.float32(0.5),
        "epoch": np.int64(7),
        "done": np.bool_(True),
        "logging": {"dice": [np.float64(0.25)] * 3},
        "curve": np.arange(6.0).reshape(2, 3).T,
        "big_endian": np.array([1, 2], ">i4"),
        "device": torch.device("cuda"),
        "order": OrderedDict(a=1),
    }
    for rename in (b"numpy._core", b"numpy.core"):
        path = written(tmp_path / "m.pth", content, in_zip=in_zip)
        if not in_zip:
            path.write_bytes(path.read_bytes().replace(b"numpy._core", rename))
        read = read_checkpoint(path)
        assert (read["best"], read["epoch"], read["done"]) == (0.5, 7, True)
        assert {type(read[key]) for key in ("best", "epoch", "done")} == {float, int, bool}
        assert read["logging"] == {"dice": [0.25] * 3}
        np.testing.assert_array_equal(read["curve"], content["curve"])
        np.testing.assert_array_equal(read["big_endian"], [1, 2])
        assert read["device"].type == "cuda"


def test_shared_storages_and_parameters(tmp_path):
    shared = torch.arange(6.0)
    state = {"a": shared[:3], "b": shared[3:], "c": torch.nn.Parameter(shared.reshape(2, 3))}
    arrays = state_arrays(read_checkpoint(written(tmp_path / "m.pth", state)))
    np.testing.assert_array_equal(np.concatenate([arrays["a"], arrays["b"]]), arrays["c"].ravel())


def test_weights_of_a_zip_stay_on_the_disk(tmp_path):
    path = written(tmp_path / "m.pth", {"w": torch.ones(1000), "optimizer": torch.zeros(1 << 22)})
    content = read_checkpoint(path)
    assert np.shares_memory(state_arrays({"w": content["w"]})["w"], content["w"].numpy())
    mapped = Path("/proc/self/maps").read_text() if sys.platform == "linux" else str(path)
    assert str(path) in mapped


@both_formats
@pytest.mark.parametrize(
    "wrong", [{"shape": (8,)}, {"offset": 3}, {"shape": (1 << 40,), "steps": (0,)}, {"steps": (9,)}]
)
def test_a_view_of_more_than_there_is_is_refused(tmp_path, wrong, in_zip):
    claim = {"stored": 4, "shape": (4,), "steps": (1,)} | wrong
    content = tensors(w=tensor(**claim))
    path = tmp_path / "m.pth"
    storage = (4).to_bytes(8, "little") + bytes(16)
    keys = pickle.dumps(["0"], 2)
    path.write_bytes(
        zip_format(content, **{"data/0": bytes(16)}) if in_zip else old_format(content, keys=keys) + storage
    )
    with pytest.raises(ModelError, match=r"claims \d+ values, its storage has 4|no intact"):
        use(path, tmp_path)


def test_numpys_own_types_are_not_touched(tmp_path):
    """NumPy's `dtype.__setstate__` takes flags that let it free what it never owned."""
    flags = b"(K\x04" + text("<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3ftb"
    two = np.float64(2).tobytes().decode("latin1")
    kind = called("numpy.dtype", text("f8"), b"\x89", b"\x88") + flags
    number = called("numpy.core.multiarray.scalar", kind, called("_codecs.encode", text(two), text("latin1")))
    (tmp_path / "m.pth").write_bytes(zip_format(tensors(a=number)))
    assert read_checkpoint(tmp_path / "m.pth") == {"a": 2.0}
    assert np.dtype("f8").flags == np.dtype("f4").flags


def test_what_the_caller_allows(tmp_path):
    (tmp_path / "m.pth").write_bytes(zip_format(tensors(a=called("monai.utils.enums.Kind", text("x")))))
    allow = {"monai.utils.enums.Kind": str}
    assert read_checkpoint(tmp_path / "m.pth", allow) == {"a": "x"}
    with pytest.raises(ModelError, match=r"wants to call 'monai\.utils\.enums\.Kind'"):
        read_checkpoint(tmp_path / "m.pth")


def test_allowing_ends_with_the_reading(tmp_path):
    before = set(torch.serialization.get_safe_globals())
    read_checkpoint(written(tmp_path / "m.pth", {"a": np.float32(1)}))
    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize(
    "value", [3, "text", torch.ones(2, dtype=torch.complex64), torch.ones(2).to_sparse()], ids=repr
)
def test_what_is_no_weight_is_named(value):
    with pytest.raises(ModelError, match=r"weight 'a\.b' "):
        state_arrays({"a.b": value})


def test_an_old_torch_reads_no_strangers(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.5.1")
    with pytest.raises(MissingPackageError, match=r"2\.6 or newer, this is 2\.5\.1"):
        read_checkpoint(written(tmp_path / "m.pth", {"a": 1}))


@pytest.mark.skipif(os.name != "posix", reason="the commands are those of POSIX")
@pytest.mark.parametrize("name", [name for name in CALLS if name.startswith("os.system by") or "objects" in name])
def test_the_attacks_are_real(tmp_path, name):
    """Python's own reader runs them."""
    pickle.loads(attack(name, tmp_path))  # what is refused here
    assert (tmp_path / CANARY).exists()


@given(st.sampled_from(sorted(CALLS)), st.randoms())
def test_an_attack_that_is_changed_runs_no_better(tmp_path_factory, name, random):
    folder = tmp_path_factory.mktemp("c")
    content = bytearray(attack(name, folder))
    content[random.randrange(len(content))] = random.randrange(256)
    (folder / "m.pth").write_bytes(zip_format(bytes(content)))
    with suppress(DeepSegmentError):
        use(folder / "m.pth", folder)
    assert [path.name for path in folder.iterdir()] == ["m.pth"]


def test_a_log_of_four_thousand_epochs_is_read(tmp_path):
    log = {"dice_per_class": [[np.float32(0.5)] * 25 for _ in range(400)]}
    assert len(read_checkpoint(written(tmp_path / "m.pth", {"logging": log}))["logging"]["dice_per_class"]) == 400


def test_names_that_tensors_need_are_those_of_torch():
    """What is listed first is what torch would take anyway; nothing is allowed that torch forbids."""
    from torch._weights_only_unpickler import _get_allowed_globals

    from DeepSegmentLib.files.models import checkpoints

    assert set(_get_allowed_globals()) >= checkpoints._OF_TENSORS


def test_the_table_is_large():
    assert len(CHECKPOINTS) > 80
    assert named("a.b") == b"ca\nb\n"
