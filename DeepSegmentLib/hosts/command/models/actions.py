"""Which actions `deepsegment models` has, and how each is run and told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from DeepSegmentLib.hosts.command.shared_options import add_json, add_verbosity, told_in_full
from DeepSegmentLib.hosts.command.terminal import say, say_json

from . import bring_models, known_models, look_at_models, pack_models, wrap_and_export

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Any

    Action = tuple[str, str, Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], tuple[Any, str]]]

_ACTIONS: tuple[Action, ...] = (
    *look_at_models.ACTIONS,
    *bring_models.ACTIONS,
    *known_models.ACTIONS,
    *pack_models.ACTIONS,
    *wrap_and_export.ACTIONS,
)
"""Name, help, what adds its options, and what runs it and gives the result for programs and for people."""


def add_models_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the actions and their options."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    for name, text, add_options, answer in _ACTIONS:
        action = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        action.set_defaults(command=f"models {name}", answer=answer)
        add_options(action)
        add_json(action)
        add_verbosity(action)


def models(options: argparse.Namespace) -> int:
    """Run an action."""
    with told_in_full(options):
        document, text = options.answer(options)
    if options.json:
        say_json(document)
    elif not options.quiet:
        say(text + "\n")
    return 0
