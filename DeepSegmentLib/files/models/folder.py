"""Model folders: `model.json`, the weights files that it names, `MODEL_CARD.md`, and perhaps `LICENSE`.

Opening one never runs code from it: the spec is strict JSON, the weights have a recorded SHA-256 that is checked on
every load. Everything but `load_model`, `write_model` and `save_model` works without torch.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.errors import InvalidInputError, MissingPackageError, ModelError, ResourceError, VolumeFileError
from DeepSegmentLib.files.leftovers import hidden_folder
from DeepSegmentLib.files.opening import FULL_DISK, inside, open_file, parse_json
from DeepSegmentLib.networks.graph_spec import GraphSpec
from DeepSegmentLib.networks.model_json import spec_from_json, spec_to_json
from DeepSegmentLib.networks.model_spec import with_weights
from DeepSegmentLib.networks.stage_spec import is_weights_name

from .graphs.reading import read_raw_graph
from .weights import SAFETENSORS, check_digest, digest_of, read_weights, safetensors_package

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from types import ModuleType

    import torch
    from numpy.typing import NDArray

    from DeepSegmentLib.networks.architectures.unet import UNet
    from DeepSegmentLib.networks.back_ends.engine import Engine
    from DeepSegmentLib.networks.model_spec import ModelSpec
    from DeepSegmentLib.networks.runtime import Model, Network
    from DeepSegmentLib.networks.stage_spec import StageSpec, WeightsFile

SPEC_FILE = "model.json"
WEIGHTS_FILE = "weights.safetensors"
"""Of a model with one network; further ones are `weights-2.safetensors` and so on."""
CARD_FILE = "MODEL_CARD.md"
LICENSE_FILE = "LICENSE"
MODEL_FILES = (SPEC_FILE, WEIGHTS_FILE, CARD_FILE, LICENSE_FILE)
"""What the folder of a model with one network holds."""

# Far above any model we know of (five folds of nnU-Net's largest preset have 2 GB of weights), far below what fills a
# disk.
LARGEST_MODEL = 8 << 30
_LARGEST_WEIGHTS = 4 << 30
_LARGEST_TEXT = 4 << 20


def is_model_file(name: str) -> bool:
    """Whether a file of this name may belong to a model."""
    return name in (SPEC_FILE, CARD_FILE, LICENSE_FILE) or is_weights_name(name)


def largest_bytes(name: str) -> int:
    """Bytes that a file of a model may have."""
    return _LARGEST_WEIGHTS if is_weights_name(name) else _LARGEST_TEXT


def read_spec(folder: Path) -> ModelSpec:
    """What the model in a folder needs and gives; its weights are not touched.

    Raises:
        ModelError: `model.json` is missing, too large, not JSON, or not a spec of a known format.
    """
    with open_member(folder, SPEC_FILE) as file:
        content = file.read(_LARGEST_TEXT)
    try:
        return spec_from_json(_parse_json(content))
    except ModelError as error:
        raise ModelError(f"{folder / SPEC_FILE}: {error}") from error


def read_card(folder: Path) -> str:
    """The text that goes with the model in a folder; empty where there is none that can be read."""
    try:
        with open_member(folder, CARD_FILE) as file:
            return file.read(_LARGEST_TEXT).decode("utf-8", errors="replace")
    except (ModelError, OSError):
        return ""


def copy_model(source: Path, folder: Path) -> None:
    """Copy the files of a model, and nothing else, to a new folder.

    Raises:
        InvalidInputError: `folder` exists.
        ModelError: A file of the model is missing, leads out of its folder, or cannot be read or written.
    """
    needed = [SPEC_FILE, *(file.file for file in read_spec(source).weights)]
    with new_folder(folder) as fresh:
        for name in (*needed, CARD_FILE, LICENSE_FILE):
            if name in needed or os.path.lexists(source / name):
                with open_member(source, name) as file, (fresh / name).open("wb") as copy:
                    shutil.copyfileobj(file, copy, 1 << 20)


def problem_with_weights(folder: Path, files: Iterable[str]) -> str:
    """Why weights files cannot be opened; empty where they can. They are not read."""
    for file in files:
        try:
            open_member(folder, file).close()
        except ModelError as error:
            return str(error)
    return ""


def verify_model(folder: Path) -> ModelSpec:
    """Check that the weights are those that the spec was written for, and that they can be read.

    Raises:
        ChecksumError: A weights file has another SHA-256.
        ModelError: The spec or the weights cannot be read.
    """
    spec = read_spec(folder)
    for weights in spec.weights:
        if weights.file.endswith(SAFETENSORS):
            _verified_weights(folder, weights)
        else:
            with _opened_weights(folder, weights) as file:
                check_digest(folder / weights.file, file, weights.sha256)
    return spec


def load_model(folder: Path, device: str = "auto", engine: Engine | None = None) -> Model:
    """Read, verify and put a model on its devices (see `choose_devices`); on the CPU computed as the engine chooses.

    Of a model of several parts, the networks of each are read and verified when it is run first.

    Raises:
        ChecksumError: A weights file has another SHA-256.
        ModelError: The spec or the weights cannot be read, or do not fit each other.
        ResourceError: The device is not there.
        MissingPackageError: torch is not installed.
    """
    runtime = _runtime()
    places = runtime.choose_devices(device)
    spec = read_spec(folder)
    engine = engine and replace(engine, exclusive=spec.output == "labels")
    loads = [partial(_network_of, folder, stage, places, engine) for stage in spec.stages]
    networks = [runtime.StoredNetwork(load) if len(spec.parts) > 1 else load() for load in loads]
    model: Model = runtime.Model(spec, networks, ", ".join(map(str, places)))
    return model


def members_of(folder: Path, device: str = "auto") -> Iterator[tuple[StageSpec, str, Network]]:
    """Stage, file and network of each weights file, read and verified when it is asked for, so that one is in memory.

    Raises:
        ChecksumError, ModelError, ResourceError, MissingPackageError: As `load_model`.
    """
    place = _runtime().choose_device(device)
    for stage in read_spec(folder).stages:
        for weights in stage.weights:
            yield stage, weights.file, _member(folder, stage, weights, place)


def _network_of(folder: Path, stage: StageSpec, places: Sequence[torch.device], engine: Engine | None) -> Network:
    """The network of a stage, a copy of it on each device."""
    copies = [_copy_of(folder, stage, place, engine) for place in places]
    network: Network = copies[0] if len(copies) == 1 else _runtime().SideBySide(copies)
    return network


def _copy_of(folder: Path, stage: StageSpec, place: torch.device, engine: Engine | None) -> Network:
    """The network of a stage on a device, its members behind it."""
    members = [_member(folder, stage, weights, place, engine) for weights in stage.weights]
    network: Network = members[0] if len(members) == 1 else _runtime().Ensemble(members)
    return network


def _member(
    folder: Path, stage: StageSpec, weights: WeightsFile, place: torch.device, engine: Engine | None = None
) -> Network:
    if isinstance(stage.network, GraphSpec):
        return _graph(folder, stage.network, weights, place)
    if not weights.file.endswith(SAFETENSORS):
        raise ModelError(f"{folder / weights.file} is no {SAFETENSORS} file, which {stage.network.architecture} needs")
    runtime = _runtime()
    arrays = _verified_weights(folder, weights)
    try:
        module = runtime.module_from_weights(stage.network, arrays)
    except ModelError as error:
        raise ModelError(f"{folder / weights.file}: {error}; get the model again from its source") from error
    engine = engine and replace(engine, weights_sha256=weights.sha256)
    network: Network = runtime.TorchNetwork(module, stage.network, place, engine)
    return network


def _graph(folder: Path, spec: GraphSpec, weights: WeightsFile, place: torch.device) -> Network:
    if weights.file.endswith(SAFETENSORS):
        raise ModelError(f"{folder / weights.file} holds weights only, and this network is a graph (.ts or .onnx)")
    runtime = _runtime()
    with _opened_weights(folder, weights) as file:
        check_digest(folder / weights.file, file, weights.sha256)
    from DeepSegmentLib.networks.graphs import Graph

    module = Graph(read_raw_graph(folder / weights.file, place), spec)
    network: Network = runtime.TorchNetwork(module, spec, place)
    return network


def save_model(folder: Path, spec: ModelSpec, network: UNet, *, card: str, half: bool = False) -> ModelSpec:
    """Write the folder of a model with one network, see `write_model`.

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
    if [stage.network for stage in spec.stages] != [network.spec] or len(spec.weights) > 1:
        raise InvalidInputError(f"the spec of {spec.name} describes another network than the one to save")
    return write_model(folder, spec, iter([_runtime().weights_of(network)]), card=card, half=half)


def write_model(
    folder: Path,
    spec: ModelSpec,
    weights: Iterator[Mapping[str, NDArray[Any]] | Path],
    *,
    card: str,
    half: bool = False,
    license_text: str = "",
) -> ModelSpec:
    """Write a model folder; it appears complete or not at all, and no more than one weights file is in memory.

    Args:
        folder: Must not exist yet.
        spec: Its checksums are replaced.
        weights: In the order of `spec.weights`: arrays by name for a `.safetensors` file, for others a file to copy.
        card: Text of `MODEL_CARD.md`.
        half: Store float16, half the size; loaded as float32 again.
        license_text: Text of `LICENSE`; no such file where it is empty.

    Returns:
        The spec as written, with the checksums.

    Raises:
        InvalidInputError: The folder exists, there are fewer or more weights than the spec has files, or one is not
            finite (in float16, if so asked).
        ModelError: Weights do not fit the network, or the folder cannot be written.
    """
    with new_folder(folder) as fresh:
        written = with_weights(spec, iter(_write_all(fresh, spec, weights, half=half)))
        (fresh / CARD_FILE).write_text(card, encoding="utf-8", newline="\n")
        if license_text:
            (fresh / LICENSE_FILE).write_text(license_text, encoding="utf-8", newline="\n")
        write_spec(fresh, written)
    return written


def write_spec(folder: Path, spec: ModelSpec) -> None:
    """Write the spec of a model that is being made, in its folder."""
    document = json.dumps(spec_to_json(spec), indent=2, ensure_ascii=False, allow_nan=False)
    (folder / SPEC_FILE).write_text(document + "\n", encoding="utf-8", newline="\n")


def _write_all(
    fresh: Path, spec: ModelSpec, weights: Iterator[Mapping[str, NDArray[Any]] | Path], *, half: bool
) -> list[str]:
    """Write all weights files; their SHA-256."""
    stages, names = [stage for stage in spec.stages for _ in stage.weights], [file.file for file in spec.weights]
    if len({*names}) < len(names):
        raise InvalidInputError(f"each member needs a weights file of its own, got {names}")
    digests = []
    for stage, file in zip(stages, spec.weights, strict=True):
        content = next(weights, None)
        if content is not None:
            digests.append(_write_weights(fresh / file.file, stage, content, half=half))
        del content  # before the next one is made
    if len(digests) < len(stages) or next(weights, None) is not None:
        raise InvalidInputError(f"{spec.name} has {len(stages)} weights files; there are fewer or more weights")
    return digests


def _write_weights(target: Path, stage: StageSpec, content: Mapping[str, NDArray[Any]] | Path, *, half: bool) -> str:
    """Write one weights file; its SHA-256."""
    if isinstance(content, Mapping):
        stored = {name: _stored(name, weight, half=half) for name, weight in content.items()}
        _runtime().check_weights(stage.network, stored)
        _save(stored, target)
    else:
        shutil.copyfile(content, target)
    size = target.stat().st_size
    if size > _LARGEST_WEIGHTS:
        raise ModelError(f"{target.name} would have {size} bytes, more than the {_LARGEST_WEIGHTS} that it may have")
    with target.open("rb") as file:
        return digest_of(file)


def _save(stored: Mapping[str, NDArray[Any]], target: Path) -> None:
    safetensors = safetensors_package()
    try:
        safetensors.numpy.save_file(stored, target, metadata={"format": "pt"})
    except safetensors.SafetensorError as error:  # a full disk, mostly
        raise ResourceError(f"{target.name} cannot be written ({error}); make room on the disk") from error


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
        if error.errno in FULL_DISK:
            raise ResourceError(f"{folder} cannot be written: {error.strerror}; make room on the disk") from error
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
    """Open one of the files of a model: a plain one, in its folder, no larger than `largest_bytes` lets it be.

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
    if size > largest_bytes(name):
        file.close()
        raise ModelError(f"{path} has {size} bytes, more than the {largest_bytes(name)} that it may have")
    return file


def _parse_json(content: bytes) -> Any:
    try:
        return parse_json(content)
    except ValueError as error:
        raise ModelError(f"not valid JSON ({error}); get the model again from its source") from error


def _opened_weights(folder: Path, weights: WeightsFile) -> IO[bytes]:
    file = open_member(folder, weights.file)
    if weights.sha256:
        return file
    file.close()
    raise ModelError(f"{folder / SPEC_FILE} has no checksum of {weights.file}; a complete one has its sha256")


def _verified_weights(folder: Path, weights: WeightsFile) -> dict[str, NDArray[Any]]:
    with _opened_weights(folder, weights) as file:
        return read_weights(folder / weights.file, file, weights.sha256)


def _stored(name: str, weight: NDArray[Any], *, half: bool) -> NDArray[Any]:
    """The weight as it is kept: float32, or float16 if so asked or it was; whole numbers and truth as int64."""
    narrow = half or weight.dtype == np.float16
    kind = (np.float16 if narrow else np.float32) if weight.dtype.kind == "f" else np.int64
    with np.errstate(over="ignore"):
        stored = np.ascontiguousarray(weight).astype(kind, copy=False).reshape(weight.shape)
    if not np.isfinite(stored).all():
        raise InvalidInputError(f"weight {name!r} is not finite as {stored.dtype}; was the training stable?")
    return stored
