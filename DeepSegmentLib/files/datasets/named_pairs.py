"""Volumes and labels that belong together by their names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.opening import is_folder
from DeepSegmentLib.files.volumes import VOLUME_SUFFIXES, volume_stem

from .channel_files import channel_case

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Pair:
    """A volume and its labels.

    Attributes:
        name: Which they share.
        volume: File of the first channel; those of the others are found by its name.
        labels: File of the labels.
    """

    name: str
    volume: Path
    labels: Path


def find_pairs(images: Path, labels: Path, *, image_suffix: str = "", label_suffix: str = "") -> tuple[Pair, ...]:
    """The volumes of a folder that have labels in another one, or in the same, by their names.

    Files of several channels are numbered as nnU-Net does (`name_0000`).

    Args:
        images: Folder of the volumes.
        labels: Folder of the labels.
        image_suffix: What volumes have behind the name that they share with their labels, such as "_ct".
        label_suffix: Likewise of labels, such as "_seg".

    Raises:
        InvalidInputError: A folder is not there, or there is no pair.
    """
    for folder in (images, labels):
        if not is_folder(folder):
            raise InvalidInputError(f"{folder} is no folder")
    volumes = _by_name(images, image_suffix)
    truths = _by_name(labels, label_suffix)
    names = [name for name in volumes if name in truths and volumes[name] != truths[name]]
    if not names:
        raise InvalidInputError(
            f"no volume of {images} has labels of the same name in {labels}; say what their names end with "
            "(--image-suffix, --label-suffix)"
        )
    return tuple(Pair(name, volumes[name], truths[name]) for name in names)


def _by_name(folder: Path, suffix: str) -> dict[str, Path]:
    """The volume files of a folder whose names end so, by the rest; of several channels the first."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("[!.]*")):
        if not path.name.lower().endswith(VOLUME_SUFFIXES):
            continue
        stem = volume_stem(path)
        name = channel_case(path.name) or stem
        if name.endswith(suffix) and len(name) > len(suffix):
            found.setdefault(name[: len(name) - len(suffix)], path)
    return found
