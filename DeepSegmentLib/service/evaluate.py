"""Compare segmentation files with reference files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import InvalidInputError, VolumeFileError
from DeepSegmentLib.evaluation import CaseScores, evaluate, scores_to_csv, scores_to_json
from DeepSegmentLib.files.atomic import write_text
from DeepSegmentLib.files.opening import is_folder
from DeepSegmentLib.files.output_checks import Output, check_outputs, inputs_of
from DeepSegmentLib.files.segmentations.labelmaps import label_table_path, read_labelmap
from DeepSegmentLib.files.segmentations.one_file_per_segment import SEGMENTS_FILE, segments_table
from DeepSegmentLib.files.volumes import VOLUME_SUFFIXES, volume_stem

if TYPE_CHECKING:
    from collections.abc import Iterator


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
        reference: Labelmap or .seg.nrrd, or a folder of them; a folder of one file a segment counts as a labelmap.
        prediction: Likewise; in folders and below, files of one name (without the suffix) belong together.
        tolerance_mm: Of the normalised surface Dice.
        csv: Where to write the scores as CSV, or None.
        report: Where to write them as JSON, or None.
        replace: Files that exist may be replaced.

    Returns:
        Cases and summary, see `scores_to_json`.

    Raises:
        InvalidInputError: A prediction is missing, there are several of one name, grids differ, or an output is an
            input or exists.
        VolumeFileError: A file cannot be read or written.
    """
    pairs = _pairs(reference, prediction)
    outputs = [Output(path, (ending,)) for path, ending in ((csv, ".csv"), (report, ".json")) if path]
    inputs = inputs_of([path for _, *both in pairs for path in both], _tables(pairs))
    check_outputs(outputs, inputs, replace=replace)
    cases = [CaseScores(name, evaluate(read_labelmap(a), read_labelmap(b), tolerance_mm)) for name, a, b in pairs]
    scores = scores_to_json(cases)
    check_outputs(outputs, inputs, replace=replace)  # again: it took a while, and others work too
    if csv is not None:
        write_text(csv, scores_to_csv(cases))
    if report is not None:
        write_text(report, json.dumps(scores, indent=2, allow_nan=False) + "\n")
    return scores


def _pairs(reference: Path, prediction: Path) -> list[tuple[str, Path, Path]]:
    if not is_folder(reference) or segments_table(reference):
        return [(volume_stem(reference), reference, prediction)]
    if not is_folder(prediction) or segments_table(prediction):
        raise InvalidInputError(f"{prediction} must be a folder of labelmaps, because {reference} is one")
    references, predictions = _labelmaps(reference), _labelmaps(prediction)
    if not references:
        raise InvalidInputError(f"{reference} holds no labelmaps; known: {', '.join(VOLUME_SUFFIXES)}")
    missing = [name for name in references if name not in predictions]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise InvalidInputError(f"{prediction} holds no prediction for {', '.join(missing[:5])}{more}")
    return [(name, _only(references[name]), _only(predictions[name])) for name in references]


def _tables(pairs: list[tuple[str, Path, Path]]) -> list[Path]:
    return [label_table_path(path) for _, *both in pairs for path in both]


def _labelmaps(folder: Path) -> dict[str, list[Path]]:
    """The volume files in a folder and below by their names without suffix, as batches name results; none hidden."""
    found: dict[str, list[Path]] = {}
    for path in sorted(_visible_files(folder), key=lambda path: path.relative_to(folder).parts):
        if path.name == SEGMENTS_FILE:
            found.setdefault(path.parent.relative_to(folder).as_posix(), []).append(path.parent)
        elif path.name.lower().endswith(VOLUME_SUFFIXES):
            found.setdefault((path.parent.relative_to(folder) / volume_stem(path)).as_posix(), []).append(path)
    return found


def _visible_files(folder: Path) -> Iterator[Path]:
    for where, below, names in os.walk(folder, onerror=_raise):
        below[:] = [name for name in below if not name.startswith(".")]
        # Of one file a segment, the table stands for them all.
        kept = [SEGMENTS_FILE] if SEGMENTS_FILE in names else names
        yield from (Path(where, name) for name in kept if not name.startswith("."))


def _raise(error: OSError) -> None:
    raise VolumeFileError(f"{error.filename} cannot be read: {error.strerror or error}; check its rights") from error


def _only(paths: list[Path]) -> Path:
    if len(paths) > 1:
        told = ", ".join(path.name for path in paths)
        raise InvalidInputError(f"{paths[0].parent} holds several labelmaps of one name: {told}; keep one of them")
    return paths[0]
