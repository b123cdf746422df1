"""The section Correct: corrections by markups, for those who do not open the Segment Editor."""

import qt
import slicer
from slicer.i18n import tr as _

from DeepSegmentGui.correction.prompt_list import PromptList
from DeepSegmentGui.correction.prompts_by_markups import MarkupPlacer
from DeepSegmentGui.correction.review_marker import hidePlace, showPlace
from DeepSegmentGui.correction.scene_corrector import correctorOf
from DeepSegmentGui.correction.shared_settings import setRadius, settingsOf
from DeepSegmentGui.correction.target import Target

EFFECT = "DeepSegment Fix"

_FLAT_MM = 0.5
"""Corners that are nearer along an axis lie on one slice."""

_HOW = {
    "point": _("Click in a slice view; every click corrects at once."),
    "box": _(
        "Click two opposite corners. On one slice the box reaches as far to both sides as the radius; on two slices it "
        "spans them."
    ),
    "lasso": _("Click around the place; a double click closes the outline. It reaches as deep as the radius."),
}


class CorrectSection:
    """What the section does.

    Args:
        ui: The widgets of the panel by name.
        scene: The MRML scene.
        panel: Gives the settings.
    """

    def __init__(self, ui, scene, panel):
        self._ui, self._scene, self._panel = ui, scene, panel
        self._unfinished = None
        self._seen = {}
        self._goesOn = False
        self.corrector = correctorOf(scene)
        self.corrector.listeners.append(self.refresh)
        self._placer = MarkupPlacer(scene, self._placed, self.refresh)
        self._prompts = PromptList(
            ui.correctPromptList, ui.correctTakeBackButton, lambda: self.corrector, self.target, self._say
        )
        for text, tool in ((_("Points"), "point"), (_("Box"), "box"), (_("Lasso"), "lasso")):
            ui.correctToolComboBox.addItem(text, tool)
        self._connect()
        self._prompts.enter()
        self.refresh()

    def _connect(self):
        ui = self._ui
        ui.correctSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._targetChanged)
        ui.correctSelector.connect("currentSegmentChanged(QString)", self._targetChanged)
        ui.correctAddButton.connect("clicked()", lambda: self._place(ui.correctAddButton.checked, positive=True))
        ui.correctRemoveButton.connect("clicked()", lambda: self._place(ui.correctRemoveButton.checked, positive=False))
        ui.correctToolComboBox.connect("currentIndexChanged(int)", self._toolChanged)
        ui.correctUndoButton.connect("clicked()", self.undo)
        ui.correctRedoButton.connect("clicked()", self.redo)
        ui.correctNextButton.connect("clicked()", self.showNextPlace)
        ui.correctFinishedButton.connect("clicked()", self._setFinished)
        ui.correctEditorButton.connect("clicked()", self.openSegmentEditor)
        ui.resumeButton.connect("clicked()", self.resume)

    def choose(self, segmentation):
        """Correct this segmentation."""
        self._ui.correctSelector.setCurrentNode(segmentation)

    def stop(self):
        """The user leaves: clicks in the views are no longer ours."""
        self._placer.stop()
        self.corrector.settle()
        if not self._goesOn:
            hidePlace(self._scene)
        self.refresh()

    def close(self):
        """The panel goes, perhaps to be loaded anew: journals must be free for the next one."""
        self._placer.stop()
        hidePlace(self._scene)
        self._prompts.leave()
        self.corrector.listeners.remove(self.refresh)
        self.corrector.settle()
        self.corrector.forget()

    def forget(self):
        """The scene closes."""
        self._placer.stop()
        self._seen.clear()
        self._say("")

    # Corrections

    def target(self):
        """The chosen segment on the volume that it was made of, or else on the chosen one."""
        node = self._ui.correctSelector.currentNode()
        return Target(self._volumeOf(node), node, self._ui.correctSelector.currentSegmentID())

    def _volumeOf(self, segmentation):
        parameters = self._panel.parameters
        own = None
        if segmentation is not None:
            own = segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())
        return own or (parameters and parameters.volume)

    def _place(self, on, positive):
        if on:
            self.corrector.prepare(self.target())
            self._placer.start(self._tool(), _("belongs") if positive else _("does not belong"), positive)
            self._say(_HOW[self._tool()])
        else:
            self._placer.stop()
        self.refresh()

    def _tool(self):
        return self._ui.correctToolComboBox.itemData(self._ui.correctToolComboBox.currentIndex)

    def _toolChanged(self, _index):
        if self._placer.active:
            self._place(True, self._placer.positive)

    def _placed(self, tool, points, positive):
        target = self.target()
        if target.segment is None:
            self._say(_("Choose the segment to correct."))
            return
        settings = settingsOf(self._panel.parameters)
        self._try(
            lambda: self.corrector.apply(target, _promptOf(tool, points, target.name, positive, settings), settings)
        )

    def undo(self):
        """Take the last correction back."""
        self._try(self.corrector.undo)

    def redo(self):
        """Do the last correction again."""
        self._try(self.corrector.redo)

    def _try(self, action):
        from DeepSegmentLib.errors import DeepSegmentError

        try:
            self._say(action())
        except DeepSegmentError as error:
            self._say(str(error))

    def _say(self, text):
        self._ui.correctStatusLabel.text = text

    # Where to look

    def showNextPlace(self):
        """Go to the most suspicious place that was not shown, or that was changed since."""
        target = self.target()
        if target.segment is not None:
            self._try(lambda: self._showPlace(target))

    def _showPlace(self, target):
        from DeepSegmentLib.hosts.mrml.correction.node_canvas import suspicious_in

        canvas, name = target.canvas(overwrite=False), target.name
        seen = self._seen.setdefault((target.segmentation.GetID(), target.segmentID), [])
        places = suspicious_in(canvas, seen)
        if not places:
            hidePlace(self._scene)
            return _("Nothing else looks suspicious in {name}.").format(name=name)
        place = places[0]
        seen.append(place)
        sign = _("missing") if place.positive else _("too much")
        showPlace(self._scene, canvas.in_scene(place.center_ras), f"{name}: {sign}?")
        setRadius(self._panel.parameters, place.radius_mm)
        return _("{name}: something may be {sign} here ({reason}). {left}").format(
            name=name, sign=sign, reason=place.reason, left=_leftText(len(places) - 1)
        )

    # Segments

    def _setFinished(self):
        from DeepSegmentLib.hosts.mrml.segmentations.segments import set_finished

        segment = self.target().segment
        if segment is not None:
            set_finished(segment, self._ui.correctFinishedButton.checked)
        self.refresh()

    def openSegmentEditor(self):
        """Go on with this segment in the Segment Editor."""
        target = self.target()
        if target.segment is None:
            return
        self._goesOn = True  # a marked place is what the user goes there for
        self.stop()
        slicer.util.selectModule("SegmentEditor")
        self._goesOn = False
        editor = slicer.modules.SegmentEditorWidget.editor
        editor.setSegmentationNode(target.segmentation)
        if target.volume is not None:
            editor.setSourceVolumeNode(target.volume)
        editor.setCurrentSegmentID(target.segmentID)
        editor.setActiveEffectByName(EFFECT)

    # Earlier corrections

    def volumeChanged(self, *_node):
        """Another volume may have had corrections."""
        qt.QTimer.singleShot(0, self.offerUnfinished)

    def offerUnfinished(self):
        """Show whether there are earlier corrections of these nodes that are not in the scene."""
        if self._panel.parameters is None:
            return
        self._unfinished = journal = self.corrector.unfinished(self.target())
        self._ui.resumeFrame.setVisible(journal is not None)
        if journal is not None:
            self._ui.correctSection.collapsed = False
            text = _("Corrections of {time} that are not in the scene: {count}.")
            text = text if journal.corrections else _("Changes of {time} that are not in the scene.")
            time = journal.time.astimezone().strftime("%Y-%m-%d %H:%M")
            self._ui.resumeLabel.text = text.format(time=time, count=journal.corrections)

    def resume(self):
        """Bring the segmentation, or a new one, to where the earlier corrections ended."""
        journal, target = self._unfinished, self.target()
        if journal is not None:
            self._try(lambda: self._resume(journal, target))
            self.offerUnfinished()

    def _resume(self, journal, target):
        from DeepSegmentLib.hosts.mrml.segmentations.nodes import new_segmentation

        name = _("{volume} segmentation").format(volume=target.volume.GetName())
        node = target.segmentation or new_segmentation(self._scene, target.volume, name)
        self.corrector.resume(journal, node, target.volume)
        self.choose(node)
        return _("The earlier corrections are back; go on where they ended.")

    # What the widgets show

    def _targetChanged(self, *_value):
        self._say("")
        hidePlace(self._scene)
        self._prompts.refresh()
        self.refresh()
        self.volumeChanged()

    def refresh(self, *_arguments):
        """Bring the widgets in line with what can be done."""
        ui, target = self._ui, self.target()
        there = target.segment is not None
        for button in (
            ui.correctAddButton, ui.correctRemoveButton, ui.correctFinishedButton, ui.correctEditorButton,
            ui.correctNextButton,
        ):  # fmt: skip
            button.enabled = there
        if self._placer.active and not there:
            self._placer.stop()
        ui.correctAddButton.checked = self._placer.active and self._placer.positive
        ui.correctRemoveButton.checked = self._placer.active and not self._placer.positive
        ui.correctFinishedButton.checked = there and self._isFinished(target.segment)
        ui.correctUndoButton.enabled = self.corrector.canUndo
        ui.correctRedoButton.enabled = self.corrector.canRedo

    def _isFinished(self, segment):
        from DeepSegmentLib.hosts.mrml.segmentations.segments import is_protected

        return is_protected(segment)


def _promptOf(tool, points, name, positive, settings):
    """What was placed, as a prompt: points (n, 3) in RAS mm."""
    from DeepSegmentLib.data import BoxPrompt, Lasso, Point

    if tool == "point":
        return Point(name, positive, points[0])
    if tool == "lasso":
        return Lasso(name, positive, points, settings.radius_mm)
    low, high = points.min(axis=0), points.max(axis=0)
    flat = high - low < _FLAT_MM
    return BoxPrompt(name, positive, [low - flat * settings.radius_mm, high + flat * settings.radius_mm])


def _leftText(count):
    """How many places there are still."""
    if count < 2:
        return _("One more place.") if count else _("No more places.")
    return _("{count} more places.").format(count=count)
