"""What the effect draws over a slice view: the circle, what is being drawn, the change to expect.

Every line has a dark and a light edge, so that it is seen on any color. What is added has an unbroken line and plus
signs, what is removed a broken one and minus signs.
"""

import numpy as np
import vtk
from vtk.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray

ADDED, REMOVED, NEUTRAL, DARK = (0.55, 1.0, 0.6), (1.0, 0.6, 0.5), (1.0, 1.0, 0.8), (0.0, 0.0, 0.0)
_DASH = 5
"""Pixels of a broken line that are drawn, and that are not."""

_ARM = 4
"""Half of the width of plus and minus signs, in pixels."""

_LEFT = 0.25
"""Part of the fill's opacity that is left under a preview."""

_dimmed = {}
"""By display node: opacity before, under the preview, and who dims it. Effects of several editors see one pointer."""

_PLUS = np.array([[(-_ARM, 0), (_ARM, 0)], [(0, -_ARM), (0, _ARM)]], dtype=float)
_MINUS = _PLUS[:1]


class SliceOverlay:
    """Actors of one slice view.

    Attributes:
        actors: vtkActor2D; whoever makes the overlay adds them to the view.
    """

    def __init__(self):
        self._area = _Drawing(ADDED, opacity=0.2)
        self._border, self._signs = _Line(2), _Line(1.5)
        self._circle, self._stroke, self._sign = _Line(1.5), _Line(2), _Line(2)
        lines = (self._border, self._signs, self._circle, self._stroke, self._sign)
        self._parts = (self._area, *lines)
        self.actors = [self._area.actor, *[actor for line in lines for actor in line.actors]]

    def showCircle(self, corners):
        """Draw a closed line through corners (n, 2) in pixels; none where there are none."""
        self._circle.draw(_joined(corners, closed=True), NEUTRAL)

    def showStroke(self, places, positive, closed=False):
        """Draw a line through places (n, 2) in pixels."""
        self._stroke.draw(_joined(np.asarray(places, dtype=float), closed), _color(positive))

    def showSign(self, place, positive):
        """Draw a plus or minus sign at a place in pixels."""
        self._sign.draw(_signs(np.asarray(place, dtype=float)[None], positive), _color(positive))

    def showChange(self, lines, areas, spots, positive):
        """Draw what would change: lines (n, 2, 2), areas (m, 4, 2) and places of signs (k, 2) in pixels."""
        self._area.color = _color(positive)
        self._area.draw(areas)
        self._border.draw(lines, _color(positive), broken=not positive)
        self._signs.draw(_signs(spots, positive), _color(positive))

    def hideChange(self):
        """Draw no change."""
        for part in (self._area, self._border, self._signs):
            part.hide()

    def hide(self):
        """Draw nothing."""
        for part in self._parts:
            part.hide()

    @property
    def showsChange(self):
        """Whether a change is on show."""
        return bool(self._area.actor.GetVisibility())


def _color(positive):
    return ADDED if positive else REMOVED


def _joined(corners, closed):
    """The lines (n, 2, 2) from corner to corner."""
    if len(corners) < 2:
        return np.zeros((0, 2, 2))
    ends = np.roll(corners, -1, axis=0)
    lines = np.stack([corners, ends], axis=1)
    return lines if closed else lines[:-1]


def _signs(places, positive):
    """The lines (n, 2, 2) of plus or minus signs around places (k, 2)."""
    return (places[:, None, None] + (_PLUS if positive else _MINUS)).reshape(-1, 2, 2)


def _dashed(lines):
    """The short lines (n, 2, 2) that a broken line is made of."""
    if not len(lines):
        return lines
    return lines[(lines.mean(axis=1).sum(axis=1) // _DASH) % 2 == 0]


class FillDimming:
    """Dims the fill of one segmentation while a preview is drawn over it, and restores it whatever happens.

    Args:
        scene: The MRML scene; the fill is restored before it is saved or closed.
    """

    def __init__(self, scene):
        self._scene, self._display, self._tags = scene, None, []

    def dim(self, segmentation):
        """Dim the fill of a segmentation, unless that is done already."""
        display = segmentation.GetDisplayNode()
        if display is None or display is self._display:
            return
        self.restore()
        self._display = display
        if display not in _dimmed:
            former = display.GetOpacity2DFill()
            display.SetOpacity2DFill(_LEFT * former)
            _dimmed[display] = (former, display.GetOpacity2DFill(), set())
        _dimmed[display][2].add(self)
        for event in (self._scene.StartSaveEvent, self._scene.StartCloseEvent):
            self._tags.append(self._scene.AddObserver(event, lambda *_event: self.restore()))

    def restore(self):
        """Give the fill its opacity back; one that somebody else has set meanwhile stays."""
        display, self._display = self._display, None
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._tags = []
        if display is not None:
            former, dimmed, users = _dimmed[display]
            users.discard(self)
            if not users and _dimmed.pop(display) and display.GetOpacity2DFill() == dimmed:
                display.SetOpacity2DFill(former)


class _Line:
    """Lines with a dark edge to both sides."""

    def __init__(self, width):
        self._edge, self._middle = _Drawing(DARK, width + 2.5), _Drawing(NEUTRAL, width)
        self.actors = (self._edge.actor, self._middle.actor)

    def draw(self, lines, color, broken=False):
        """Show lines (n, 2, 2); nothing where there are none."""
        self._middle.color = color
        self._edge.draw(lines)
        self._middle.draw(_dashed(lines) if broken else lines)

    def hide(self):
        """Show nothing."""
        self._edge.hide()
        self._middle.hide()


class _Drawing:
    """Lines or polygons of one color, in pixels."""

    def __init__(self, color, width=1.0, opacity=1.0):
        self._data = vtk.vtkPolyData()
        mapper = vtk.vtkPolyDataMapper2D()
        mapper.SetInputData(self._data)
        self.actor = vtk.vtkActor2D()
        self.actor.SetMapper(mapper)
        self.actor.GetProperty().SetLineWidth(width)
        self.actor.GetProperty().SetOpacity(opacity)
        self.actor.VisibilityOff()
        self.color = color

    @property
    def color(self):
        """Red, green, blue from 0 to 1."""
        return self.actor.GetProperty().GetColor()

    @color.setter
    def color(self, color):
        self.actor.GetProperty().SetColor(*color)

    def draw(self, shapes):
        """Show lines (n, 2, 2) or polygons (n, corners, 2); nothing where there are none."""
        count, corners = shapes.shape[:2]
        flat = np.column_stack([shapes.reshape(-1, 2), np.zeros(count * corners)]).astype(np.float32)
        points, array = vtk.vtkPoints(), vtk.vtkCellArray()
        points.SetData(numpy_to_vtk(flat, deep=True))
        cells = np.column_stack([np.full(count, corners), np.arange(count * corners).reshape(count, corners)])
        array.ImportLegacyFormat(numpy_to_vtkIdTypeArray(cells.astype(np.int64).ravel(), deep=True))
        self._data.Initialize()
        self._data.SetPoints(points)
        if corners == 2:
            self._data.SetLines(array)
        else:
            self._data.SetPolys(array)
        self.actor.SetVisibility(count > 0)

    def hide(self):
        """Show nothing."""
        self.actor.VisibilityOff()
