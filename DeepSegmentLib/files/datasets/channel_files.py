"""Channels in files of their own, numbered as nnU-Net does: `case_0000.nii.gz`, `case_0001.nii.gz`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.volumes import VOLUME_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_ENDINGS = "|".join(re.escape(suffix) for suffix in VOLUME_SUFFIXES)
_CHANNEL = re.compile(rf"(?P<case>.+)_(?P<number>\d{{4}})(?P<ending>{_ENDINGS})", re.IGNORECASE | re.DOTALL)


def channel_groups(names: Iterable[str]) -> dict[str, dict[int, str]]:
    """The files of a folder that are channels, by case and ending and then by number.

    A folder follows this naming where it holds a channel 0: a `scan_2019.nii.gz` elsewhere is a name like any other.

    Args:
        names: Of the volume files in one folder.

    Example:
        >>> channel_groups(["a_0001.nii.gz", "a_0000.nii.gz", "b.nii.gz"])
        {'a.nii.gz': {0: 'a_0000.nii.gz', 1: 'a_0001.nii.gz'}}
    """
    groups: dict[str, dict[int, str]] = {}
    for name in sorted(names):
        if found := _CHANNEL.fullmatch(name):
            groups.setdefault(found["case"] + found["ending"], {})[int(found["number"])] = name
    return groups if any(0 in numbers for numbers in groups.values()) else {}


def channel_case(name: str) -> str | None:
    """The case of a file that is a first channel, None for others.

    Example:
        >>> channel_case("head_0000.nii.gz"), channel_case("head.nii.gz")
        ('head', None)
    """
    found = _CHANNEL.fullmatch(name)
    return found["case"] if found and int(found["number"]) == 0 else None


def further_channels(first: Path, wanted: Sequence[str]) -> tuple[Path, ...]:
    """The files of channels 1, 2 and so on beside a first one.

    None for a file of another name, and where none of them is there: the file may hold all channels.

    Args:
        first: Of channel 0.
        wanted: Names of all channels, for messages.

    Raises:
        InvalidInputError: Some of them are missing.
    """
    found = _CHANNEL.fullmatch(first.name)
    if found is None or int(found["number"]) != 0:
        return ()
    files = [first.with_name(f"{found['case']}_{n:04d}{found['ending']}") for n in range(1, len(wanted))]
    missing = [path.name for path in files if not path.is_file()]
    if missing and len(missing) < len(files):
        raise InvalidInputError(f"{', '.join(wanted)} are needed, and beside {first} is no {', '.join(missing)}")
    return () if missing else tuple(files)
