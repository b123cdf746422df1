"""Files that appear complete or not at all, one alone or several that belong together."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import VolumeFileError

from .leftovers import forget, hidden_beside
from .opening import reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_LONGEST_ENDING = 16  # of a hidden name; writers go by the suffix, and no format has a longer one


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A path to write to, beside `path` and with its suffix; renamed to it when the block ends well, else deleted.

    Missing parent folders are made, and removed again where the block fails. The file is forced to the disk before the
    renaming, so that a full disk shows here and not after the old file is gone.

    Raises:
        VolumeFileError: The folder cannot be made, `path` is a folder or write-protected, or writing fails.
    """
    with atomic_paths([path]) as (fresh,):
        yield fresh


@contextmanager
def atomic_paths(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """As `atomic_path` for files of one folder that belong together.

    They are renamed one right after the other, in the order given, while no other writer does so in this folder.

    Raises:
        VolumeFileError: See `atomic_path`; none of them is replaced.
    """
    for path in paths:
        check_target(path)
    fresh = [hidden_beside(path, _ending(path)) for path in paths]
    try:
        with folder_of(paths[0]), _made(fresh):
            yield fresh
            for each in fresh:
                _flush(each)
            with _one_at_a_time(paths[0].parent):
                for each, path in zip(fresh, paths, strict=True):
                    os.replace(each, path)
    except OSError as error:
        raise VolumeFileError(
            f"{paths[0]} cannot be written: {error.strerror or error}; check the free space and the rights of the "
            "folder"
        ) from error
    except VolumeFileError as error:
        raise _named(error, fresh, paths) from error


def check_target(path: Path) -> None:
    """Check what can be known of a file's name before writing.

    Raises:
        VolumeFileError: `path` is a folder, no plain file, or write-protected, or the name cannot be one.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as error:  # ValueError: a zero byte, or half a character
        raise VolumeFileError(f"{path} cannot be written: {reason(error)}; choose another name") from error
    if stat.S_ISDIR(mode):
        raise VolumeFileError(f"{path} is a folder; name a file in it")
    if not stat.S_ISREG(mode):
        raise VolumeFileError(f"{path} is no plain file but a pipe, socket or device; name a file")
    # The bits are asked too, because the administrator may write everywhere.
    if not mode & 0o222 or not os.access(path, os.W_OK):
        raise VolumeFileError(f"{path} is write-protected; remove it or choose another name")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with plain newlines.

    Raises:
        VolumeFileError: The file cannot be written, or the text is no Unicode text.
    """
    try:
        content = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise VolumeFileError(f"{path} cannot be written: {text[error.start]!r} is half a character") from error
    with atomic_path(path) as fresh:
        fresh.write_bytes(content)


def _ending(path: Path) -> str:
    """The suffix of a hidden name, `.nii.gz` whole, without capitals, which ITK does not know in all formats.

    Names may be so long that not all of it fits.
    """
    endings = "".join(path.suffixes[-2:]).lower(), path.suffix.lower(), ""
    return next(ending for ending in endings if len(ending) <= _LONGEST_ENDING)


def _named(error: VolumeFileError, fresh: Sequence[Path], paths: Sequence[Path]) -> VolumeFileError:
    """The same error, with the name that the user knows instead of the hidden one."""
    text = str(error)
    for each, path in zip(fresh, paths, strict=True):
        text = text.replace(str(each), str(path))
    return VolumeFileError(text)


@contextmanager
def called(fresh: Path, path: Path) -> Iterator[None]:
    """Let errors of the block name `path`, which the user knows, instead of the hidden `fresh`."""
    try:
        yield
    except VolumeFileError as error:
        raise _named(error, [fresh], [path]) from error


@contextmanager
def folder_of(path: Path) -> Iterator[None]:
    """The folder of a file, made with its parents where it is missing; what was made goes again where the block fails.

    Raises:
        OSError: It cannot be made.
    """
    with ExitStack() as undo:
        for folder in reversed(path.parents):
            if not folder.is_dir():
                with suppress(FileExistsError):  # another writer was quicker
                    folder.mkdir()
                    undo.callback(_remove_empty, folder)
        yield
        undo.pop_all()


@contextmanager
def _made(fresh: Sequence[Path]) -> Iterator[None]:
    """Empty files of these names while the block lasts."""
    try:
        for each in fresh:
            each.touch(exist_ok=False)  # never follows a link, see open(2), O_EXCL
        yield
    finally:
        for each in fresh:
            with suppress(OSError):
                each.unlink(missing_ok=True)
            forget(each)


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # there is something in it by now
        folder.rmdir()


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Wait until no other writer renames in this folder.

    The folder itself is locked, so that no file is left behind. Windows cannot lock folders, some network drives cannot
    lock: there the checksum in the table of labels tells what does not belong together.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
