"""Words that programs leave in the headers of files: they may name patients, machines or folders."""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.opening import open_file
from DeepSegmentLib.files.volumes.nrrd import read_nrrd_header

if TYPE_CHECKING:
    from pathlib import Path

_PACKED = 1 << 14  # bytes that are unpacked for a header; gzip needs far fewer
_HEADER = 352
_TEXTS = {"db_name": (14, 32), "descrip": (148, 228), "aux_file": (228, 252), "intent_name": (328, 344)}
"""Of a NIfTI-1 header (nifti1.h): first byte and the one past the last."""

_OURS = re.compile(r"Segment[0-9]+_\w+|Segmentation_\w+|DeepSegment_\w+|measurement frame", re.ASCII)


def header_words(path: Path) -> dict[str, str]:
    """The words in the header of a NIfTI-1 or NRRD file, by field; without the table of segments.

    Raises:
        VolumeFileError: It cannot be read.
    """
    if path.name.lower().endswith(".nrrd"):
        pairs = read_nrrd_header(path).metadata
        return {key: value for key, value in pairs.items() if value.strip() and not _OURS.fullmatch(key)}
    header = _nifti_header(path)
    texts = {key: header[begin:end].split(b"\0")[0].decode("latin-1").strip() for key, (begin, end) in _TEXTS.items()}
    extended = {"extension": "a block of further data"} if any(header[348:349]) else {}
    return {key: text for key, text in texts.items() if text} | extended


def _nifti_header(path: Path) -> bytes:
    with open_file(path) as file:
        start = file.read(_PACKED)
    if start[:2] != b"\x1f\x8b":
        return start[:_HEADER]
    try:
        return zlib.decompressobj(wbits=31).decompress(start, _HEADER)
    except zlib.error as error:
        raise VolumeFileError(f"{path} cannot be unpacked: {error}; copy it again") from error
