"""How far a correction reaches, how bold it is, what it may take: the same in the panel and in the effect.

The truth is the module's parameter node, in the scene.
"""

import sys

import slicer
import vtk

SMALLEST_MM, LARGEST_MM = 1.0, 100.0


class SharedSettings:
    """The settings of corrections in the scene, for those who have no panel.

    Args:
        changed: Called without arguments after each change while they are followed.
    """

    def __init__(self, changed):
        self._changed, self._node, self._tag = changed, None, None
        self._known = None

    @property
    def parameters(self):
        """The `Parameters` in the scene."""
        if self._known is None or not slicer.mrmlScene.IsNodePresent(self._known.parameterNode):
            self._known = sys.modules["DeepSegment"].DeepSegmentLogic().getParameters()
        return self._known

    def follow(self):
        """Tell of changes from now on."""
        self.leave()
        self._node = self.parameters.parameterNode
        self._tag = self._node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_event: self._changed())

    def leave(self):
        """Tell of no more changes."""
        if self._node is not None:
            self._node.RemoveObserver(self._tag)
        self._node = self._tag = None


def settingsOf(parameters, mode="fix"):
    """What the parameters of a scene say of corrections, as `CorrectionSettings`."""
    from DeepSegmentLib.correction.settings import CorrectionSettings

    return CorrectionSettings(
        radius_mm=parameters.correctRadius,
        aggressiveness=parameters.correctAggressiveness,
        mode=mode,
        overwrite=parameters.correctOverwrite,
    )


def setRadius(parameters, radiusMm):
    """Set the radius, in the range of the sliders."""
    parameters.correctRadius = min(max(radiusMm, SMALLEST_MM), LARGEST_MM)
