"""TorchScript and ONNX graphs that must be refused: name, maker, and what the message must say."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from foreign_models.graph_sources import write_onnx, write_torchscript
from fuzz.cases import Link, Pipe, Sparse

from .pickles import CALLS, CANARY, attack, two_readings
from .sources import NINE_GB, edited, files_of, odd_json, with_files

_SCRIPT, _ONNX, _WORDS = "small.ts", "small.onnx", "small.json"


@cache
def torchscript() -> dict[str, bytes]:
    """A sound TorchScript graph."""
    return files_of(lambda folder: write_torchscript(folder).parent)


@cache
def onnx() -> dict[str, bytes]:
    """A sound ONNX graph."""
    return files_of(lambda folder: write_onnx(folder).parent)


def _changed(folder: Path, **changes: Any) -> Path:
    """The TorchScript graph with members of its archive exchanged."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(torchscript()[_SCRIPT])) as sound, zipfile.ZipFile(written, "w") as archive:
        for info in sound.infolist():
            name = info.filename.partition("/")[2]
            content = changes.pop(name, sound.read(info))
            archive.writestr(zipfile.ZipInfo(info.filename), content)
        for name, content in changes.items():
            archive.writestr(f"small/{name}", content)
    return with_files(folder, torchscript(), {_SCRIPT: written.getvalue()}) / _SCRIPT


def _program(text: str) -> Callable[[Path], Path]:
    """The graph with something in front of the program's code."""

    def make(folder: Path) -> Path:
        with zipfile.ZipFile(io.BytesIO(torchscript()[_SCRIPT])) as sound:
            programs = [each for each in sound.namelist() if each.endswith(".py")]
            (name,) = [each for each in programs if b"_Net" in sound.read(each)]
            code = sound.read(name).decode()
        body = code.replace("  def forward", f"{text.replace('CANARY', str(folder / CANARY))}\n  def forward", 1)
        return _changed(folder, **{name.partition("/")[2]: body.encode()})

    return make


def _two_readings(folder: Path) -> Path:
    """A sound graph for Python, a program that runs as it opens for torch."""
    evil = _program("  def __setstate__(self, x: Tensor) -> NoneType:\n    return None")(folder / "evil")
    content = two_readings(_changed(folder / "sound").read_bytes(), evil.read_bytes())
    return with_files(folder, torchscript(), {_SCRIPT: content}) / _SCRIPT


def _graph(name: str, content: Any) -> Callable[[Path], Path]:
    sound = torchscript if name == _SCRIPT else onnx
    return lambda d: with_files(d, sound(), {name: content}) / name


def _outside(location: str) -> Callable[[Path], Path]:
    """An ONNX graph whose weights lie in another file."""

    def make(folder: Path) -> Path:
        import onnx as package

        model = package.load_model_from_string(onnx()[_ONNX])
        (weight,) = model.graph.initializer
        weight.ClearField("raw_data")
        weight.data_location = package.TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", "324")):
            weight.external_data.add(key=key, value=value)
        return with_files(folder, onnx(), {_ONNX: model.SerializeToString()}) / _ONNX

    return make


def _foreign_operator(folder: Path) -> Path:
    import onnx as package

    model = package.load_model_from_string(onnx()[_ONNX])
    model.graph.node[0].domain = "com.evil"
    model.opset_import.add(domain="com.evil", version=1)
    return with_files(folder, onnx(), {_ONNX: model.SerializeToString()}) / _ONNX


def _many_axes(folder: Path) -> Path:
    """An ONNX graph and a second message of its graph: a weight whose count has a million digits."""
    weight = _message(1, (b"\x80" * 8 + b"\x40") * 300_000)
    return with_files(folder, onnx(), {_ONNX: onnx()[_ONNX] + _message(7, _message(5, weight))}) / _ONNX


def _message(field: int, content: bytes) -> bytes:
    """A field of Protocol Buffers."""
    length, left = b"", len(content)
    while left > 127:
        length, left = length + bytes([left & 127 | 128]), left >> 7
    return bytes([field << 3 | 2]) + length + bytes([left]) + content


def _said(place: str, value: Any) -> Callable[[Path], Path]:
    return lambda d: with_files(d, torchscript(), {_WORDS: edited(torchscript()[_WORDS], place, value)}) / _SCRIPT


SCRIPTS = {
    **{
        f"data.pkl with {name}": (
            (lambda d, n=name: _changed(d, **{"data.pkl": attack(n, d)})),
            rf"small\.ts: small/data\.pkl asks for.*{message}",
        )
        for name, (_, message) in CALLS.items()
        if "array" not in name  # of which the array is named first
    },
    **{
        f"constants.pkl with {name}": (
            (lambda d, n=name: _changed(d, **{"constants.pkl": attack(n, d)})),
            rf"small\.ts: small/constants\.pkl asks for.*{message}",
        )
        for name, (_, message) in list(CALLS.items())[:3]
    },
    "a program that reads a file as it opens": (
        _program("  def __setstate__(self, x: Tensor) -> NoneType:\n    return None"),
        "__setstate__",
    ),
    "a program that reads a file": (
        _program('  def evil(self) -> Tensor:\n    return torch.from_file("/etc/passwd", False, 10)'),
        "from_file",
    ),
    "a program that torch stumbles over": (
        _program("  def evil(self) -> int:\n    return " + "-" * 9 + "1"),
        "no TorchScript graph that torch",
    ),
    "a member outside": (lambda d: _changed(d, **{"../../evil.py": b"x"}), r"no part of a TorchScript archive"),
    "one archive for Python, another for torch": (_two_readings, "its list of files is not where its end says"),
    "a program beside the code": (lambda d: _changed(d, **{"evil.so": b"x"}), r"'small/evil\.so', which is no part"),
    "half a graph": (
        lambda d: with_files(d, torchscript(), {_SCRIPT: torchscript()[_SCRIPT][:999]}) / _SCRIPT,
        "small.ts.*TorchScript archive",
    ),
    "a pipe": (_graph(_SCRIPT, Pipe()), "small.ts.*pipe"),
    "a device": (_graph(_SCRIPT, Link("/dev/zero")), "small.ts"),
    "9 GB": (_graph(_SCRIPT, Sparse(NINE_GB)), "small.ts"),
    "text": (_graph(_SCRIPT, b"import os"), "small.ts is no TorchScript archive"),
    **{
        name: ((lambda d, m=make: m(d) / _SCRIPT), message)
        for name, (make, message) in odd_json(torchscript, _WORDS).items()
    },
    "a patch of 10^9": (_said("patch_shape", [10**9] * 3), "patch_shape"),
    "other channels than it has": (
        _said("channels", [{"name": str(n), "modality": ""} for n in range(5)]),
        "small",
    ),
    "normalization by a program": (_said("normalizations", [{"kind": "$os.system"}]), r"normalizations.*\$os\.system"),
}  # fmt: skip

ONNX_GRAPHS = {
    "weights of the system": (_outside("/etc/passwd"), "keeps its weight 'weight' in another file"),
    "weights above": (_outside("../../secret"), "keeps its weight 'weight' in another file"),
    "weights beside it": (_outside("small.bin"), "keeps its weight 'weight' in another file"),
    "a weight of 300,000 axes": (_many_axes, "more than 64 axes"),
    "operators of a library": (_foreign_operator, r"operators of 'com\.evil'"),
    "half a graph": (lambda d: with_files(d, onnx(), {_ONNX: onnx()[_ONNX][:200]}) / _ONNX, "small.onnx"),
    "a pipe": (_graph(_ONNX, Pipe()), "small.onnx.*pipe"),
    "a device": (_graph(_ONNX, Link("/dev/zero")), "small.onnx"),
    "9 GB": (_graph(_ONNX, Sparse(NINE_GB)), "small.onnx"),
    "text": (_graph(_ONNX, b"import os"), "small.onnx"),
    "nothing": (_graph(_ONNX, b""), "small.onnx"),
}
