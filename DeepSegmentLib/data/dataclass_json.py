"""Dataclasses to JSON and back, by their annotations; anything unexpected is refused by name.

A key whose field has a default may be absent, so that files written before the field was added still open.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from DeepSegmentLib.errors import InvalidInputError, ModelError

from . import Segment

# A model's segments get their layers from its kind of output, so the file has no say in them.
_NOT_STORED: Mapping[type, frozenset[str]] = {Segment: frozenset({"layer"})}

TAG = "architecture"
"""The key that tells dataclasses apart where a value may be one of several."""

_LARGEST_INT = (1 << 63) - 1
"""What other readers of JSON take for a whole number, too."""

_SHORTENING = reprlib.Repr()
_SHORTENING.maxlevel = 3
_SHORTENING.maxstring = _SHORTENING.maxother = _SHORTENING.maxlong = 60


def to_json(value: Any) -> Any:
    """What `json.dump` takes: dataclasses and mappings as objects, tuples as lists."""
    if is_dataclass(value) and not isinstance(value, type):
        return {name: to_json(getattr(value, name)) for name in stored_fields(type(value))}
    if isinstance(value, Mapping):
        return {key: to_json(entry) for key, entry in value.items()}
    return [to_json(entry) for entry in value] if isinstance(value, tuple) else value


def from_json(kind: Any, value: Any, where: str) -> Any:
    """The inverse of `to_json`.

    Args:
        kind: The annotation to satisfy: a dataclass, bool, int, float, str, Literal, a tuple, an option with None, a
            union of dataclasses with the key `TAG`, or a Mapping from str.
        value: What `json.load` gave.
        where: Dotted name of the value, for messages.

    Raises:
        ModelError: A key without a default is missing, one is unknown, or a value has the wrong type, length or range.
    """
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return _option(get_args(kind), value, where)
    if origin is Literal:
        return _literal(get_args(kind), value, where)
    if origin is tuple:
        return _tuple(get_args(kind), value, where)
    if origin is Mapping:
        entries, (_, entry_kind) = _object(value, where).items(), get_args(kind)
        return {_text(key, where): from_json(entry_kind, entry, f"{where}.{key[:60]}") for key, entry in entries}
    if is_dataclass(kind):
        return _dataclass(cast("type", kind), value, where)
    return _scalar(kind, value, where)


def _option(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    """A value of one of several kinds: nothing, or one of some dataclasses that a key of each tells apart.

    Without the key it is the first of them: the only one that there was once.
    """
    if value is None and NoneType in kinds:
        return None
    chosen = [kind for kind in kinds if kind is not NoneType]
    if len(chosen) > 1:
        names = {_tag(kind): kind for kind in chosen}
        tag = _literal(tuple(names), _object(value, where).get(TAG, next(iter(names))), f"{where}.{TAG}")
        return from_json(names[tag], value, where)
    return from_json(chosen[0], value, where)


def _tag(kind: Any) -> str:
    """What the tag of a dataclass must be: its only choice."""
    (tag,) = get_args(_hints(kind)[TAG])
    return str(tag)


@lru_cache(maxsize=64)
def _hints(kind: type) -> dict[str, Any]:
    """The annotations of a dataclass. Working them out takes far longer than reading a value by them."""
    return get_type_hints(kind)


@lru_cache(maxsize=64)
def stored_fields(kind: type) -> list[str]:
    """The keys that a dataclass has in JSON, in their order."""
    return [field.name for field in fields(kind) if field.name not in _NOT_STORED.get(kind, ())]


@lru_cache(maxsize=64)
def _needed_fields(kind: type) -> list[str]:
    defaults = {field.name for field in fields(kind) if (field.default, field.default_factory) != (MISSING, MISSING)}
    return [name for name in stored_fields(kind) if name not in defaults]


def _dataclass(kind: type, value: Any, where: str) -> Any:
    entries, names = _object(value, where), stored_fields(kind)
    missing = [name for name in _needed_fields(kind) if name not in entries]
    unknown = [name for name in entries if name not in names]
    if missing or unknown:
        problem = f"the key {missing[0]!r} is missing" if missing else f"unknown key {_short(unknown[0])}"
        raise ModelError(f"{where}: {problem}; its keys are: {', '.join(names)}")
    hints = _hints(kind)
    arguments = {name: from_json(hints[name], entry, f"{where}.{name}") for name, entry in entries.items()}
    try:
        return kind(**arguments)
    except InvalidInputError as error:
        raise ModelError(f"{where}: {error}") from error


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ModelError(f"{where} must be an object, got {_short(value)}")
    return value


def _literal(choices: tuple[Any, ...], value: Any, where: str) -> Any:
    if not isinstance(value, str) or value not in choices:
        raise ModelError(f"{where} must be one of {', '.join(choices)}; got {_short(value)}")
    return value


def _tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ModelError(f"{where} must be a list, got {_short(value)}")
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise ModelError(f"{where} must have {len(kinds)} entries, got {len(value)}")
    pairs = zip(kinds, value, strict=True)
    return tuple(from_json(kind, entry, f"{where}[{n}]") for n, (kind, entry) in enumerate(pairs))


def _scalar(kind: Any, value: Any, where: str) -> Any:
    if kind is float and type(value) in (int, float):
        return _finite(value, where)
    # The exact type, because True is an int to isinstance.
    if type(value) is not kind:
        names = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
        raise ModelError(f"{where} must be {names[kind]}, got {_short(value)}")
    if kind is int and not -_LARGEST_INT <= value <= _LARGEST_INT:
        raise ModelError(f"{where} must be a whole number below 2^63, got {_short(value)}")
    return _text(value, where) if kind is str else value


def _text(value: Any, where: str) -> str:
    """A text that can be written to a file again."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ModelError(f"{where} holds {value[error.start]!r}, half of a character; write it anew") from error
    text: str = value
    return text


def _finite(value: float, where: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ModelError(f"{where} must be a finite number, got {_short(value)}")
    return number


def _short(value: Any) -> str:
    """Enough of a value to recognize it, however long or deep it is."""
    text = _SHORTENING.repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
