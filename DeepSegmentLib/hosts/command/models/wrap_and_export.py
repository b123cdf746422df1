"""`deepsegment models wrap` and `export`: graphs of others as models, models for other programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.hosts.command.shared_options import one_of, progress_of

from .bring_models import add_agreement, agreement, told_of
from .graph_questions import OPTIONS, ask, told_by_options

if TYPE_CHECKING:
    import argparse


def _wrap_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "graphs",
        nargs="+",
        type=Path,
        metavar="FILE",
        help=".ts, .onnx, or .pt with a program in it; several of the same network are averaged",
    )
    parser.add_argument(
        "--spec",
        type=Path,
        metavar="FILE.json",
        help="all that is asked for and more; default: the .json file of the same name beside the graph",
    )
    for option in OPTIONS:
        parser.add_argument(f"--{option.name}", metavar=option.metavar, help=option.help)
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="write the model to a new folder, not to the catalogue"
    )
    add_agreement(parser)


def _wrap(options: argparse.Namespace) -> tuple[Any, str]:
    from DeepSegmentLib.service.models.wrap_model import known_of, wrap_model, wrap_to_folder

    details = known_of(options.graphs[0], options.spec) | told_by_options(options)
    details = ask(details, on_terminal=_can_ask(options))
    if options.output:
        spec = wrap_to_folder(options.graphs, details, options.output)
        return {"name": spec.name, "path": str(options.output)}, f"{options.output}: {spec.name} {spec.version}"
    bar = progress_of(options)
    try:
        return told_of(wrap_model(options.graphs, details, bar, agrees=agreement(options, bar)))
    finally:
        bar.close()


def _can_ask(options: argparse.Namespace) -> bool:
    quiet = options.json or options.quiet
    return not quiet and all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def _export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="NAME", help="model name or folder")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="to be made anew")
    parser.add_argument(
        "--to",
        required=True,
        metavar="FORMAT",
        type=one_of(("onnx", "nnunet", "deepsegment"), "format"),
        help="onnx: graphs for any program, and how to use them; nnunet: a trained folder of nnU-Net v2; deepsegment: "
        "as it is",
    )


def _export(options: argparse.Namespace) -> tuple[Any, str]:
    from DeepSegmentLib.service.models.export_model import export_model

    bar = progress_of(options)
    try:
        written = export_model(options.model, options.to, options.folder, bar)
    finally:
        bar.close()
    return {"written": [str(path) for path in written]}, "\n".join(map(str, written))


ACTIONS = (
    ("wrap", "make a model of a TorchScript or ONNX graph", _wrap_options, _wrap),
    ("export", "write a model for other programs", _export_options, _export),
)
