"""The help of a command as a page, from its parsers: the page cannot say anything else."""

from __future__ import annotations

import argparse
import os
import re
from unittest import mock

_COLUMNS = {"COLUMNS": "100", "NO_COLOR": "1"}


def page(parser: argparse.ArgumentParser) -> str:
    """Usage, arguments and options of a parser and of all its sub-commands, in Markdown."""
    with mock.patch.dict(os.environ, _COLUMNS):
        return "\n\n".join(_sections(parser))


def sub_commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers right below one."""
    found = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(found[0].choices) if found else {}


def _sections(parser: argparse.ArgumentParser, depth: int = 2) -> list[str]:
    parts = [f"{'#' * depth} {parser.prog}", _plain(parser.description or "")]
    usage = re.sub(r"^usage: ", "", parser.format_usage()).rstrip()
    parts.append(f"```text\n{usage}\n```")
    for group in parser._action_groups:
        rows = [_row(parser, action) for action in group._group_actions if _shown(action)]
        if rows:
            parts.append(f"**{(group.title or 'options').capitalize()}**")
            parts.append("\n".join(["| name | what it does |", "|---|---|", *rows]))
    if parser.epilog:
        parts.append(f"```text\n{parser.epilog}\n```")
    for one in sub_commands(parser).values():
        parts += _sections(one, depth + (parser.prog.count(" ") > 0))
    return [part for part in parts if part]


def _shown(action: argparse.Action) -> bool:
    hidden = action.help == argparse.SUPPRESS or isinstance(action, argparse._HelpAction)
    return not hidden and not isinstance(action, argparse._SubParsersAction)


def _row(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    formatter = parser._get_formatter()
    names = formatter._format_action_invocation(action)
    text = formatter._expand_help(action) if action.help else ""
    return f"| `{names}` | {_plain(text)} |".replace("\n", " ")


def _plain(text: str) -> str:
    """Text as it is, whatever Markdown would make of it."""
    return re.sub(r"([\\`*_{}\[\]<>#|$~])", r"\\\1", " ".join(text.split()))
