"""Corrections of segments in the scene: the one way that the effect and the panel share."""

from dataclasses import replace

import slicer
from slicer.i18n import tr as _

from DeepSegmentGui.correction.deferred_work import DeferredWork
from DeepSegmentGui.correction.journals import Journals
from DeepSegmentGui.correction.review_marker import hidePlace
from DeepSegmentGui.correction.target import Target, segmentEditorOf

_correctors = {}


class Corrector:
    """Makes corrections, remembers them, takes them back.

    Args:
        scene: The MRML scene.

    Attributes:
        listeners: Called without arguments after each change of what can be undone.
    """

    def __init__(self, scene):
        self._scene = scene
        self._steps, self._done, self._undone = [], [], []
        self._journals = Journals(scene, self._somethingChanged, self._othersEdited)
        self._after = DeferredWork(scene, self._journals)
        self.listeners = []
        self._observer = scene.AddObserver(scene.StartCloseEvent, lambda *_event: self.forget())
        self._quit = self.forget
        slicer.app.connect("aboutToQuit()", self._quit)

    def preview(self, target, prompt, settings):
        """What a prompt would change, as a `Correction`, and the canvas.

        Raises:
            DeepSegmentError: It cannot be done.
        """
        from DeepSegmentLib.correction.correct import preview

        canvas = target.canvas(settings.overwrite)
        return preview(canvas, canvas.prompt(prompt), settings, self._earlier(target)), canvas

    def suggestRadius(self, target, prompt):
        """An edit radius in mm that suits a place.

        Raises:
            DeepSegmentError: There is none.
        """
        from DeepSegmentLib.correction.correct import suggest_radius

        canvas = target.canvas(overwrite=False)
        return suggest_radius(canvas, canvas.prompt(prompt))

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
        from DeepSegmentLib.hosts.mrml.correction.prompt_history import Exchange, Step

        self.settle()
        self.prepare(target)
        canvas = target.canvas(settings.overwrite)
        seen = canvas.prompt(prompt)
        correction = correct(canvas, seen, settings, self._earlier(target))
        if not correction.changed.any():
            return why_nothing_changes(canvas, seen)
        make_room(canvas, correction)
        self.prepare(target)  # a segment that was empty has an image now
        edit = write_correction(canvas, correction)
        step = Step(target.segmentation.GetID(), keep(edit), seen, settings)
        self._remember(Exchange(come=(step,)))
        trouble = self._journals.correction(target.segmentation, edit, step)
        self._after.edited(target.segmentation, edit, saveState)
        self._acted()
        text = _("{count} voxels changed in {name}.").format(count=int(edit.update.changed.sum()), name=target.name)
        return f"{text} {trouble}".strip()

    def prepare(self, target):
        """Have a journal for a target; later, its first correction finds one."""
        if target.volume is not None and target.segment is not None:
            self._adopt(target, *self._journals.open(target.segmentation, target.volume))
            self._tellListeners()

    def unfinished(self, target):
        """The `UnfinishedJournal` that can be resumed on a target's nodes, or None."""
        return self._journals.unfinished(target.segmentation, target.volume)

    def resume(self, journal, segmentation, volume):
        """Bring a segmentation to where an unfinished journal ended.

        Raises:
            DeepSegmentError: It cannot be resumed.
        """
        self.settle()
        self._saveState(segmentation)
        node = segmentation.GetID()
        self._steps = [step for step in self._steps if step.segmentation_id != node]
        for stack in (self._done, self._undone):
            stack[:] = [exchange for exchange in stack if exchange.segmentation_id != node]
        self._adopt(Target(volume, segmentation, ""), *self._journals.resume(journal, segmentation, volume))
        self._tellListeners()

    def _adopt(self, target, done, undone):
        """Take over corrections of earlier: they can be undone and done again."""
        from DeepSegmentLib.hosts.mrml.correction.prompt_history import Exchange

        done = [self._ifTrue(step, target.segmentation, target.volume) for step in done]
        self._steps += done
        self._done += [Exchange(come=(step,)) for step in done]
        self._undone += [Exchange(come=(step,)) for step in undone]

    def _remember(self, exchange):
        self._steps = [step for step in self._steps if step not in exchange.gone] + list(exchange.come)
        self._done.append(exchange)
        self._undone.clear()

    # Prompts

    def steps(self, segmentation):
        """The corrections of a segmentation's segments that hold, as `Step`s, the oldest first."""
        if segmentation is None:
            return []
        node, segment = segmentation.GetID(), segmentation.GetSegmentation().GetSegment
        return [step for step in self._steps if step.segmentation_id == node and segment(step.kept.segment_id)]

    def _earlier(self, target):
        """Prompts given before for this segment."""
        steps = [step for step in self.steps(target.segmentation) if step.kept.segment_id == target.segmentID]
        return [step.prompt for step in steps if step.prompt is not None]

    def takeBack(self, target, step):
        """Take back one prompt of a segmentation, whichever it is; those after it are given again.

        Args:
            target: Has the segmentation, its volume, and the editor whose masks hold.
            step: One of `steps`.

        Returns:
            What to tell the user.

        Raises:
            DeepSegmentError: It cannot be done; nothing was changed.
        """
        from DeepSegmentLib.hosts.mrml.correction.prompt_history import take_back

        node = target.segmentation
        self.settle()
        self.prepare(replace(target, segmentID=step.kept.segment_id))

        def canvasOf(old):
            return replace(target, segmentID=old.kept.segment_id).canvas(old.settings.overwrite)

        if not any(last.kept is step.kept for last in self.steps(node)[-1:]):
            self._saveState(node)
        exchange, traces = take_back(node, self.steps(node), step, canvasOf)
        self._remember(exchange)
        again = sum(trace.new for trace in traces)
        text = _("The prompt was taken back.")
        if again:
            text += " " + _("Answered anew: {count}.").format(count=again)
        return f"{text} {self._performed(node, traces)}".strip()

    def _saveState(self, node):
        """Let the Segment Editor that edits a node undo what is done next."""
        if editor := segmentEditorOf(node):
            with self._journals.unchanged(node):
                editor.saveStateForUndo()

    def _performed(self, node, traces):
        """Journal what was done, and let it be seen; what to tell the user where it cannot be journaled."""
        trouble = self._journals.traced(node, traces)
        if len(traces) == 1:
            self._after.edited(node, traces[0].edit)
        for segmentID in {trace.edit.segment_id for trace in traces}:
            self._after.stale(node, segmentID)
        self._acted()
        return trouble

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
        return self._retrace(self._done, self._undone, _("The correction was taken back."))

    def redo(self):
        """Do the last correction again that was taken back; what to tell the user."""
        return self._retrace(self._undone, self._done, _("The correction was done again."))

    def _retrace(self, source, destination, text):
        from DeepSegmentLib.hosts.mrml.correction.prompt_history import perform

        self.settle()
        if not source:
            return ""
        self._journals.catchUp()  # what others did comes before this
        exchange = source.pop()
        move = exchange.inverse() if source is self._done else exchange
        node = self._scene.GetNodeByID(exchange.segmentation_id)
        if node is not None and len(move.gone) + len(move.come) > 1:
            self._saveState(node)
        traces = None if node is None else perform(node, move)
        if traces is None:
            self._tellListeners()
            return _("These voxels were changed by another tool since; use its own undo.")
        destination.append(exchange)
        gone = {id(step.kept) for step in move.gone}
        self._steps = [step for step in self._steps if id(step.kept) not in gone] + list(move.come)
        return f"{text} {self._performed(node, traces)}".strip()

    # What others do

    def _somethingChanged(self):
        self._after.wait()

    def _othersEdited(self, segmentation, volume):
        """Prompts that other tools made untrue, by their own undo or a brush, no longer bind."""
        node = segmentation.GetID()
        self._steps = [
            self._ifTrue(step, segmentation, volume) if step.segmentation_id == node else step for step in self._steps
        ]
        self._tellListeners()

    def _ifTrue(self, step, segmentation, volume):
        """The step, without its prompt where that is not true."""
        from DeepSegmentLib.hosts.mrml.correction.node_canvas import is_true

        target = Target(volume, segmentation, step.kept.segment_id)
        if step.prompt is None or target.segment is None or is_true(target.canvas(overwrite=False), step.prompt):
            return step
        return replace(step, prompt=None)

    # Life

    def settle(self):
        """Do what the last change still owes to the Segment Editor's undo."""
        self._after.settle()

    def _acted(self):
        hidePlace(self._scene)
        self._tellListeners()

    def _tellListeners(self):
        for listener in list(self.listeners):
            listener()

    def forget(self):
        """Drop everything, as when the scene closes; the journals have it."""
        self._after.forget()
        self._journals.catchUp()
        self._journals.close()
        for steps in (self._steps, self._done, self._undone):
            steps.clear()
        self._tellListeners()

    def close(self):
        """Settle and let go of everything, the scene included; what was journaled, as pairs of nodes."""
        self.settle()
        journaled = self._journals.nodes()
        self.forget()
        self._scene.RemoveObserver(self._observer)
        slicer.app.disconnect("aboutToQuit()", self._quit)
        return journaled


def correctorOf(scene):
    """The corrector of a scene, the same one for all who ask."""
    if scene not in _correctors:
        _correctors[scene] = Corrector(scene)
    return _correctors[scene]


def closeCorrector(scene):
    """Let nothing be left of a scene's corrector; what it had journaled, as (segmentation, volume) nodes."""
    corrector = _correctors.pop(scene, None)
    return [] if corrector is None else corrector.close()
