"""The data files that a header names: one, a list, or a pattern with the number of the slice.

Names never reach C's printf: a pattern may hold one `%d`, `%3d` or `%03d`, and `%%` for a per cent sign.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.opening import inside, open_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MOST_FILES = 1 << 14
"""More slices than any scan has."""

_NUMBER = re.compile(r"%(0?)([0-9]{0,2})d")


def find_files(path: Path, names: Sequence[str]) -> tuple[Path, ...]:
    """The files that a header names, in its folder or below.

    Raises:
        VolumeFileError: There are too many, or one is missing, elsewhere or no plain file.
    """
    if not 1 <= len(names) <= MOST_FILES:
        raise VolumeFileError(f"{path} names {len(names)} data files, more than {MOST_FILES} or none; export it again")
    return tuple(_find(path, name) for name in names)


def numbered_names(pattern: str, first: int, step: int, count: int) -> list[str]:
    """The names that a pattern stands for.

    Raises:
        ValueError: It holds something else than one number, or there are too many names.

    Example:
        >>> numbered_names("slice_%03d.raw", 9, 2, 2)
        ['slice_009.raw', 'slice_011.raw']
    """
    before, found, after = _split(pattern)
    zero, width = found.groups()
    if not 1 <= count <= MOST_FILES:
        raise ValueError(f"it stands for {count} data files")
    numbers = range(first, first + step * count, step)
    return [f"{before}{number:{zero}{width or 1}d}{after}" for number in numbers]


def holds_number(name: str) -> bool:
    """Whether a name is a pattern."""
    return _NUMBER.search(name.replace("%%", "")) is not None


def _split(pattern: str) -> tuple[str, re.Match[str], str]:
    parts = pattern.split("%%")
    places = [(n, found) for n, part in enumerate(parts) if (found := _NUMBER.search(part))]
    others = sum(part.count("%") for part in parts)
    if len(places) != 1 or others != 1:
        raise ValueError(f"{pattern[:80]!r} is no pattern of names; one %d stands for the number of the slice")
    n, found = places[0]
    before = "%".join([*parts[:n], parts[n][: found.start()]])
    return before, found, "%".join([parts[n][found.end() :], *parts[n + 1 :]])


def _find(path: Path, name: str) -> Path:
    try:
        file = inside(path.parent, name)
        open_file(file).close()
    except VolumeFileError as error:
        raise VolumeFileError(f"{path} names a data file that cannot be read: {error}") from error
    return file
