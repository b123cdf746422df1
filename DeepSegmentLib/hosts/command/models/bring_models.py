"""`deepsegment models add`: a model that is on the disk, of any known kind."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.hosts.command.shared_options import progress_of
from DeepSegmentLib.hosts.command.terminal import complain, size_on_disk

from .look_at_models import entry_document

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from DeepSegmentLib.hosts.command.terminal import ProgressBar
    from DeepSegmentLib.service.catalogue import ModelEntry

_KINDS = "a DeepSegment, nnU-Net or TotalSegmentator model, a MONAI bundle, an Auto3DSeg model, or a graph"


def add_agreement(parser: argparse.ArgumentParser) -> None:
    """Give a parser the answer to the question for a licence."""
    parser.add_argument(
        "--accept-licence",
        action="store_true",
        help="agree to a licence that is not for every use; asked on a terminal, and once for each licence",
    )


def agreement(options: argparse.Namespace, bar: ProgressBar) -> Callable[[str], bool]:
    """What answers for the user: the option, or the user at a terminal, or nobody."""
    return lambda question: options.accept_licence or asked(options, bar, f"{question}. Do you agree?")


def asked(options: argparse.Namespace, bar: ProgressBar, question: str) -> bool:
    """Whether the user says yes; no where there is none to ask."""
    if options.json or options.quiet or not all(stream and stream.isatty() for stream in (sys.stdin, sys.stderr)):
        return False
    bar.clear()
    complain(f"{question} [y/N] ")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def told_of(entry: ModelEntry) -> tuple[Any, str]:
    """A model that has come, for programs and for people."""
    text = f"added {entry.name} {entry.version}: {entry.kind}, {size_on_disk(entry.bytes)}, licence {entry.license}"
    return entry_document(entry), text


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sources",
        nargs="+",
        type=Path,
        metavar="PATH",
        help=f"folder, .zip, .pt, .pth, .ts or .onnx: {_KINDS}; several where they make one model",
    )
    parser.add_argument("--name", default="", help="of the model here (default: what the source says)")
    parser.add_argument(
        "--licence", default="", metavar="NAME", help="of the weights, where the source does not say it"
    )
    parser.add_argument("--folds", default="", metavar="LIST", help="nnU-Net: these only, such as 0,2,4 (default: all)")
    parser.add_argument(
        "--configuration",
        default="",
        metavar="NAME",
        help="nnU-Net: which, such as 3d_fullres, where there are several",
    )
    add_agreement(parser)


def _add(options: argparse.Namespace) -> tuple[Any, str]:
    from DeepSegmentLib.files.models.importers.door import Words
    from DeepSegmentLib.service.catalogue import add_model
    from DeepSegmentLib.service.models.pack_models import is_pack

    if packs := [source for source in options.sources if is_pack(source)]:
        told = f"{packs[0]} is a pack of models; they are added by: deepsegment models unpack {packs[0]}"
        raise InvalidInputError(told)
    folds = tuple(fold.strip() for fold in options.folds.split(",") if fold.strip())
    words = Words(name=options.name, license=options.licence, folds=folds, configuration=options.configuration)
    bar = progress_of(options)
    try:
        return told_of(add_model(options.sources, words, bar, agrees=agreement(options, bar)))
    finally:
        bar.close()


ACTIONS = (("add", "add a model from the disk, whatever made it", _add_options, _add),)
