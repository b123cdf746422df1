"""A zipped model folder: only plain files of a model come out of it, and no more bytes than a model may have."""

from __future__ import annotations

import shutil
from pathlib import PurePosixPath
from stat import S_ISLNK
from typing import IO, TYPE_CHECKING, Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo
from zlib import error as ZlibError  # noqa: N812 - a class, whatever zlib calls it

from DeepSegmentLib.errors import ModelError, VolumeFileError
from DeepSegmentLib.files.opening import open_file
from DeepSegmentLib.networks.stage_spec import is_weights_name

from .folder import LARGEST_MODEL, MODEL_FILES, SPEC_FILE, WEIGHTS_FILE, is_model_file, largest_bytes, new_folder

if TYPE_CHECKING:
    from pathlib import Path

# What zipfile lets through for damaged archives, found by changing bytes at random.
_ZIP_ERRORS = (
    OSError, BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, IndexError, MemoryError, ZlibError,
)  # fmt: skip

_LARGEST_READ = 1 << 20
"""Bytes at once. The list of an archive's files is read at once, so this bounds it: some ten thousand files."""

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
        with open_file(archive) as file, ZipFile(_ShortReads(file)) as source, new_folder(folder) as fresh:
            for info in _model_members(archive, source):
                with source.open(info) as packed, (fresh / PurePosixPath(info.filename).name).open("wb") as plain:
                    shutil.copyfileobj(packed, plain, _LARGEST_READ >> 1)
    except (*_ZIP_ERRORS, VolumeFileError) as error:
        raise ModelError(f"{archive} cannot be unpacked ({error}); it must be an intact zip file") from error


class _ShortReads:
    """A file of which no more is read at once than `_LARGEST_READ`, whatever its content asks for."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        """At most so many bytes, or all that is left."""
        if size > _LARGEST_READ:
            raise BadZipFile(f"it asks for {size} bytes at once, more than {_LARGEST_READ}: too many files in it")
        content = self._file.read(_LARGEST_READ + 1 if size < 0 else size)
        if len(content) > _LARGEST_READ:
            raise BadZipFile("too much follows its list of files")
        return content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


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
    if len(set(names)) < len(names) or SPEC_FILE not in names or not any(map(is_weights_name, names)):
        raise ModelError(f"{archive} must hold {SPEC_FILE} and {WEIGHTS_FILE} once each, got {sorted(names)[:9]}")
    _check_sizes(archive, members)
    return members


def _check_sizes(archive: Path, members: list[ZipInfo]) -> None:
    total = sum(info.file_size for info in members)
    if total > LARGEST_MODEL:
        raise ModelError(f"{archive} unpacks to {total} bytes, more than the {LARGEST_MODEL} that a model may have")
    for info in members:
        largest = largest_bytes(PurePosixPath(info.filename).name)
        if info.file_size > largest:
            raise ModelError(f"{archive}: member {info.filename!r} has {info.file_size} bytes, more than {largest}")
    packed = archive.stat().st_size
    if total > _MOST_INFLATION * packed + _LARGEST_READ:
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
    if len(path.parts) > 2 or not is_model_file(path.name):
        return f"is not part of a model; zip only {', '.join(MODEL_FILES)}"
    return ""
