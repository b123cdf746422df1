"""What the effect draws over a slice view: the circle, the line that is being drawn, the change to expect."""

import numpy as np
import vtk
from vtk.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray

ADDED, REMOVED, NEUTRAL = (0.2, 0.9, 0.3), (1.0, 0.35, 0.25), (1.0, 0.95, 0.3)


class SliceOverlay:
    """Actors of one slice view.

    Attributes:
        actors: vtkActor2D; whoever makes the overlay adds them to the view.
    """

    def __init__(self):
        self._circle, self._stroke = _Drawing(NEUTRAL, width=1.5), _Drawing(NEUTRAL, width=3)
        self._line, self._area = _Drawing(ADDED, width=2), _Drawing(ADDED, opacity=0.3)
        self.actors = [drawing.actor for drawing in (self._area, self._line, self._circle, self._stroke)]

    def showCircle(self, corners):
        """Draw a closed line through corners (n, 2) in pixels."""
        self._circle.draw(corners, np.stack([np.arange(len(corners)), np.roll(np.arange(len(corners)), -1)], axis=1))

    def showStroke(self, places, positive):
        """Draw a line through places (n, 2) in pixels."""
        self._stroke.color = ADDED if positive else REMOVED
        count = len(places)
        self._stroke.draw(
            np.asarray(places, dtype=float), np.stack([np.arange(count - 1), np.arange(1, count)], axis=1)
        )

    def showChange(self, lines, areas, positive):
        """Draw what would change: lines (n, 2, 2) and areas (m, 4, 2) in pixels."""
        for drawing, shapes in ((self._line, lines), (self._area, areas)):
            drawing.color = ADDED if positive else REMOVED
            drawing.draw(shapes.reshape(-1, 2), np.arange(shapes.shape[0] * shapes.shape[1]).reshape(shapes.shape[:2]))

    def hideChange(self):
        """Draw no change."""
        self._line.hide()
        self._area.hide()

    def hide(self):
        """Draw nothing."""
        for drawing in (self._circle, self._stroke, self._line, self._area):
            drawing.hide()

    @property
    def showsChange(self):
        """Whether a change is on show."""
        return bool(self._line.actor.GetVisibility())


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

    def draw(self, places, cells):
        """Show cells (n, corners) of places (m, 2); nothing where there are none."""
        points = vtk.vtkPoints()
        points.SetData(numpy_to_vtk(np.column_stack([places, np.zeros(len(places))]).astype(np.float32), deep=True))
        array = vtk.vtkCellArray()
        size = np.full((len(cells), 1), cells.shape[1])
        array.ImportLegacyFormat(numpy_to_vtkIdTypeArray(np.hstack([size, cells]).astype(np.int64).ravel(), deep=True))
        self._data.Initialize()
        self._data.SetPoints(points)
        if cells.shape[1] == 2:
            self._data.SetLines(array)
        else:
            self._data.SetPolys(array)
        self.actor.SetVisibility(len(cells) > 0)

    def hide(self):
        """Show nothing."""
        self.actor.VisibilityOff()
