"""The journal of a segmentation node: corrections as they happen, edits by other tools when things are quiet.

What the node was like when the journal last heard of it is kept beside it; what differs from that was done by others.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from DeepSegmentLib.correction.packed_changes import labels_in
from DeepSegmentLib.data import Box, LabelUpdate
from DeepSegmentLib.errors import InvalidInputError, VolumeFileError
from DeepSegmentLib.files.journal import Journal, volume_checksum
from DeepSegmentLib.hosts.mrml.segmentations.label_images import labelmap_name, make_image
from DeepSegmentLib.hosts.mrml.segmentations.layers import image_of, sharing
from DeepSegmentLib.hosts.mrml.segmentations.nodes import add_to_image, provenance_of
from DeepSegmentLib.hosts.mrml.segmentations.segments import segment_ids
from DeepSegmentLib.hosts.mrml.volumes import local_volume

from .edits import KeptEdit
from .prompt_history import Step
from .snapshots import Snapshot, label_images, layout_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from DeepSegmentLib.data import LabelMap, Segment
    from DeepSegmentLib.files.journal.lines import Entry

    from .edits import Edit

_ATTRIBUTE = "DeepSegmentJournal"
"""Of the node: which journal knows it, and how many entries of it the node holds. Saved with the scene."""


def held_by(node: Any) -> tuple[str, int] | None:
    """The name of the journal that knows a node, and how many of its entries the node holds."""
    text = (node.GetAttribute(_ATTRIBUTE) or "") if node is not None else ""
    name, _space, count = text.rpartition(" ")
    return (name, int(count)) if name and count.isdecimal() else None


class NodeJournal:
    """A journal and the node that it is about.

    Attributes:
        node: vtkMRMLSegmentationNode.
        volume: vtkMRMLScalarVolumeNode that it shows.
        journal: What is on disk.
    """

    def __init__(self, journal: Journal, node: Any, volume: Any, snapshot: Snapshot) -> None:
        """Join a journal with a node whose labels are those of the journal."""
        self.node, self.journal = node, journal
        self.volume, self._known = volume, snapshot
        self._times = _times(node)
        self._done, self._undone = _replayed(journal, node, snapshot)
        self._count = sum(1 for _entry in journal.entries())
        self._mark()

    @classmethod
    def begin(cls, folder: Path, node: Any, volume: Any, *, goes_on: bool = False) -> Self:
        """A new journal of a node as it is now.

        Args:
            folder: New; its parent is made if need be.
            node: vtkMRMLSegmentationNode.
            volume: vtkMRMLScalarVolumeNode that it shows.
            goes_on: Whether its labels hold what another journal had: then it is to be kept though nothing happens.

        Raises:
            InvalidInputError: Its segments lie on several grids.
            VolumeFileError: The journal cannot be written.
        """
        snapshot = Snapshot.of(node, volume)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise VolumeFileError(f"{folder.parent} cannot be made: {error.strerror or error}") from error
        checksum = volume_checksum(local_volume(volume))
        labels, model = snapshot.label_map(), provenance_of(node)
        journal = Journal.create(folder, labels, volume_checksum=checksum, model=model)
        if goes_on:
            box = Box((0, 0, 0), (1, 1, 1))
            journal.record_edit(
                LabelUpdate(box, snapshot.layers[0][box.to_slices()], snapshot.layers[0][box.to_slices()])
            )
        return cls(journal, node, volume, snapshot)

    @classmethod
    def go_on(cls, folder: Path, node: Any, volume: Any) -> Self | None:
        """The journal of a node that holds exactly what the journal does; None, and nothing happens, for others.

        Raises:
            VolumeFileError: The journal is damaged, or another process has it.
        """
        journal = Journal.open(folder)
        try:
            return cls._joined(journal, node, volume)
        except BaseException:
            journal.close()
            raise

    @classmethod
    def _joined(cls, journal: Journal, node: Any, volume: Any) -> Self | None:
        snapshot, labels = Snapshot.of(node, volume), journal.labels()
        same_places = _places(snapshot.label_map()) == _places(labels)
        if same_places and np.array_equal(snapshot.layers, labels.layers):
            return cls(journal, node, volume, snapshot)
        journal.close()
        return None

    @classmethod
    def resume(cls, folder: Path, node: Any, volume: Any) -> Self | None:
        """Bring a node to where a journal ends, and go on with it.

        Segments are known again by their names; those that the node lacks are added, others stay as they are. Where
        there are others, the journal cannot go on: None.

        Raises:
            InvalidInputError: The volume is not the one that was corrected.
            VolumeFileError: The journal is damaged, or another process has it.
        """
        journal = Journal.open(folder)
        try:
            _check_volume(journal, volume)
            restore(node, journal.labels())
            return cls._joined(journal, node, volume)
        except BaseException:
            journal.close()
            raise

    @property
    def has_entries(self) -> bool:
        """Whether anything has happened."""
        return self._count > 0

    @property
    def corrections(self) -> tuple[Step, ...]:
        """The corrections that were not taken back, the oldest first."""
        return tuple(step for step in self._done if step is not None)

    @property
    def taken_back(self) -> tuple[Step, ...]:
        """The corrections that can be done again, the one to do first last."""
        return tuple(step for step in self._undone if step is not None)

    def fits(self, volume: Any) -> bool:
        """Whether the node still has the images and segments that the journal knows, over this volume."""
        try:
            return volume is self.volume and layout_of(self.node, volume) == self._known.layout
        except InvalidInputError:
            return False

    def record(self, edit: Edit, step: Step) -> None:
        """Record a correction with a prompt; when this returns, it is on the disk.

        Raises:
            VolumeFileError: It cannot be written.
        """
        name, update = self._known.nouns[edit.segment_id].name, self._known.update_of(edit)
        self.journal.record(replace(step.told, segment=name), step.settings, update, name)
        self._done.append(step)
        self._undone.clear()
        self._recorded(update)

    def record_retrace(self, edit: Edit, step: Step, *, backward: bool) -> None:
        """Record that a correction was taken back or done again; raises as `record`.

        The journal knows undo and redo of what happened last. A correction that is done again after others begins
        anew; of one that is taken back after others have edited elsewhere, it gets the edit.
        """
        update = self._known.update_of(edit)
        source, target = (self._done, self._undone) if backward else (self._undone, self._done)
        if source and source[-1] is not None and source[-1].kept is step.kept:
            (self.journal.record_undo if backward else self.journal.record_redo)(update)
            target.append(source.pop())
            self._recorded(update)
        elif step.prompt is not None and not backward:
            self.record(edit, step)
        else:
            self._record_edit(update)

    def catch_up(self) -> int:
        """Record what other tools did since; how many edits that were.

        Raises:
            VolumeFileError: It cannot be written.
        """
        if self.is_current:
            return 0
        updates = self._known.differences(self.node)
        for update in updates:
            self._record_edit(update)
        self.look_away()
        return len(updates)

    @property
    def is_current(self) -> bool:
        """Whether nobody has touched the images since the journal heard of them."""
        return _times(self.node) == self._times

    def look_away(self) -> None:
        """The images were touched and are what they were: what differs now is taken for known."""
        self._times = _times(self.node)

    def _record_edit(self, update: LabelUpdate) -> None:
        self.journal.record_edit(update)
        self._done.append(None)
        self._undone.clear()
        self._recorded(update)

    def _recorded(self, update: LabelUpdate) -> None:
        self._known.take(update)
        self.look_away()
        self._count += 1
        self._mark()

    def _mark(self) -> None:
        """Let the node say what it holds; nobody needs to know now."""
        quiet = self.node.GetDisableModifiedEvent()
        self.node.SetDisableModifiedEvent(1)
        self.node.SetAttribute(_ATTRIBUTE, f"{self.journal.folder.name} {self._count}")
        self.node.SetDisableModifiedEvent(quiet)

    def close(self) -> None:
        """Let others have the journal; one in which nothing happened is removed."""
        self.journal.close()
        if not self._count:
            shutil.rmtree(self.journal.folder, ignore_errors=True)


def _places(labels: LabelMap) -> list[tuple[str, int, int]]:
    return [(noun.name, noun.layer, noun.value) for noun in labels.segments]


def _check_volume(journal: Journal, volume: Any) -> None:
    if volume_checksum(local_volume(volume)) != journal.header.volume_checksum:
        raise InvalidInputError(f"{volume.GetName()!r} is not the volume that was corrected; choose that one")


def _times(node: Any) -> tuple[int, ...]:
    """When each image was changed last."""
    return tuple(int(image.GetMTime()) for image in label_images(node))


_Steps = list["Step | None"]


def _replayed(journal: Journal, node: Any, snapshot: Snapshot) -> tuple[_Steps, _Steps]:
    """What can be undone and done again after the entries of a journal; None for edits."""
    done: _Steps = []
    undone: _Steps = []
    for entry in journal.entries():
        if entry.kind == "undo":
            undone.append(done.pop())
        elif entry.kind == "redo":
            done.append(undone.pop())
        else:
            undone.clear()
            segment_id = _segment_of(entry, snapshot.nouns)
            done.append(_kept(entry, segment_id, node, snapshot) if segment_id else None)
    return done, undone


def _segment_of(entry: Entry, nouns: dict[str, Segment]) -> str | None:
    """The segment that a correction was made of; of several of the same name, the one that won or lost voxels."""
    if entry.prompt is None:
        return None
    named = [segment_id for segment_id, noun in nouns.items() if noun.name == entry.prompt.segment]
    if len(named) > 1:
        values = labels_in(entry.change, after=entry.prompt.positive)
        named = [name for name in named if nouns[name].layer == entry.change.layer and nouns[name].value in values]
    return named[0] if named else None


def _kept(entry: Entry, segment_id: str, node: Any, snapshot: Snapshot) -> Step | None:
    if entry.prompt is None or entry.settings is None:
        return None
    change = replace(entry.change, box=entry.change.box.shift(snapshot.layout.box.start))
    kept = KeptEdit(segment_id, change, sharing(node, image_of(node, segment_id)))
    return Step(node.GetID(), kept, entry.prompt, entry.settings, entry.time)


def restore(node: Any, labels: LabelMap) -> None:
    """Give a node the segments of a labelmap on its own lattice.

    Args:
        node: vtkMRMLSegmentationNode; its segments of the same names get the labelmap's voxels, missing ones are added.
        labels: In the node's own space.
    """
    segments, ids = node.GetSegmentation(), _ids_of(labels.segments, node)
    for n, layer in enumerate(labels.layers):
        image = make_image(layer, labels.geometry)
        nouns = [(noun, found) for noun, found in zip(labels.segments, ids, strict=True) if noun.layer == n]
        for noun, found in nouns:
            if found is not None:
                segment = segments.GetSegment(found)
                segment.SetLabelValue(noun.value)
                segment.AddRepresentation(labelmap_name(), image)
        image.Modified()  # surfaces of the former voxels go
        add_to_image(node, image, [noun for noun, found in nouns if found is None])


def _ids_of(nouns: Sequence[Segment], node: Any) -> list[str | None]:
    """The node's segments of the same names, one for each; several of one name in their order."""
    free: dict[str, list[str]] = {}
    for segment_id in segment_ids(node):
        free.setdefault(node.GetSegmentation().GetSegment(segment_id).GetName(), []).append(segment_id)
    return [free[noun.name].pop(0) if free.get(noun.name) else None for noun in nouns]
