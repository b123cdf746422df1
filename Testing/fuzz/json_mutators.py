"""JSON documents gone wrong: types, sizes, depths, keys, letters."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

from .mutators import BYTES, NUMBER_WORDS, NUMBERS, TEXT, mutated

_SURROGATE, _DEEP = "\ud800", 300
VALUES: tuple[Any, ...] = (
    *(None, True, False, *NUMBERS, 0.5, -0.5, 1e308, 1e-308, float("nan"), float("inf")),
    *(
        "",
        "a",
        "a" * 250,
        "a" * 5000,
        _SURROGATE,
        "\0",
        "\x1b[31m",
        "../../x",
        "/etc/passwd",
        "%s%n",
        "con",
        "á/é",
        "nan",
    ),
    *([], {}, [[]], [None], [0] * 1000, {"a": 1}, {"": None}, {_SURROGATE: 1}),
)
"""What does not belong where it is put."""


def mutate_json(random: Random, content: bytes) -> bytes:
    """A document with a few things wrong; sometimes its text."""
    if random.random() < 0.15:
        return mutated(random, content, (*BYTES, *TEXT))
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return mutated(random, content, BYTES)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        document = change(random, document)
    text = json.dumps(document, ensure_ascii=random.random() < 0.5)
    return _spoil(random, text).encode("utf-8", "surrogatepass")


def change(random: Random, document: Any) -> Any:
    """One thing replaced, removed, added, repeated or moved."""
    places = list(_places(document))
    if not places:
        return random.choice(VALUES)
    parent, key = random.choice(places)
    action = random.randrange(8)
    if action == 0:
        del parent[key]
    elif action == 1:
        _add(random, parent)
    elif action == 2:
        other, name = random.choice(places)
        parent[key] = copy.deepcopy(other[name])
    elif action == 3:
        parent[key] = _similar(random, parent[key])
    elif action == 4:
        parent[key] = _nested(random, parent[key])
    else:
        parent[key] = copy.deepcopy(random.choice(VALUES))
    return document


def _places(node: Any) -> Any:
    """Each place of a document, as its container and its key."""
    keys = node.keys() if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for key in keys:
        yield node, key
        yield from _places(node[key])


def _add(random: Random, parent: Any) -> None:
    value = copy.deepcopy(random.choice(VALUES))
    if isinstance(parent, list):
        parent.insert(random.randrange(len(parent) + 1), value)
    else:
        parent[random.choice(("more", "", "__class__", "x" * 250, _SURROGATE))] = value


def _similar(random: Random, value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return random.choice((value + 1, -value, value * 1000, value / 2, random.choice(NUMBERS)))
    if isinstance(value, str):
        return random.choice((value * 100, value[:1], value.upper(), value + _SURROGATE, value + "\n", value + "/../x"))
    if isinstance(value, list):
        return random.choice(
            (value * 2, value[:1], value[::-1], [*value, None], value * (1000 if len(value) < 100 else 1))
        )
    return {**value, "more": None} if isinstance(value, dict) else 0


def _nested(random: Random, value: Any) -> Any:
    for _ in range(random.choice((1, 2, 50, 99, 100, 101, _DEEP))):
        value = [value] if random.random() < 0.5 else {"a": value}
    return value


def _spoil(random: Random, text: str) -> str:
    """What a document cannot hold but its text can: keys twice, numbers without end, depth beyond Python's."""
    action = random.randrange(30)
    if action == 0 and text.startswith("{"):
        return "{" + text[1:-1] + ("," if len(text) > 2 else "") + text[1:]
    if action == 1:
        return text.replace("1", random.choice(NUMBER_WORDS), 1)
    if action == 2:
        return "\ufeff" + text
    if action == 3:
        return "[" * 100_000 + text
    if action == 4:
        return text.replace("0", "9" * 5000, 1)
    return text
