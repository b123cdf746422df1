"""A JSON document that somebody else wrote: each entry is checked when it is taken, and named where it is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, NoReturn

from DeepSegmentLib.errors import ModelError, VolumeFileError
from DeepSegmentLib.files.opening import read_json
from DeepSegmentLib.files.volume_checks import shortened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_LARGEST = 64 << 20  # bytes; the list of a hundred thousand cases has a quarter of that
_LARGEST_NUMBER = 1 << 53


@dataclass(frozen=True)
class Entries:
    """An object of a JSON document.

    Attributes:
        path: The file.
        values: The object.
        place: Dotted name of the object in the document; empty for the document itself.
    """

    path: Path
    values: Mapping[str, Any]
    place: str = ""

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def refuse(self, key: str, problem: str) -> NoReturn:
        """Raise what is wrong with an entry.

        Raises:
            ModelError: Always.
        """
        name = f"{self.place}.{key}" if self.place else key
        raise ModelError(f"{self.path}: {name[:200]!r} {shortened(problem)}")

    def within(self, key: str) -> Entries:
        """The entries of an object in this one."""
        value = self._taken(key)
        if not isinstance(value, dict):
            self.refuse(key, f"must be an object, got {value!r}")
        return Entries(self.path, value, f"{self.place}.{key}" if self.place else key)

    def text(self, key: str, default: str | None = None) -> str:
        """A text; the default where it is missing or null."""
        value = self._taken(key, default)
        if not isinstance(value, str):
            self.refuse(key, f"must be a text, got {value!r}")
        return value

    def whole(self, key: str, default: int | None = None) -> int:
        """A whole number."""
        value = self._taken(key, default)
        if not _is_whole(value):
            self.refuse(key, f"must be a whole number, got {value!r}")
        return int(value)

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number."""
        value = self._taken(key, default)
        if not _is_number(value):
            self.refuse(key, f"must be a number, got {value!r}")
        return float(value)

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self._taken(key, default)
        if not isinstance(value, bool):
            self.refuse(key, f"must be true or false, got {value!r}")
        return value

    def listed(self, key: str) -> Sequence[Any]:
        """A list of anything."""
        value = self._taken(key)
        if not isinstance(value, list):
            self.refuse(key, f"must be a list, got {value!r}")
        return value

    def numbers(self, key: str) -> tuple[float, ...]:
        """A list of finite numbers."""
        values = self.listed(key)
        if not all(_is_number(value) for value in values):
            self.refuse(key, f"must be a list of numbers, got {values!r}")
        return tuple(map(float, values))

    def wholes(self, key: str) -> tuple[int, ...]:
        """A list of whole numbers."""
        values = self.listed(key)
        if not all(_is_whole(value) for value in values):
            self.refuse(key, f"must be a list of whole numbers, got {values!r}")
        return tuple(map(int, values))

    def _taken(self, key: str, default: Any = None) -> Any:
        value = self.values.get(key)
        if value is None and default is None and key not in self.values:
            self.refuse(key, f"is missing; there are: {', '.join(list(self.values)[:30]) or 'none'}")
        return default if value is None else value


def read_entries(path: Path) -> Entries:
    """The object that a JSON file holds; where it holds NaN, as scores of nnU-Net can be, no number may be taken.

    Raises:
        ModelError: It cannot be read, or holds something else.
    """
    try:
        document = read_json(path, largest=_LARGEST, nan=True)
    except VolumeFileError as error:
        raise ModelError(str(error)) from error
    if not isinstance(document, dict):
        raise ModelError(f"{path} holds no JSON object; get it again from its source")
    return Entries(path, document)


def _is_whole(value: Any) -> bool:
    return _is_number(value) and int(value) == value


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= _LARGEST_NUMBER and isfinite(value)
