"""The one place where what nobody foresaw becomes a sentence: what was being done, whose fault it is, what to do."""

from __future__ import annotations

import errno
import os
import sys
import traceback

from DeepSegmentLib.errors import DeepSegmentError, ResourceError, VolumeFileError
from DeepSegmentLib.files.opening import FULL_DISK

ISSUES = "https://github.com/DeepSegment/SlicerDeepSegment/issues"
TRACEBACK = "DEEPSEGMENT_TRACEBACK"
"""The environment variable that shows where in the code something happened."""


_NO_MEMORY = (
    "failed to map segment",
    "allocate memory",
    "not enough memory",
    "out of memory",
    "paging file",
    "bad_alloc",
    "new thread",
)
_NO_FAULT = (errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO)


def as_error(error: BaseException, doing: str) -> DeepSegmentError:
    """An error that can be shown as it is; those of ours stay as they are.

    Args:
        error: Anything that was raised.
        doing: What was being done, with the file: "segment head.nii.gz".
    """
    if isinstance(error, DeepSegmentError):
        return error
    if os.environ.get(TRACEBACK) and sys.stderr is not None:
        traceback.print_exception(error)
    if isinstance(error, MemoryError) or _tells_of_memory(error):
        return ResourceError(f"memory ran out ({doing}); close other programs, or take a smaller volume or region")
    if isinstance(error, OSError) and error.errno in FULL_DISK:
        return ResourceError(f"the disk is full ({doing}: {error.filename or ''}); make room, or write to another disk")
    if isinstance(error, OSError) and error.errno in _NO_FAULT:
        return VolumeFileError(
            f"{error.filename or 'a file'!s:.300}: {error.strerror} ({doing:.300}); check the name and the rights"
        )
    told = f"{type(error).__name__}: {_told(error)}".rstrip(": ")
    return DeepSegmentError(
        f"{doing:.300} failed by a fault of DeepSegment, not of yours ({told}); please report it at {ISSUES} with what "
        f"`deepsegment diagnose` says ({TRACEBACK}=1 shows where it happened)"
    )


def _tells_of_memory(error: BaseException) -> bool:
    """Whether a library says that memory ran out, such as one that cannot be loaded any more."""
    text = _told(error, 2000).lower()
    return isinstance(error, ImportError | RuntimeError | OSError) and any(phrase in text for phrase in _NO_MEMORY)


def _told(error: BaseException, most: int = 300) -> str:
    try:
        return " ".join(str(error).split())[:most]
    except Exception:  # it cannot even say what it is
        return ""
