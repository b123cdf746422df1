"""What the user asked to segment: one case or a folder of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.dicom import list_series
from DeepSegmentLib.files.volumes import VOLUME_SUFFIXES, volume_stem

if TYPE_CHECKING:
    from pathlib import Path

    from .segmenting import SegmentRequest


def plan_requests(request: SegmentRequest) -> list[SegmentRequest]:
    """One request for each case: itself for a file or a DICOM folder, one a file for a folder of volumes.

    Results of a folder go into the target folder, under the names of the volumes: `<name>.seg.nrrd`, and
    `<name>.json` and `<name>.png` where the request has a report or a preview (then names of folders).

    Raises:
        InvalidInputError: The folder holds neither DICOM nor volumes, or two volumes would get one name.
    """
    if not request.source.is_dir() or list_series(request.source):
        return [request]
    if request.channels:
        raise InvalidInputError("further channels cannot be given for a folder of volumes; segment case by case")
    sources = sorted(path for path in request.source.iterdir() if path.name.lower().endswith(VOLUME_SUFFIXES))
    if not sources:
        raise InvalidInputError(
            f"{request.source} holds neither DICOM slices nor volumes; known: {', '.join(VOLUME_SUFFIXES)}"
        )
    stems = [volume_stem(path) for path in sources]
    twice = {stem for stem in stems if stems.count(stem) > 1}
    if twice:
        raise InvalidInputError(f"several volumes in {request.source} are named {min(twice)!r}; rename one")
    _make_folders(request)
    kept = replace(request, keep=tuple(sources))
    return [_case(kept, path, stem) for path, stem in zip(sources, stems, strict=True)]


def _make_folders(request: SegmentRequest) -> None:
    for folder in (request.target, request.report, request.preview):
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InvalidInputError(f"{folder} must be a folder where the input is a folder: {error}") from error


def _case(request: SegmentRequest, source: Path, stem: str) -> SegmentRequest:
    return replace(
        request,
        source=source,
        target=request.target / f"{stem}.seg.nrrd",
        report=request.report and request.report / f"{stem}.json",
        preview=request.preview and request.preview / f"{stem}.png",
    )
