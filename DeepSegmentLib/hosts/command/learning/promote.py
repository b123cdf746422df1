"""The command `deepsegment promote`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.hosts.command.shared_options import add_json, add_verbosity, tell

if TYPE_CHECKING:
    import argparse


def add_promote_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of the command."""
    parser.add_argument(
        "training", type=Path, nargs="?", help="folder of a training, PROJECT/trainings/NAME, or a model folder"
    )
    parser.add_argument("--name", default="", help="of the model (default: that of the training)")
    parser.add_argument(
        "--anyway", action="store_true", help="also if it is worse on some segment, or was not compared"
    )
    parser.add_argument("--back", default="", metavar="MODEL", help="instead: bring the version before back")
    parser.add_argument("--version", default="", help="with --back: which version (default: the last one)")
    parser.add_argument("--versions", default="", metavar="MODEL", help="instead: list the versions that are kept")
    add_verbosity(parser)
    add_json(parser)


def promote(options: argparse.Namespace) -> int:
    """Run the command."""
    if sum(map(bool, (options.training, options.back, options.versions))) != 1:
        raise InvalidInputError("name a training to promote, or --back MODEL, or --versions MODEL")
    if options.versions:
        return _versions(options)
    return _back(options) if options.back else _promote(options)


def _promote(options: argparse.Namespace) -> int:
    from DeepSegmentLib.service.learning.promote import promote as promoted_from
    from DeepSegmentLib.service.training.train_request import CANDIDATE, COMPARISON

    folder = options.training
    candidate = folder / CANDIDATE if (folder / CANDIDATE).is_dir() else folder
    done = promoted_from(candidate, name=options.name, comparison=folder / COMPARISON, anyway=options.anyway)
    report = {"model": done.name, "version": done.version, "before": done.before, "path": str(done.path)}
    kept = f"; {done.before} is kept: deepsegment promote --back {done.name}" if done.before else ""
    tell(options, report, lambda: f"{done.name} {done.version} is in use{kept}")
    return 0


def _back(options: argparse.Namespace) -> int:
    from DeepSegmentLib.service.learning.promote import roll_back

    done = roll_back(options.back, options.version)
    report = {"model": done.name, "version": done.version, "before": done.before, "path": str(done.path)}
    tell(options, report, lambda: f"{done.name} {done.version} is in use again; {done.before} is kept")
    return 0


def _versions(options: argparse.Namespace) -> int:
    from DeepSegmentLib.service.learning.promote import earlier_versions

    kept = earlier_versions(options.versions)
    report = {"model": options.versions, "kept": [{"version": each.version, "sha256": each.sha256} for each in kept]}
    tell(options, report, lambda: "\n".join(each.version for each in kept) or "no earlier version is kept")
    return 0
