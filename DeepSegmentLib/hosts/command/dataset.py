"""The command `deepsegment dataset`: look through datasets of trainers, and part them into folds."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from DeepSegmentLib.files.safe_names import plain
from DeepSegmentLib.plurals import counted

from .shared_options import add_actions, progress_of, run_action, tell

if TYPE_CHECKING:
    import argparse


def add_dataset_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the actions of the command."""
    add_actions(parser, _ACTIONS, _add_place)


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "dataset", type=Path, help="folder: of nnU-Net, of MONAI Label, or with the folders images and labels"
    )
    parser.add_argument(
        "--patients", type=Path, metavar="FILE", help="CSV with the columns case and patient (default: one each)"
    )


def dataset(options: argparse.Namespace) -> int:
    """Run the command."""
    return run_action(options)


def _check_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="write a picture of each segment with islands")


def _check(options: argparse.Namespace) -> int:
    from DeepSegmentLib.service.datasets.check_dataset import check_dataset

    with closing(progress_of(options)) as bar:
        found = check_dataset(options.dataset, options.patients, options.pictures, bar)
    report = {"dataset": str(options.dataset), "findings": [asdict(each) for each in found]}
    lines = [f"{each.case}: {each.text}" for each in found] or ["nothing to tell"]
    tell(options, report, lambda: "\n".join(map(plain, lines)))
    return 0


def _splits_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folds", type=int, default=5, metavar="N", help="how many (default: 5)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another one gives other folds (default: 0)")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="where to write (default: splits_final.json in the dataset; nnU-Net reads it in nnUNet_preprocessed)",
    )
    parser.add_argument("--replace", action="store_true", help="replace a file that exists")


def _splits(options: argparse.Namespace) -> int:
    from DeepSegmentLib.service.datasets.split_dataset import SplitSettings, split_dataset

    settings = SplitSettings(options.folds, options.seed, options.patients, options.output, options.replace)
    report = split_dataset(options.dataset, settings)
    lines = [f"fold {n}: {counted(len(fold), 'case')}" for n, fold in enumerate(report["folds"])]
    unknown = len(report["patient_unknown"])
    if unknown:
        lines.append(f"{counted(unknown, 'case')} without a patient: each counts as one of its own (--patients)")
    lines.append(f"wrote {report['output']}")
    tell(options, report, lambda: "\n".join(map(plain, lines)))
    return 0


_ACTIONS = (
    (
        "check",
        "duplicates, leaks of patients, identifiers, grids, empty labels and small islands",
        _check_options,
        _check,
    ),
    ("splits", "part the cases into folds by patient, as nnU-Net reads them", _splits_options, _splits),
)
