"""Which series of a folder is meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from DeepSegmentLib.data.name_lookup import suggestion
from DeepSegmentLib.errors import VolumeFileError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .headers import Slice

_MOST_LINES = 40


@dataclass(frozen=True)
class SeriesInfo:
    """One volume of a folder.

    Attributes:
        uid: Series Instance UID; empty in some anonymised files.
        description: Series Description.
        modality: "CT", "MR" and so on.
        slices: Number of slices.
        size: Columns and rows of the first slice.
        number: Series Number, or "".
        part: Which volume of several in the series, from 1; 0 where it is the only one.
        difference: What tells it from the others of the series.
        overview: Whether it is for planning (localizers).
    """

    uid: str
    description: str
    modality: str
    slices: int
    size: tuple[int, int]
    number: str = ""
    part: int = 0
    difference: str = ""
    overview: bool = False

    @property
    def makes_volume(self) -> bool:
        """Whether it is more than a single slice or an overview."""
        return self.slices > 1 and not self.overview


def choose(folder: Path, found: Sequence[tuple[SeriesInfo, list[Slice]]], wanted: str | None) -> list[Slice]:
    """The slices of the series that is meant.

    Args:
        folder: For messages.
        found: What there is.
        wanted: UID or its beginning, number, or description (letters of any case); "#2" behind it means the second
            volume of the series. None where there is but one.

    Raises:
        VolumeFileError: None or several are meant; the message lists them.
    """
    matching = list(found) if wanted is None else _matching(found, wanted)
    if len(matching) == 1:
        return matching[0][1]
    if not matching:
        meant = suggestion(
            wanted or "", [word for info, _ in found for word in (info.description, info.number) if word]
        )
        raise VolumeFileError(f"{folder} holds no series {wanted}; {meant}it holds:{_table(found)}")
    which = "" if wanted is None else f" that {wanted!r} may mean"
    raise VolumeFileError(
        f"{folder} holds {len(matching)} series{which}; choose one by its number, its UID or its description:"
        f"{_table(matching)}"
    )


def _matching(found: Sequence[tuple[SeriesInfo, list[Slice]]], wanted: str) -> list[tuple[SeriesInfo, list[Slice]]]:
    base, mark, part = wanted.rpartition("#")
    if mark and part.isdecimal():
        return [(info, slices) for info, slices in _matching(found, base) if str(info.part) == part.lstrip("0")]
    folded = wanted.strip().casefold()
    ways = (_has_uid, _has_number, _has_description, _begins_uid)
    by_way = ([(info, slices) for info, slices in found if folded and fits(info, folded)] for fits in ways)
    return next((matching for matching in by_way if matching), [])


def _has_uid(info: SeriesInfo, wanted: str) -> bool:
    return info.uid == wanted


def _has_number(info: SeriesInfo, wanted: str) -> bool:
    return info.number == wanted


def _has_description(info: SeriesInfo, wanted: str) -> bool:
    return info.description.casefold() == wanted


def _begins_uid(info: SeriesInfo, wanted: str) -> bool:
    return "." in wanted and info.uid.startswith(wanted)


def _table(found: Sequence[tuple[SeriesInfo, list[Slice]]]) -> str:
    lines = [_line(info) for info, _ in found[:_MOST_LINES]]
    more = [f"... and {len(found) - _MOST_LINES} more"] if len(found) > _MOST_LINES else []
    return "".join(f"\n  {line}" for line in (*lines, *more))


def _line(info: SeriesInfo) -> str:
    part = f"#{info.part}" if info.part else ""
    columns, rows = info.size
    number = f"number {info.number or '-'}{part}"
    uid = f"{info.uid or 'no UID'}{part}"
    told = "  ".join(text for text in (info.description, info.difference) if text)
    return f"{number}  {uid}  {info.modality}  {info.slices} slices  {columns}x{rows}  {told}"
