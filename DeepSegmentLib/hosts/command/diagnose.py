"""The command `deepsegment diagnose`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .shared_options import add_json, add_verbosity, told_in_full
from .terminal import say, say_json

if TYPE_CHECKING:
    import argparse

    from DeepSegmentLib.service.diagnose import Diagnosis


def add_diagnose_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of the command."""
    add_json(parser)
    add_verbosity(parser)


def diagnose(options: argparse.Namespace) -> int:
    """Run the command."""
    from DeepSegmentLib.service.diagnose import diagnose as look
    from DeepSegmentLib.service.diagnose import format_diagnosis

    with told_in_full(options):
        diagnosis = look()
    if options.json:
        say_json(_document(diagnosis))
    elif not options.quiet:
        say(format_diagnosis(diagnosis) + "\n")
    return 0


def _document(diagnosis: Diagnosis) -> dict[str, Any]:
    sections = {title: dict(rows) for title, rows in diagnosis.sections}
    return {"sections": sections, "findings": [asdict(finding) for finding in diagnosis.findings]}
