"""What `deepsegment models wrap` asks for, as options and as questions on a terminal."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import Cancelled, DeepSegmentError, InvalidInputError
from DeepSegmentLib.hosts.command.terminal import complain

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Option:
    """One thing to be told.

    Attributes:
        name: Of the option, without dashes.
        key: In the JSON document.
        metavar: What is typed.
        help: What is read.
        parse: From the text to the JSON value.
        default: What a question offers; nothing is asked where it is None.
    """

    name: str
    key: str
    metavar: str
    help: str
    parse: Callable[[str], Any]
    default: str | None = None


def _words(text: str) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise InvalidInputError("at least one name is needed")
    return words


def _channels(text: str) -> list[dict[str, str]]:
    pairs = [word.partition(":") for word in _words(text)]
    return [{"name": name.strip(), "modality": modality.strip().upper()} for name, _, modality in pairs]


def _segments(text: str) -> list[dict[str, Any]]:
    pairs = [word.rpartition("=") for word in _words(text)]
    return [
        {"name": (name if sign else last).strip(), "value": int(_number(last)) if sign else n}
        for n, (name, sign, last) in enumerate(pairs, 1)
    ]


def _three(kind: type) -> Callable[[str], list[Any]]:
    def parse(text: str) -> list[Any]:
        numbers = [kind(_number(word)) for word in text.replace("x", ",").split(",")]
        if len(numbers) != 3:
            raise InvalidInputError(f"three numbers with commas between are needed (k,j,i), got {text!r}")
        return numbers

    return parse


def _spacing(text: str) -> list[Any] | None:
    return None if text.strip().lower() in ("none", "any") else _three(float)(text)


def _normalizations(text: str) -> list[dict[str, Any]]:
    """Rules with their numbers behind colons: `window:-200:300:50:100` is low, high, mean and std."""
    return [_rule(word) for word in _words(text)]


def _rule(word: str) -> dict[str, Any]:
    kind, *numbers = word.split(":")
    if len(numbers) > 4:
        raise InvalidInputError(f"a normalization has at most four numbers (low, high, mean, std), got {word!r}")
    keys = ("low", "high", "mean", "std")
    return {"kind": kind.strip(), **{key: _number(text) for key, text in zip(keys, numbers, strict=False)}}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InvalidInputError(f"{text.strip()!r} is no number") from error


OPTIONS = (
    Option("channels", "channels", "NAME:MODALITY,...", "inputs in their order, such as T1w:MR,T2w:MR", _channels,
           "image:MR"),
    Option("segments", "segments", "NAME,...", "outputs in their order, without background, such as liver,spleen=5; "
           "numbered from 1", _segments, "foreground"),
    Option("patch", "patch_shape", "K,J,I", "voxels that the graph takes (slices, rows, columns)", _three(int),
           "96,96,96"),
    Option("spacing", "spacing_mm", "K,J,I", "voxel size in mm, or none for that of the volume", _spacing, "1,1,1"),
    Option("orientation", "orientation", "AXES", "where the axes i, j and k point", str.upper, "RAS"),
    Option("normalization", "normalizations", "RULE,...", "none, zscore, percentile:LOW:HIGH or "
           "window:LOW:HIGH:MEAN:STD; one for all channels or one each", _normalizations, "zscore"),
    Option("output-kind", "output", "KIND", "labels (with background; the largest wins) or regions (may overlap)",
           str.lower),
    Option("dimensions", "dimensions", "N", "3, or 2 for a graph that sees single slices",
           lambda text: int(_number(text))),
    Option("gives", "gives", "KIND", "logits, softmax or sigmoid (default: what a random patch looks like)", str.lower),
    Option("name", "name", "NAME", "of the model here (default: of the file)", str),
    Option("licence", "license", "NAME", "of the weights", str),
    Option("description", "description", "TEXT", "one sentence", str),
)  # fmt: skip
"""All that has an option; a JSON file may say more."""


def told_by_options(options: argparse.Namespace) -> dict[str, Any]:
    """What the options say, as JSON has it.

    Raises:
        InvalidInputError: An option cannot be understood; the message names it.
    """
    told = {}
    for option in OPTIONS:
        text = getattr(options, option.name.replace("-", "_"))
        if text is not None:
            told[option.key] = _parsed(option, text)
    return told


def ask(details: Mapping[str, Any], *, on_terminal: bool) -> dict[str, Any]:
    """What is known, and what the user answers where something is not.

    Without any options or file all is asked for; with some, only what has no default.

    Raises:
        InvalidInputError: Something is missing, and there is nobody to ask.
    """
    open_ones = [option for option in OPTIONS if option.default is not None and option.key not in details]
    needed = [option for option in open_ones if option.key in ("channels", "segments", "patch_shape")]
    if needed and not on_terminal:
        missing = ", ".join(f"--{option.name}" for option in needed)
        raise InvalidInputError(f"a graph does not say what goes in and comes out; give {missing}, or --spec FILE.json")
    answers = {option.key: _answer(option) for option in open_ones} if needed else {}
    return {**details, **answers}


def _answer(option: Option) -> Any:
    """One answer; the question comes again until it can be understood."""
    while True:
        complain(f"{option.name} ({option.help}) [{option.default}]: ")
        line = sys.stdin.readline()
        if not line:
            raise Cancelled("stopped: no more answers")
        try:
            return _parsed(option, line.strip() or str(option.default))
        except DeepSegmentError as error:
            complain(f"{error}\n")


def _parsed(option: Option, text: str) -> Any:
    try:
        return option.parse(text)
    except InvalidInputError as error:
        raise InvalidInputError(f"--{option.name}: {error}") from error
