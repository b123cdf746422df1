"""Zipped models of any kind: plain files come out, under harmless names, and no more bytes than a model may have."""

from __future__ import annotations

import re
import shutil
from contextlib import contextmanager
from itertools import pairwise
from pathlib import PurePosixPath
from stat import S_IFMT, S_ISREG
from typing import TYPE_CHECKING
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from DeepSegmentLib.errors import DeepSegmentError, ModelError, ResourceError, VolumeFileError
from DeepSegmentLib.files.leftovers import hidden_folder
from DeepSegmentLib.files.opening import FULL_DISK, open_file

from .zip_members import LARGEST_READ, ZIP_ERRORS, ShortReads

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

LARGEST_UNPACKED = 32 << 30
"""Bytes: five folds of nnU-Net's largest preset in several configurations, with the optimizer's state."""

_MOST_INFLATION = 100
"""Weights and text never shrink so far; what does is a bomb."""

_ROOM_LEFT = 1 << 28
"""Bytes of the disk that must stay free."""

_LOCAL_HEADER = 30
"""Bytes before each member's name and content (APPNOTE 4.3.7)."""

# What Windows takes for devices, and letters that it refuses in names ("Naming Files, Paths, and Namespaces").
_DEVICE = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9])\s*(\..*)?", re.IGNORECASE)
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f<>:"|?*]')
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,98}[A-Za-z0-9]", re.ASCII)
_LONGEST_PATH = 240


@contextmanager
def unpacked(archive: Path, room: Path) -> Iterator[Path]:
    """A folder, named like the archive, with what it holds, for as long as the block lasts.

    Archives in the archive stay closed; what macOS adds is left out. Errors of the block name the archive where they
    would name the folder.

    Args:
        archive: A zip file.
        room: A folder, made if missing, in which the hidden folder is made: on the disk where the model will go.

    Raises:
        ModelError: It is no intact zip file, or has members that are links, lead elsewhere, are named alike, are
            encrypted or are too many or too large; the message names the member.
        ResourceError: The disk has too little room.
    """
    with hidden_folder(room / "unpacked") as fresh:
        folder = fresh / (archive.stem if _NAME.fullmatch(archive.stem) else "model")
        _unpack(archive, folder)
        try:
            yield folder
        except DeepSegmentError as error:
            raise type(error)(str(error).replace(str(folder), str(archive))) from error


def _unpack(archive: Path, folder: Path) -> None:
    try:
        with open_file(archive) as file, ZipFile(ShortReads(file)) as source:
            members = _checked_members(archive, source)
            folder.mkdir(parents=True)
            _check_room(archive, folder, members)
            for info in members:
                _extract(source, info, folder)
    except (*ZIP_ERRORS, VolumeFileError) as error:
        if isinstance(error, OSError) and error.errno in FULL_DISK:
            raise ResourceError(f"{archive} cannot be unpacked ({error.strerror}); make room on the disk") from error
        raise ModelError(f"{archive} cannot be unpacked ({error}); {_wanted(archive)}") from error


def _wanted(archive: Path) -> str:
    if archive.name.lower().endswith((".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".7z", ".rar")):
        return "of archives only zip files are opened: unpack it yourself and add the folder"
    return "it must be an intact zip file"


def _extract(source: ZipFile, info: ZipInfo, folder: Path) -> None:
    target = folder / info.filename
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open(info) as packed, target.open("xb") as plain:
        shutil.copyfileobj(packed, plain, LARGEST_READ >> 1)
    if target.stat().st_size != info.file_size:
        raise BadZipFile(f"member {info.filename[:200]!r} has not the size that its archive says")


def _checked_members(archive: Path, source: ZipFile) -> list[ZipInfo]:
    """The files to unpack, after everything else has been refused."""
    members = [info for info in source.infolist() if not info.is_dir() and not _from_macos(info)]
    for info in source.infolist():
        problem = _problem(info)
        if problem:
            raise ModelError(f"{archive}: member {info.filename[:200]!r} {problem}")
    _check_distinct(archive, members)
    _check_sizes(archive, members)
    return members


def _problem(info: ZipInfo) -> str:
    """Why a member is refused; empty when it is not."""
    path = PurePosixPath(info.filename)
    if path.is_absolute() or ".." in path.parts or "\\" in info.orig_filename or info.orig_filename[1:2] == ":":
        return "points outside the archive"
    kind = S_IFMT(info.external_attr >> 16)
    if kind and not S_ISREG(kind) and not info.is_dir():
        return "is a link, or no plain file"
    if info.flag_bits & 1:
        return "is encrypted; zip it without a password"
    if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        return "is compressed in an unusual way; zip it with deflate"
    if len(info.filename) > _LONGEST_PATH or not path.parts or any(_is_odd(part) for part in path.parts):
        return "has a name that not every system can have; rename it"
    return ""


def _is_odd(part: str) -> bool:
    return bool(_NOT_IN_NAMES.search(part) or _DEVICE.fullmatch(part)) or part.endswith((".", " "))


def _check_distinct(archive: Path, members: list[ZipInfo]) -> None:
    """Refuse names that are the same file somewhere, a file that is a folder too, and members that share bytes."""
    places = {PurePosixPath(info.filename): info for info in members}
    folded = _alike(str(PurePosixPath(info.filename)).casefold() for info in members)
    if folded:
        raise ModelError(f"{archive}: two members are named {folded[:200]!r}, but for capitals; rename one")
    files = {str(path).casefold() for path in places}
    for path in places:
        if any(str(parent).casefold() in files for parent in path.parents):
            raise ModelError(f"{archive}: member {str(path)[:200]!r} lies in another member")
    for first, second in pairwise(sorted(members, key=lambda info: info.header_offset)):
        if first.header_offset + _LOCAL_HEADER + first.compress_size > second.header_offset:
            raise ModelError(f"{archive}: members {first.filename[:99]!r} and {second.filename[:99]!r} share bytes")


def _alike(names: Iterable[str]) -> str:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return ""


def _check_sizes(archive: Path, members: list[ZipInfo]) -> None:
    total = sum(info.file_size for info in members)
    if total > LARGEST_UNPACKED:
        raise ModelError(f"{archive} unpacks to {total} bytes, more than the {LARGEST_UNPACKED} that a model may have")
    packed = archive.stat().st_size
    if total > _MOST_INFLATION * packed + LARGEST_READ:
        raise ModelError(
            f"{archive} has {packed} bytes and unpacks to {total}, as no model does; get it again from its source"
        )


def _check_room(archive: Path, folder: Path, members: list[ZipInfo]) -> None:
    wanted = sum(info.file_size for info in members) + _ROOM_LEFT
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise ResourceError(
            f"{archive} needs {wanted / 1e6:.0f} MB to be unpacked, and the disk of {folder.parent} has "
            f"{free / 1e6:.0f} MB free; make room"
        )


def _from_macos(info: ZipInfo) -> bool:
    path = PurePosixPath(info.filename)
    return path.parts[:1] == ("__MACOSX",) or path.name == ".DS_Store"
