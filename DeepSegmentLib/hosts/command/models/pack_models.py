"""`deepsegment models pack` and `unpack`: models for a machine without network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.hosts.command.shared_options import progress_of
from DeepSegmentLib.hosts.command.terminal import size_on_disk
from DeepSegmentLib.plurals import counted

from .bring_models import add_agreement, agreement
from .look_at_models import entry_document

if TYPE_CHECKING:
    import argparse


def _pack_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="NAME", help="models, and last the file to write (.zip)")
    parser.add_argument(
        "--wheels",
        default="",
        metavar="FOLDER|download",
        help="pack the wheels in this folder, too; or have pip download what DeepSegment needs on a machine like this",
    )
    parser.add_argument("--replace", action="store_true", help="an existing file may be replaced")


def _pack(options: argparse.Namespace) -> tuple[Any, str]:
    from DeepSegmentLib.service.models.pack_models import pack_models

    *names, target = options.names
    if not names:
        raise InvalidInputError(f"name at least one model, and the file: deepsegment models pack NAME {target}")
    bar = progress_of(options)
    try:
        packed = pack_models(names, Path(target), bar, wheels=options.wheels, replace=options.replace)
    finally:
        bar.close()
    wheels = f" and {counted(len(packed.wheels), 'wheel')}" if packed.wheels else ""
    document = {"models": packed.models, "wheels": packed.wheels, "bytes": packed.bytes, "path": target}
    return document, f"{target}: {', '.join(packed.models)}{wheels}, {size_on_disk(packed.bytes)}"


def _unpack_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pack", type=Path, metavar="FILE", help="what `models pack` wrote")
    add_agreement(parser)


def _unpack(options: argparse.Namespace) -> tuple[Any, str]:
    from DeepSegmentLib.service.models.pack_models import unpack_models

    bar = progress_of(options)
    try:
        out = unpack_models(options.pack, bar, agrees=agreement(options, bar))
    finally:
        bar.close()
    lines = [f"added {entry.name} {entry.version}" for entry in out.added]
    lines += [f"{name} was here already" for name in out.known]
    if out.wheels:
        lines.append(f"left in {options.pack}: {counted(out.wheels, 'wheel')}, see its README.txt")
    added = [entry_document(entry) for entry in out.added]
    return {"added": added, "known": out.known, "wheels": out.wheels}, "\n".join(lines) or "the pack is empty"


ACTIONS = (
    ("pack", "write models into one file, for a machine without network", _pack_options, _pack),
    ("unpack", "add the models of such a file", _unpack_options, _unpack),
)
