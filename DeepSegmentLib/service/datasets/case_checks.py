"""What is wrong with labelled cases, or may be, wherever they are kept."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from DeepSegmentLib.data.geometry import bounding_box
from DeepSegmentLib.files.projects.header_words import header_words

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from DeepSegmentLib.data import Geometry

_ISLAND_PART = 0.05
"""Of a segment: smaller pieces that lie apart are told."""


@dataclass(frozen=True)
class Finding:
    """Something to look at.

    Attributes:
        case: Of which case; of several with commas.
        kind: "damaged", "grid", "duplicate", "leak", "identifier", "table", "empty" or "island".
        text: What it is.
    """

    case: str
    kind: str
    text: str


@dataclass(frozen=True, eq=False)
class Islands:
    """Small pieces of a segment that lie apart from the rest of it.

    Attributes:
        mask: Their voxels (k, j, i).
        count: How many there are.
        place_ras: The middle of the first one, in RAS millimetres.
        ml: Their size in all.
    """

    mask: NDArray[np.bool_]
    count: int
    place_ras: tuple[float, float, float]
    ml: float

    def __str__(self) -> str:
        """How many there are, how large and where."""
        r, a, s = self.place_ras
        told = f"{self.count} small pieces" if self.count > 1 else "a small piece"
        return f"{told} apart ({self.ml:.3f} ml in all), the first at {r:.0f}, {a:.0f}, {s:.0f} mm (RAS)"


def duplicates(digests: Iterable[tuple[str, str]]) -> Iterator[Finding]:
    """Cases whose volumes are the same.

    Args:
        digests: Name of each case, and what tells its volume's voxels from others.
    """
    same = defaultdict(list)
    for name, digest in digests:
        same[digest].append(name)
    for names in same.values():
        if len(names) > 1:
            yield Finding(", ".join(names), "duplicate", "have the same voxels")


def leaks(patients: Iterable[tuple[str, str]], held_out: Container[str]) -> Iterator[Finding]:
    """Patients of whom some cases are held out and some are learned from.

    Args:
        patients: Name of each case and its patient, an empty text where nobody said.
        held_out: Names of cases that are not learned from.
    """
    of_patient = defaultdict(list)
    for name, patient in patients:
        if patient:
            of_patient[patient].append(name)
    for names in of_patient.values():
        out = [name for name in names if name in held_out]
        if out and len(out) < len(names):
            yield Finding(", ".join(names), "leak", f"are of one patient, but only {', '.join(out)} held out")


def identifiers(case: str, files: Iterable[Path]) -> Iterator[Finding]:
    """Words in the headers of a case's files, which may name somebody.

    Raises:
        VolumeFileError: A file cannot be read.
    """
    for file in files:
        for field, words in header_words(file).items():
            yield Finding(case, "identifier", f"{file.name}: its header says {words[:60]!r} ({field})")


def find_islands(mask: NDArray[np.bool_], geometry: Geometry) -> Islands | None:
    """Pieces of a segment that are smaller than a twentieth of its largest one; None where there are none.

    Args:
        mask: Of the segment (k, j, i).
        geometry: Its grid.
    """
    box = bounding_box(mask)
    pieces, count = ndimage.label(mask[box.to_slices()], np.ones((3, 3, 3)))
    sizes = np.bincount(pieces.reshape(-1), minlength=count + 1)[1:]
    small = [n for n in range(count) if sizes[n] < _ISLAND_PART * sizes.max()]
    if not small:
        return None
    place = np.add(ndimage.center_of_mass(pieces == small[0] + 1), box.start)
    r, a, s = geometry.index_to_ras(place).tolist()
    islands = np.zeros_like(mask)
    islands[box.to_slices()] = np.isin(pieces, [n + 1 for n in small])
    ml = sum(int(sizes[n]) for n in small) * geometry.voxel_volume_mm3 / 1000
    return Islands(islands, len(small), (r, a, s), ml)
