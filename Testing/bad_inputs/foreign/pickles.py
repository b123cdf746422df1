"""Pickles that would run a command when they are opened, each in its own way; and PyTorch checkpoints around them.

They are written instruction by instruction, as no pickler writes them. The command makes a file named `CANARY` beside
the checkpoint: where it appears, something ran.
"""

from __future__ import annotations

import io
import pickle
import shlex
import struct
import tarfile
import zipfile
from pathlib import Path

CANARY = "canary"
_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL_2, _STOP = b"\x80\x02", b"."


def text(words: str) -> bytes:
    """A text on the stack (BINUNICODE)."""
    return b"X" + struct.pack("<I", len(words.encode())) + words.encode()


def named(name: str) -> bytes:
    """A function or class on the stack (GLOBAL)."""
    module, _, attribute = name.rpartition(".")
    return f"c{module}\n{attribute}\n".encode()


def called(name: str, *arguments: bytes) -> bytes:
    """What a function gives on the stack (REDUCE)."""
    return named(name) + b"(" + b"".join(arguments) + b"tR"


def command(folder: Path) -> bytes:
    """The text of the command that leaves the canary."""
    return text(f"touch {shlex.quote(str(folder / CANARY))}")


def _python(folder: Path) -> bytes:
    return text(f"__import__('pathlib').Path({str(folder / CANARY)!r}).touch()")


def _nested(folder: Path) -> bytes:
    inner = pickle.dumps(None)[:2] + called("posix.system", command(folder)) + _STOP
    return b"B" + struct.pack("<I", len(inner)) + inner


def _object_array(folder: Path) -> bytes:
    """A NumPy array of one object, which runs the command when it is made."""
    kind = called("numpy.dtype", text("O8"), b"\x89", b"\x88")
    made = called("numpy.core.multiarray._reconstruct", named("numpy.ndarray"), b"K\x00\x85", b"C\x01b")
    return made + b"(K\x01K\x01\x85" + kind + b"\x89]" + called("posix.system", command(folder)) + b"atb"


# By name: the instructions for a folder, and the name that the refusal must tell.
CALLS = {
    "os.system by REDUCE": (lambda d: called("posix.system", command(d)), r"posix\.system"),
    "os.system on Windows": (lambda d: called("nt.system", command(d)), r"nt\.system"),
    "os.system by STACK_GLOBAL": (
        lambda d: b"\x8c\x05posix\x94\x8c\x06system\x94\x93" + command(d) + b"\x85R",
        r"posix\.system",
    ),
    "os.system by INST": (lambda d: b"(" + command(d) + b"iposix\nsystem\n", r"posix\.system"),
    "os.system by OBJ": (lambda d: b"(" + named("posix.system") + command(d) + b"o", r"posix\.system"),
    "subprocess.run by NEWOBJ": (lambda d: named("subprocess.Popen") + command(d) + b"\x85\x81", r"subprocess\.Popen"),
    "eval": (lambda d: called("builtins.eval", _python(d)), r"builtins\.eval"),
    "exec of Python 2": (lambda d: called("__builtin__.exec", _python(d)), r"__builtin__\.exec"),
    "getattr": (lambda d: called("builtins.getattr", named("os.path"), text("os")), r"builtins\.getattr"),
    "functools.partial": (
        lambda d: called("functools.partial", named("posix.system"), command(d)) + b"(tR",
        r"functools\.partial",
    ),
    "operator.methodcaller": (lambda d: called("operator.methodcaller", text("system")), r"operator\.methodcaller"),
    "__setstate__ by BUILD": (
        lambda d: named("functools.partial") + b"(" + named("posix.system") + b"(" + command(d) + b"t}Ntb",
        r"functools\.partial",
    ),
    "attributes by BUILD": (lambda d: named("torch.nn.Module") + b"}" + text("forward") + b"Nsb", r"torch\.nn\.Module"),
    "copyreg._reconstructor": (
        lambda d: called("copyreg._reconstructor", named("code.Interpreter"), named("builtins.object"), b"N"),
        r"copyreg\._reconstructor",
    ),
    "copyreg of Python 2": (lambda d: called("copy_reg._reconstructor", b"N"), r"copy_reg\._reconstructor"),
    "an extension of copyreg": (lambda d: b"\x82\x07" + command(d) + b"\x85R", "registered extension 7"),
    "a pickle in the pickle": (lambda d: called("_pickle.loads", _nested(d)), r"_pickle\.loads"),
    "a checkpoint in the checkpoint": (
        lambda d: called("torch.storage._load_from_bytes", _nested(d)),
        r"torch\.storage\._load_from_bytes",
    ),
    "torch.load": (lambda d: called("torch.serialization.load", text("x")), r"torch\.serialization\.load"),
    "torch.hub": (lambda d: called("torch.hub.load", text("a/b"), text("c")), r"torch\.hub\.load"),
    "torch's import by name": (
        lambda d: called("torch._utils._import_dotted_name", text("posix.system")),
        r"torch\._utils\._import_dotted_name",
    ),
    "torch's rebuilding by any function": (
        lambda d: called("torch._tensor._rebuild_from_type_v2", named("posix.system"), b"N", b")", b"N"),
        r"_rebuild_from_type_v2|posix\.system",
    ),
    "numpy's eval of Fortran": (
        lambda d: called("numpy.f2py.crackfortran.myeval", _python(d)),
        r"numpy\.f2py\.crackfortran\.myeval",
    ),
    "a numpy array of objects": (_object_array, r"posix\.system"),
    "a network, whole": (lambda d: named("monai.networks.nets.unet.UNet") + b")\x81", r"monai\.networks\.nets"),
    "importlib": (lambda d: called("importlib.import_module", text("antigravity")), r"importlib\.import_module"),
    "webbrowser": (lambda d: called("webbrowser.open", text("http://localhost")), r"webbrowser\.open"),
    "a name with controls": (lambda d: called("a.b\x1b[31mc", command(d)), r"\\x1b\[31mc"),
}  # fmt: skip


def attack(name: str, folder: Path, *, key: str = "epoch") -> bytes:
    """A pickle that is a dictionary, so that it seems a checkpoint, with one of `CALLS` as the value of a key."""
    make, _ = CALLS[name]
    return _PROTOCOL_2 + b"}" + text(key) + make(folder) + b"s" + _STOP


def zip_format(content: bytes, **members: bytes) -> bytes:
    """A checkpoint as torch writes it, around a pickle; members as "data/0"."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, part in {"data.pkl": content, "byteorder": b"little", **members, "version": b"3\n"}.items():
            archive.writestr(f"archive/{name}", part)
    return written.getvalue()


def two_readings(for_python: bytes, for_torch: bytes) -> bytes:
    """A zip file that is one archive for Python, which seeks the list of files before the end, and another for torch.

    Both need members of the same names.
    """
    (members, listed), (others, listed_others) = map(_parts_of_zip, (for_python, for_torch))
    moved = bytearray(listed)
    place = moved.find(b"PK\1\2")
    while place >= 0:
        (offset,) = struct.unpack_from("<L", moved, place + 42)
        struct.pack_into("<L", moved, place + 42, (offset + len(others) - len(listed)) & 0xFFFFFFFF)
        place = moved.find(b"PK\1\2", place + 4)
    start = struct.pack("<L", len(others) + len(members))
    return others + members + listed_others + moved + for_python[-22:-6] + start + for_python[-2:]


def _parts_of_zip(content: bytes) -> tuple[bytes, bytes]:
    """The members, and the list of them."""
    length, start = struct.unpack_from("<LL", content, len(content) - 10)
    return content[:start], content[start : start + length]


def old_format(content: bytes, *, keys: bytes | None = None, machine: bytes | None = None) -> bytes:
    """A checkpoint as torch wrote it before 1.6, around a pickle."""
    before = [pickle.dumps(part, 2) for part in (_MAGIC, 1001)]
    return b"".join([*before, machine or pickle.dumps({}, 2), content, keys or pickle.dumps([], 2)])


def tar_format(content: bytes) -> bytes:
    """A checkpoint as torch wrote it before 0.1.10."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for name in ("pickle", "storages", "tensors"):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return written.getvalue()


def tensor(*, stored: int, shape: tuple[int, ...], steps: tuple[int, ...], offset: int = 0) -> bytes:
    """A float32 tensor on the stack, as torch writes it, whatever it claims."""
    number = b"".join
    storage = b"(" + text("storage") + named("torch.FloatStorage") + text("0") + text("cpu") + _long(stored) + b"tQ"
    sizes = b"(" + number(_long(size) for size in shape) + b"t"
    strides = b"(" + number(_long(step) for step in steps) + b"t"
    hooks = called("collections.OrderedDict")
    return called("torch._utils._rebuild_tensor_v2", storage, _long(offset), sizes, strides, b"\x89", hooks)


def tensors(**values: bytes) -> bytes:
    """The pickle of a dictionary."""
    return _PROTOCOL_2 + b"}" + b"".join(text(key) + value + b"s" for key, value in values.items()) + _STOP


def used_again(times: int) -> bytes:
    """A tuple of two ones, in a tuple twice, and so on."""
    levels = (b"h" + bytes([n]) + b"\x86q" + bytes([n + 1]) for n in range(times))
    return b"K\x01K\x01\x86q\x00" + b"".join(levels)


def listed_again(times: int) -> bytes:
    """A list of such lists, each of which holds the one before it twice."""
    levels = (b"]q" + bytes([n + 1]) + b"(h" + bytes([n]) + b"h" + bytes([n]) + b"ea" for n in range(times))
    return b"]]q\x00a" + b"".join(levels)


def _long(number: int) -> bytes:
    return b"\x8a\x09" + number.to_bytes(9, "little", signed=True)
