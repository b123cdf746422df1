"""Files that appear complete or not at all."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from DeepSegmentLib.errors import DeepSegmentError, VolumeFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A path in the folder of `path` to write to; renamed to `path` at the end, deleted after an error.

    The temporary name keeps all suffixes, by which writers choose the format.

    Raises:
        VolumeFileError: The folder is missing or not writable, `path` is a folder, or the disk is full.
    """
    if path.is_dir():
        raise VolumeFileError(f"{path} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise VolumeFileError(f"the folder {path.parent} does not exist; make it first")
    partial = path.with_name(f".{uuid4().hex}-{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    except DeepSegmentError:
        raise
    except (OSError, RuntimeError) as error:  # RuntimeError is what SimpleITK raises when it cannot write
        raise VolumeFileError(f"{path} cannot be written: {_reason(error)}") from error
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8 with line feeds.

    Raises:
        VolumeFileError: See `atomic_path`.
    """
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def _reason(error: BaseException) -> str:
    """What an error says, in one line; the last line of SimpleITK's, which begin with the source file."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
