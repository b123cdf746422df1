"""The command `deepsegment`: every option here, every decision in `service`."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

from DeepSegmentLib import __version__
from DeepSegmentLib.errors import Cancelled, ResourceError
from DeepSegmentLib.files.safe_names import plain
from DeepSegmentLib.hosts.faults import as_error
from DeepSegmentLib.hosts.stopping import StopSignal, stoppable

from .correct import add_correct_options, correct, describe
from .diagnose import add_diagnose_options, diagnose
from .evaluate import add_evaluate_options, evaluate, score_table
from .export import add_export_options, export
from .models import add_models_options, models
from .segment import add_segment_options, describe_run, segment
from .shared_options import add_json, add_verbosity
from .terminal import Parser, complain, finish, say, say_json
from .train import add_train_options, train

if TYPE_CHECKING:
    from collections.abc import Sequence


_EXIT_CODES = """exit codes:
  0 done   1 other error   2 wrong option or value   3 file cannot be read or written
  4 model missing or damaged   5 package missing   6 memory, disk or device
  130 stopped (Ctrl-C; 143 by SIGTERM, 129 by SIGHUP)   141 nobody reads the output

DEEPSEGMENT_TRACEBACK=1 in the environment shows where an unexpected error happened."""
_READER_GONE = 141  # as shells show a process that ended by SIGPIPE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    _open_standard_streams()
    try:
        try:
            return _run(build_parser().parse_args(arguments))
        finally:
            finish()  # here, where it can still be told what became of the output
    except BrokenPipeError:
        _stop_printing()
        return _READER_GONE
    except ResourceError as error:
        _stop_printing()
        complain(f"\ndeepsegment: {error}\n")
        return error.exit_code


def _run(options: argparse.Namespace) -> int:
    try:
        with stoppable():
            code: int = options.run(options)
    except KeyboardInterrupt as stop:
        complain("\ndeepsegment: stopped; nothing half-written is left\n")
        return stop.exit_code if isinstance(stop, StopSignal) else Cancelled.exit_code
    except BrokenPipeError:
        raise
    except Exception as error:
        told = as_error(error, _doing(options))
        # Lists, as of the series of a folder, have lines of their own; a line break in a name is shown.
        complain("\ndeepsegment: " + "\n  ".join(map(plain, str(told).split("\n  "))) + "\n")
        return told.exit_code
    return code


def _doing(options: argparse.Namespace) -> str:
    """The command with the files that it was given, for people: "segment head.nii.gz out.seg.nrrd"."""
    given = vars(options).values()
    return " ".join([options.command, *(str(value) for value in given if isinstance(value, Path))])


def _open_standard_streams() -> None:
    """Where a standard stream is closed, the next file that is opened would take its number, and all its output."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(handle)


def _stop_printing() -> None:
    """Nobody reads the output any more: what is left of it goes nowhere, also at the end of the process."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = Parser(
        prog="deepsegment",
        description="Segment medical volumes with deep networks, on your own machine.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"DeepSegment {__version__}")
    commands = cast("_Commands[argparse.ArgumentParser]", parser.add_subparsers(metavar="COMMAND", required=True))
    _add_segment(commands)
    _add_correct(commands)
    _add_models(commands)
    _add_evaluate(commands)
    _add_export(commands)
    _add_train(commands)
    _add_diagnose(commands)
    return parser


_Commands = argparse._SubParsersAction


def _command(commands: _Commands[argparse.ArgumentParser], name: str, text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.set_defaults(command=name)
    return parser


def _add_segment(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "segment", "find structures in a volume, a DICOM folder or a folder of volumes")
    parser.set_defaults(run=_segment)
    add_segment_options(parser)
    add_json(parser)
    add_verbosity(parser)


def _segment(options: argparse.Namespace) -> int:
    reports, single = segment(options)
    if options.json:
        say_json(reports[0] if single else reports)
    elif single and not options.quiet:
        say(describe_run(reports[0]) + "\n")
    return max((int(report.get("exit_code", 0)) for report in reports), default=0)


def _add_correct(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "correct", "mend a segmentation by clicks, scribbles, boxes and lassos")
    parser.set_defaults(run=_correct)
    add_correct_options(parser)
    add_json(parser)
    add_verbosity(parser)


def _correct(options: argparse.Namespace) -> int:
    report = correct(options)
    if options.json:
        say_json(report)
    elif not options.quiet:
        say(describe(report) + "\n")
    return 0


def _add_evaluate(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "evaluate", "compare segmentations with references, segment by segment")
    parser.set_defaults(run=_evaluate)
    add_evaluate_options(parser)
    add_json(parser)
    add_verbosity(parser)


def _evaluate(options: argparse.Namespace) -> int:
    scores = evaluate(options)
    if options.json:
        say_json(scores)
    elif not options.quiet:
        say(score_table(scores) + "\n")
    return 0


def _add_export(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "export", "hand a segmented volume on: NIfTI, .seg.nrrd, nnU-Net, DICOM SEG, CSV")
    parser.set_defaults(run=_export)
    add_export_options(parser)
    add_json(parser)
    add_verbosity(parser)


def _export(options: argparse.Namespace) -> int:
    report = export(options)
    if options.json:
        say_json(report)
    elif not options.quiet:
        say("\n".join(map(plain, [*report["notes"], *(f"wrote {path}" for path in report["outputs"])])) + "\n")
    return 0


def _add_models(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "models", "list, check, add and remove models")
    parser.set_defaults(run=models)
    add_models_options(parser)


def _add_train(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "train", "train a model from label maps by domain randomisation")
    parser.set_defaults(run=train)
    add_train_options(parser)


def _add_diagnose(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "diagnose", "print versions, devices, memory and what to do about problems")
    parser.set_defaults(run=diagnose)
    add_diagnose_options(parser)


if __name__ == "__main__":
    sys.exit(main())
