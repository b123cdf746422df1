"""Prepared cases on disk, so that they are made once and read by every process that makes samples of them.

A folder for each: the arrays as NumPy files, which are mapped into memory and read where a patch needs them, and a JSON
file with the rest and a checksum of each array.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.errors import ResourceError

from .prepared_case import Known, PreparedCase

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_ARRAYS = ("image", "labels", "regions")
_NOTES = "case.json"
_LARGEST_HALF = 1e4


def store(case: PreparedCase, folder: Path) -> None:
    """Write a prepared case to a folder that is not there yet.

    Raises:
        ResourceError: The disk is full or write-protected.
    """
    try:
        folder.mkdir(parents=True)
        digests = {name: _write(folder / f"{name}.npy", array) for name, array in _arrays(case).items()}
        notes = {
            "name": case.name,
            "group": case.group,
            "spacing_mm": case.spacing_mm,
            "known": [asdict(row) for row in case.known],
            "digests": digests,
        }
        (folder / _NOTES).write_text(json.dumps(notes) + "\n", encoding="ascii", newline="\n")
    except OSError as error:
        raise ResourceError(
            f"{folder.parent}: a prepared case cannot be written ({error.strerror or error}); free some of the disk"
        ) from error


def _arrays(case: PreparedCase) -> dict[str, NDArray[Any]]:
    """The arrays by the names of their files; images in half precision where their range allows."""
    image = case.image
    if image.dtype != np.float16 and float(np.abs(image).max(initial=0)) < _LARGEST_HALF:
        image = image.astype(np.float16)
    places = {f"places_{n}": each for n, each in enumerate(case.places)}
    return {"image": image, "labels": case.labels, "regions": case.regions, **places}


def _write(path: Path, array: NDArray[Any]) -> str:
    np.save(path, np.ascontiguousarray(array), allow_pickle=False)
    return _digest(array)


def _digest(array: NDArray[Any]) -> str:
    whole = np.ascontiguousarray(array)
    digest = blake2b(f"{whole.dtype.name} {whole.shape}".encode(), digest_size=16)
    digest.update(whole.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def load(folder: Path, *, check: bool = False) -> PreparedCase:
    """Read a prepared case; its larger arrays are mapped into memory.

    Args:
        folder: Where it was stored.
        check: Whether to compare all arrays with their checksums.

    Raises:
        ValueError: The folder is damaged. It can be deleted and made again.
    """
    try:
        notes = json.loads((folder / _NOTES).read_text(encoding="ascii"))
        known = tuple(Known(tuple(map(bool, row["classes"])), float(row["weight"])) for row in notes["known"])
        names = [*_ARRAYS, *(f"places_{n}" for n in range(len(known[0].classes)))]
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names}
        if check:
            _compare(arrays, notes["digests"])
        k, j, i = notes["spacing_mm"]
        places = tuple(np.array(arrays[name]) for name in names[len(_ARRAYS) :])
        image, labels, regions = (arrays[name] for name in _ARRAYS)
        return PreparedCase(notes["name"], notes["group"], image, labels, regions, known, (k, j, i), places)
    except (OSError, KeyError, TypeError, IndexError, ValueError) as error:
        raise ValueError(f"{folder} is damaged: {error}") from error


def _compare(arrays: dict[str, NDArray[Any]], digests: dict[str, str]) -> None:
    for name, array in arrays.items():
        if _digest(array) != digests[name]:
            raise ValueError(f"{name} differs from its checksum")
