"""The command `deepsegment next`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.safe_names import plain
from DeepSegmentLib.hosts.command.shared_options import add_json, add_verbosity, one_of, progress_of, tell
from DeepSegmentLib.hosts.command.terminal import table
from DeepSegmentLib.plurals import counted

if TYPE_CHECKING:
    import argparse

_STRATEGIES = ("combined", "entropy", "diverse", "balanced", "random")  # as in training, which costs an import


def add_next_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of the command."""
    parser.add_argument(
        "volumes",
        type=Path,
        nargs="+",
        help="volume files, DICOM folders, or folders with such in them; those that are in the project are left out",
    )
    parser.add_argument(
        "--model", required=True, metavar="NAME", help="name or folder of the model that is going to learn from them"
    )
    parser.add_argument("--project", type=Path, metavar="DIR", help="project that the volumes will be collected in")
    parser.add_argument(
        "--strategy",
        type=one_of(_STRATEGIES, "strategy"),
        default=_STRATEGIES[0],
        metavar="NAME",
        help="combined: unsure segment by segment, scarce segments first, among volumes that differ (default); "
        "entropy: most unsure; diverse: most unlike the cases; balanced: richest in scarce segments; random: by "
        "chance among those in which something is found",
    )
    parser.add_argument("--top", action="store_true", help="judge by the most unsure tenth of the voxels, not by all")
    parser.add_argument("--count", type=int, metavar="N", help="tell the first N only (default: all)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of all that is left to chance (default: 0)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: auto)")
    add_json(parser)
    add_verbosity(parser)
    parser.set_defaults(at_stop="what was measured is kept, the same command goes on")


def next_cases(options: argparse.Namespace) -> int:
    """Run the command; exit code 3 where no volume could be ranked."""
    if options.count is not None and options.count < 1:
        raise InvalidInputError(f"--count must be 1 or more, got {options.count}")
    report = _ranked(options)
    tell(options, report, lambda: _described(report))
    return 0 if report["ranked"] or not report["left_out"] else _none_ranked(report)


def _ranked(options: argparse.Namespace) -> dict[str, Any]:
    from DeepSegmentLib.hosts.warm_model import WarmModels
    from DeepSegmentLib.service.batch.find_volumes import find_volumes
    from DeepSegmentLib.service.learning.next_cases import NextSettings, next_report, rank_next
    from DeepSegmentLib.training.annotate_next.volumes import RankSettings

    settings = NextSettings(RankSettings(options.strategy, options.seed, options.top), options.device)
    bar = progress_of(options)
    try:
        found = find_volumes(options.volumes, bar)
        cases = rank_next(
            found,
            options.model,
            project=options.project,
            settings=settings,
            load=WarmModels().load,
            on_progress=bar,
        )
    finally:
        bar.close()
    return next_report(cases, count=options.count)


def _none_ranked(report: dict[str, Any]) -> int:
    """Of volumes that are all collected already nothing is wrong."""
    from DeepSegmentLib.errors import VolumeFileError

    collected = all(each["reason"].startswith("is ") for each in report["left_out"])
    return 0 if collected else VolumeFileError.exit_code


def _described(report: dict[str, Any]) -> str:
    rows = [(str(row["rank"]), row["volume"], f"{row['score']:.3f}", row["reason"]) for row in report["ranked"]]
    lines = [table(("rank", "volume", "score", "reason"), rows)] if rows else ["no volume to annotate"]
    if len(rows) < report["volumes"]:
        lines.append(f"and {counted(report['volumes'] - len(rows), 'other volume')}")
    lines += [plain(f"left out: {each['volume']}: {each['reason']}") for each in report["left_out"]]
    return "\n".join(lines)
