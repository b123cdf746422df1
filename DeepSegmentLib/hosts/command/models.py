"""The command `deepsegment models`, with its actions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .terminal import add_json, say, say_json

if TYPE_CHECKING:
    import argparse

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


def models(options: argparse.Namespace) -> int:
    """Run an action."""
    document, text = _answer(options)
    if options.json:
        say_json(document)
    else:
        say(text + "\n")
    return 0


def _answer(options: argparse.Namespace) -> tuple[Any, str]:
    """What an action gives, for programs and for people."""
    from DeepSegmentLib.service import catalogue

    from . import reports

    if options.action == "list":
        entries = catalogue.list_models()
        return [reports.model_entry(entry) for entry in entries], reports.model_table(entries)
    if options.action == "info":
        entry = catalogue.find_model(options.model)
        return reports.model_document(entry), reports.model_card(entry)
    if options.action == "remove":
        removed = catalogue.remove_model(options.model)
        return {"removed": removed}, f"removed {removed}"
    entry = catalogue.verify(options.model) if options.action == "verify" else catalogue.add_model(Path(options.model))
    return reports.model_entry(entry), f"{entry.name} {entry.version} is complete and unchanged"
