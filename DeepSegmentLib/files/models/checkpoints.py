"""PyTorch checkpoints (`.pth`, `.pt`) of strangers: weights and plain data come out of them, and nothing in them runs.

A checkpoint is a pickle: a little program that may call any function by its name. Here its names are listed first,
without running it, and it is refused where one is not among those that tensors and numbers need. Only then torch reads
it, by its reader for weights alone; for what NumPy would do it finds the stand-ins of this module, which make nothing
but numbers. Tensors of a zip-format checkpoint stay on the disk until they are used.
"""

from __future__ import annotations

import os
from itertools import islice
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any
from zipfile import ZIP_STORED

import numpy as np

from DeepSegmentLib.errors import MissingPackageError, ModelError, VolumeFileError
from DeepSegmentLib.files.opening import open_file

from .pickle_names import DEEPEST, MOST_INSTRUCTIONS, wants_of
from .zip_members import ZIP_ERRORS, open_zip_of_one_reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

    from .pickle_names import Wants

LARGEST_CHECKPOINT = 16 << 30
"""Bytes. A checkpoint holds its weights three times, with the optimizer's; see `LARGEST_MODEL`."""

_LARGEST_PICKLE = 256 << 20
_LARGEST_ARRAY = 1 << 26
"""Bytes of a NumPy array in a pickle, which holds logs and settings; weights are tensors."""

_PICKLES_OF_OLD_FORMAT = 5
"""Magic number, version, the machine, the content, the keys of the storages (torch before 1.6)."""

_OLDEST_TORCH = (2, 6)
"""Before, its reader for weights alone could be made to run code (CVE-2025-32434)."""

_ZIP_MAGIC, _PICKLE_MAGIC = b"PK\x03\x04", b"\x80"
_GET_AGAIN = "get the checkpoint again from its source"

# What tensors are made of; torch's own reader for weights has stand-ins for the storages.
_OF_TENSORS = frozenset(
    {
        "collections.OrderedDict", "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_parameter", "torch.Size", "torch.device", "_codecs.encode",
        *(f"torch.{kind}Storage" for kind in
          ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")),
        *(f"torch.cuda.{kind}Storage" for kind in
          ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")),
        *(f"torch.{kind}" for kind in
          ("float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")),
    }
)  # fmt: skip


def read_checkpoint(path: Path, allow: Mapping[str, Callable[..., Any]] = MappingProxyType({})) -> dict[str, Any]:
    """The dictionary that a checkpoint is, its tensors on the CPU.

    Args:
        path: A file that `torch.save` wrote, in its zip format or in the older one.
        allow: Further names that the checkpoint may call for, such as "monai.data.meta_tensor.MetaTensor", and what
            stands in for them; nothing is imported.

    Raises:
        ModelError: It calls for anything else, is damaged, too large, a TorchScript graph or no dictionary.
        MissingPackageError: torch is missing, or too old to read strangers' files.
    """
    allowed = {**_NUMPY, **dict(allow)}
    try:
        with open_file(path) as file:
            in_zip = _check(path, file, _OF_TENSORS | allowed.keys())
    except (*ZIP_ERRORS, VolumeFileError) as error:
        raise _damaged(path, error) from error
    content = _loaded(path, allowed, in_zip=in_zip)
    if not isinstance(content, dict):
        raise ModelError(
            f"{path} holds a {type(content).__name__}, no dictionary of weights; save its state_dict() and add that"
        )
    _check_written_out(path, content)
    return dict(content)


def state_arrays(state: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """A state dict as arrays: floating-point weights as float32, integers as they are.

    Weights that are float32 already share memory with the tensors (with the file, for a zip-format checkpoint).

    Raises:
        ModelError: A value is no dense tensor of numbers, or reaches beyond what is stored of it.
    """
    return {str(name): _array(str(name), value) for name, value in state.items()}


def _check_written_out(path: Path, content: Any) -> None:
    """Refuse what is endless to walk through or to show, as it holds itself, or the same things again and again."""
    level, left = [content], MOST_INSTRUCTIONS
    for _ in range(DEEPEST):
        level = list(islice((entry for value in level for entry in _entries(value)), left + 1))
        left -= len(level)
        if not level:
            return
        if left < 0:
            break
    raise _damaged(path, f"it holds itself, more than {MOST_INSTRUCTIONS} values, or is nested deeper than {DEEPEST}")


def _entries(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple, set)) else ()


def _array(name: str, value: Any) -> NDArray[Any]:
    if isinstance(value, np.ndarray):
        return _as_stored(name, np.asarray(value))
    torch = _torch()
    if not isinstance(value, torch.Tensor) or value.layout is not torch.strided or value.is_quantized:
        raise ModelError(f"weight {name[:200]!r} is a {type(value).__name__}, not a plain tensor; save a state_dict()")
    _check_extent(name, value)
    tensor = value.detach()
    if tensor.dtype in (torch.bfloat16, torch.float16, torch.float64):
        tensor = tensor.to(torch.float32)
    return _as_stored(name, tensor.numpy())


def _as_stored(name: str, array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind not in "biuf":
        raise ModelError(f"weight {name[:200]!r} has the type {array.dtype}; weights are real numbers")
    return np.ascontiguousarray(array, dtype=np.float32 if array.dtype.kind == "f" else array.dtype).reshape(
        array.shape
    )


def _check_extent(name: str, tensor: Any) -> None:
    """Refuse a view of more than its storage holds: it would read other memory, or grow without end."""
    reach = (
        tensor.storage_offset()
        + 1
        + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True))
    )
    stored = tensor.untyped_storage().nbytes() // tensor.element_size()
    if tensor.numel() > stored or (tensor.numel() and reach > stored):
        raise ModelError(
            f"weight {name[:200]!r} claims {tensor.numel()} values, its storage has {stored}; {_GET_AGAIN}"
        )


def _check(path: Path, file: IO[bytes], allowed: frozenset[str]) -> bool:
    """Refuse what must not reach torch; whether it is of the zip format."""
    size = os.fstat(file.fileno()).st_size
    if size > LARGEST_CHECKPOINT:
        raise ModelError(f"{path} has {size} bytes, more than the {LARGEST_CHECKPOINT} that a checkpoint may have")
    start = file.read(4)
    file.seek(0)
    if start == _ZIP_MAGIC:
        _check_zip(path, file, allowed)
    elif start[:1] == _PICKLE_MAGIC:
        _check_old_format(path, file, size, allowed)
    else:
        raise ModelError(f"{path} is no PyTorch checkpoint (it begins with {start!r}); {_GET_AGAIN}")
    return start == _ZIP_MAGIC


def _check_zip(path: Path, file: IO[bytes], allowed: frozenset[str]) -> None:
    with open_zip_of_one_reading(file) as members:
        names = [info.filename for info in members.infolist()]
        if len({name.casefold() for name in names}) < len(names):
            raise ModelError(f"{path} has two members of one name; {_GET_AGAIN}")
        packed = [
            info.filename for info in members.infolist() if info.compress_type != ZIP_STORED or info.flag_bits & 1
        ]
        if packed:
            raise ModelError(f"{path}: member {packed[0][:200]!r} is packed, as torch writes none; {_GET_AGAIN}")
        if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
            raise ModelError(f"{path} is a TorchScript graph, not a checkpoint of weights; add it as a graph")
        pickles = [name for name in names if name.rpartition("/")[2] == "data.pkl"]
        if len(pickles) != 1 or pickles[0].count("/") != 1:
            raise ModelError(f"{path} is a zip file without the data.pkl of a PyTorch checkpoint; {_GET_AGAIN}")
        info = members.getinfo(pickles[0])
        if info.file_size > _LARGEST_PICKLE:
            raise ModelError(f"{path}: its data.pkl has {info.file_size} bytes, more than {_LARGEST_PICKLE}")
        with members.open(info) as pickle:
            _check_wants(path, pickle, os.fstat(file.fileno()).st_size, allowed)
            if pickle.read(1):
                raise ModelError(f"{path}: something follows the pickle in data.pkl; {_GET_AGAIN}")


def _check_old_format(path: Path, file: IO[bytes], size: int, allowed: frozenset[str]) -> None:
    for count in range(_PICKLES_OF_OLD_FORMAT):
        if count and file.tell() == size:
            raise ModelError(f"{path} is a pickle, but no PyTorch checkpoint, or a truncated one; {_GET_AGAIN}")
        _check_wants(path, file, size, allowed)


def _check_wants(path: Path, file: IO[bytes], size: int, allowed: frozenset[str]) -> None:
    try:
        wants = wants_of(file)
    except ValueError as error:
        raise _damaged(path, error) from error
    _refuse_strangers(path, wants, allowed)
    if wants.largest_storage > size:
        raise ModelError(
            f"{path} claims a tensor of {wants.largest_storage} values, but has {size} bytes; {_GET_AGAIN}"
        )


def _refuse_strangers(path: Path, wants: Wants, allowed: frozenset[str]) -> None:
    strangers = [name for name in wants.names if name not in allowed]
    if strangers:
        raise ModelError(
            f"{path} wants to call {strangers[0][:200]!r} when it is opened; it may be an attack, and was not opened. "
            "If you trust it, save only its weights (torch.save(model.state_dict(), ...)) and add those"
        )
    if wants.instructions:
        raise ModelError(
            f"{path} has the pickle instruction {wants.instructions[0]}, which no weights need; it may be an attack, "
            "and was not opened. If you trust it, save only its weights with torch.save and add those"
        )


def _loaded(path: Path, allowed: Mapping[str, Callable[..., Any]], *, in_zip: bool) -> Any:
    torch = _torch()
    stand_ins = [(stand_in, name) for name, stand_in in allowed.items()]
    try:
        with torch.serialization.safe_globals(stand_ins):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=in_zip)
    except MemoryError:
        raise
    except Exception as error:  # whatever torch says of damaged files: RuntimeError, UnpicklingError, KeyError ...
        # Torch wraps some errors in advice to read without this protection; the error itself is the context.
        raise _damaged(path, error.__context__ or error) from error


def _torch() -> ModuleType:
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingPackageError("reading a checkpoint needs PyTorch; install it: pip install torch") from error
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < _OLDEST_TORCH:
        raise MissingPackageError(
            f"reading checkpoints of others safely needs PyTorch 2.6 or newer, this is {torch.__version__}; "
            "update it: pip install --upgrade torch"
        )
    return torch


def _damaged(path: Path, reason: object) -> ModelError:
    said = str(reason).splitlines() or [type(reason).__name__]
    return ModelError(f"{path} is no intact PyTorch checkpoint ({said[0][:300]}); {_GET_AGAIN}")


class _NumberType:
    """Stands in for `numpy.dtype`: types of real numbers only. NumPy's own would take flags that break its memory."""

    def __init__(self, code: str, *_: object) -> None:
        if type(code) is not str or code.lstrip("<>=|")[:1] not in ("b", "i", "u", "f"):
            raise ValueError(f"numpy type {str(code)[:20]!r} is not one of numbers, and may hold what runs code")
        self.dtype: np.dtype[Any] = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _NumberArray(np.ndarray[Any, Any]):
    """Stands in for `numpy.ndarray`: an array of numbers that are all there."""

    def __new__(cls, *_: object) -> _NumberArray:
        raise ValueError("numpy.ndarray is called directly, as no saved array does")

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, content = state
        if not isinstance(kind, _NumberType) or not isinstance(content, bytes) or len(content) > _LARGEST_ARRAY:
            raise ValueError("a numpy array is not one of numbers, or too large")
        array = np.frombuffer(content, kind.dtype).reshape(shape, order="F" if fortran else "C")
        checked: Any = (1, array.shape, kind.dtype, bool(fortran), content)
        super().__setstate__(checked)


def _number(kind: object, content: object = b"") -> float | int | bool:
    """Stands in for NumPy's `scalar`: a plain number of Python."""
    if not isinstance(kind, _NumberType) or not isinstance(content, bytes) or len(content) != kind.dtype.itemsize:
        raise ValueError("a numpy scalar is not one number")
    number: float | int | bool = np.frombuffer(content, kind.dtype)[0].item()
    return number


def _new_array(kind: object, *_: object) -> _NumberArray:
    """Stands in for NumPy's `_reconstruct`: an empty array, which `__setstate__` fills."""
    if kind is not _NumberArray:
        raise ValueError(f"a numpy array of the type {kind!r:.100} is not one of numbers")
    return np.ndarray.__new__(_NumberArray, (0,), np.uint8)


_NUMPY: dict[str, Callable[..., Any]] = {
    "numpy.dtype": _NumberType,
    "numpy.ndarray": _NumberArray,
    **{f"numpy.{core}.multiarray.scalar": _number for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray._reconstruct": _new_array for core in ("core", "_core")},
}
"""By the names of NumPy 1 and 2, in which it moved."""
