"""Corrections of segments in the scene: the one way that the effect and the panel share."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _

from DeepSegmentGui.correction.journals import Journals

_SHOWN_MS = 50
"""After this time a view has drawn a change; what nobody waits for is done then."""

_QUIET_MS = 1000
"""After this time without a change the user is thinking, and surfaces and journal may take a moment."""


@dataclass(frozen=True)
class Target:
    """What is corrected.

    Attributes:
        volume: The volume that shows the structure, or None.
        segmentation: The segmentation node, or None.
        segmentID: The segment.
        editor: The vtkMRMLSegmentEditorNode whose masks hold, or None.
    """

    volume: Any
    segmentation: Any
    segmentID: str
    editor: Any = None

    @property
    def segment(self):
        """The vtkSegment, or None."""
        return None if self.segmentation is None else self.segmentation.GetSegmentation().GetSegment(self.segmentID)

    def canvas(self, overwrite):
        """The target as a `NodeCanvas`.

        Raises:
            InvalidInputError: Something is missing, or the nodes do not fit together.
        """
        from DeepSegmentLib.hosts.mrml.correction.node_canvas import canvas_of

        return canvas_of(self.volume, self.segmentation, self.segmentID, editor=self.editor, overwrite=overwrite)


@dataclass(frozen=True)
class _Step:
    """A correction that can be taken back.

    Attributes:
        segmentationID: Its node.
        kept: The `KeptEdit`.
        prompt: What the user pointed at; None where that is no longer true.
    """

    segmentationID: str
    kept: Any
    prompt: Any


class Corrector:
    """Makes corrections, remembers them, takes them back.

    Args:
        scene: The MRML scene.

    Attributes:
        listeners: Called without arguments after each change of what can be undone.
    """

    def __init__(self, scene):
        self._scene = scene
        self._done, self._undone = [], []
        self._owed = None
        self._stale = set()
        self._journals = Journals(scene, self._somethingChanged, self._othersEdited)
        self.listeners = []
        scene.AddObserver(scene.StartCloseEvent, lambda *_event: self.forget())
        slicer.app.connect("aboutToQuit()", self.forget)
        self._shownTimer, self._quietTimer = _timer(_SHOWN_MS, self.settle), _timer(_QUIET_MS, self._quiet)

    def preview(self, target, prompt, settings):
        """What a prompt would change, as a `Correction`, and the canvas.

        Raises:
            DeepSegmentError: It cannot be done.
        """
        from DeepSegmentLib.correction.correct import preview

        canvas = target.canvas(settings.overwrite)
        return preview(canvas, _seenFrom(canvas, prompt), settings, self._earlier(target)), canvas

    def suggestRadius(self, target, prompt):
        """An edit radius in mm that suits a place.

        Raises:
            DeepSegmentError: There is none.
        """
        from DeepSegmentLib.correction.correct import suggest_radius

        canvas = target.canvas(overwrite=False)
        return suggest_radius(canvas, _seenFrom(canvas, prompt))

    def apply(self, target, prompt, settings, saveState=None):
        """Correct a segment.

        Args:
            target: The segment.
            prompt: What the user pointed at, in the scene's RAS.
            settings: `CorrectionSettings`.
            saveState: Lets the history of a Segment Editor save a state; None: the one that edits the node, if any.

        Returns:
            What to tell the user.

        Raises:
            DeepSegmentError: It cannot be done; nothing was changed.
        """
        from DeepSegmentLib.correction.correct import correct
        from DeepSegmentLib.hosts.mrml.correction.edits import keep, make_room, write_correction
        from DeepSegmentLib.hosts.mrml.correction.node_canvas import why_nothing_changes

        self.settle()
        self.prepare(target)
        canvas = target.canvas(settings.overwrite)
        seen = _seenFrom(canvas, prompt)
        correction = correct(canvas, seen, settings, self._earlier(target))
        if not correction.changed.any():
            return why_nothing_changes(canvas, seen)
        make_room(canvas, correction)
        self.prepare(target)  # a segment that was empty has an image now
        edit = write_correction(canvas, correction)
        step = _Step(target.segmentation.GetID(), keep(edit), seen)
        self._done.append(step)
        self._undone.clear()
        trouble = self._journals.correction(target.segmentation, edit, step.kept, seen, settings)
        self._changed(target.segmentation, edit, saveState)
        text = _("{count} voxels changed in {name}.").format(
            count=int(edit.update.changed.sum()), name=target.segment.GetName()
        )
        return f"{text} {trouble}".strip()

    def prepare(self, target):
        """Have a journal for a target; later, its first correction finds one."""
        if target.volume is not None and target.segment is not None:
            for step in self._journals.open(target.segmentation, target.volume):
                self._done.append(_Step(target.segmentation.GetID(), *step))
            self._tellListeners()

    def unfinished(self, target):
        """The `UnfinishedJournal` that can be resumed on a target's nodes, or None."""
        return self._journals.unfinished(target.segmentation, target.volume)

    def resume(self, session, segmentation, volume):
        """Bring a segmentation to where an earlier session ended.

        Raises:
            DeepSegmentError: It cannot be resumed.
        """
        self.settle()
        editor = segmentEditorOf(segmentation)
        if editor is not None:
            editor.saveStateForUndo()
        node = segmentation.GetID()
        self._done = [step for step in self._done if step.segmentationID != node]
        self._undone = [step for step in self._undone if step.segmentationID != node]
        self._done += [_Step(node, *step) for step in self._journals.resume(session, segmentation, volume)]
        self._tellListeners()

    def _earlier(self, target):
        """Prompts given before for this segment."""
        node, segmentID = target.segmentation.GetID(), target.segmentID
        steps = [step for step in self._done if step.segmentationID == node and step.kept.segment_id == segmentID]
        return [step.prompt for step in steps if step.prompt is not None]

    # Undo

    @property
    def canUndo(self):
        """Whether there is a correction to take back."""
        return bool(self._done)

    @property
    def canRedo(self):
        """Whether there is a correction to do again."""
        return bool(self._undone)

    def undo(self):
        """Take the last correction back; what to tell the user."""
        return self._retrace(self._done, self._undone, backward=True)

    def redo(self):
        """Do the last correction again that was taken back; what to tell the user."""
        return self._retrace(self._undone, self._done, backward=False)

    def _retrace(self, source, destination, backward):
        from DeepSegmentLib.hosts.mrml.correction.edits import retrace

        if not source:
            return ""
        self.settle()
        step = source.pop()
        node = self._scene.GetNodeByID(step.segmentationID)
        edit = None if node is None else retrace(node, step.kept, backward=backward)
        if edit is None:
            self._tellListeners()
            return _("These voxels were changed by another tool since; use its own undo.")
        destination.append(step)
        trouble = self._journals.retraced(node, edit, step.kept, backward)
        self._changed(node, edit, None)
        text = _("The correction was taken back.") if backward else _("The correction was done again.")
        return f"{text} {trouble}".strip()

    # What follows a change

    def _changed(self, segmentation, edit, saveState):
        editor = segmentEditorOf(segmentation)
        saveState = saveState or (editor and editor.saveStateForUndo)
        if saveState:
            self._owed = (segmentation, edit, saveState)
            self._shownTimer.start()
        self._stale.add((segmentation.GetID(), edit.segment_id))
        self._quietTimer.start()
        self._tellListeners()

    def settle(self):
        """Do what the last change still owes to the Segment Editor's undo."""
        from DeepSegmentLib.hosts.mrml.correction.edits import save_state_before

        owed, self._owed = self._owed, None
        self._shownTimer.stop()
        if owed is not None and self._scene.IsNodePresent(owed[0]):
            with self._journals.unchanged(owed[0]):
                save_state_before(*owed)

    def _somethingChanged(self):
        self._quietTimer.start()

    def _othersEdited(self, segmentation, volume):
        """Prompts that other tools made untrue, by their own undo or a brush, no longer bind."""
        from DeepSegmentLib.hosts.mrml.correction.node_canvas import is_true

        self._done = [
            replace(step, prompt=None)
            if step.segmentationID == segmentation.GetID()
            and step.prompt is not None
            and not is_true(Target(volume, segmentation, step.kept.segment_id).canvas(overwrite=False), step.prompt)
            else step
            for step in self._done
        ]

    def _quiet(self):
        self.settle()
        self._renewSurfaces()
        self._journals.catchUp()

    def _renewSurfaces(self):
        from DeepSegmentLib.hosts.mrml.correction.edits import renew_surface

        stale, self._stale = self._stale, set()
        for nodeID, segmentID in stale:
            node = self._scene.GetNodeByID(nodeID)
            if node is not None:
                renew_surface(node, segmentID)

    def _tellListeners(self):
        for listener in list(self.listeners):
            listener()

    def forget(self):
        """Drop everything, as when the scene closes."""
        self._owed = None
        self._stale.clear()
        for timer in (self._shownTimer, self._quietTimer):
            timer.stop()
        self._journals.close()
        self._done.clear()
        self._undone.clear()
        self._tellListeners()


def _seenFrom(canvas, prompt):
    """The prompt in the space of the canvas: another one only under a warp."""
    from DeepSegmentLib.data import Point

    if isinstance(prompt, Point):
        return replace(prompt, point_ras=canvas.point(prompt.point_ras))
    return replace(prompt, points_ras=np.array([canvas.point(place) for place in prompt.points_ras]))


def _timer(milliseconds, function):
    timer = qt.QTimer()
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.connect("timeout()", function)
    return timer


def segmentEditorOf(segmentationNode):
    """The widget of the Segment Editor module when it edits this segmentation, or None."""
    widget = getattr(slicer.modules, "SegmentEditorWidget", None)  # there once the user has opened that module
    editor = getattr(widget, "editor", None)
    return editor if editor is not None and editor.segmentationNode() is segmentationNode else None


@cache
def correctorOf(scene):
    """The corrector of a scene, the same one for all who ask."""
    return Corrector(scene)
