"""Check what a command is going to write before it begins: nothing may be lost, and nothing come to nothing at the end.

A file is itself and not its spelling: `b.nii`, `./x/../b.nii`, a link to it and, where the file system says so, `B.NII`
are one file.
"""

from __future__ import annotations

import os
import re
import shutil
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import ExistsError, InvalidInputError, ResourceError, VolumeFileError

from .atomic import check_target
from .leftovers import forget, hidden_beside, sweep
from .opening import is_folder, open_file, reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_ROOM_LEFT = 16 << 20  # bytes that must stay free: a full disk harms more than this run
_LONGEST_HEADER = 1 << 16  # bytes of a header in which the name of detached data is looked for
_DATA_FILE = re.compile(r"^\s*(?:data ?file\s*:|ElementDataFile\s*=)\s*(.*)$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Inputs:
    """What a command reads, and so may not write.

    Attributes:
        files: Single files; those that do not exist count for nothing.
        folders: Folders that are read as a whole, such as a DICOM series or a model: nothing may be put into them.
    """

    files: tuple[Path, ...] = ()
    folders: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Output:
    """A file that is going to be written.

    Attributes:
        path: Its name.
        endings: What the name may end with, in lower case; none for anything.
    """

    path: Path
    endings: tuple[str, ...] = ()


def inputs_of(volumes: Sequence[Path | None], further: Sequence[Path | None] = ()) -> Inputs:
    """The inputs of a command.

    Args:
        volumes: Volume files, with what they name as their data, and DICOM folders; None for one that is not given.
        further: Other files, and folders that are read as a whole; likewise.

    Raises:
        VolumeFileError: A name is none that a file can have.
    """
    given = [path for path in (*volumes, *further) if path is not None]
    for path in given:
        _check_name(path, "read")
    files = [path for path in given if not is_folder(path)]
    images = set(volumes)
    detached = [data for path in files if path in images for data in _detached(path)]
    return Inputs((*files, *detached), tuple(path for path in given if is_folder(path)))


def check_outputs(outputs: Sequence[Output], inputs: Inputs, *, replace: bool = False) -> None:
    """Check files that are going to be written, all of them and before any work.

    Args:
        outputs: The files, derived ones such as tables and records too.
        inputs: What is read.
        replace: Files that exist may be replaced; inputs never.

    Raises:
        InvalidInputError: An output is an input, lies in a folder that is read as a whole, or is asked for twice.
        ExistsError: An output exists and may not be replaced.
        VolumeFileError: A name has a wrong suffix, is that of a folder, a pipe or a device, is write-protected or too
            long, or its folder cannot be made or written.
    """
    paths = [output.path for output in outputs]
    check_no_inputs(paths, inputs)
    _check_distinct(paths)
    for output in outputs:
        _check_ending(output)
        check_target(output.path)
    for path in paths:
        if os.path.lexists(path) and not replace:
            raise ExistsError(f"{path} exists; ask to replace it (--replace), or choose another name")
    _check_places(paths)


def check_no_inputs(paths: Sequence[Path], inputs: Inputs) -> None:
    """Check that no file that is going to be written is an input, or lies in a folder that is read as a whole.

    Raises:
        InvalidInputError: One is or does.
    """
    folders = {_identity(folder): folder for folder in inputs.folders}
    there = {known: path for path in paths if (known := _identity(path))}
    for path in paths:
        above = (_identity(folder) for folder in (_resolved(path), *_resolved(path).parents))
        if folder := next((folders[known] for known in above if known and known in folders), None):
            raise InvalidInputError(f"{path} lies in {folder}, which is read as a whole; write to another folder")
    for file in (*inputs.files, *(file for folder in inputs.folders if there for file in _files_in(folder))):
        written = there.get(_identity(file) or (0, 0))
        if written:
            told = "" if written == file else f": it is {file}"
            raise InvalidInputError(f"{written} is an input of this command{told}; write to another name")


def check_new_folder(folder: Path, inputs: Inputs, *, beside: Sequence[Output] = (), instead: str = "") -> None:
    """Check a folder that is going to be made, before any work.

    Args:
        folder: Where it will be.
        inputs: What is read.
        beside: Files that the same command is going to write; none of them may have its name, or lie in it.
        instead: What the user may do where it is there already, besides choosing another name.

    Raises:
        InvalidInputError: It lies in a folder that is read as a whole, holds something already, or is an output.
        VolumeFileError: It is no folder, or cannot be made.
    """
    check_no_inputs([folder], inputs)
    _check_distinct([folder, *(output.path for output in beside)])
    if os.path.lexists(folder) and not (is_folder(folder) and next(folder.iterdir(), None) is None):
        raise InvalidInputError(f"{folder} is there and not empty; choose another name{instead}")
    _check_places([folder])


def check_room(sizes: Mapping[Path, int]) -> None:
    """Check that the disks have room for what is going to be written.

    Args:
        sizes: About how many bytes each file will have.

    Raises:
        ResourceError: A disk has less.
    """
    needed: dict[int, int] = {}
    folders = {path: standing_folder(path) for path in sizes}
    for path, size in sizes.items():
        disk = folders[path].stat().st_dev
        needed[disk] = needed.get(disk, _ROOM_LEFT) + size
    for folder in folders.values():
        free, wanted = shutil.disk_usage(folder).free, needed[folder.stat().st_dev]
        if free < wanted:
            raise ResourceError(
                f"the results need about {wanted / 1e6:.0f} MB, and the disk of {folder} has {free / 1e6:.0f} MB free; "
                "make room, or write to another disk"
            )


def _check_ending(output: Output) -> None:
    if output.endings and not output.path.name.lower().endswith(output.endings):
        raise VolumeFileError(f"{output.path}: unknown suffix; known: {', '.join(output.endings)}")


def _check_distinct(paths: Sequence[Path]) -> None:
    """No two names of one file, on any file system, and no file that would have to be a folder."""
    seen: dict[tuple[str, ...], Path] = {}
    for path in paths:
        if _name(path) in seen:
            raise InvalidInputError(f"{path} is asked for twice; give each output a name of its own")
        seen[_name(path)] = path
    files = [identity for path in paths if (identity := _identity(path))]
    if len(set(files)) < len(files):
        raise InvalidInputError(f"two of {', '.join(map(str, paths))} are one file; give each output a name of its own")
    for name in seen:
        for n in range(1, len(name)):
            if name[:n] in seen:
                raise InvalidInputError(f"{seen[name[:n]]} cannot be a file and a folder; choose another name")


def _identity(path: Path) -> tuple[int, int] | None:
    """What a file or folder is, whatever it is called; None where there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def _name(path: Path) -> tuple[str, ...]:
    """The parts of a whole name; equal for names that some file system takes for one."""
    return tuple(unicodedata.normalize("NFC", part).casefold() for part in (_resolved(path.parent) / path.name).parts)


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):  # links in a circle, a zero byte
        return path.absolute()


def _files_in(folder: Path) -> Iterator[Path]:
    for where, _, names in os.walk(folder):
        yield from (Path(where, name) for name in names)


def standing_folder(path: Path) -> Path:
    """The nearest folder above a file that is there already."""
    return next(folder for folder in _resolved(path.parent / "x").parents if os.path.lexists(folder))


def _check_places(paths: Sequence[Path]) -> None:
    """Check that names are not too long and that their folders can be made and written.

    What killed runs left half-written there goes.
    """
    for path in paths:
        folder = standing_folder(path)
        for part in (*_resolved(path.parent).relative_to(folder).parts, path.name):
            _check_name(folder / part, "written")
    for folder in dict.fromkeys(standing_folder(path) for path in paths):
        _check_writable(folder)
        sweep(folder)


def _check_name(path: Path, doing: str) -> None:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:  # ValueError: a zero byte, or half a character
        raise VolumeFileError(f"{path} cannot be {doing}: {reason(error)}; choose another name") from error


def _check_writable(folder: Path) -> None:
    """Make a file and remove it: rights, read-only disks and the like show only so."""
    if not is_folder(folder):
        raise VolumeFileError(
            f"{folder} cannot be written: it is a file, and would have to be a folder; choose another"
        )
    probe = hidden_beside(folder / "probe", "")
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise VolumeFileError(
            f"{folder} cannot be written: {error.strerror or error}; check its rights, or choose another folder"
        ) from error
    finally:
        forget(probe)


def _detached(path: Path) -> Iterator[Path]:
    """Files that an NRRD or MetaImage header names as its data; all files beside it where it names a pattern."""
    if not path.name.lower().endswith((".nhdr", ".nrrd", ".mhd", ".mha")):
        return
    try:
        with open_file(path) as file:
            header = file.read(_LONGEST_HEADER).decode("latin-1").split("\n\n")[0]
    except (VolumeFileError, OSError):
        return
    found = _DATA_FILE.search(header)
    if found and ("%" in found[1] or found[1].upper().startswith("LIST")):
        yield from path.parent.iterdir()
    elif found and found[1].strip() and "\0" not in found[1]:
        yield path.parent / found[1].strip()
