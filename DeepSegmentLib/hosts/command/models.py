"""The command `deepsegment models`, with its actions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.files.safe_names import plain

from .shared_options import add_json, add_verbosity, told_in_full
from .terminal import say, say_json, table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from DeepSegmentLib.service.catalogue import ModelEntry

_ACTIONS = (
    ("list", "all models, bundled and added", None),
    ("info", "what a model segments, its licence and its card", "name"),
    ("verify", "check a model's files against its checksum", "name"),
    ("add", "copy a model folder or zip into the catalogue", "path"),
    ("remove", "delete an added model", "name"),
)


def add_models_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the actions and their options."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    for name, text, argument in _ACTIONS:
        action = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        action.set_defaults(command=f"models {name}", action=name)
        if argument:
            action.add_argument("model", metavar=argument.upper(), help=f"model {argument}")
        add_json(action)
        add_verbosity(action)


def models(options: argparse.Namespace) -> int:
    """Run an action."""
    with told_in_full(options):
        document, text = _answer(options)
    if options.json:
        say_json(document)
    elif not options.quiet:
        say(text + "\n")
    return 0


def _answer(options: argparse.Namespace) -> tuple[Any, str]:
    """What an action gives, for programs and for people."""
    from DeepSegmentLib.service import catalogue

    if options.action == "list":
        entries = catalogue.list_models()
        return [_entry(entry) for entry in entries], _table(entries)
    if options.action == "info":
        entry = catalogue.find_model(options.model)
        return _document(entry), _card(entry)
    if options.action == "remove":
        removed = catalogue.remove_model(options.model)
        return {"removed": removed}, f"removed {removed}"
    entry = catalogue.verify(options.model) if options.action == "verify" else catalogue.add_model(Path(options.model))
    return _entry(entry), f"{entry.name} {entry.version} is complete and unchanged"


def _entry(entry: ModelEntry) -> dict[str, Any]:
    """An entry of the catalogue as JSON."""
    return {
        "name": entry.name,
        "version": entry.version,
        "path": str(entry.path),
        "bundled": entry.bundled,
        "description": entry.description,
        "license": entry.license,
        "damage": entry.damage,
    }


def _table(entries: Sequence[ModelEntry]) -> str:
    """The catalogue as a table."""
    rows = [
        (entry.name, entry.version, "bundled" if entry.bundled else "added", entry.license, _about(entry))
        for entry in entries
    ]
    return table(("name", "version", "origin", "licence", "what it finds"), rows) if rows else "no models"


def _about(entry: ModelEntry) -> str:
    return f"DAMAGED: {entry.damage}" if entry.damage else entry.description


def _document(entry: ModelEntry) -> dict[str, Any]:
    """A model's whole spec as JSON."""
    from DeepSegmentLib.files.models import read_spec
    from DeepSegmentLib.networks.model_json import spec_to_json

    return _entry(entry) | {"spec": spec_to_json(read_spec(entry.path))}


def _card(entry: ModelEntry) -> str:
    """What a model is, its segments, and its card."""
    from DeepSegmentLib.files.models import read_card, read_spec

    spec = read_spec(entry.path)
    channels = ", ".join(f"{channel.name} ({channel.modality})" for channel in spec.channels)
    segments = table(("segment", "code"), [(each.name, _code(each)) for each in spec.segments])
    text = read_card(entry.path)
    head = (f"{spec.name} {spec.version}, licence {spec.license}", spec.description, f"input: {channels}")
    return "\n".join([*map(plain, head), "", segments, "", *text.splitlines()]).rstrip()


def _code(segment: Any) -> str:
    terminology = segment.terminology
    return f"{terminology.type.scheme} {terminology.type.value}" if terminology else ""
