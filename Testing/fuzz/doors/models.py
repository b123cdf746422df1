"""Model folders: the spec, the weights, the zip."""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import tempfile
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random

from model_examples import TINY_UNET, changed_stage, model_spec, stage_of

from ..cases import Case, Link, Pipe, Repeated, Sparse
from ..door import NINE_GB, Door, by_name, changed, odd_cases, zero_blocks
from ..json_mutators import change, mutate_json
from ..mutators import BYTES, mutated
from .documents import text

SPEC, WEIGHTS = "models/m/model.json", "models/m/weights.safetensors"


@cache
def sound_model() -> dict[str, bytes]:
    """The files of a model of a few thousand weights."""
    import torch

    from DeepSegmentLib.files.models import save_model
    from DeepSegmentLib.networks.architectures.unet import UNet

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder) / "m", model_spec(), UNet(TINY_UNET), card="# A card\n")
        return {path.name: path.read_bytes() for path in sorted((Path(folder) / "m").iterdir())}


def _spec() -> dict:
    return json.loads(sound_model()["model.json"])


def folder_seeds() -> list[Case]:
    """A catalogue of one model."""
    return [Case({f"models/m/{name}": content for name, content in sound_model().items()})]


def _huge_networks() -> list[dict]:
    spec = _spec()
    network = stage_of(spec)["network"]
    big = {
        "features": ([10**30, 4], [2**31, 2**31], [100_000, 100_000], [0, 0], [-1, 4], [2] * 100_000),
        "encoder_blocks": ([10**9, 1], [10**30, 1], [0, 0], [1000, 1000]),
        "strides": ([[1, 1, 1], [2**31] * 3], [[1, 1, 1], [0, 0, 0]]),
        "kernel_sizes": ([[3, 3, 3], [99_999] * 3], [[10**30] * 3] * 2, [[2, 2, 2]] * 2),
        "in_channels": (10**9, 10**30, 0),
        "out_channels": (10**9, 10**30, 0),
    }
    return [changed_stage(spec, network={**network, key: value}) for key, values in big.items() for value in values]


def _huge_specs() -> list[dict]:
    spec = _spec()
    patches = [changed_stage(spec, patch_shape=[size] * 3) for size in (10**30, 2**63, 100_000, 0)]
    spacings = [changed_stage(spec, spacing_mm=[size] * 3) for size in (1e-300, 1e300, 1e-4, 10**400)]
    words = [
        {**spec, key: value}
        for key in ("name", "version", "description")
        for value in ("\ud800", "x" * 10**6, "..", "con")
    ]
    many = {**spec, "segments": [{**spec["segments"][1], "name": str(n), "value": n + 1} for n in range(50_000)]}
    return [*patches, *spacings, *words, many, {**spec, "format_version": 10**30}]


def folder_hostile() -> list[Case]:
    """Specs beyond measure, links outside, pipes in the catalogue."""
    seed = folder_seeds()[0]
    specs = [
        changed(seed, SPEC, text(spec), text(spec)[-300:].decode()[:40]) for spec in (*_huge_networks(), *_huge_specs())
    ]
    beside = {
        "a pipe": Pipe(),
        "a loop": Link("loop"),
        "a device": Link("/dev/zero"),
        "a link": Link("/"),
        "a file": b"x",
    }
    listed = [
        Case({**seed.files, f"models/{name.split()[1]}": odd}, note=f"{name} in the catalogue")
        for name, odd in beside.items()
    ]
    links = [
        changed(seed, SPEC, Link("../../../outside.txt"), "a spec outside"),
        changed(seed, WEIGHTS, Link("../../../outside.txt"), "weights outside"),
        changed(seed, WEIGHTS, Link("/etc/passwd"), "weights elsewhere"),
        Case({**seed.files, "models/\udcff/model.json": sound_model()["model.json"]}, note="a name that is no UTF-8"),
        changed(seed, SPEC, b"[" * 100_000, "100,000 brackets"),
        changed(seed, "models/m/MODEL_CARD.md", Pipe(), "a card that is a pipe"),
    ]
    return [*specs, *listed, *links, *odd_cases(seed, SPEC, WEIGHTS)]


def use_folder(folder: Path, _: Case) -> None:
    """List the catalogue, read the spec, verify the weights."""
    from DeepSegmentLib.files.models import read_spec, verify_model
    from DeepSegmentLib.service.catalogue import list_models

    os.environ["DEEPSEGMENT_MODELS"] = str(folder / "models")
    list_models()
    read_spec(folder / "models" / "m")
    verify_model(folder / "models" / "m")


def signed(spec: dict, weights: bytes) -> dict[str, bytes]:
    """A model whose checksum is right, whatever its weights are."""
    digest = hashlib.sha256(weights).hexdigest()
    spec = changed_stage(spec, weights=[{"file": "weights.safetensors", "sha256": digest}])
    return {"m/model.json": text(spec), "m/weights.safetensors": weights}


def weights_seeds() -> list[Case]:
    """A model to load."""
    return [Case(signed(_spec(), sound_model()["weights.safetensors"]))]


def mutate_weights(random: Random, _: Sequence[Case]) -> Case:
    """The table of weights, the weights, or the network changed, and the checksum made right."""
    weights, spec = sound_model()["weights.safetensors"], _spec()
    (size,) = struct.unpack_from("<Q", weights)
    head, data = weights[8 : 8 + size], weights[8 + size :]
    action = random.random()
    if action < 0.3:
        spec = changed_stage(spec, network=change(random, stage_of(spec)["network"]))
    elif action < 0.7:
        head = mutate_json(random, head)
        weights = struct.pack("<Q", len(head)) + head + data
    else:
        weights = mutated(random, weights[: 8 + size], BYTES) + data
    return Case(signed(spec, weights), note="changed")


def _tensors(table: dict, data: bytes = b"") -> bytes:
    head = json.dumps(table).encode()
    return struct.pack("<Q", len(head)) + head + data


def weights_hostile() -> list[Case]:
    """Networks and tables beyond measure."""
    weights, spec = sound_model()["weights.safetensors"], _spec()
    networks = [
        Case(signed(each, weights), note=json.dumps(stage_of(each)["network"])[:99]) for each in _huge_networks()
    ]
    patches = [Case(signed(each, weights), note="a spec beyond measure") for each in _huge_specs()]
    files = {
        "a table of 2^63 bytes": struct.pack("<Q", 1 << 63) + b"{}",
        "a table of 100 MB": struct.pack("<Q", 100_000_000) + b"{}",
        "no table": b"",
        "a tensor of 2^63": _tensors({"a": {"dtype": "F32", "shape": [1 << 62, 2], "data_offsets": [0, 0]}}),
        "an empty tensor of 2^40": _tensors({"a": {"dtype": "F32", "shape": [0, 1 << 40], "data_offsets": [0, 0]}}),
        "a tensor of 1,000 axes": _tensors(
            {"a": {"dtype": "F32", "shape": [1] * 1000, "data_offsets": [0, 4]}}, bytes(4)
        ),
        "200,000 tensors": _tensors(
            {str(n): {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(200_000)}
        ),
        "a type of its own": _tensors({"a": {"dtype": "F4", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
        "a pickle": b"\x80\x04cposix\nsystem\n(S'true'\ntR.",
    }
    return [*networks, *patches, *(Case(signed(spec, content), note=note) for note, content in files.items())]


def load(folder: Path, _: Case) -> None:
    """Load a model on the CPU."""
    from DeepSegmentLib.files.models import load_model

    load_model(folder / "m", "cpu")


def zipped(files: dict[str, bytes]) -> bytes:
    """An archive of files, the same for the same files."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return written.getvalue()


def zip_seeds() -> list[Case]:
    """Files at the top, and in a folder."""
    return [
        Case({"m.zip": zipped(sound_model())}),
        Case({"m.zip": zipped({f"m/{k}": v for k, v in sound_model().items()})}),
    ]


def mutate_zip(random: Random, seeds: Sequence[Case]) -> Case:
    """The archive changed, or its members, or the directory at its end."""
    content = random.choice(seeds).files["m.zip"]
    action = random.random()
    if action < 0.3:
        return Case({"m.zip": mutated(random, content, BYTES)}, note="changed")
    if action < 0.7:
        at = content.rindex(b"PK\1\2", 0, content.index(b"PK\5\6"))
        first = content.index(b"PK\1\2")
        start = random.choice((first, at))
        return Case({"m.zip": content[:start] + mutated(random, content[start:], BYTES)}, note="directory")
    files = sound_model()
    name = random.choice(sorted(files))
    fresh = {
        **files,
        name: mutate_json(random, files[name]) if name.endswith("json") else mutated(random, files[name], BYTES),
    }
    odd = random.choice(
        ("../x", "/x", "a\\b", "x\0y", "é", "m/" * 99 + "x", "model.json", "C:x", "a" * 300, "__MACOSX/x")
    )
    return Case({"m.zip": zipped({**fresh, odd: b"x"} if random.random() < 0.3 else fresh)}, note="members")


def zip_hostile() -> list[Case]:
    """Archives that unpack without end, or elsewhere."""
    names = ("../model.json", "/model.json", "a/b/c/model.json", "..\\model.json", "model.json/", "\ud7ff", "m/con")
    made = {f"a member {name!r}": zipped({**sound_model(), name: b"x"}) for name in names}
    made |= {
        "70,000 members": zipped({f"{n}": b"" for n in range(70_000)}),
        "4 GB in 4 MB": zip_bomb(4_000_000_000),
        "4 GB that claim 100 bytes": zip_bomb(4_000_000_000, claimed=100),
        "9 GB of nothing": Sparse(NINE_GB, zipped(sound_model())),
        "empty": zipped({}),
    }
    return [
        *(Case({"m.zip": content}, note=note) for note, content in made.items()),
        *odd_cases(zip_seeds()[0], "m.zip"),
    ]


def zip_bomb(size: int, claimed: int | None = None) -> Repeated:
    """An archive of model.json and of weights that are zeros without end (PKWARE APPNOTE 4.3)."""
    block = zero_blocks(1 << 24)
    times = size >> 24
    name, spec = b"weights.safetensors", sound_model()["model.json"]
    fields = struct.pack("<HHHHHIII", 20, 0, 8, 0, 0, 0, len(block) * times, claimed or times << 24)
    plain = zipfile.crc32(spec)  # type: ignore[attr-defined]
    small = struct.pack("<HHHHHIII", 20, 0, 0, 0, 0, plain, len(spec), len(spec))
    first = b"PK\3\4" + small + struct.pack("<HH", 10, 0) + b"model.json" + spec
    second = b"PK\3\4" + fields + struct.pack("<HH", len(name), 0) + name
    entries = _entry(small, b"model.json", 0) + _entry(fields, name, len(first))
    start = len(first) + len(second) + len(block) * times
    return Repeated(
        first + second, block, times, entries + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 2, 2, len(entries), start, 0)
    )


def _entry(fields: bytes, name: bytes, offset: int) -> bytes:
    return b"PK\1\2" + struct.pack("<H", 20) + fields + struct.pack("<5H2I", len(name), 0, 0, 0, 0, 0, offset) + name


def unpack(folder: Path, _: Case) -> None:
    """Unpack an archive and verify what was in it."""
    from DeepSegmentLib.files.models import unpacked, verify_model
    from DeepSegmentLib.files.models.importers import Words, importer_of

    with unpacked(folder / "m.zip", folder) as found:
        importer_of([found]).convert([found], folder / "model", Words())
    verify_model(folder / "model")


DOORS = (
    Door("model.json", folder_seeds, by_name({".json": mutate_json}), use_folder, folder_hostile),
    Door("weights", weights_seeds, mutate_weights, load, weights_hostile),
    Door("model.zip", zip_seeds, mutate_zip, unpack, zip_hostile),
)
