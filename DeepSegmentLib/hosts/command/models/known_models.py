"""`deepsegment models available` and `get`: known models of others, and downloading one."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import ChangedError
from DeepSegmentLib.hosts.command.shared_options import progress_of
from DeepSegmentLib.hosts.command.terminal import size_on_disk, table
from DeepSegmentLib.plurals import counted

from .bring_models import add_agreement, agreement, asked, told_of
from .look_at_models import add_name, licence_of

if TYPE_CHECKING:
    import argparse

    from DeepSegmentLib.service.models.get_model import AvailableModel


def _available_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words",
        nargs="*",
        metavar="WORD",
        help="what to look for: an organ, CT or MR, part of a name; all must be there",
    )


def _available(options: argparse.Namespace) -> tuple[Any, str]:
    from DeepSegmentLib.service.models.get_model import available_models

    found = available_models(options.words)
    told = _table(found) if found else "no known model tells of that; fewer words find more, and none all"
    return [_document(each) for each in found], told


def _document(model: AvailableModel) -> dict[str, Any]:
    return asdict(model.known) | {"installed": model.installed, "begun_bytes": model.begun_bytes}


def _table(found: tuple[AvailableModel, ...]) -> str:
    rows = [
        (each.known.name, _state(each), each.known.modality, _size(each), licence_of(each.known), each.known.title)
        for each in found
    ]
    header = ("name", "here", "takes", "download", "licence", "what it is")
    next_steps = "deepsegment models info NAME tells more, deepsegment models get NAME downloads one"
    return f"{table(header, rows)}\n\n{counted(len(found), 'model')}; {next_steps}"


def _state(model: AvailableModel) -> str:
    if model.installed:
        return "yes"
    return f"{size_on_disk(model.begun_bytes)} of it" if model.begun_bytes else ""


def _size(model: AvailableModel) -> str:
    sizes = [file.bytes for file in model.known.files]
    if not sizes:
        return "by hand"
    return size_on_disk(sum(size or 0 for size in sizes)) if all(sizes) else "?"


def _get_options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(at_stop="what was downloaded is kept, and the same command goes on there")
    add_name(parser)
    add_agreement(parser)
    parser.add_argument(
        "--accept-change", action="store_true", help="take a file that is another than the one downloaded earlier"
    )


def _get(options: argparse.Namespace) -> tuple[Any, str]:
    from DeepSegmentLib.service.models.get_model import get_model

    bar = progress_of(options)
    agrees = agreement(options, bar)
    try:
        try:
            return told_of(get_model(options.model, bar, agrees=agrees, accept_change=options.accept_change))
        except ChangedError as changed:
            if not asked(options, bar, f"{changed}. Take it?"):
                raise
            return told_of(get_model(options.model, bar, agrees=agrees, accept_change=True))
    finally:
        bar.close()


ACTIONS = (
    (
        "available",
        "known models that can be downloaded, all or those that words tell of",
        _available_options,
        _available,
    ),
    ("get", "download a known model and add it; goes on where it was stopped", _get_options, _get),
)
