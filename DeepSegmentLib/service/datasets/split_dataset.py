"""Part a dataset into folds by patient, in the file that nnU-Net reads.

References:
    nnU-Net 2.8 `nnUNetTrainer.do_split`, `documentation/manual_data_splits.md`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.data.folds import make_folds
from DeepSegmentLib.files.atomic import write_text
from DeepSegmentLib.files.output_checks import Output, check_outputs, inputs_of

from .dataset_files import SPLITS_FILE, open_dataset, patients_of

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class SplitSettings:
    """How to part.

    Attributes:
        folds: How many.
        seed: Another one gives other folds.
        patients: Table of patients, see `read_patients`; None where each case is a patient.
        output: File to write; None for `splits_final.json` in the dataset.
        replace: A file that is there may be replaced.
    """

    folds: int = 5
    seed: int = 0
    patients: Path | None = None
    output: Path | None = None
    replace: bool = False


def split_dataset(folder: Path, settings: SplitSettings) -> dict[str, Any]:
    """Part the labelled cases of a dataset into folds; volumes of one patient stay together.

    Args:
        folder: Of the dataset, see `open_dataset`.
        settings: How.

    Returns:
        The report: output, the cases of each fold, how many patients there are, and of which cases nobody said.

    Raises:
        InvalidInputError: It is no dataset, there are too few patients, or the file is there and may not be replaced.
        VolumeFileError: A file cannot be read or written.
    """
    dataset = open_dataset(folder)
    path = settings.output or folder / SPLITS_FILE
    check_outputs([Output(path, (".json",))], inputs_of((), (settings.patients,)), replace=settings.replace)
    known = patients_of(dataset, settings.patients)
    cases = [case.name for case in dataset.cases if case.labels is not None and not case.held_out]
    # A case of which nobody said stands for itself, whatever patients are called.
    patients = {name: f"patient {known[name]}" if name in known else f"case {name}" for name in cases}
    folds = make_folds(patients, settings.folds, settings.seed)
    splits = [{"train": sorted({*cases} - {*fold}), "val": list(fold)} for fold in folds]
    write_text(path, json.dumps(splits, indent=2) + "\n")
    return {
        "output": str(path),
        "folds": [list(fold) for fold in folds],
        "patients": len({*patients.values()}),
        "patient_unknown": [name for name in cases if name not in known],
    }
