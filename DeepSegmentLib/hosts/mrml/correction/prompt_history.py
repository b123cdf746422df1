"""The prompts of a segmentation node one after the other, and how one in the middle is taken back.

A prompt is answered by what the segment was like then. To take one back, those after it are taken back too, from the
last on, and given again: where nothing that a prompt looks at has changed its edit is repeated, else it is answered
anew. The node is then what it would be had the prompt never been given.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.correction.correct import correct
from DeepSegmentLib.correction.rules.constraints import looked_at
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.hosts.mrml.segmentations.layers import image_of, sharing
from DeepSegmentLib.hosts.mrml.segmentations.segments import is_protected

from .blocks import hull_of, read_labels
from .edits import keep, make_room, retrace, write_correction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from DeepSegmentLib.correction.settings import CorrectionSettings
    from DeepSegmentLib.data import Box, Prompt

    from .edits import Edit, KeptEdit
    from .node_canvas import NodeCanvas


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, eq=False)
class Step:
    """A correction of a node.

    Attributes:
        segmentation_id: The node.
        kept: What it changed.
        prompt: What the user pointed at, in the node's own space; None where that is no longer true.
        settings: How it was understood.
        time: When, as ISO 8601 in UTC.
    """

    segmentation_id: str
    kept: KeptEdit
    prompt: Prompt | None
    settings: CorrectionSettings
    time: str = field(default_factory=_now)

    @property
    def told(self) -> Prompt:
        """The prompt.

        Raises:
            InvalidInputError: It is no longer true.
        """
        if self.prompt is None:
            raise InvalidInputError("other tools have changed what this prompt decided; use their own undo")
        return self.prompt


@dataclass(frozen=True, eq=False)
class Exchange:
    """What can be undone: steps that went and steps that came in their place; of a correction, one that came.

    Attributes:
        gone: Steps, the oldest first.
        come: Steps, the oldest first.
    """

    gone: tuple[Step, ...] = ()
    come: tuple[Step, ...] = ()

    @property
    def segmentation_id(self) -> str:
        """The node that it is about."""
        return (*self.gone, *self.come)[0].segmentation_id

    def inverse(self) -> Exchange:
        """The exchange that takes this one back."""
        return Exchange(self.come, self.gone)


@dataclass(frozen=True, eq=False)
class Trace:
    """Something that was done to the node, for the journal.

    Attributes:
        step: What it was about.
        edit: What changed.
        backward: Whether the step was taken back.
        new: Whether the step is answered for the first time.
    """

    step: Step
    edit: Edit
    backward: bool
    new: bool = False


def perform(node: Any, exchange: Exchange) -> list[Trace] | None:
    """Do an exchange whose steps are all known.

    Args:
        node: vtkMRMLSegmentationNode.
        exchange: What goes, from the last on, and what comes.

    Returns:
        What was done, in order; None, and the node is as it was, where other tools have changed these voxels since.
    """
    done: list[Trace] = []
    moves = [*[(step, True) for step in reversed(exchange.gone)], *[(step, False) for step in exchange.come]]
    for step, backward in moves:
        edit = retrace(node, step.kept, backward=backward)
        if edit is None:
            _revert(node, done)
            return None
        done.append(Trace(step, edit, backward))
    return done


def _revert(node: Any, done: Sequence[Trace]) -> None:
    for trace in reversed(done):
        retrace(node, trace.step.kept, backward=not trace.backward)


def take_back(
    node: Any, steps: Sequence[Step], step: Step, canvas_of: Callable[[Step], NodeCanvas]
) -> tuple[Exchange, list[Trace]]:
    """Take back one of several steps; the others hold.

    Args:
        node: vtkMRMLSegmentationNode.
        steps: All steps of the node that were not taken back, the oldest first.
        step: One of them, as it is now or was before others have edited.
        canvas_of: Gives the canvas of a step's segment, as its settings want it, on the node as it is now.

    Returns:
        What was exchanged, and what was done, in order.

    Raises:
        InvalidInputError: It cannot be done, as others have edited there or locked segments would change; the node is
            as it was.
    """
    number = next((n for n, other in enumerate(steps) if other.kept is step.kept), None)
    if number is None:
        raise InvalidInputError("its segment is no longer there")
    step = steps[number]
    before, later = list(steps[:number]), tuple(steps[number + 1 :])
    locked = _Locked(node, (step, *later))
    done = perform(node, Exchange((step, *later)))
    if done is None:
        raise InvalidInputError("other tools have changed these voxels since; use their own undo")
    try:
        come = _again(step, before, later, canvas_of, done)
        locked.check()
    except BaseException:
        _revert(node, done)
        raise
    return Exchange((step, *later), tuple(come)), done


def _again(
    step: Step,
    before: Sequence[Step],
    later: Sequence[Step],
    canvas_of: Callable[[Step], NodeCanvas],
    done: list[Trace],
) -> list[Step]:
    """Give steps again after one that was taken back; those that change something."""
    come: list[Step] = []
    changed = _affected(step, canvas_of(step))
    for old in later:
        canvas = canvas_of(old)
        seen = _looked_at(old, canvas)
        trace: Trace | None
        if seen is not None and not any(seen.intersect(box).size for box in changed):
            trace = _repeated(old, canvas)
        else:
            trace = _answered(old, [*before, *come], canvas)
            changed += [*_affected(old, canvas), *(() if trace is None else _affected(trace.step, canvas))]
        if trace is not None:
            done.append(trace)
            come.append(trace.step)
    return come


def _looked_at(step: Step, canvas: NodeCanvas) -> Box | None:
    """The block that a step depends on, in indices of the lattice; None where that is not known."""
    box = None if step.prompt is None else looked_at(step.prompt, step.settings, canvas.geometry)
    return None if box is None else box.shift(canvas.start)


def _affected(step: Step, canvas: NodeCanvas) -> list[Box]:
    """Where labels or prompts are others without a step, in indices of the lattice."""
    nearby = _looked_at(replace(step, settings=replace(step.settings, mode="fix")), canvas)
    return [step.kept.change.box] if nearby is None else [step.kept.change.box, nearby]


def _repeated(step: Step, canvas: NodeCanvas) -> Trace:
    edit = retrace(canvas.segmentation, step.kept, backward=False)
    if edit is None:  # the image is another one now
        raise InvalidInputError("the segments were rearranged since; use the undo of the tool that did it")
    return Trace(step, edit, backward=False)


def _answered(step: Step, before: Sequence[Step], canvas: NodeCanvas) -> Trace | None:
    """Answer the prompt of a step anew; None where it changes nothing now."""
    prompt, name = step.told, step.kept.segment_id
    if canvas.locked:
        raise InvalidInputError(f"{prompt.segment} was corrected later and is locked or finished; unlock it first")
    earlier = [old.prompt for old in before if old.kept.segment_id == name and old.prompt is not None]
    correction = correct(canvas, prompt, step.settings, earlier)
    if not correction.changed.any():
        return None
    make_room(canvas, correction)
    edit = write_correction(canvas, correction)
    if edit is None:
        return None
    answered = Step(step.segmentation_id, keep(edit), prompt, step.settings, step.time)
    return Trace(answered, edit, backward=False, new=True)


class _Locked:
    """Sees to it that no voxel of a locked or finished segment changes from here to `check`."""

    def __init__(self, node: Any, steps: Sequence[Step]) -> None:
        self._node = node
        boxes: dict[int, tuple[Any, list[Box]]] = {}
        for step in steps:
            image = image_of(node, step.kept.segment_id)
            if image is not None:
                boxes.setdefault(id(image), (image, []))[1].append(step.kept.change.box)
        self._before = [
            (image, box, read_labels(image, box)) for image, several in boxes.values() for box in [hull_of(*several)]
        ]

    def check(self) -> None:
        """Refuse what has changed a locked segment; new corrections spare them by themselves."""
        segments = self._node.GetSegmentation()
        for image, box, before in self._before:
            after = read_labels(image, box)
            changed = before != after
            touched = np.union1d(before[changed], after[changed])
            for name, value in sharing(self._node, image):
                segment = segments.GetSegment(name)
                if value in touched and is_protected(segment):
                    raise InvalidInputError(f"{segment.GetName()} is locked or finished; unlock it first")
