"""Compare segmentation files with reference files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.evaluation import CaseScores, evaluate, scores_to_csv, scores_to_json
from DeepSegmentLib.files.atomic import write_text
from DeepSegmentLib.files.opening import is_folder
from DeepSegmentLib.files.segmentations.labelmaps import label_table_path, read_labelmap
from DeepSegmentLib.files.targets import Output, check_outputs, inputs_of
from DeepSegmentLib.files.volumes import VOLUME_SUFFIXES, volume_stem

if TYPE_CHECKING:
    from pathlib import Path


def evaluate_files(
    reference: Path,
    prediction: Path,
    *,
    tolerance_mm: float = 1.0,
    csv: Path | None = None,
    report: Path | None = None,
    replace: bool = False,
) -> dict[str, Any]:
    """Score a segmentation, or a folder of them, against references.

    Args:
        reference: Labelmap or .seg.nrrd, or a folder of them.
        prediction: Likewise; in folders, files of one name (without the suffix) belong together.
        tolerance_mm: Of the normalised surface Dice.
        csv: Where to write the scores as CSV, or None.
        report: Where to write them as JSON, or None.
        replace: Files that exist may be replaced.

    Returns:
        Cases and summary, see `scores_to_json`.

    Raises:
        InvalidInputError: A prediction is missing, grids differ, or an output is an input or exists.
        VolumeFileError: A file cannot be read or written.
    """
    pairs = _pairs(reference, prediction)
    outputs = [Output(path, (ending,)) for path, ending in ((csv, ".csv"), (report, ".json")) if path]
    check_outputs(outputs, inputs_of([path for _, *both in pairs for path in both], _tables(pairs)), replace=replace)
    cases = [CaseScores(name, evaluate(read_labelmap(a), read_labelmap(b), tolerance_mm)) for name, a, b in pairs]
    scores = scores_to_json(cases)
    if csv is not None:
        write_text(csv, scores_to_csv(cases))
    if report is not None:
        write_text(report, json.dumps(scores, indent=2, allow_nan=False) + "\n")
    return scores


def _pairs(reference: Path, prediction: Path) -> list[tuple[str, Path, Path]]:
    if not is_folder(reference):
        return [(volume_stem(reference), reference, prediction)]
    if not is_folder(prediction):
        raise InvalidInputError(f"{prediction} must be a folder, because {reference} is one")
    predictions = _labelmaps(prediction)
    missing = [name for name in _labelmaps(reference) if name not in predictions]
    if missing:
        raise InvalidInputError(f"{prediction} holds no prediction for {', '.join(missing[:5])}")
    pairs = [(name, path, predictions[name]) for name, path in _labelmaps(reference).items()]
    if not pairs:
        raise InvalidInputError(f"{reference} holds no labelmaps; known: {', '.join(VOLUME_SUFFIXES)}")
    return pairs


def _tables(pairs: list[tuple[str, Path, Path]]) -> list[Path]:
    return [label_table_path(path) for _, *both in pairs for path in both]


def _labelmaps(folder: Path) -> dict[str, Path]:
    paths = sorted(path for path in folder.iterdir() if path.name.lower().endswith(VOLUME_SUFFIXES))
    return {volume_stem(path): path for path in paths}
