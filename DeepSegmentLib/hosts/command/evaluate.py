"""The command `deepsegment evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .shared_options import Place, add_json, add_places, add_verbosity, settle_places, tell, told_in_full
from .terminal import table

if TYPE_CHECKING:
    import argparse


def add_evaluate_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of the command."""
    add_places(
        parser,
        Place(
            "reference",
            ("-r", "--reference"),
            "labelmap, .seg.nrrd or folder of one file a segment that is right, or a folder of them",
        ),
        Place("prediction", ("-p", "--prediction"), "the one to judge, or a folder with the same file names"),
    )
    parser.add_argument("--tolerance", type=float, default=1.0, metavar="MM", help="of the surface Dice (default: 1)")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the scores as CSV")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the scores as JSON")
    parser.add_argument("--replace", action="store_true", help="replace files that exist")
    add_json(parser)
    add_verbosity(parser)


def evaluate(options: argparse.Namespace) -> int:
    """Run the command."""
    scores = _scores(options)
    tell(options, scores, lambda: _score_table(scores))
    return 0


def _scores(options: argparse.Namespace) -> dict[str, Any]:
    from DeepSegmentLib.service.evaluate import evaluate_files

    settle_places(options)
    with told_in_full(options):
        return evaluate_files(
            options.reference,
            options.prediction,
            tolerance_mm=options.tolerance,
            csv=options.csv,
            report=options.report,
            replace=options.replace,
        )


def _score_table(scores: dict[str, Any]) -> str:
    """Scores of each case and segment as a table."""
    names = ("dice", "iou", "precision", "recall", "hausdorff95_mm", "assd_mm", "nsd")
    rows = [
        (case["case"], segment["name"], *(_number(segment.get(name)) for name in names))
        for case in scores["cases"]
        for segment in case["segments"]
    ]
    return table(("case", "segment", *names), rows)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
