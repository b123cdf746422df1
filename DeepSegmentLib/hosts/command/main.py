"""The command `deepsegment`: its sub-commands, each a module beside this one, and how it ends."""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from DeepSegmentLib import __version__
from DeepSegmentLib.errors import Cancelled, ResourceError
from DeepSegmentLib.files.safe_names import plain
from DeepSegmentLib.hosts.faults import as_error
from DeepSegmentLib.hosts.stopping import StopSignal, leave_at_once, stoppable
from DeepSegmentLib.hosts.torch_environment import prepare_for_torch

from .correct import add_correct_options, correct
from .dataset import add_dataset_options, dataset
from .diagnose import add_diagnose_options, diagnose
from .evaluate import add_evaluate_options, evaluate
from .export import add_export_options, export
from .learning.compare import add_compare_options, compare
from .learning.next_cases import add_next_options, next_cases
from .learning.project import add_project_options, project
from .learning.promote import add_promote_options, promote
from .learning.train import add_train_options, train
from .learning.train_synthetic import add_train_synthetic_options, train_synthetic
from .learning.tune import add_tune_options, tune
from .models import add_models_options, models
from .segment import add_segment_options, segment
from .terminal import Parser, complain, finish

if TYPE_CHECKING:
    from collections.abc import Sequence


_EXIT_CODES = """exit codes:
  0 done   1 other error   2 wrong option or value   3 file cannot be read or written, or downloaded
  4 model missing or damaged   5 package missing   6 memory, disk or device
  130 stopped (Ctrl-C; 143 by SIGTERM, 129 by SIGHUP)   141 nobody reads the output

DEEPSEGMENT_TRACEBACK=1 in the environment shows where an unexpected error happened."""
_READER_GONE = 141  # as shells show a process that ended by SIGPIPE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    _open_standard_streams()
    prepare_for_torch()
    try:
        try:
            return _run(build_parser().parse_args(arguments))
        finally:
            finish()  # here, where it can still be told what became of the output
            if arguments is None:
                gc.freeze()  # the process ends, and need not look through torch's objects for what can be freed
    except BrokenPipeError:
        _stop_printing()
        return _READER_GONE
    except ResourceError as error:
        _stop_printing()
        complain(f"\ndeepsegment: {error}\n")
        return error.exit_code


def _run(options: argparse.Namespace) -> int:
    last_words = partial(
        complain, f"\ndeepsegment: stopped; {getattr(options, 'at_stop', 'nothing half-written is left')}\n"
    )
    try:
        with stoppable(last_words):
            code: int = options.run(options)
    except KeyboardInterrupt as stop:
        last_words()
        code = stop.exit_code if isinstance(stop, StopSignal) else Cancelled.exit_code
        from DeepSegmentLib.data.progress import is_work_left  # with NumPy, which the help does not need

        if is_work_left():  # at its end Python would wait for it, too
            leave_at_once(code)
        return code
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
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, text, add_options, run in _COMMANDS:
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        command.set_defaults(command=name, run=run)
        add_options(command)
    return parser


_COMMANDS = (
    ("segment", "find structures in a volume, a DICOM folder or a folder of volumes", add_segment_options, segment),
    ("correct", "mend a segmentation by clicks, scribbles, boxes and lassos", add_correct_options, correct),
    ("models", "list, find, download, add, check, move and remove models", add_models_options, models),
    ("evaluate", "compare segmentations with references, segment by segment", add_evaluate_options, evaluate),
    (
        "export",
        "hand a segmented volume on: NIfTI, .seg.nrrd, nnU-Net, MONAI Label, DICOM SEG, STL, OBJ, glTF, CSV",
        add_export_options,
        export,
    ),
    ("dataset", "look through a dataset of a trainer, part it into folds by patient", add_dataset_options, dataset),
    ("project", "collect corrected cases to learn from, and look through them", add_project_options, project),
    ("next", "rank volumes without labels: which to annotate next, and why", add_next_options, next_cases),
    ("train", "train a model from the cases of a project, or fine-tune one on them", add_train_options, train),
    ("tune", "try out which recipe learns best from the cases of a project", add_tune_options, tune),
    ("compare", "compare a trained model with the one before, on held-out cases", add_compare_options, compare),
    ("promote", "make a trained model the one in use, or bring the one before back", add_promote_options, promote),
    (
        "train-synthetic",
        "train a model from label maps alone, by domain randomisation",
        add_train_synthetic_options,
        train_synthetic,
    ),
    ("diagnose", "print versions, devices, memory and what to do about problems", add_diagnose_options, diagnose),
)


if __name__ == "__main__":
    sys.exit(main())
