"""What is asked of SimpleITK in several places."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK

if TYPE_CHECKING:
    from collections.abc import Iterator

sitk: Any = SimpleITK  # its functions have no annotations

_NUMBERS = {
    "UInt8": np.uint8,
    "Int8": np.int8,
    "UInt16": np.uint16,
    "Int16": np.int16,
    "UInt32": np.uint32,
    "Int32": np.int32,
    "UInt64": np.uint64,
    "Int64": np.int64,
    "Float32": np.float32,
    "Float64": np.float64,
}
NUMBER_TYPES: dict[int, np.dtype[Any]] = {
    getattr(sitk, f"sitk{vector}{name}"): np.dtype(kind) for name, kind in _NUMBERS.items() for vector in ("", "Vector")
}
"""Types of numbers by SimpleITK's pixel identifiers."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep ITK's warnings off the terminal."""
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)
