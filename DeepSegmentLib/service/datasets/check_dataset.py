"""What is wrong with a dataset, or may be: told before anybody trains on it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.data import LabelMap, Progress, Segment
from DeepSegmentLib.errors import DeepSegmentError, InvalidInputError, VolumeFileError
from DeepSegmentLib.files.atomic import atomic_path
from DeepSegmentLib.files.opening import read_json
from DeepSegmentLib.files.output_checks import Output, check_outputs, inputs_of
from DeepSegmentLib.files.projects.folder import digest_of_volume
from DeepSegmentLib.files.safe_names import file_words
from DeepSegmentLib.files.segmentations.grids_and_layers import match_grid
from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap
from DeepSegmentLib.files.volumes import read_channels
from DeepSegmentLib.service.preview import draw_preview, mark_of_origin

from .case_checks import Finding, duplicates, find_islands, identifiers, leaks
from .dataset_files import SPLITS_FILE, open_dataset, patients_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from DeepSegmentLib.data import ProgressCallback, Volume

    from .case_checks import Islands
    from .dataset_files import Dataset, DatasetCase

_WORDS_KNOWN = (".nii", ".nii.gz", ".nrrd")
"""Files whose headers are looked through for words."""

_LARGEST = 64 << 20  # bytes of a file of folds
_REST, _ISLANDS = (90, 160, 255), (255, 120, 40)


def check_dataset(
    folder: Path, patients: Path | None, pictures: Path | None, on_progress: ProgressCallback
) -> tuple[Finding, ...]:
    """Look through a dataset.

    Told are cases that cannot be read, labels on another grid than their volume, volumes that are there twice, patients
    who are both trained and tested on, words in headers, label values that nobody named, labels without a voxel, and
    small pieces apart from the rest of their segment.

    Args:
        folder: Of the dataset, see `open_dataset`.
        patients: Table of patients, see `read_patients`.
        pictures: Folder for a picture of each segment that has small pieces apart; None for none.
        on_progress: Told which case is read; may raise `Cancelled`.

    Raises:
        InvalidInputError: It is no dataset, or a picture is there already.
        VolumeFileError: What lists the cases, or the table, cannot be read, or a picture cannot be written.
    """
    dataset = open_dataset(folder)
    known = patients_of(dataset, patients)
    if pictures is not None:
        check_outputs([Output(pictures / "picture.png")], inputs_of((), (patients,)), replace=True)
    found, digests = [*_leaks(dataset, known)], []
    for n, case in enumerate(dataset.cases):
        on_progress(Progress(f"check {case.name}", n / len(dataset.cases)))
        try:
            volume = read_channels(case.images[0], case.images[1:])
            digests.append((case.name, digest_of_volume(volume)))
            found += _of_files(case)
            if case.labels is not None:
                found += _of_labels(dataset, case, volume, pictures)
        except DeepSegmentError as error:
            found.append(Finding(case.name, "damaged", str(error)))
    return (*found, *duplicates(digests))


def _leaks(dataset: Dataset, patients: Mapping[str, str]) -> Iterator[Finding]:
    """Patients on both sides: of training and tests, and of training and validation in each fold."""
    pairs = [(case.name, patients.get(case.name, "")) for case in dataset.cases]
    yield from leaks(pairs, {case.name for case in dataset.cases if case.held_out})
    for n, fold in enumerate(_folds(dataset.folder / SPLITS_FILE)):
        both = sorted({*fold["train"]} & {*fold["val"]})
        if both:
            yield Finding(", ".join(both), "leak", f"fold {n} trains and validates on the same")
        learned = [(name, patient) for name, patient in pairs if name in fold["train"] or name in fold["val"]]
        for each in leaks(learned, fold["val"]):
            yield Finding(each.case, each.kind, f"fold {n}: {each.text}")


def _folds(path: Path) -> list[dict[str, list[str]]]:
    if not path.is_file():
        return []
    folds = read_json(path, largest=_LARGEST)
    sound = isinstance(folds, list) and all(
        isinstance(fold, dict)
        and all(
            isinstance(fold.get(part), list) and all(isinstance(name, str) for name in fold[part])
            for part in ("train", "val")
        )
        for fold in folds
    )
    if not sound:
        raise VolumeFileError(f"{path}: a list of folds with the keys train and val is expected; make it anew")
    return list(folds)


def _of_files(case: DatasetCase) -> Iterator[Finding]:
    files = (*case.images, *([case.labels] if case.labels else []))
    yield from identifiers(case.name, [file for file in files if file.name.lower().endswith(_WORDS_KNOWN)])


def _of_labels(dataset: Dataset, case: DatasetCase, volume: Volume, pictures: Path | None) -> Iterator[Finding]:
    assert case.labels is not None
    label_map = read_labelmap(case.labels)
    try:
        label_map = match_grid(label_map, volume.geometry)
    except InvalidInputError as error:
        yield Finding(case.name, "grid", str(error))
        return
    if not label_map.layers.any():
        yield Finding(case.name, "empty", "its labels have no voxel")
    words = file_words(segment.name for segment in _named(label_map, dataset))
    for segment in _named(label_map, dataset):
        if dataset.names and segment.value not in dataset.names:
            yield Finding(case.name, "table", f"the label value {segment.value} has no name in the dataset")
        mask = label_map.mask(segment)
        islands = find_islands(mask, volume.geometry) if segment.name != "ignore" else None
        if islands is not None:
            told = f"{segment.name} has {islands}"
            if pictures is not None:
                path = pictures / f"{case.name}_{words[segment.name]}.png"
                _draw(path, segment.name, volume, mask, islands)
                told += f"; see {path.name}"
            yield Finding(case.name, "island", told)


def _named(label_map: LabelMap, dataset: Dataset) -> list[Segment]:
    """The segments by the dataset's names, where it has some."""
    return [replace(each, name=dataset.names.get(each.value, each.name)) for each in label_map.segments]


def _draw(path: Path, name: str, volume: Volume, mask: NDArray[np.bool_], islands: Islands) -> None:
    """The slices through the first of the small pieces, which have a colour of their own."""
    layer = mask.astype(np.uint8) + islands.mask
    segments = (Segment(name, 1, _REST), Segment("small pieces", 2, _ISLANDS))
    label_map = LabelMap(layer[None], volume.geometry, segments)
    picture = draw_preview(volume, label_map, title=path.stem, centre_ras=islands.place_ras)
    with atomic_path(path) as fresh:
        picture.save(fresh, format="PNG", pnginfo=mark_of_origin())
