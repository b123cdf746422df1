"""Prompts by markups: the user clicks points, corners of boxes or an outline in the views; what is whole vanishes."""

import time

import numpy as np
import qt
import slicer

_COLORS = {True: (0.2, 0.9, 0.3), False: (1.0, 0.35, 0.25)}


_DOUBLE_CLICK_S = 0.6
"""From the first click of a double click to its second, at most."""


class MarkupPlacer:
    """Place mode of the views for one kind of prompt at a time.

    A point is whole with its click, a box with the second of two opposite corners, a lasso with a double click.

    Args:
        scene: The MRML scene.
        taken: Called with each prompt's tool ("point", "box" or "lasso"), its points (n, 3) in RAS mm, and whether it
            is a positive one.
        ended: Called without arguments when the user or another module leaves place mode.

    Attributes:
        tool: What is placed now, or was last.
        positive: Of what kind.
    """

    def __init__(self, scene, taken, ended):
        self._scene, self._taken, self._ended = scene, taken, ended
        self._node, self._observations, self._placedAt = None, [], 0.0
        self.tool, self.positive, self._name = "point", True, ""

    @property
    def active(self):
        """Whether clicks in the views place something for us."""
        return self._node is not None

    def start(self, tool, name, positive):
        """Let the user place prompts; `name` is shown beside the pointer's point."""
        self.stop()
        self.tool, self.positive, self._name = tool, positive, name
        self._node = self._makeNode(name, _COLORS[positive])
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
            node.SetDisplayVisibility(False)  # views that are not told of the removal draw it no more either
            self._scene.RemoveNode(node)

    def _modes(self):
        logic = slicer.app.applicationLogic()
        return logic.GetSelectionNode(), logic.GetInteractionNode()

    def _makeNode(self, name, color):
        lasso = self.tool == "lasso"
        node = slicer.vtkMRMLMarkupsClosedCurveNode() if lasso else slicer.vtkMRMLMarkupsFiducialNode()
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
        self._placedAt = time.monotonic()
        # The view still works with the point; it is taken in a turn of its own.
        qt.QTimer.singleShot(0, self._take)

    def _take(self):
        if self._node is None or self.tool == "lasso":
            return
        points = self._points()
        least = 2 if self.tool == "box" else 1
        if len(points) >= least:
            self._empty()
            for n in range(0, len(points) - least + 1, least):
                self._taken(self.tool, points[n : n + least], self.positive)

    def _points(self):
        """The places that the user has set, in RAS mm."""
        node, points = self._node, []
        for n in range(node.GetNumberOfControlPoints()):
            if node.GetNthControlPointPositionStatus(n) == node.PositionDefined:
                place = [0.0, 0.0, 0.0]
                node.GetNthControlPointPositionWorld(n, place)
                points.append(place)
        return np.array(points)

    def _empty(self):
        node = self._node
        for n in reversed(range(node.GetNumberOfControlPoints())):
            if node.GetNthControlPointPositionStatus(n) == node.PositionDefined:
                node.RemoveNthControlPoint(n)

    def _modeChanged(self, *_event):
        _selection, interaction = self._modes()
        if self._node is not None and interaction.GetCurrentInteractionMode() != interaction.Place:
            # A double click places the last corner and then ends the mode; who ends it otherwise gives up.
            whole = self.tool == "lasso" and time.monotonic() - self._placedAt < _DOUBLE_CLICK_S
            qt.QTimer.singleShot(0, self._lassoDrawn if whole else self._left)

    def _lassoDrawn(self):
        """The outline is closed: take it as it is seen, and let the next one be drawn."""
        if self._node is None:
            return
        curve = self._node.GetCurvePointsWorld() if self._node.GetNumberOfDefinedControlPoints() > 2 else None
        points = [] if curve is None else [curve.GetPoint(n) for n in range(curve.GetNumberOfPoints())]
        self.start(self.tool, self._name, self.positive)
        if points:
            self._taken(self.tool, np.array(points), self.positive)

    def _left(self):
        if self._node is not None:
            self.stop()
            self._ended()
