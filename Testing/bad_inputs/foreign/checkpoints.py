"""Checkpoints that must be refused before anything in them runs: name, maker, and what the message must say."""

from __future__ import annotations

import io
import pickle
import zipfile

from fuzz.cases import Case, Link, Pipe, Sparse

from .pickles import (
    CALLS,
    attack,
    called,
    command,
    listed_again,
    named,
    old_format,
    tar_format,
    tensor,
    tensors,
    text,
    two_readings,
    used_again,
    zip_format,
)

NINE_GB = 9_000_000_000


def checkpoint(folder, content):
    """A checkpoint file."""
    Case({"m.pth": content}).write(folder)
    return folder / "m.pth"


def _twice(content):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("archive/data.pkl", tensors())
        archive.writestr("archive/DATA.pkl", content)
    return written.getvalue()


def _packed(content):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", content)
    return written.getvalue()


def _sound():
    return zip_format(tensors(w=tensor(stored=4, shape=(4,), steps=(1,))), **{"data/0": bytes(16)})


def _claims(**claim):
    return zip_format(tensors(w=tensor(**{"stored": 4, "shape": (4,), "steps": (1,)} | claim)), **{"data/0": bytes(16)})


def _keyed(key):
    return b"\x80\x02}" + key + b"Ns."


def _calls(name):
    return CALLS[name][1]


_SYSTEM = "os.system by REDUCE"

CHECKPOINTS = {
    **{
        f"{name}{where}": ((lambda d, n=name, f=form: checkpoint(d, f(attack(n, d)))), f"wants to call.*{_calls(name)}")
        for name in CALLS
        for where, form in (("", zip_format), (", old format", old_format))
    },
    "a bare pickle": (lambda d: checkpoint(d, attack(_SYSTEM, d)), r"wants to call 'posix\.system'"),
    "a harmless bare pickle": (
        lambda d: checkpoint(d, pickle.dumps({"a": 1})),
        "but no PyTorch checkpoint|which no weig",
    ),
    "in the description of the machine": (
        lambda d: checkpoint(d, old_format(tensors(), machine=attack(_SYSTEM, d))),
        r"wants to call 'posix\.system'",
    ),
    "in the keys": (
        lambda d: checkpoint(d, old_format(tensors(), keys=attack(_SYSTEM, d))),
        r"wants to call 'posix\.system'",
    ),
    "a tar archive": (lambda d: checkpoint(d, tar_format(attack(_SYSTEM, d))), "no PyTorch checkpoint"),
    "behind the pickle": (
        lambda d: checkpoint(d, zip_format(tensors() + attack(_SYSTEM, d))),
        "something follows the pickle",
    ),
    "a second pickle, in capitals": (lambda d: checkpoint(d, _twice(attack(_SYSTEM, d))), "two members of one name"),
    "a packed pickle": (lambda d: checkpoint(d, _packed(attack(_SYSTEM, d))), "'archive/data.pkl' is packed"),
    "one archive for Python, another for torch": (
        lambda d: checkpoint(d, two_readings(_sound(), zip_format(attack(_SYSTEM, d), **{"data/0": bytes(16)}))),
        "its list of files is not where its end says",
    ),
    "something behind the archive": (lambda d: checkpoint(d, _sound() + b"PK"), "something follows it"),
    "a graph named as a checkpoint": (
        lambda d: checkpoint(d, zip_format(attack(_SYSTEM, d), **{"constants.pkl": b".", "code/x.py": b""})),
        "is a TorchScript graph",
    ),
    "a zip file of other things": (lambda d: checkpoint(d, _zip_of("a.txt")), "without the data.pkl"),
    "no pickle inside": (lambda d: checkpoint(d, zip_format(b"hello")), "no intact PyTorch checkpoint"),
    "a pickle without end": (lambda d: checkpoint(d, zip_format(b"\x80\x02}")), "no intact PyTorch checkpoint"),
    "a text of 4 GB": (
        lambda d: checkpoint(d, zip_format(b"\x80\x02X\xff\xff\xff\xff")),
        "no intact PyTorch checkpoint",
    ),
    "a list": (lambda d: checkpoint(d, zip_format(b"\x80\x02].")), "holds a list"),
    "an array of objects": (
        lambda d: checkpoint(d, zip_format(tensors(a=called("numpy.dtype", text("O8"), b"\x89", b"\x88")))),
        "'O8' is not one of numbers",
    ),
    "an array called": (
        lambda d: checkpoint(d, zip_format(tensors(a=called("numpy.ndarray", b"\x8a\x06\0\0\0\0\0\x01")))),
        "numpy.ndarray is called directly",
    ),
    "an array of another class": (
        lambda d: checkpoint(
            d,
            zip_format(
                tensors(a=called("numpy._core.multiarray._reconstruct", named("collections.OrderedDict"), b")", b"N"))
            ),
        ),
        "not one of numbers",
    ),
    "a tensor of 2^60 values": (lambda d: checkpoint(d, _claims(stored=1 << 60)), "claims a tensor of"),
    "a tensor of 2^60 values, old format": (
        lambda d: checkpoint(d, old_format(tensors(w=tensor(stored=1 << 60, shape=(1,), steps=(1,))))),
        "claims a tensor of",
    ),
    "a size below 0": (lambda d: checkpoint(d, _claims(shape=(-4,))), "no intact PyTorch checkpoint"),
    "a place below 0": (lambda d: checkpoint(d, _claims(offset=-1)), "no intact PyTorch checkpoint"),
    "a tensor that is not there": (
        lambda d: checkpoint(d, zip_format(tensors(w=tensor(stored=4, shape=(4,), steps=(1,))))),
        "no intact PyTorch checkpoint",
    ),
    "a key that is 2^60 values": (lambda d: checkpoint(d, zip_format(_keyed(used_again(60)))), "what it uses again"),
    "a key in 10^6 tuples": (lambda d: checkpoint(d, zip_format(_keyed(b"N" + b"\x85" * 10**6))), "tuples in tuples"),
    "keys in one place": (
        lambda d: checkpoint(d, zip_format(_keyed(b"\x8a\x10" + bytes(15) + b"\x01"))),
        "more than 64 bits",
    ),
    "lists of 2^60 values": (lambda d: checkpoint(d, zip_format(tensors(a=listed_again(60)))), "holds itself, more"),
    "a list in itself": (lambda d: checkpoint(d, zip_format(tensors(a=b"]q\x00h\x00a"))), "holds itself"),
    "text": (lambda d: checkpoint(d, command(d)), "no PyTorch checkpoint"),
    "nothing": (lambda d: checkpoint(d, b""), "no PyTorch checkpoint"),
    "half": (lambda d: checkpoint(d, _sound()[: len(_sound()) // 2]), "no intact PyTorch checkpoint"),
    "100 GB": (lambda d: checkpoint(d, Sparse(100_000_000_000, _sound())), "more than the"),
    "a pipe": (lambda d: checkpoint(d, Pipe()), "pipe, socket or device"),
    "a device": (lambda d: checkpoint(d, Link("/dev/zero")), "pipe, socket or device"),
    "a folder": (lambda d: checkpoint(d, Link(".")), "is a folder"),
}


def _zip_of(name):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr(name, b"x")
    return written.getvalue()


def use(path, _):
    """Open a checkpoint and take its weights."""
    from DeepSegmentLib.files.models.checkpoints import read_checkpoint, state_arrays

    state_arrays(read_checkpoint(path))
