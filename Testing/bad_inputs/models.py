"""Models that must be refused: name, maker, and what the message must say."""

from __future__ import annotations

import io
import json
import struct
from stat import S_IFIFO, S_IFLNK
from zipfile import ZipFile, ZipInfo

from fuzz.cases import Case, Link, Pipe, Sparse
from fuzz.door import NINE_GB
from fuzz.doors.documents import text
from fuzz.doors.models import signed, sound_model, zip_bomb, zipped
from model_examples import changed_stage, stage_of


def spec(**changes):
    """The spec of a sound model, with some keys changed."""
    return {**json.loads(sound_model()["model.json"]), **changes}


def network(**changes):
    """A spec whose network is changed."""
    return changed_stage(spec(), network={**stage_of(spec())["network"], **changes})


def folder_of(folder, **changes):
    """A model folder with files replaced; None leaves one out."""
    names = {"spec": "model.json", "weights": "weights.safetensors", "card": "MODEL_CARD.md"}
    files = dict(sound_model()) | {names[key]: content for key, content in changes.items()}
    Case({f"m/{name}": content for name, content in files.items() if content is not None}).write(folder)
    return folder / "m"


def signed_folder(folder, document, weights=None):
    """A model folder whose checksum is right."""
    Case(signed(document, sound_model()["weights.safetensors"] if weights is None else weights)).write(folder)
    return folder / "m"


def archive(folder, content):
    """An archive."""
    Case({"m.zip": content}).write(folder)
    return folder / "m.zip"


def linked(name, target, kind=S_IFLNK):
    """An archive of a link, or of a pipe."""
    written = io.BytesIO()
    with ZipFile(written, "w") as made:
        info = ZipInfo(name)
        info.external_attr = (kind | 0o777) << 16
        made.writestr(info, target)
    return written.getvalue()


def patched(content, offset, value):
    """An archive with bytes at an offset into each entry of its central directory replaced (APPNOTE 4.3.12)."""
    changed = bytearray(content)
    place = changed.find(b"PK\1\2")
    while place >= 0:
        changed[place + offset : place + offset + len(value)] = value
        place = changed.find(b"PK\1\2", place + 4)
    return bytes(changed)


def tensors(table, data=b""):
    """A safetensors file."""
    head = json.dumps(table).encode()
    return struct.pack("<Q", len(head)) + head + data


def tensor(shape, kind="F32", offsets=(0, 4)):
    """A table of one weight."""
    return {"a": {"dtype": kind, "shape": shape, "data_offsets": list(offsets)}}


MODELS = {
    "no spec": (lambda d: folder_of(d, spec=None), "model.json is missing"),
    "an empty spec": (lambda d: folder_of(d, spec=b""), "model.json.*JSON"),
    "a spec that is a pipe": (lambda d: folder_of(d, spec=Pipe()), "model.json"),
    "a spec without end": (lambda d: folder_of(d, spec=Link("/dev/zero")), "model.json"),
    "a spec of 9 GB": (lambda d: folder_of(d, spec=Sparse(NINE_GB)), "model.json has .* bytes, more than"),
    "a spec outside": (lambda d: folder_of(d, spec=Link("/etc/passwd")), "model.json"),
    "a spec of 100,000 brackets": (lambda d: folder_of(d, spec=b"[" * 100_000), "model.json.*JSON"),
    "a spec with a key twice": (lambda d: folder_of(d, spec=b'{"name": 1, "name": 2}'), "'name' appears twice"),
    "a spec with NaN": (
        lambda d: folder_of(d, spec=text(spec(spacing_mm=[float("nan")] * 3))),
        "model.json.*(NaN|finite)",
    ),
    "a spec that is a list": (lambda d: folder_of(d, spec=b"[]"), "model.json.*object"),
    "a spec of a later format": (lambda d: folder_of(d, spec=text(spec(format_version=99))), "update DeepSegment"),
    "a spec without a name": (lambda d: folder_of(d, spec=text(spec(name=""))), "model.json.*name must be"),
    "a name that leads elsewhere": (lambda d: folder_of(d, spec=text(spec(name="../x"))), r"name must be.*\.\./x"),
    "a name of half a character": (lambda d: folder_of(d, spec=text(spec(name="\ud800"))), "name (must be|holds)"),
    "a name of a device": (lambda d: folder_of(d, spec=text(spec(name="con"))), "device name"),
    "an unknown key": (lambda d: folder_of(d, spec=text(spec(more=1))), "unknown key 'more'"),
    "a spacing of 0": (lambda d: folder_of(d, spec=text(changed_stage(spec(), spacing_mm=[0, 1, 1]))), "spacing_mm"),
    "a spacing of 10^400": (
        lambda d: folder_of(d, spec=text(changed_stage(spec(), spacing_mm=[10**400, 1, 1]))),
        "spacing_mm",
    ),
    "a patch of 10^30": (
        lambda d: folder_of(d, spec=text(changed_stage(spec(), patch_shape=[10**30] * 3))),
        "patch_shape",
    ),
    "a patch of 100,000": (
        lambda d: folder_of(d, spec=text(changed_stage(spec(), patch_shape=[100_000] * 3))),
        "patch_shape",
    ),
    "an orientation of nothing": (
        lambda d: folder_of(d, spec=text(changed_stage(spec(), orientation="RRR"))),
        "orientation",
    ),
    "no segments": (lambda d: folder_of(d, spec=text(spec(segments=[]))), "at least one segment"),
    "2^31 features": (lambda d: folder_of(d, spec=text(network(features=[2**31, 2**31]))), "model.json"),
    "10^30 blocks": (lambda d: folder_of(d, spec=text(network(encoder_blocks=[10**30, 1]))), "model.json"),
    "strides of 0": (lambda d: folder_of(d, spec=text(network(strides=[[1, 1, 1], [0, 0, 0]]))), "strides"),
    "kernels of 99,999": (lambda d: folder_of(d, spec=text(network(kernel_sizes=[[99_999] * 3] * 2))), "model.json"),
    "even kernels": (lambda d: folder_of(d, spec=text(network(kernel_sizes=[[2, 2, 2]] * 2))), "kernel sizes"),
    "no weights": (lambda d: folder_of(d, weights=None), "weights.safetensors"),
    "weights that are a pipe": (lambda d: folder_of(d, weights=Pipe()), "weights.safetensors"),
    "weights without end": (lambda d: folder_of(d, weights=Link("/dev/zero")), "weights.safetensors"),
    "weights of the system": (lambda d: folder_of(d, weights=Link("/etc/passwd")), "weights.safetensors"),
    "weights of 9 GB": (lambda d: folder_of(d, weights=Sparse(NINE_GB)), "weights.safetensors"),
    "other weights": (lambda d: folder_of(d, weights=b"other"), "weights.safetensors has SHA-256"),
    "weights cut": (
        lambda d: folder_of(d, weights=sound_model()["weights.safetensors"][:-9]),
        "SHA-256.*get the model again",
    ),
    "no checksum": (
        lambda d: folder_of(
            d, spec=text(changed_stage(spec(), weights=[{"file": "weights.safetensors", "sha256": ""}]))
        ),
        "no checksum",
    ),
    "a checksum of words": (
        lambda d: folder_of(d, spec=text(changed_stage(spec(), weights=[{"file": "w.safetensors", "sha256": "x"}]))),
        "sha256 must be 64",
    ),
    "a pickle as weights": (
        lambda d: signed_folder(d, spec(), b"\x80\x04cposix\nsystem\n."),
        "no intact safetensors file",
    ),
    "weights with a table of 2^63 bytes": (
        lambda d: signed_folder(d, spec(), struct.pack("<Q", 1 << 63)),
        "no intact safetensors file",
    ),
    "a weight of 2^63 numbers": (
        lambda d: signed_folder(d, spec(), tensors(tensor([1 << 62, 2], offsets=(0, 0)))),
        "weights.safetensors",
    ),
    "a weight of 1,000 axes": (
        lambda d: signed_folder(d, spec(), tensors(tensor([1] * 1000), bytes(4))),
        "weights.safetensors",
    ),
    "a weight of bytes": (lambda d: signed_folder(d, spec(), tensors(tensor([4], "U8"), bytes(4))), "type U8"),
    "weights of another network": (
        lambda d: signed_folder(d, network(features=[5, 6])),
        "weights.safetensors.*get the model again",
    ),
}

ARCHIVES = {
    "no archive": (lambda d: d / "nothing.zip", "nothing.zip"),
    "an archive of text": (lambda d: archive(d, b"hello" * 99), "m.zip cannot be unpacked"),
    "an archive cut": (lambda d: archive(d, zipped(sound_model())[:-99]), "m.zip cannot be unpacked"),
    "an archive that is a pipe": (lambda d: archive(d, Pipe()), "m.zip"),
    "an archive without end": (lambda d: archive(d, Link("/dev/zero")), "m.zip"),
    "an archive of 9 GB": (lambda d: archive(d, Sparse(NINE_GB)), "m.zip"),
    "an empty archive": (lambda d: archive(d, zipped({})), "m.zip is no model of a known kind.*lies nothing"),
    "an archive that leads elsewhere": (
        lambda d: archive(d, zipped({**sound_model(), "../x": b""})),
        "outside the archive",
    ),
    "an archive of the root": (lambda d: archive(d, zipped({**sound_model(), "/x": b""})), "outside the archive"),
    "an archive of a program": (lambda d: archive(d, zipped({"run.py": b"x"})), "known kind.*lie: run.py"),
    "an archive of two models": (
        lambda d: archive(d, zipped({f"{n}/{name}": b"x" for n in "ab" for name in sound_model()})),
        "holds several models .a, b.; add one at a time",
    ),
    "an archive in an archive": (lambda d: archive(d, zipped({"m.zip": zipped(sound_model())})), "lie: m.zip"),
    "an archive of a link": (lambda d: archive(d, linked("model.json", "/etc/passwd")), "'model.json' is a link"),
    "an archive of a pipe": (lambda d: archive(d, linked("model.json", "", S_IFIFO)), "'model.json' is a link, or no"),
    "an archive of one file twice": (
        lambda d: archive(d, zipped({**sound_model(), "MODEL.JSON": b"{}"})),
        "two members are named 'model.json'",
    ),
    "an archive of a file that is a folder": (
        lambda d: archive(d, zipped({**sound_model(), "model.json/x": b"{}"})),
        "'model.json/x' lies in another member",
    ),
    "an archive of a drive": (lambda d: archive(d, zipped({"C:/model.json": b""})), "outside the archive"),
    "an archive of backslashes": (lambda d: archive(d, zipped({"..\\model.json": b""})), "outside the archive"),
    "an archive of a device": (lambda d: archive(d, zipped({"m/NUL.json": b""})), "'m/NUL.json' has a name that not"),
    "an archive of a long name": (lambda d: archive(d, zipped({"x" * 300: b""})), "has a name that not every system"),
    "an archive of a name with escapes": (
        lambda d: archive(d, zipped({"\x1b[31mx": b""})),
        r"'\\x1b\[31mx' has a name",
    ),
    "an archive with a password": (
        lambda d: archive(d, patched(zipped(sound_model()), 8, b"\1\0")),
        "encrypted; zip it without a password",
    ),
    "an archive that is packed otherwise": (
        lambda d: archive(d, patched(zipped(sound_model()), 10, b"\x0e\0")),
        "compressed in an unusual way",
    ),
    "an archive whose members share bytes": (
        lambda d: archive(d, patched(zipped(sound_model()), 42, bytes(4))),
        "share bytes",
    ),
    "a tar archive": (lambda d: _renamed(archive(d, b"tar" * 999), "m.tar.gz"), "m.tar.gz.*unpack it yourself"),
    "4 GB in 4 MB": (lambda d: archive(d, zip_bomb(4_000_000_000)), "m.zip.*unpacks to"),
    "4 GB that claim 100 bytes": (lambda d: archive(d, zip_bomb(4_000_000_000, claimed=100)), "m.zip"),
    "70,000 members": (lambda d: archive(d, zipped({f"{n}": b"" for n in range(70_000)})), "m.zip"),
    "one bit of an archive": (lambda d: archive(d, _turned(zipped(sound_model()))), "m.zip cannot be unpacked"),
}


def _renamed(path, name):
    return path.rename(path.with_name(name))


def _turned(content: bytes) -> bytes:
    changed = bytearray(content)
    changed[len(content) // 2] ^= 1
    return bytes(changed)


def use(folder, _):
    """Load a model."""
    from DeepSegmentLib.files.models import load_model

    load_model(folder, "cpu")


def unpack(path, folder):
    """Bring a zipped model through the door."""
    from DeepSegmentLib.files.models import unpacked
    from DeepSegmentLib.files.models.importers import Words, importer_of

    with unpacked(path, folder) as found:
        importer_of([found]).convert([found], folder / "unpacked", Words())
