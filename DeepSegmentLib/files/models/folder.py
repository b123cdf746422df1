"""Model folders: `model.json`, `weights.safetensors`, `MODEL_CARD.md`, and perhaps `LICENSE`.

Opening one never runs code from it: the spec is strict JSON, the weights are safetensors with a recorded SHA-256 that
is checked on every load. Everything but `load_model` and `save_model` works without torch.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from pathlib import PurePosixPath
from stat import S_ISLNK
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo
from zlib import error as ZlibError  # noqa: N812 - a class, whatever zlib calls it

import numpy as np

from DeepSegmentLib.errors import ChecksumError, InvalidInputError, MissingPackageError, ModelError
from DeepSegmentLib.networks.spec import spec_from_json, spec_to_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

    from DeepSegmentLib.networks.runtime import Model
    from DeepSegmentLib.networks.spec import ModelSpec
    from DeepSegmentLib.networks.unet import UNet

SPEC_FILE = "model.json"
WEIGHTS_FILE = "weights.safetensors"
CARD_FILE = "MODEL_CARD.md"
MODEL_FILES = (SPEC_FILE, WEIGHTS_FILE, CARD_FILE, "LICENSE")

# Far above any model we know of (nnU-Net's largest presets have 0.4 GB of weights), far below what fills a disk.
_LARGEST_SPEC = 4 << 20
_LARGEST_MODEL = 4 << 30

# What zipfile lets through for damaged archives, found by changing bytes at random.
_ZIP_ERRORS = (OSError, BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, IndexError, ZlibError)

_DTYPES: dict[str, np.dtype[Any]] = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4"), "I64": np.dtype("<i8")}


def read_spec(folder: Path) -> ModelSpec:
    """What the model in a folder needs and gives; its weights are not touched.

    Raises:
        ModelError: `model.json` is missing, too large, not JSON, or not a spec of a known format.
    """
    path = folder / SPEC_FILE
    content = _read(path, largest=_LARGEST_SPEC)
    try:
        return spec_from_json(_parse_json(content))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def verify_model(folder: Path) -> ModelSpec:
    """Check that the weights are those that the spec was written for, and that they can be read.

    Raises:
        ChecksumError: The weights have another SHA-256.
        ModelError: The spec or the weights cannot be read.
    """
    spec = read_spec(folder)
    _verified_weights(folder, spec)
    return spec


def load_model(folder: Path, device: str = "auto") -> Model:
    """Read, verify and put a model on a device (see `choose_device`).

    Raises:
        ChecksumError: The weights have another SHA-256.
        ModelError: The spec or the weights cannot be read, or do not fit each other.
        ResourceError: The device is not there.
        MissingPackageError: torch is not installed.
    """
    runtime = _runtime()
    place = runtime.choose_device(device)
    spec = read_spec(folder)
    weights = _verified_weights(folder, spec)
    try:
        unet = runtime.unet_from_weights(spec.network, weights)
    except ModelError as error:
        raise ModelError(f"{folder / WEIGHTS_FILE}: {error}; get the model again from its source") from error
    model: Model = runtime.Model(spec, runtime.TorchNetwork(unet, place))
    return model


def save_model(folder: Path, spec: ModelSpec, network: UNet, *, card: str, half: bool = False) -> ModelSpec:
    """Write a model folder; it appears complete or not at all.

    Args:
        folder: Must not exist yet.
        spec: Its checksum is replaced.
        network: A U-Net of the spec's topology, on any device.
        card: Text of `MODEL_CARD.md`.
        half: Store float16, half the size; loaded as float32 again.

    Returns:
        The spec as written, with the checksum.

    Raises:
        InvalidInputError: The folder exists, the spec describes another network, or a weight is not finite (in
            float16, if so asked).
        ModelError: The folder cannot be written.
    """
    if spec.network != network.spec:
        raise InvalidInputError(f"the spec of {spec.name} describes another network than the one to save")
    weights = {name: _stored(name, weight, half=half) for name, weight in _runtime().weights_of(network).items()}
    content = _safetensors().numpy.save(weights, metadata={"format": "pt"})
    written = replace(spec, weights_sha256=hashlib.sha256(content).hexdigest())
    with new_folder(folder) as fresh:
        (fresh / WEIGHTS_FILE).write_bytes(content)
        (fresh / CARD_FILE).write_text(card, encoding="utf-8", newline="\n")
        document = json.dumps(spec_to_json(written), indent=2, ensure_ascii=False, allow_nan=False)
        (fresh / SPEC_FILE).write_text(document + "\n", encoding="utf-8", newline="\n")
    return written


def unpack_model(archive: Path, folder: Path) -> None:
    """Unpack a zipped model folder into a new folder.

    The files may lie at the top or in one folder. Only the files of a model are accepted, as plain files of bounded
    size; what macOS adds is left out. Contents are not verified here, see `verify_model`.

    Raises:
        InvalidInputError: The folder exists.
        ModelError: The archive cannot be read, or holds anything but one model.
    """
    try:
        with ZipFile(archive) as source, new_folder(folder) as fresh:
            for info in _model_members(archive, source):
                with source.open(info) as packed, (fresh / PurePosixPath(info.filename).name).open("wb") as plain:
                    shutil.copyfileobj(packed, plain)
    except _ZIP_ERRORS as error:
        raise ModelError(f"{archive} cannot be unpacked ({error}); it must be an intact zip file") from error


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, beside `folder` and hidden; renamed to it when the block ends well, deleted otherwise.

    Raises:
        InvalidInputError: `folder` exists.
        ModelError: It cannot be written.
    """
    if folder.exists():
        raise InvalidInputError(f"{folder} exists; remove it or choose another name")
    fresh = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}")
    try:
        fresh.mkdir(parents=True)
        yield fresh
        fresh.rename(folder)
    except OSError as error:
        raise ModelError(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _runtime() -> ModuleType:
    """The layer's torch part, imported when first needed: listing models must not cost the import of torch."""
    try:
        from DeepSegmentLib.networks import runtime
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingPackageError("running a model needs PyTorch; install it: pip install torch") from error
    return runtime


def _safetensors() -> ModuleType:
    """The reader of weights, imported when first needed: models can be listed where it is not installed."""
    try:
        import safetensors.numpy
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            "reading a model's weights needs safetensors; install it: pip install safetensors"
        ) from error
    return safetensors


def _read(path: Path, *, largest: int) -> bytes:
    try:
        size = path.stat().st_size
        if size <= largest:
            return path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing; a model is a folder with {SPEC_FILE} and {WEIGHTS_FILE}") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    raise ModelError(f"{path} has {size} bytes, more than the {largest} that a model may have")


def _parse_json(content: bytes) -> Any:
    try:
        return json.loads(content, object_pairs_hook=_distinct_keys)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"not valid JSON ({error}); get the model again from its source") from error


def _distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if twice:
        raise ValueError(f"key {twice[0]!r} appears twice")
    return dict(pairs)


def _verified_weights(folder: Path, spec: ModelSpec) -> dict[str, NDArray[Any]]:
    path = folder / WEIGHTS_FILE
    content = _read(path, largest=_LARGEST_MODEL)
    found = hashlib.sha256(content).hexdigest()
    if not spec.weights_sha256:
        raise ModelError(f"{folder / SPEC_FILE} has no checksum of the weights; a complete one has weights_sha256")
    if found != spec.weights_sha256:
        raise ChecksumError(
            f"{path} has SHA-256 {found}, but {SPEC_FILE} says {spec.weights_sha256}; "
            "the file is damaged or was exchanged: get the model again from its source"
        )
    return _parse_weights(path, content)


def _parse_weights(path: Path, content: bytes) -> dict[str, NDArray[Any]]:
    safetensors = _safetensors()
    try:
        tensors: list[tuple[str, dict[str, Any]]] = safetensors.deserialize(content)
    except safetensors.SafetensorError as error:
        raise ModelError(f"{path} is no intact safetensors file ({error}); get the model again") from error
    weights: dict[str, NDArray[Any]] = {}
    for name, tensor in tensors:
        kind = tensor["dtype"]
        if kind not in _DTYPES:
            raise ModelError(f"{path}: weight {name!r} has the type {kind}; supported: {', '.join(_DTYPES)}")
        weights[name] = np.frombuffer(tensor["data"], dtype=_DTYPES[kind]).reshape(tensor["shape"])
    return weights


def _stored(name: str, weight: NDArray[Any], *, half: bool) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        stored = weight.astype(np.float16) if half and weight.dtype == np.float32 else weight
    if not np.isfinite(stored).all():
        raise InvalidInputError(f"weight {name!r} is not finite as {stored.dtype}; was the training stable?")
    return stored


def _model_members(archive: Path, source: ZipFile) -> list[ZipInfo]:
    """The archive's model files, after everything else has been refused."""
    members = [info for info in source.infolist() if not info.is_dir() and not _from_macos(info)]
    for info in members:
        problem = _member_problem(info)
        if problem:
            raise ModelError(f"{archive}: member {info.filename!r} {problem}")
    if len({PurePosixPath(info.filename).parent for info in members}) > 1:
        raise ModelError(f"{archive} holds more than one folder; zip one model at a time")
    names = [PurePosixPath(info.filename).name for info in members]
    if len(set(names)) < len(names) or not {SPEC_FILE, WEIGHTS_FILE} <= set(names):
        raise ModelError(f"{archive} must hold {SPEC_FILE} and {WEIGHTS_FILE} once each, got {sorted(names)}")
    total = sum(info.file_size for info in members)
    if total > _LARGEST_MODEL:
        raise ModelError(f"{archive} unpacks to {total} bytes, more than the {_LARGEST_MODEL} that a model may have")
    return members


def _from_macos(info: ZipInfo) -> bool:
    path = PurePosixPath(info.filename)
    return path.parts[:1] == ("__MACOSX",) or path.name == ".DS_Store"


def _member_problem(info: ZipInfo) -> str:
    """Why a member is refused; empty when it is not."""
    path = PurePosixPath(info.filename)
    if path.is_absolute() or ".." in path.parts or "\\" in info.orig_filename or ":" in info.filename:
        return "points outside the archive"
    if S_ISLNK(info.external_attr >> 16):
        return "is a link"
    if info.flag_bits & 1:
        return "is encrypted; zip it without a password"
    if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        return "is compressed in an unusual way; zip it with deflate"
    if len(path.parts) > 2 or path.name not in MODEL_FILES:
        return f"is not part of a model; zip only {', '.join(MODEL_FILES)}"
    return ""
