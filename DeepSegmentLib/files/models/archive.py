"""A zipped model folder: only plain files of a model come out of it, and no more bytes than a model may have."""

from __future__ import annotations

import shutil
from pathlib import PurePosixPath
from stat import S_ISLNK
from typing import TYPE_CHECKING
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from DeepSegmentLib.errors import ModelError, VolumeFileError
from DeepSegmentLib.files.opening import open_file

from .folder import LARGEST_FILES, LARGEST_MODEL, MODEL_FILES, SPEC_FILE, WEIGHTS_FILE, new_folder
from .zip_members import LARGEST_READ, ZIP_ERRORS, ShortReads

if TYPE_CHECKING:
    from pathlib import Path

_MOST_INFLATION = 100
"""Weights and text never shrink so far; what does is a bomb."""


def unpack_model(archive: Path, folder: Path) -> None:
    """Unpack a zipped model folder into a new folder.

    The files may lie at the top or in one folder. Only the files of a model are accepted, as plain files of bounded
    size; what macOS adds is left out. Contents are not verified here, see `verify_model`.

    Raises:
        InvalidInputError: The folder exists.
        ModelError: The archive cannot be read, or holds anything but one model.
    """
    try:
        with open_file(archive) as file, ZipFile(ShortReads(file)) as source, new_folder(folder) as fresh:
            for info in _model_members(archive, source):
                with source.open(info) as packed, (fresh / PurePosixPath(info.filename).name).open("wb") as plain:
                    shutil.copyfileobj(packed, plain, LARGEST_READ >> 1)
    except (*ZIP_ERRORS, VolumeFileError) as error:
        raise ModelError(f"{archive} cannot be unpacked ({error}); it must be an intact zip file") from error


def _model_members(archive: Path, source: ZipFile) -> list[ZipInfo]:
    """The archive's model files, after everything else has been refused."""
    members = [info for info in source.infolist() if not info.is_dir() and not _from_macos(info)]
    for info in members:
        problem = _member_problem(info)
        if problem:
            raise ModelError(f"{archive}: member {info.filename[:200]!r} {problem}")
    if len({PurePosixPath(info.filename).parent for info in members}) > 1:
        raise ModelError(f"{archive} holds more than one folder; zip one model at a time")
    names = [PurePosixPath(info.filename).name for info in members]
    if len(set(names)) < len(names) or not {SPEC_FILE, WEIGHTS_FILE} <= set(names):
        raise ModelError(f"{archive} must hold {SPEC_FILE} and {WEIGHTS_FILE} once each, got {sorted(names)[:9]}")
    _check_sizes(archive, members)
    return members


def _check_sizes(archive: Path, members: list[ZipInfo]) -> None:
    total = sum(info.file_size for info in members)
    if total > LARGEST_MODEL:
        raise ModelError(f"{archive} unpacks to {total} bytes, more than the {LARGEST_MODEL} that a model may have")
    for info in members:
        largest = LARGEST_FILES[PurePosixPath(info.filename).name]
        if info.file_size > largest:
            raise ModelError(f"{archive}: member {info.filename!r} has {info.file_size} bytes, more than {largest}")
    packed = archive.stat().st_size
    if total > _MOST_INFLATION * packed + LARGEST_READ:
        raise ModelError(
            f"{archive} has {packed} bytes and unpacks to {total}, as no model does; get it again from its source"
        )


def _from_macos(info: ZipInfo) -> bool:
    path = PurePosixPath(info.filename)
    return path.parts[:1] == ("__MACOSX",) or path.name == ".DS_Store"


def _member_problem(info: ZipInfo) -> str:
    """Why a member is refused; empty when it is not."""
    path = PurePosixPath(info.filename)
    if path.is_absolute() or ".." in path.parts or "\\" in info.orig_filename or ":" in info.filename:
        return "points outside the archive"
    if S_ISLNK(info.external_attr >> 16):
        return "is a link"
    if info.flag_bits & 1:
        return "is encrypted; zip it without a password"
    if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        return "is compressed in an unusual way; zip it with deflate"
    if len(path.parts) > 2 or path.name not in MODEL_FILES:
        return f"is not part of a model; zip only {', '.join(MODEL_FILES)}"
    return ""
