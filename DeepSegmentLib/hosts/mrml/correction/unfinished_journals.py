"""Journals of earlier corrections: which of them hold more than the scene does."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import InvalidInputError, VolumeFileError
from DeepSegmentLib.files.journal import LINES_FILE, Journal, volume_checksum
from DeepSegmentLib.files.journal.lines import read_header
from DeepSegmentLib.files.opening import inside, open_file
from DeepSegmentLib.hosts.mrml.geometry import local_geometry
from DeepSegmentLib.hosts.mrml.volumes import local_volume

from .node_journal import held_by

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REPLACED = ".replaced"
"""Ends the names of journals whose node got other segments: a new journal began with all that they held."""

_HEADER_BYTES = 1 << 24


@dataclass(frozen=True)
class UnfinishedJournal:
    """A journal that holds more than the scene.

    Attributes:
        folder: Of its journal.
        time: When it was worked on last.
        corrections: How many corrections the scene lacks.
    """

    folder: Path
    time: datetime
    corrections: int


def unfinished(root: Path, node: Any, volume: Any, scene: Any) -> UnfinishedJournal | None:
    """The journal to offer.

    Args:
        root: Folder of all journals.
        node: The chosen segmentation node, or None.
        volume: The chosen volume.
        scene: Whose nodes know their own journals.

    Returns:
        For a node that names a journal: that, where it goes on after what the node holds. For others, the newest of
        this volume that no node of the scene names. None where there is nothing to offer.
    """
    held = held_by(node)
    if held is not None:
        name, count = held
        return _unfinished_in(root / name, count)
    named = {known[0] for known in map(held_by, _segmentations(scene)) if known is not None}
    folders = [folder for folder in _of_volume(root, volume) if folder.name not in named]
    journals = [journal for folder in folders if (journal := _unfinished_in(folder, 0)) is not None]
    return max(journals, key=lambda journal: journal.time, default=None)


def _segmentations(scene: Any) -> Iterator[Any]:
    nodes = scene.GetNodesByClass("vtkMRMLSegmentationNode")
    return (nodes.GetItemAsObject(n) for n in range(nodes.GetNumberOfItems()))


def _of_volume(root: Path, volume: Any) -> list[Path]:
    """Folders of journals about a volume; its checksum is only computed where there is one of its shape."""
    if volume.GetImageData() is None:
        return []
    shape, found = local_geometry(volume).shape, []
    checksum = ""
    for path in root.glob(f"*/{LINES_FILE}"):
        with suppress(OSError, InvalidInputError, VolumeFileError):
            with open_file(inside(path.parent, path.name)) as file:
                header = read_header(file.readline(_HEADER_BYTES))
            if header.shape == shape and not path.parent.name.endswith(REPLACED):
                checksum = checksum or volume_checksum(local_volume(volume))
                found += [path.parent] if header.volume_checksum == checksum else []
    return found


def _unfinished_in(folder: Path, held: int) -> UnfinishedJournal | None:
    """What a journal has beyond the entries that are held already; None where it is in use or cannot be read."""
    with suppress(ValueError, VolumeFileError), Journal.open(folder) as journal:  # ValueError: no time
        time, corrections = "", 0
        for entry in journal.entries():
            if entry.number > held:
                time, corrections = entry.time, corrections + (entry.kind == "correction")
        if time:
            return UnfinishedJournal(folder, datetime.fromisoformat(time), corrections)
    return None


def put_aside(folder: Path) -> None:
    """Keep a closed journal that another one replaces, so that it is not offered again."""
    if folder.exists():
        folder.rename(folder.with_name(folder.name + REPLACED))
