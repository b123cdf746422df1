"""Model folders: `model.json`, `weights.safetensors`, `MODEL_CARD.md`, and perhaps `LICENSE`.

Opening one never runs code from it: the spec is strict JSON, the weights are safetensors with a recorded SHA-256 that
is checked on every load. Everything but `load_model` and `save_model` works without torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import contextmanager
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.errors import InvalidInputError, MissingPackageError, ModelError, VolumeFileError
from DeepSegmentLib.files.leftovers import hidden_folder
from DeepSegmentLib.files.opening import inside, open_file, parse_json
from DeepSegmentLib.networks.model_json import spec_from_json, spec_to_json

from .weights import read_weights, safetensors_package

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

    from DeepSegmentLib.networks.model_spec import ModelSpec
    from DeepSegmentLib.networks.runtime import Model
    from DeepSegmentLib.networks.unet import UNet

SPEC_FILE = "model.json"
WEIGHTS_FILE = "weights.safetensors"
CARD_FILE = "MODEL_CARD.md"
MODEL_FILES = (SPEC_FILE, WEIGHTS_FILE, CARD_FILE, "LICENSE")

# Far above any model we know of (nnU-Net's largest presets have 0.4 GB of weights), far below what fills a disk.
LARGEST_MODEL = 4 << 30
LARGEST_FILES = {SPEC_FILE: 4 << 20, WEIGHTS_FILE: LARGEST_MODEL, CARD_FILE: 4 << 20, "LICENSE": 4 << 20}
"""Bytes that each file of a model may have."""


def read_spec(folder: Path) -> ModelSpec:
    """What the model in a folder needs and gives; its weights are not touched.

    Raises:
        ModelError: `model.json` is missing, too large, not JSON, or not a spec of a known format.
    """
    with open_member(folder, SPEC_FILE) as file:
        content = file.read(LARGEST_FILES[SPEC_FILE])
    try:
        return spec_from_json(_parse_json(content))
    except ModelError as error:
        raise ModelError(f"{folder / SPEC_FILE}: {error}") from error


def read_card(folder: Path) -> str:
    """The text that goes with the model in a folder; empty where there is none that can be read."""
    try:
        with open_member(folder, CARD_FILE) as file:
            return file.read(LARGEST_FILES[CARD_FILE]).decode("utf-8", errors="replace")
    except (ModelError, OSError):
        return ""


def copy_model(source: Path, folder: Path) -> None:
    """Copy the files of a model, and nothing else, to a new folder.

    Raises:
        InvalidInputError: `folder` exists.
        ModelError: A file of the model is missing, leads out of its folder, or cannot be read or written.
    """
    read_spec(source)
    with new_folder(folder) as fresh:
        for name in MODEL_FILES:
            if name in (SPEC_FILE, WEIGHTS_FILE) or os.path.lexists(source / name):
                with open_member(source, name) as file, (fresh / name).open("wb") as copy:
                    shutil.copyfileobj(file, copy, 1 << 20)


def problem_with_weights(folder: Path) -> str:
    """Why the weights cannot be opened; empty where they can. They are not read."""
    try:
        open_member(folder, WEIGHTS_FILE).close()
    except ModelError as error:
        return str(error)
    return ""


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
    content = safetensors_package().numpy.save(weights, metadata={"format": "pt"})
    written = replace(spec, weights_sha256=hashlib.sha256(content).hexdigest())
    with new_folder(folder) as fresh:
        (fresh / WEIGHTS_FILE).write_bytes(content)
        (fresh / CARD_FILE).write_text(card, encoding="utf-8", newline="\n")
        document = json.dumps(spec_to_json(written), indent=2, ensure_ascii=False, allow_nan=False)
        (fresh / SPEC_FILE).write_text(document + "\n", encoding="utf-8", newline="\n")
    return written


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, beside `folder` and hidden; renamed to it when the block ends well, deleted otherwise.

    Raises:
        InvalidInputError: `folder` exists.
        ModelError: It cannot be written.
    """
    if folder.exists():
        raise InvalidInputError(f"{folder} exists; remove it or choose another name")
    try:
        with hidden_folder(folder) as fresh:
            fresh.mkdir(parents=True)
            yield fresh
            fresh.rename(folder)
    except OSError as error:
        raise ModelError(f"{folder} cannot be written: {error.strerror or error}") from error


def _runtime() -> ModuleType:
    """The layer's torch part, imported when first needed: listing models must not cost the import of torch."""
    try:
        from DeepSegmentLib.networks import runtime
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingPackageError("running a model needs PyTorch; install it: pip install torch") from error
    return runtime


def open_member(folder: Path, name: str) -> IO[bytes]:
    """Open one of the files of a model: a plain one, in its folder, no larger than `LARGEST_FILES` lets it be.

    Raises:
        ModelError: It is none of this, or cannot be read.
    """
    path = folder / name
    if not os.path.lexists(path):
        raise ModelError(f"{path} is missing; a model is a folder with {SPEC_FILE} and {WEIGHTS_FILE}")
    try:
        file = open_file(inside(folder, name))
    except VolumeFileError as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    size = os.fstat(file.fileno()).st_size
    if size > LARGEST_FILES[name]:
        file.close()
        raise ModelError(f"{path} has {size} bytes, more than the {LARGEST_FILES[name]} that it may have")
    return file


def _parse_json(content: bytes) -> Any:
    try:
        return parse_json(content)
    except ValueError as error:
        raise ModelError(f"not valid JSON ({error}); get the model again from its source") from error


def _verified_weights(folder: Path, spec: ModelSpec) -> dict[str, NDArray[Any]]:
    with open_member(folder, WEIGHTS_FILE) as file:
        if not spec.weights_sha256:
            raise ModelError(f"{folder / SPEC_FILE} has no checksum of the weights; a complete one has weights_sha256")
        return read_weights(folder / WEIGHTS_FILE, file, spec.weights_sha256)


def _stored(name: str, weight: NDArray[Any], *, half: bool) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        stored = weight.astype(np.float16) if half and weight.dtype == np.float32 else weight
    if not np.isfinite(stored).all():
        raise InvalidInputError(f"weight {name!r} is not finite as {stored.dtype}; was the training stable?")
    return stored
