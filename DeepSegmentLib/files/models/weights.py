"""The weights of a model folder: checked by their digest and their own table before they take memory."""

from __future__ import annotations

import hashlib
import os
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.data.progress import check_stop
from DeepSegmentLib.errors import ChecksumError, MissingPackageError, ModelError, ResourceError
from DeepSegmentLib.files.opening import parse_json
from DeepSegmentLib.imaging.memory import available_memory_bytes

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

_DTYPES: dict[str, np.dtype[Any]] = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4"), "I64": np.dtype("<i8")}

SAFETENSORS = ".safetensors"

_LARGEST_TABLE = 1 << 22
"""Bytes of the table of weights: forty thousand of them."""

_AT_ONCE = 1 << 20
_COPIES = 3
"""The file, the weights cut out of it, and these as float32."""


def safetensors_package() -> ModuleType:
    """The reader of weights, imported when first needed: models can be listed where it is not installed."""
    try:
        import safetensors.numpy
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            "reading a model's weights needs safetensors; install it: pip install safetensors"
        ) from error
    return safetensors


def read_weights(path: Path, file: IO[bytes], expected: str) -> dict[str, NDArray[Any]]:
    """The arrays of a safetensors file by name.

    Args:
        path: For messages.
        file: Open at its beginning.
        expected: The SHA-256 that it must have.

    Raises:
        ChecksumError: It has another one.
        ModelError: It is no intact safetensors file, or has weights of an unknown type.
        ResourceError: It does not fit into memory.
    """
    check_digest(path, file, expected)
    size = os.fstat(file.fileno()).st_size
    _check_table(path, file, size)
    available = available_memory_bytes()
    if available is not None and _COPIES * size > available:
        raise ResourceError(
            f"{path} needs {_COPIES * size / 1e9:.1f} GB of memory, {available / 1e9:.1f} GB are free; close other "
            "programs, or take a smaller model"
        )
    file.seek(0)
    return _parsed(path, file.read(size))


def check_digest(path: Path, file: IO[bytes], expected: str) -> None:
    """Refuse a file that has another SHA-256.

    Raises:
        ChecksumError: It has.
    """
    found = digest_of(file)
    if found != expected:
        raise ChecksumError(
            f"{path} has SHA-256 {found}, but model.json says {expected}; "
            "the file is damaged or was exchanged: get the model again from its source"
        )


def digest_of(file: IO[bytes]) -> str:
    """The digest of a file, read part by part."""
    digest = hashlib.sha256()
    while part := file.read(_AT_ONCE):
        digest.update(part)
        check_stop()
    return digest.hexdigest()


def _check_table(path: Path, file: IO[bytes], size: int) -> None:
    """Check the JSON that stands before the weights (its length first, as 8 bytes) before a library parses it."""
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if length > min(size - 8, _LARGEST_TABLE):
        raise _damaged(path, f"its table claims {length} bytes")
    try:
        parse_json(file.read(length))
    except ValueError as error:
        raise _damaged(path, error) from error


def _parsed(path: Path, content: bytes) -> dict[str, NDArray[Any]]:
    safetensors = safetensors_package()
    try:
        tensors: list[tuple[str, dict[str, Any]]] = safetensors.deserialize(content)
    except safetensors.SafetensorError as error:
        raise _damaged(path, error) from error
    weights: dict[str, NDArray[Any]] = {}
    for name, tensor in tensors:
        kind = tensor["dtype"]
        if kind not in _DTYPES:
            raise ModelError(f"{path}: weight {name[:200]!r} has the type {kind}; supported: {', '.join(_DTYPES)}")
        try:
            weights[name] = np.frombuffer(tensor["data"], dtype=_DTYPES[kind]).reshape(tensor["shape"])
        except (ValueError, OverflowError) as error:  # shapes of more than NumPy's 64 axes, or of no elements
            raise _damaged(path, error) from error
    return weights


def _damaged(path: Path, reason: object) -> ModelError:
    return ModelError(f"{path} is no intact safetensors file ({reason}); get the model again from its source")
