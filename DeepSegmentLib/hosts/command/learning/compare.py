"""The command `deepsegment compare`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.hosts.command.shared_options import add_json, add_verbosity, progress_of, tell
from DeepSegmentLib.hosts.command.terminal import table

if TYPE_CHECKING:
    import argparse

    from DeepSegmentLib.service.learning.comparison import Comparison


def add_compare_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of the command."""
    parser.add_argument("project", type=Path, help="folder of the project")
    parser.add_argument("new", help="name of a training of the project, or name or folder of a model")
    parser.add_argument(
        "--with",
        dest="old",
        default=None,
        metavar="MODEL",
        help='the old model, a name or a folder (default: what the training began from; "none" for none)',
    )
    parser.add_argument(
        "--cases", default="", metavar="NAMES", help="with commas (default: those that the training holds out)"
    )
    parser.add_argument("--tolerance", type=float, default=2.0, metavar="MM", help="of surface Dice (default: 2)")
    parser.add_argument("--page", type=Path, metavar="FILE", help="the page (default: comparison.html of the training)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: auto)")
    add_verbosity(parser)
    add_json(parser)


def compare(options: argparse.Namespace) -> int:
    """Run the command."""
    from DeepSegmentLib.data.dataclass_json import to_json
    from DeepSegmentLib.files.output_checks import Inputs, Output, check_outputs
    from DeepSegmentLib.service.learning.compare_page import verdict_in_words, worst_first, write_page
    from DeepSegmentLib.service.learning.compare_training import compare_on_project

    names = tuple(name.strip() for name in options.cases.split(",") if name.strip())
    if options.page is not None:
        check_outputs([Output(options.page, (".html", ".htm"))], Inputs(), replace=True)
    with closing(progress_of(options)) as bar:
        done = compare_on_project(
            options.project,
            options.new,
            options.old,
            names,
            tolerance_mm=options.tolerance,
            device=options.device,
            on_progress=bar,
        )
    where = options.page or done.page
    if where is not None:
        write_page(done.comparison, where, done.pictures)
    report = to_json(done.comparison) | {"verdict": list(verdict_in_words(done.comparison)), "page": str(where or "")}
    worst = [case.name for case in worst_first(done.comparison)][:3]
    lines = [*verdict_in_words(done.comparison), _rows(done.comparison), f"worst cases: {', '.join(worst)}"]
    lines += [f"wrote {where}"] if where is not None else []
    tell(options, report, lambda: "\n".join(line for line in lines if line))
    return 0


def _rows(comparison: Comparison) -> str:
    rows = [
        (
            finding.name or "all together",
            str(finding.dice.cases),
            f"{finding.dice.old:.3f}",
            f"{finding.dice.new:.3f}",
            _between(finding.dice),
            finding.dice.verdict,
        )
        for finding in comparison.findings()
    ]
    if not rows:
        return ""
    return table(("segment", "cases", "Dice before", "Dice", "difference, 95 %", ""), rows)


def _between(found: Any) -> str:
    if found.low != found.low:
        return f"{found.difference:+.3f}"
    return f"{found.difference:+.3f} ({found.low:+.3f} to {found.high:+.3f})"
