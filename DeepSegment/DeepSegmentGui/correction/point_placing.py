"""Points by markups: the user clicks in the views, each point is taken at once and vanishes."""

import numpy as np
import qt
import slicer

_COLORS = {True: (0.2, 0.9, 0.3), False: (1.0, 0.35, 0.25)}


class PointPlacer:
    """Place mode of the views for one kind of point at a time.

    Args:
        scene: The MRML scene.
        taken: Called with each point in RAS mm, and whether it is a positive one.
        ended: Called without arguments when the user or another module leaves place mode.

    Attributes:
        positive: The kind of the points that are placed now, or were last.
    """

    def __init__(self, scene, taken, ended):
        self._scene, self._taken, self._ended = scene, taken, ended
        self._node, self._observations = None, []
        self.positive = True

    @property
    def active(self):
        """Whether clicks in the views place points for us."""
        return self._node is not None

    def start(self, name, positive):
        """Let the user place points; `name` is shown beside the pointer's point."""
        self.stop()
        self.positive, self._node = positive, self._makeNode(name, _COLORS[positive])
        selection, interaction = self._modes()
        selection.SetReferenceActivePlaceNodeClassName(self._node.GetClassName())
        selection.SetActivePlaceNodeID(self._node.GetID())
        interaction.SetPlaceModePersistence(1)
        interaction.SetCurrentInteractionMode(interaction.Place)
        self._observe(self._node, self._node.PointPositionDefinedEvent, self._placed)
        self._observe(interaction, interaction.InteractionModeChangedEvent, self._modeChanged)

    def stop(self):
        """End place mode, if it is ours."""
        for node, tag in self._observations:
            node.RemoveObserver(tag)
        node, self._node, self._observations = self._node, None, []
        if node is None:
            return
        _selection, interaction = self._modes()
        if interaction.GetCurrentInteractionMode() == interaction.Place:
            interaction.SetCurrentInteractionMode(interaction.ViewTransform)
        if self._scene.IsNodePresent(node):
            self._scene.RemoveNode(node)

    def _modes(self):
        logic = slicer.app.applicationLogic()
        return logic.GetSelectionNode(), logic.GetInteractionNode()

    def _makeNode(self, name, color):
        node = slicer.vtkMRMLMarkupsFiducialNode()
        node.SetName(name)
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        node = self._scene.AddNode(node)
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetSelectedColor(*color)
        node.GetDisplayNode().SetPointLabelsVisibility(False)
        return node

    def _observe(self, node, event, function):
        self._observations.append((node, node.AddObserver(event, function)))

    def _placed(self, *_event):
        # The view still works with the point; it is taken in a turn of its own.
        qt.QTimer.singleShot(0, self._take)

    def _take(self):
        if self._node is None:
            return
        node, points = self._node, []
        for n in reversed(range(node.GetNumberOfControlPoints())):
            if node.GetNthControlPointPositionStatus(n) == node.PositionDefined:
                place = [0.0, 0.0, 0.0]
                node.GetNthControlPointPositionWorld(n, place)
                points.append(np.array(place))
                node.RemoveNthControlPoint(n)
        for point in reversed(points):
            self._taken(point, self.positive)

    def _modeChanged(self, *_event):
        _selection, interaction = self._modes()
        if self._node is not None and interaction.GetCurrentInteractionMode() != interaction.Place:
            qt.QTimer.singleShot(0, self._left)

    def _left(self):
        if self._node is not None:
            self.stop()
            self._ended()
