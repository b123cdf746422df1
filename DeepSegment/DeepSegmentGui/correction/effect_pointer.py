"""The pointer of the effect DeepSegment: Fix: hover, click, stroke, box and lasso in slice views of any orientation."""

import numpy as np
import qt
import slicer
import vtk
from slicer.i18n import tr as _

from DeepSegmentGui.correction.effect_drawing import FillDimming, SliceOverlay
from DeepSegmentGui.correction.effect_gestures import linearized, placesOf, promptOf, rectangle
from DeepSegmentGui.correction.review_marker import hidePlace
from DeepSegmentGui.correction.scene_corrector import correctorOf
from DeepSegmentGui.correction.target import Target

_RESTED_MS = 60
"""The pointer rests when it has not moved for so long; then the preview is made."""

_STEP = 1.1
_LARGER, _SMALLER = {"plus", "equal", "KP_Add"}, {"minus", "KP_Subtract"}
_SIGN_APART, _SIGN_OFF = 22, 14
"""Pixels between the signs in a preview, and from the pointer or the circle to its own sign."""


class EffectPointer:
    """What the user does in the views.

    Args:
        effect: The qSlicerSegmentEditorScriptedEffect.
        options: Its `EffectOptions`.
    """

    def __init__(self, effect, options):
        self._effect, self._options = effect, options
        self._overlays, self._dimming = {}, FillDimming(slicer.mrmlScene)
        self._view = None
        self._observed = self._meant = None
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
            command.LeaveEvent: self._left,
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
        self._options.enter()
        self._follow(self._effect.parameterSetNode())
        qt.QTimer.singleShot(0, self._prepare)

    def _follow(self, node):
        """Learn when another segment is chosen, as by a key while the pointer rests; None: no more."""
        if self._observed is not None:
            self._observed[0].RemoveObserver(self._observed[1])
        self._observed = node and (node, node.AddObserver(vtk.vtkCommand.ModifiedEvent, self._chosen))
        self._meant = node and self.target()

    def _chosen(self, *_event):
        if self._meant != self.target():
            self._meant = self.target()
            self._options.prompts.refresh()
            self.settingsChanged()

    def _prepare(self):
        if not self._effect.active():
            return
        if self._corrector().unfinished(self.target()) is None:
            self._corrector().prepare(self.target())
        else:
            self._options.say(_("Earlier corrections can be brought back: module DeepSegment, section Correct."))

    def deactivate(self):
        """Take everything out of the views."""
        self._timer.stop()
        self._follow(None)
        self._dimming.restore()
        self._options.leave()
        hidePlace(slicer.mrmlScene)
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
        if handle is None or view.className() != "qMRMLSliceWidget":
            return False
        return self._safely(lambda: handle(interactor, view))

    def _safely(self, action):
        """Do something; if that fails, nothing of a preview stays behind."""
        try:
            return action()
        except BaseException:
            self._hideChange()
            raise

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

    def _left(self, *_event):
        self._timer.stop()
        self._hideChange()
        if self._view is not None:
            self._overlay(self._view).hide()
            self._effect.scheduleRender(self._view)
        self._view, self._stroke = None, []
        return False

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
        self._hideChange()
        if prompt is not None:
            self._try(self._apply, prompt)
        self._draw()
        return True

    def _hideChange(self):
        """Show no preview, and everything else as it is."""
        self._dimming.restore()
        if self._view is not None:
            self._overlay(self._view).hideChange()

    def _apply(self, prompt):
        text = self._corrector().apply(self.target(), prompt, self._options.settings, self._effect.saveStateForUndo)
        self._options.say(text)

    def _turned(self, interactor, factor):
        return self._scaled(factor) if interactor.GetShiftKey() else False

    def _scaled(self, factor):
        self._options.scaleRadius(factor)
        self.settingsChanged()
        return True

    def _keyPressed(self, interactor, _view):
        """Keys that neither the Segment Editor (digits, Q, W, Y, Z, I ...) nor slice views (F, B, R, V ...) have."""
        symbol, shift = interactor.GetKeySym() or "", bool(interactor.GetShiftKey())
        if symbol in _LARGER or (shift and symbol == "Up"):
            return self._scaled(_STEP)
        if symbol in _SMALLER or (shift and symbol == "Down"):
            return self._scaled(1 / _STEP)
        if symbol.lower() in ("a", "s") and not interactor.GetControlKey():
            self._options.setNegative(symbol.lower() == "s")
            self._isNegative = self._options.isNegative
            self.settingsChanged()
            return True
        if symbol.lower() == "d" and not interactor.GetControlKey() and not self._stroke:
            self._options.nextTool()
            self.settingsChanged()
            return True
        return symbol == "Escape" and self._escaped()

    def _escaped(self):
        """Give up what is being drawn."""
        if not self._stroke:
            return False
        self._stroke = []
        self._hideChange()
        self._draw()
        return True

    def viewChanged(self, view):
        """A view shows another slice, or at another scale."""
        if self._view is not None and view == self._view:
            self.settingsChanged()

    def settingsChanged(self):
        """What is on show no longer holds; made anew after a short rest."""
        if self._view is not None:
            self._hideChange()
            self._draw()
            self._timer.start()

    # What is meant

    def _corrector(self):
        return correctorOf(slicer.mrmlScene)

    def target(self):
        """What is corrected."""
        node = self._effect.parameterSetNode()
        return Target(node.GetSourceVolumeNode(), node.GetSegmentationNode(), node.GetSelectedSegmentID() or "", node)

    def _prompt(self):
        """What the user points at; None while a box or lasso is not drawn yet."""
        tool, radiusMm = self._options.currentTool, self._options.settings.radius_mm
        if tool != "point" and not self._stroke:
            return None
        places = self._stroke or [self._place]
        return promptOf(tool, places, self._view, radiusMm, (self.target().name, not self._isNegative))

    # What is shown

    def _rested(self):
        prompt = None if self._view is None else self._prompt()
        if prompt is not None:
            self._safely(lambda: self._try(self._preview, prompt))

    def _preview(self, prompt):
        if self._options.suggestsRadius and not self._stroke:
            self._options.setRadius(self._corrector().suggestRadius(self.target(), prompt))
        correction, canvas = self._corrector().preview(self.target(), prompt, self._options.settings)
        self._showChange(correction, canvas, positive=prompt.positive)
        self._draw()
        if self._isHindered:
            self._options.say("")
            self._isHindered = False

    def _showChange(self, correction, canvas, positive):
        from DeepSegmentLib.hosts.mrml.slice_cuts import areas, outline, section, spots

        toRas, center = placesOf(self._view), np.array(self._place, dtype=float)
        toGrid = linearized(lambda place: canvas.point(toRas(place)), center)
        picture, corner, step = section(correction.changed, correction.box, canvas.geometry, toGrid)
        if picture.any():
            self._dimming.dim(canvas.segmentation)
        else:
            self._dimming.restore()
        # Corners of pixels are half a pixel before their centers.
        lines, fields = (np.asarray(corner) + (shapes(picture) - 0.5) * step for shapes in (outline, areas))
        signs = np.asarray(corner) + spots(picture, max(2, round(_SIGN_APART / step))) * step
        self._overlay(self._view).showChange(lines, fields, signs, positive)

    def _try(self, action, prompt):
        """Do something with a prompt; what hinders it is told."""
        from DeepSegmentLib.errors import DeepSegmentError

        try:
            action(prompt)
        except DeepSegmentError as error:
            self._hideChange()
            self._options.say(str(error))
            self._isHindered = True

    def _draw(self):
        """Draw the circle or what is being drawn, and the sign."""
        from DeepSegmentLib.hosts.mrml.slice_cuts import circle

        overlay, center = self._overlay(self._view), np.array(self._place, dtype=float)
        positive, tool, off = not self._isNegative, self._options.currentTool, np.array([_SIGN_OFF, _SIGN_OFF])
        if tool == "point":
            rim = circle(center, self._options.settings.radius_mm, placesOf(self._view))
            overlay.showCircle(rim)
            overlay.showStroke(self._stroke or [self._place], positive)
            off = off / 2 + (rim.max(axis=0) - center) / np.sqrt(2)
        else:
            overlay.showCircle(np.zeros((0, 2)))
            corners = rectangle(self._stroke) if tool == "box" and self._stroke else self._stroke
            overlay.showStroke(corners, positive, closed=True)
        overlay.showSign(center + off, positive)
        self._effect.scheduleRender(self._view)

    def _overlay(self, view):
        if view not in self._overlays:
            self._overlays[view] = SliceOverlay()
            for actor in self._overlays[view].actors:
                self._effect.addActor2D(view, actor)
        return self._overlays[view]
