"""The section Correct: corrections by points, for those who do not open the Segment Editor."""

import qt
import slicer
from slicer.i18n import tr as _

from DeepSegmentGui.correction.corrector import Target, correctorOf
from DeepSegmentGui.correction.effect_options import LARGEST_MM, SMALLEST_MM
from DeepSegmentGui.correction.point_placing import PointPlacer
from DeepSegmentGui.sections.results import jumpTo

EFFECT = "DeepSegment Fix"


class CorrectSection:
    """What the section does.

    Args:
        ui: The widgets of the panel by name.
        scene: The MRML scene.
        panel: Gives the settings.
    """

    def __init__(self, ui, scene, panel):
        self._ui, self._scene, self._panel = ui, scene, panel
        self._session = None
        self._seen = {}
        self.corrector = correctorOf(scene)
        self.corrector.listeners.append(self.refresh)
        self._placer = PointPlacer(scene, self._pointPlaced, self.refresh)
        self._connect()
        self.refresh()

    def _connect(self):
        ui = self._ui
        ui.correctSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._targetChanged)
        ui.correctSelector.connect("currentSegmentChanged(QString)", self._targetChanged)
        ui.correctAddButton.connect("clicked()", lambda: self._place(ui.correctAddButton.checked, positive=True))
        ui.correctRemoveButton.connect("clicked()", lambda: self._place(ui.correctRemoveButton.checked, positive=False))
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
        self.refresh()

    def close(self):
        """The panel goes, perhaps to be loaded anew: journals must be free for the next one."""
        self._placer.stop()
        self.corrector.settle()
        self.corrector.listeners.remove(self.refresh)
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
            self._placer.start(_("belongs") if positive else _("does not belong"), positive)
        else:
            self._placer.stop()
        self.refresh()

    def _pointPlaced(self, ras, positive):
        from DeepSegmentLib.data import Point

        target = self.target()
        if target.segment is None:
            self._say(_("Choose the segment to correct."))
            return
        self._try(
            lambda: self.corrector.apply(target, Point(target.segment.GetName(), positive, ras), self._settings())
        )

    def _settings(self):
        from DeepSegmentLib.correction.settings import CorrectionSettings

        parameters = self._panel.parameters
        return CorrectionSettings(
            radius_mm=parameters.correctRadius,
            aggressiveness=parameters.correctAggressiveness,
            overwrite=parameters.correctOverwrite,
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

        canvas = target.canvas(overwrite=False)
        seen = self._seen.setdefault((target.segmentation.GetID(), target.segmentID), [])
        places = suspicious_in(canvas, seen)
        if not places:
            return _("Nothing else looks suspicious in {name}.").format(name=target.segment.GetName())
        seen.append(places[0])
        jumpTo(self._scene, canvas.in_scene(places[0].center_ras))
        self._panel.parameters.correctRadius = min(max(places[0].radius_mm, SMALLEST_MM), LARGEST_MM)
        sign = _("something may be missing") if places[0].positive else _("something may be too much")
        return _("{reason}: {sign} here; {count} more places.").format(
            reason=places[0].reason.capitalize(), sign=sign, count=len(places) - 1
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
        self.stop()
        slicer.util.selectModule("SegmentEditor")
        editor = slicer.modules.SegmentEditorWidget.editor
        editor.setSegmentationNode(target.segmentation)
        if target.volume is not None:
            editor.setSourceVolumeNode(target.volume)
        editor.setCurrentSegmentID(target.segmentID)
        editor.setActiveEffectByName(EFFECT)

    # Earlier sessions

    def volumeChanged(self, *_node):
        """Another volume may have had a session."""
        qt.QTimer.singleShot(0, self.offerUnfinished)

    def offerUnfinished(self):
        """Show whether an earlier session of these nodes can be resumed."""
        if self._panel.parameters is None:
            return
        self._session = session = self.corrector.unfinished(self.target())
        self._ui.resumeFrame.setVisible(session is not None)
        if session is not None:
            self._ui.correctSection.collapsed = False
            self._ui.resumeLabel.text = _("Corrections of {time} that are not in the scene: {count}.").format(
                time=session.time.astimezone().strftime("%Y-%m-%d %H:%M"), count=session.corrections
            )

    def resume(self):
        """Bring the segmentation, or a new one, to where the earlier session ended."""
        session, target = self._session, self.target()
        if session is not None:
            self._try(lambda: self._resume(session, target))
            self.offerUnfinished()

    def _resume(self, session, target):
        from DeepSegmentLib.hosts.mrml.segmentations.nodes import new_segmentation

        name = _("{volume} segmentation").format(volume=target.volume.GetName())
        node = target.segmentation or new_segmentation(self._scene, target.volume, name)
        self.corrector.resume(session, node, target.volume)
        self.choose(node)
        return _("The session goes on where it ended.")

    # What the widgets show

    def _targetChanged(self, *_value):
        self._say("")
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
