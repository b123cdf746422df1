"""What a DICOM file is, and whether it is complete, from its bytes: GDCM tells neither.

References:
    DICOM PS3.10 section 7.1 (preamble, file meta information), PS3.5 section 7 (data elements) and A.4 (fragments),
    PS3.4 section B.5 (SOP classes).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import VolumeFileError

if TYPE_CHECKING:
    from pathlib import Path

_SOP_CLASS = re.compile(rb"\x02\x00\x02\x00UI..([0-9.]+)", re.DOTALL)
# CT, MR, nuclear medicine and PET; of MR not spectroscopy.
_VOLUME_CLASS = re.compile(rb"1\.2\.840\.10008\.5\.1\.4\.1\.1\.(2|4(?!\.2$)|20|128|130)(\.|$)")
_PIXELS = re.compile(rb"\xe0\x7f\x10\x00(?:O[BW]\x00\x00)?(....)|\x7f\xe0\x00\x10O[BW]\x00\x00(....)", re.DOTALL)
_UNDEFINED = 0xFFFFFFFF
_END_OF_FRAGMENTS = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"


def is_dicom(path: Path) -> bool:
    """Whether a file has DICOM's mark."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def is_volume_class(path: Path) -> bool:
    """Whether a DICOM file is of a class that makes volumes, or has lost what tells."""
    with path.open("rb") as file:
        found = _SOP_CLASS.search(file.read(1024))
    return found is None or _VOLUME_CLASS.match(found[1]) is not None


def check_slice_file(path: Path) -> None:
    """Check that the pixels are all there.

    Raises:
        VolumeFileError: The file ends before they do.
    """
    content = path.read_bytes()
    places = list(_PIXELS.finditer(content))
    if places and not any(_is_complete(content, place) for place in places):
        raise VolumeFileError(f"{path} is cut off: its pixel data is not complete; copy it again")


def _is_complete(content: bytes, place: re.Match[bytes]) -> bool:
    length = int.from_bytes(place[1], "little") if place[1] else int.from_bytes(place[2], "big")
    if length == _UNDEFINED:
        return content.find(_END_OF_FRAGMENTS, place.end()) >= 0
    return place.end() + length <= len(content)
