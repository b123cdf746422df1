"""The pointer of the effect DeepSegment: Fix: hover, click and stroke in slice views of any orientation."""

import numpy as np
import qt
import slicer
import vtk
from slicer.i18n import tr as _

from DeepSegmentGui.correction.corrector import Target, correctorOf
from DeepSegmentGui.correction.effect_drawing import SliceOverlay

_RESTED_MS = 60
"""The pointer rests when it has not moved for so long; then the preview is made."""

_STEP = 1.1
_KEYS = {"plus": _STEP, "equal": _STEP, "KP_Add": _STEP, "minus": 1 / _STEP, "KP_Subtract": 1 / _STEP}


class EffectPointer:
    """What the user does in the views.

    Args:
        effect: The qSlicerSegmentEditorScriptedEffect.
        options: Its `EffectOptions`.
    """

    def __init__(self, effect, options):
        self._effect, self._options = effect, options
        self._overlays = {}
        self._view = None
        self._place = (0, 0)
        self._isNegative = self._isHindered = False
        self._stroke = []
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_RESTED_MS)
        self._timer.connect("timeout()", self._rested)
        command = vtk.vtkCommand
        self._handlers = {
            command.MouseMoveEvent: self._moved,
            command.LeaveEvent: self._leaving,
            command.LeftButtonPressEvent: self._pressed,
            command.LeftButtonDoubleClickEvent: self._pressed,
            command.LeftButtonReleaseEvent: self._released,
            command.MouseWheelForwardEvent: lambda interactor, _view: self._turned(interactor, _STEP),
            command.MouseWheelBackwardEvent: lambda interactor, _view: self._turned(interactor, 1 / _STEP),
            command.KeyPressEvent: self._keyPressed,
        }

    def activate(self):
        """The effect was chosen."""
        self._options.say("")
        qt.QTimer.singleShot(0, self._prepare)

    def _prepare(self):
        if not self._effect.active():
            return
        if self._corrector().unfinished(self._target()) is None:
            self._corrector().prepare(self._target())
        else:
            self._options.say(_("An earlier session can be resumed: module DeepSegment, section Correct."))

    def deactivate(self):
        """Take everything out of the views."""
        self._timer.stop()
        if self._overlays:
            self._corrector().settle()
        for view, overlay in self._overlays.items():
            for actor in overlay.actors:
                self._effect.removeActor2D(view, actor)
            self._effect.scheduleRender(view)
        self._overlays.clear()
        self._view, self._stroke = None, []

    # Events

    def process(self, interactor, event, view):
        """An event of a view; True where nobody else shall see it."""
        handle = self._handlers.get(event)
        return handle(interactor, view) if handle and view.className() == "qMRMLSliceWidget" else False

    def _moved(self, interactor, view):
        if view is not self._view and view != self._view:
            self._left()
        self._view, self._place = view, interactor.GetEventPosition()
        if self._stroke:
            self._stroke.append(self._place)
        else:
            self._isNegative = bool(interactor.GetControlKey()) != self._options.isNegative
        self._draw()
        self._timer.start()
        return bool(self._stroke)

    def _leaving(self, _interactor, _view):
        self._left()
        return False

    def _left(self):
        self._timer.stop()
        if self._view is not None:
            self._overlay(self._view).hide()
            self._effect.scheduleRender(self._view)
        self._view, self._stroke = None, []

    def _pressed(self, interactor, view):
        if interactor.GetShiftKey() or interactor.GetAltKey():
            return False
        if self._effect.confirmCurrentSegmentVisible() == self._effect.NotConfirmed:
            return True
        self._view, self._place = view, interactor.GetEventPosition()
        self._isNegative = bool(interactor.GetControlKey()) != self._options.isNegative
        self._stroke = [self._place]
        return True

    def _released(self, _interactor, _view):
        if not self._stroke:
            return False
        self._timer.stop()
        prompt, self._stroke = self._prompt(), []
        self._overlay(self._view).hideChange()
        self._try(self._apply, prompt)
        self._draw()
        return True

    def _apply(self, prompt):
        text = self._corrector().apply(self._target(), prompt, self._options.settings, self._effect.saveStateForUndo)
        self._options.say(text)

    def _turned(self, interactor, factor):
        return self._scaled(factor) if interactor.GetShiftKey() else False

    def _scaled(self, factor):
        self._options.scaleRadius(factor)
        self.settingsChanged()
        return True

    def _keyPressed(self, interactor, _view):
        symbol = interactor.GetKeySym()
        if symbol in _KEYS:
            return self._scaled(_KEYS[symbol])
        if symbol == "Escape" and self._stroke:
            self._stroke = []
            self._draw()
            return True
        return False

    def viewChanged(self, view):
        """A view shows another slice, or at another scale."""
        if self._view is not None and view == self._view:
            self.settingsChanged()

    def settingsChanged(self):
        """What is on show no longer holds; made anew after a short rest."""
        if self._view is not None:
            self._overlay(self._view).hideChange()
            self._draw()
            self._timer.start()

    # What is meant

    def _corrector(self):
        return correctorOf(slicer.mrmlScene)

    def _target(self):
        node = self._effect.parameterSetNode()
        return Target(node.GetSourceVolumeNode(), node.GetSegmentationNode(), node.GetSelectedSegmentID() or "", node)

    def _prompt(self):
        """What the user points at: a point, or a scribble where the pointer was dragged."""
        from DeepSegmentLib.data import Point, Scribble

        toRas = placesOf(self._view)
        segment = self._target().segment
        name = "" if segment is None else segment.GetName()
        places = list(dict.fromkeys(self._stroke)) or [self._place]
        points = np.array([toRas(np.array(place, dtype=float)) for place in places])
        if len(places) == 1:
            return Point(name, not self._isNegative, points[0])
        return Scribble(name, not self._isNegative, points)

    # What is shown

    def _rested(self):
        if self._view is not None:
            self._try(self._preview, self._prompt())

    def _preview(self, prompt):
        if self._options.suggestsRadius and not self._stroke:
            self._options.setRadius(self._corrector().suggestRadius(self._target(), prompt))
        correction, canvas = self._corrector().preview(self._target(), prompt, self._options.settings)
        self._showChange(correction, canvas, positive=prompt.positive)
        self._draw()
        if self._isHindered:
            self._options.say("")
            self._isHindered = False

    def _showChange(self, correction, canvas, positive):
        from DeepSegmentLib.hosts.mrml.slice_cuts import areas, outline, section

        toRas, center = placesOf(self._view), np.array(self._place, dtype=float)
        toGrid = linearized(lambda place: canvas.point(toRas(place)), center)
        picture, corner, step = section(correction.changed, correction.box, canvas.geometry, toGrid)
        # Corners of pixels are half a pixel before their centers.
        lines, fields = (np.asarray(corner) + (shapes(picture) - 0.5) * step for shapes in (outline, areas))
        self._overlay(self._view).showChange(lines, fields, positive)

    def _try(self, action, prompt):
        """Do something with a prompt; what hinders it is told."""
        from DeepSegmentLib.errors import DeepSegmentError

        try:
            action(prompt)
        except DeepSegmentError as error:
            self._overlay(self._view).hideChange()
            self._options.say(str(error))
            self._isHindered = True

    def _draw(self):
        """Draw circle and stroke."""
        from DeepSegmentLib.hosts.mrml.slice_cuts import circle

        overlay, center = self._overlay(self._view), np.array(self._place, dtype=float)
        overlay.showCircle(circle(center, self._options.settings.radius_mm, placesOf(self._view)))
        overlay.showStroke(self._stroke or [self._place], positive=not self._isNegative)
        self._effect.scheduleRender(self._view)

    def _overlay(self, view):
        if view not in self._overlays:
            self._overlays[view] = SliceOverlay()
            for actor in self._overlays[view].actors:
                self._effect.addActor2D(view, actor)
        return self._overlays[view]


def placesOf(view):
    """The function from places (x, y) in a slice view, in pixels, to RAS mm."""
    from DeepSegmentLib.hosts.mrml.geometry import to_array

    matrix = to_array(view.mrmlSliceNode().GetXYToRAS())
    return lambda place: matrix[:3, :2] @ place + matrix[:3, 3]


def linearized(function, center):
    """The affine function that agrees with a function of places (x, y) around one of them."""
    middle = function(center)
    axes = np.stack([function(center + step) - middle for step in np.eye(2)], axis=1)
    return lambda place: middle + axes @ (place - center)
