"""Tables of what a JSON file may hold, from the dataclasses that read it: the pages cannot say anything else."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from DeepSegmentLib.data.dataclass_json import stored_fields, to_json

_WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false", NoneType: "null"}
_LONGEST_EXAMPLE = 30


def reachable(kind: Any) -> list[type]:
    """The dataclasses that a file of this kind may hold, each once, the outermost first."""
    found: dict[type, None] = {}
    waiting = [kind]
    while waiting:
        one = waiting.pop(0)
        if is_dataclass(one) and one not in found:
            found[one] = None
            hints = get_type_hints(one)
            waiting += [hints[name] for name in stored_fields(one)]
        waiting += get_args(one)
    return list(found)


def meanings(kind: type) -> dict[str, str]:
    """What the docstring of a dataclass says of each attribute, on one line each."""
    text = inspect.cleandoc(kind.__doc__ or "")
    section = re.search(r"^Attributes:\n((?:    .*\n?|\n)+)", text, re.MULTILINE)
    entries = re.findall(r"^    (\w+): ((?:.+\n?)(?:     .*\n?)*)", section[1] if section else "", re.MULTILINE)
    return {name: " ".join(words.split()) for name, words in entries}


def example_of(kind: type, document: Any, root: type) -> Mapping[str, Any] | None:
    """The first object of a kind within the JSON of another; None where the document holds none."""
    return next((value for found, value in _objects(root, document) if found is kind), None)


def _objects(kind: Any, value: Any) -> Iterator[tuple[type, Mapping[str, Any]]]:
    if value is None:
        return
    if is_dataclass(kind):
        yield kind, value
        hints = get_type_hints(kind)
        for name in stored_fields(kind):
            yield from _objects(hints[name], value.get(name))
    elif get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        for entry in value:
            yield from _objects(inner, entry)
    elif get_origin(kind) in (Union, UnionType):
        yield from _objects(get_args(kind)[0], value)


def table(kind: type, example: Mapping[str, Any] | None) -> str:
    """The keys of a dataclass as a table in Markdown: key, type, default, meaning, example."""
    told, hints = meanings(kind), get_type_hints(kind)
    shown = {field.name: field for field in fields(kind)}
    head = ["| key | holds | if absent | what it is |", "|---|---|---|---|"]
    if example is not None:
        head = ["| key | holds | if absent | what it is | example |", "|---|---|---|---|---|"]
    rows = []
    for name in stored_fields(kind):
        cells = [f"`{name}`", holds(hints[name]), _default(shown[name]), told[name]]
        if example is not None:
            cells.append(f"`{_shortened(example[name])}`" if name in example else "")
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*head, *rows])


def holds(kind: Any) -> str:
    """A type in words of JSON; other tables are linked."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(f'`"{choice}"`' for choice in inner)
    if origin in (Union, UnionType):
        return ", or ".join(map(holds, inner))
    if origin is tuple:
        return f"list of {holds(inner[0])}" if inner[-1] is Ellipsis else f"list of {len(inner)}: {holds(inner[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "object of texts"
    return f"[{title(kind)}](#{anchor(kind)})" if is_dataclass(kind) else _WORDS[kind]


def title(kind: type) -> str:
    """The heading of the table of a dataclass."""
    return kind.__name__.lstrip("_")


def anchor(kind: type) -> str:
    """The anchor of the table of a dataclass."""
    return f"json-{title(kind).lower()}"


def _default(field: Field[Any]) -> str:
    if field.default is not MISSING:
        return f"`{json.dumps(to_json(field.default))}`"
    if field.default_factory is not MISSING:
        return f"`{json.dumps(to_json(field.default_factory()))}`"
    return "refused"


def _shortened(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_EXAMPLE else f"{text[: _LONGEST_EXAMPLE - 3]}..."
