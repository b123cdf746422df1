"""The axes of an NRRD file: which are space, which is time, which holds the numbers of a voxel, and where they lie.

References:
    Teem, "Definition of NRRD File Format"; itkNrrdImageIO.cxx (which it agrees with).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.data import Geometry, Index
from DeepSegmentLib.errors import VolumeFileError

from .header_text import real_number, whole_number

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

_MOST_AXES = 16  # NRRD_DIM_MAX


def _spelled(code: str, axes: int, words: str, *short: str) -> dict[str, tuple[str, int]]:
    return dict.fromkeys((words.replace(" ", "-"), words, words.replace(" ", ""), *short), (code, axes))


_SPACES = {
    **_spelled("ras", 3, "right anterior superior", "ras"),
    **_spelled("las", 3, "left anterior superior", "las"),
    **_spelled("lps", 3, "left posterior superior", "lps"),
    **_spelled("ras", 4, "right anterior superior time", "rast"),
    **_spelled("las", 4, "left anterior superior time", "last"),
    **_spelled("lps", 4, "left posterior superior time", "lpst"),
    **_spelled("other", 3, "scanner-xyz"),
    **_spelled("other", 4, "scanner-xyz-time", "scanner-xyzt"),
    **_spelled("other", 3, "3d right handed"),
    **_spelled("other", 3, "3d left handed"),
    **_spelled("other", 4, "3d right handed time"),
    **_spelled("other", 4, "3d left handed time"),
}
"""Names of spaces: which it is, and its dimension."""

_SIGNS = {"ras": (-1, -1, 1), "las": (1, -1, 1)}  # to LPS, which ITK takes every other space for
_SPATIAL = ("", "???", "none", "domain", "space", "time")
_KIND_SIZES = {
    "list": 0,
    "point": 0,
    "vector": 0,
    "contravariant-vector": 0,
    "covariant-vector": 0,
    "normal": 0,
    "stub": 1,
    "scalar": 1,
    "2-vector": 2,
    "3-color": 3,
    "4-color": 4,
    "3-vector": 3,
    "3-gradient": 3,
    "3-normal": 3,
    "4-vector": 4,
    "quaternion": 4,
    "2d-symmetric-matrix": 3,
    "2d-masked-symmetric-matrix": 4,
    "2d-matrix": 4,
    "2d-masked-matrix": 5,
    "3d-symmetric-matrix": 6,
    "3d-matrix": 9,
}
_REFUSED_KINDS = {
    **dict.fromkeys(("rgb-color", "rgbcolor", "rgb"), "RGB colors"),
    **dict.fromkeys(("rgba-color", "rgbacolor", "rgba"), "RGBA colors"),
    **dict.fromkeys(("hsv-color", "hsvcolor", "hsv"), "HSV colors"),
    "xyz-color": "XYZ colors",
    "complex": "complex numbers",
    "3d-masked-symmetric-matrix": "masked tensors",
    "3d-masked-matrix": "masked tensors",
}
_VECTOR = re.compile(r"none(?=[ \t]|$)|\(([^()]{0,400})\)", re.I)


@dataclass(frozen=True)
class NrrdAxes:
    """The axes in the file's order, the fastest first.

    Attributes:
        sizes: Extent of each.
        letters: Which axis is which, the slowest first; see `Storage.axes`.
        shape: Extent (k, j, i) of a frame.
        frames: Number of frames.
        channels: Numbers per voxel.
        steps: 3x3; its columns are the steps along i, j and k in LPS mm.
        origin: First voxel's centre in LPS mm.
    """

    sizes: tuple[int, ...]
    letters: str
    shape: Index
    frames: int
    channels: int
    steps: NDArray[np.float64]
    origin: NDArray[np.float64]

    def geometry(self) -> Geometry:
        """Place of one frame.

        Raises:
            InvalidInputError: A step has no length, or they do not span space.
        """
        lengths = np.linalg.norm(self.steps, axis=0)
        directions = self.steps / np.where(lengths > 0, lengths, 1)
        return Geometry.from_itk(
            self.shape, spacing=lengths.tolist(), origin=self.origin.tolist(), direction=directions
        )


def read_axes(path: Path, fields: Mapping[str, str]) -> NrrdAxes:
    """Make sense of the fields that tell of axes.

    Raises:
        VolumeFileError: It is no volume, or one in a space that we do not know the directions of.
        ValueError: A field is missing or damaged; the message tells which.
    """
    dimension = whole_number(fields.get("dimension", ""))
    if not 1 <= dimension <= _MOST_AXES:
        raise ValueError(f"it has {dimension} dimensions")
    sizes = tuple(whole_number(word) for word in _words(fields, "sizes", dimension))
    kinds = [word.lower() for word in _words(fields, "kinds", dimension, default="")]
    domain = [n for n, kind in enumerate(kinds) if kind in _SPATIAL]
    _check_axes(path, [sizes[n] for n in domain], [kinds[n] for n in domain])
    for n, kind in enumerate(kinds):
        if n not in domain:
            _check_range(path, kind, sizes[n])
    letters = _letters(path, kinds, domain)
    extents = {"t": 1, "c": 1} | dict(zip(letters, sizes, strict=True))
    steps, origin = _place(path, fields, domain, dimension)
    shape = (extents["k"], extents["j"], extents["i"])
    return NrrdAxes(sizes, letters[::-1], shape, extents["t"], extents["c"], steps, origin)


def _letters(path: Path, kinds: list[str], domain: list[int]) -> str:
    """Which axis is which, the fastest first. Of two that are no space, a list is of frames, as in ITK."""
    others = [n for n in range(len(kinds)) if n not in domain]
    lists = [n for n in others if kinds[n] == "list"]
    names = dict(zip(domain, "ijkt", strict=False)) | dict.fromkeys(others, "c")
    if len(others) == 2 and len(lists) == 1 and len(domain) == 3:
        names[lists[0]] = "t"
    elif len(others) > 1:
        raise VolumeFileError(
            f"{path} has {len(others)} axes that are no space ({', '.join(kinds[n] for n in others)}), a volume has "
            "one at most; save its parts one by one"
        )
    return "".join(names[n] for n in range(len(kinds)))


def _words(fields: Mapping[str, str], name: str, count: int, default: str | None = None) -> list[str]:
    if name not in fields and default is not None:
        return [default] * count
    words = fields.get(name, "").split()
    if len(words) != count:
        raise ValueError(f"its field {name!r} has {len(words)} entries for {count} axes")
    return words


def _check_axes(path: Path, sizes: list[int], kinds: list[str]) -> None:
    if len(sizes) not in (3, 4):
        raise VolumeFileError(f"{path} is {len(sizes)}D {tuple(sizes)}, a volume is 3D; save its parts one by one")
    if "time" in kinds[:3]:
        raise VolumeFileError(f"{path} has time as one of its first three axes; save its frames one by one")


def _check_range(path: Path, kind: str, size: int) -> None:
    if kind in _REFUSED_KINDS:
        raise VolumeFileError(f"{path} holds {_REFUSED_KINDS[kind]}; save it as a volume of integers or real numbers")
    kind = kind.replace("-sym-", "-symmetric-").replace("-tensor", "-matrix")
    if kind in _REFUSED_KINDS:
        raise VolumeFileError(f"{path} holds {_REFUSED_KINDS[kind]}; save it as a volume of integers or real numbers")
    if kind not in _KIND_SIZES:
        raise ValueError(f"it has an axis of the unknown kind {kind[:40]!r}")
    if _KIND_SIZES[kind] not in (0, size):
        raise ValueError(f"it has {size} numbers a voxel of the kind {kind!r}, which has {_KIND_SIZES[kind]}")


def _place(
    path: Path, fields: Mapping[str, str], domain: list[int], dimension: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Steps along i, j, k as columns, and the origin, in LPS."""
    spacings = _numbers(fields, "spacings", domain, dimension)
    space, axes = _space(path, fields)
    if not axes:
        return np.diag(np.where(np.isnan(spacings), 1, spacings)[:3]), _origin_of_mins(
            fields, spacings, domain, dimension
        )
    if axes != len(domain):
        raise VolumeFileError(
            f"{path} has {len(domain)} axes for the {axes} of its space; name the kind of the others (such as list) "
            "and save it again"
        )
    if not np.isnan(spacings).all():
        raise ValueError("it has spacings beside a space, which say nothing of directions")
    signs = np.array(_SIGNS.get(space, (1, 1, 1)))
    steps = np.eye(3)
    if "space directions" in fields:
        vectors = _vectors(fields["space directions"], dimension, axes)
        steps = np.column_stack([_known(vectors[n])[:3] for n in domain[:3]]) * signs[:, None]
    origin = _vectors(fields["space origin"], 1, axes)[0] if "space origin" in fields else None
    return steps, np.zeros(3) if origin is None else origin[:3] * signs


def _numbers(fields: Mapping[str, str], name: str, domain: list[int], dimension: int) -> NDArray[np.float64]:
    """A number for each axis of the domain; NaN where none is given."""
    return np.array([real_number(word) for word in _words(fields, name, dimension, default="nan")])[domain]


def _space(path: Path, fields: Mapping[str, str]) -> tuple[str, int]:
    """Which space it is, and its dimension; 0 where the file has none."""
    if "space" not in fields:
        axes = whole_number(fields.get("space dimension", "0"))
        if not 0 <= axes <= _MOST_AXES:
            raise ValueError(f"its space has {axes} dimensions")
        return "other", axes
    name = fields["space"]
    if name.lower() not in _SPACES or "space dimension" in fields:
        raise ValueError(f"it lies in the unknown space {name[:40]!r}")
    space, axes = _SPACES[name.lower()]
    if axes == 4 and space in _SIGNS:
        raise VolumeFileError(
            f"{path} lies in the space {name!r}, which ITK takes for left-posterior-superior; save its frames one by "
            "one"
        )
    return space, axes


def _vectors(text: str, count: int, length: int) -> list[NDArray[np.float64] | None]:
    """Vectors in brackets; None where there is none or it is NaN."""
    found = list(_VECTOR.finditer(text))
    if len(found) != count or _VECTOR.sub("", text).strip(" \t"):
        raise ValueError(f"{text[:80]!r} are no {count} vectors")
    return [_vector(each[1], length) for each in found]


def _vector(text: str | None, length: int) -> NDArray[np.float64] | None:
    if text is None:
        return None
    vector = np.array([real_number(part.strip(" \t")) for part in text.split(",")])
    if len(vector) != length or np.isinf(vector).any() or np.isnan(vector).any() != np.isnan(vector).all():
        raise ValueError(f"({text[:80]}) is no vector of {length} numbers")
    return None if np.isnan(vector).any() else vector


def _known(vector: NDArray[np.float64] | None) -> NDArray[np.float64]:
    if vector is None:
        raise ValueError("an axis of its space has no direction")
    return vector


def _origin_of_mins(
    fields: Mapping[str, str], spacings: NDArray[np.float64], domain: list[int], dimension: int
) -> NDArray[np.float64]:
    """The first voxel's centre by the ends of the axes, as far as ITK knows it; 0 else."""
    low, high = _numbers(fields, "axis mins", domain, dimension), _numbers(fields, "axis maxs", domain, dimension)
    centers = _words(fields, "centerings", dimension, default="cell")
    sizes = [whole_number(word) for word in _words(fields, "sizes", dimension)]
    if np.isnan(low[0]) or (np.isnan(high) & np.isnan(spacings)).any():
        return np.zeros(3)
    cell = np.array([centers[n].lower() != "node" for n in domain])
    with np.errstate(all="ignore"):  # what is not finite, the geometry refuses
        steps = (high - low) / np.maximum(1, np.array([sizes[n] for n in domain]) - ~cell)
        return np.asarray(low + np.where(cell, np.where(np.isnan(spacings), steps, spacings) / 2, 0))[:3]
