"""Options that several commands have: files by place or by name, how much is told, names with "did you mean"."""

from __future__ import annotations

import os
import sys
import time
from argparse import ArgumentTypeError
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.plurals import counted

from .terminal import ProgressBar, complain, gigabytes, say, say_json

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

    from DeepSegmentLib.data import Progress


@dataclass(frozen=True)
class Place:
    """A file that is named by its place among the words, or by an option.

    Attributes:
        name: Of its value in the options.
        flags: Of the option, such as "-i" and "--input".
        text: Help.
        required: Whether the command needs it.
    """

    name: str
    flags: tuple[str, ...]
    text: str
    required: bool = True


def add_places(parser: argparse.ArgumentParser, *places: Place) -> None:
    """Give a parser files that may be named either way; `settle_places` finds out which were."""
    for place in places:
        parser.add_argument(place.name, nargs="?", help=place.text)
    for place in places:
        told = f"{place.name}, by this option instead of its place"
        parser.add_argument(
            *place.flags, dest=_by_option(place), action="append", default=[], metavar="PATH", help=told
        )
    parser.set_defaults(places=places)


def settle_places(options: argparse.Namespace) -> None:
    """Make paths of the files that were named: those without an option take the places, in their order.

    `options.folders` holds the names of those that end with a slash, which `Path` forgets.

    Raises:
        InvalidInputError: One is named both ways or twice, or is missing.
    """
    places: Sequence[Place] = options.places
    words = [word for place in places if (word := getattr(options, place.name)) is not None]
    given = {place: found for place in places if (found := getattr(options, _by_option(place)))}
    for place, found in given.items():
        if len(found) > 1:
            raise InvalidInputError(f"{place.name} ({place.flags[0]}) given twice: {', '.join(found)}; give one")
    named = {place: word for place, (word,) in given.items()}
    free = [place for place in places if place not in named]
    if len(words) > len(free):
        taken = " and ".join(f"{place.name} ({place.flags[0]})" for place in named)
        raise InvalidInputError(f"{taken} given twice, by an option and by place: {', '.join(words)}; give each once")
    found = named | dict(zip(free, words, strict=False))
    missing = [f"{each.name} ({each.flags[0]})" for each in places if each.required and each not in found]
    if missing:
        raise InvalidInputError(f"{' and '.join(missing)} required; `deepsegment {options.command} --help` tells more")
    for place in places:
        word = found.get(place)
        setattr(options, place.name, None if word is None else Path(word))
    options.folders = {place.name for place, word in found.items() if word.endswith(("/", os.sep))}


def _by_option(place: Place) -> str:
    return f"{place.name}_by_option"


Action = tuple[str, str, "Callable[[argparse.ArgumentParser], None]", "Callable[[argparse.Namespace], int]"]
"""An action of a command: its name, what it does, what adds its options, what runs it."""


def add_actions(
    parser: argparse.ArgumentParser, actions: Sequence[Action], add_place: Callable[[argparse.ArgumentParser], None]
) -> None:
    """Give a parser the actions of a command, see `run_action`.

    Args:
        parser: Of the command.
        actions: Which.
        add_place: Adds what all of them take first.
    """
    parsers = parser.add_subparsers(metavar="ACTION", required=True)
    for name, text, add_options, run in actions:
        action = parsers.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        action.set_defaults(action=run)
        add_place(action)
        add_options(action)
        add_verbosity(action)
        add_json(action)


def run_action(options: argparse.Namespace) -> int:
    """Run the action that was named."""
    code: int = options.action(options)
    return code


def add_json(parser: argparse.ArgumentParser) -> None:
    """Give a parser the option of every command that has a result."""
    parser.add_argument("--json", action="store_true", help="print the result as one line of JSON")


def add_verbosity(parser: argparse.ArgumentParser) -> None:
    """Give a parser `--quiet` and `--verbose`."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("-q", "--quiet", action="store_true", help="tell errors only, and what --json prints")
    group.add_argument(
        "-v", "--verbose", action="store_true", help="tell each step with its time, memory and device (standard error)"
    )


def progress_of(options: argparse.Namespace) -> ProgressBar:
    """What shows the progress of a command: a bar, lines, or nothing."""
    if options.verbose:
        return StepLines()
    return ProgressBar(None if options.quiet else sys.stderr)


def tell(options: argparse.Namespace, report: Any, words: Callable[[], str]) -> None:
    """Tell what came of a command: to programs with --json, to nobody with --quiet, or else to people.

    Args:
        options: What was asked for.
        report: For programs.
        words: Makes the text for people; an empty one is not shown.
    """
    if options.json:
        say_json(report)
    elif not options.quiet and (text := words()):
        say(text + "\n")


class StepLines(ProgressBar):
    """A line for each step as it begins, with the seconds since the start and the memory at most so far."""

    def __init__(self) -> None:
        super().__init__(None)
        self._step, self._begun = "", time.monotonic()

    def __call__(self, event: Progress) -> None:
        """Tell a step once."""
        if event.stage != self._step:
            self._step = event.stage
            memory = f", {gigabytes(event.memory_bytes)}" if event.memory_bytes else ""
            complain(f"{time.monotonic() - self._begun:8.1f} s  {event.stage}{memory}\n")


@contextmanager
def told_in_full(options: argparse.Namespace) -> Iterator[None]:
    """Around the work of a command that has no steps to tell: what it reads, and what it took."""
    if not options.verbose:
        yield
        return
    begun = time.monotonic()
    complain("".join(f"{name}: {path}\n" for name, path in vars(options).items() if isinstance(path, Path)))
    yield
    complain(f"{time.monotonic() - begun:.1f} s{_peak()}\n")


def tell_run(report: dict[str, Any]) -> None:
    """What a segmentation took, in full: device, tiles, seconds of each step, memory; nothing where it was left out."""
    if "seconds" not in report:
        return
    memory, volume = report["memory"], report["input"]
    sizes = {what: memory[f"{what}_bytes"] for what in ("estimated", "available", "peak")}
    seconds = {step: spent for step, spent in report["seconds"].items() if step != "steps"}
    where = ", ".join(word for word in (report["device"], report["engine"]) if word)
    lines = (
        f"volume: {' x '.join(map(str, volume['shape_kji'][::-1]))} voxels, {counted(volume['channels'], 'channel')}",
        f"device: {where}, {report['tiles']} tiles",
        "seconds: " + ", ".join(f"{step} {spent:.1f}" for step, spent in seconds.items()),
        "memory: " + ", ".join(f"{what} {gigabytes(size)}" for what, size in sizes.items() if size),
    )
    complain("\n".join(lines) + "\n")


def one_of(names: Sequence[str], what: str) -> Callable[[str], str]:
    """The type of an option that takes one of a few words, in letters of any case and with a dot before or without."""

    def chosen(word: str) -> str:
        from DeepSegmentLib.data.name_lookup import known_name

        try:
            return known_name(word.removeprefix("."), names, f"there is no {what}")
        except InvalidInputError as error:
            raise ArgumentTypeError(str(error).replace("it has:", "known:")) from error

    return chosen


def _peak() -> str:
    from DeepSegmentLib.imaging.memory import peak_memory_bytes

    peak = peak_memory_bytes()
    return f", {gigabytes(peak)} of memory at most" if peak else ""
