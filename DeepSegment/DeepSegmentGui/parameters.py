"""What the panel remembers: for each scene in a parameter node, for each user in the application's settings."""

import json
from typing import Annotated

import slicer
from slicer import vtkMRMLMarkupsROINode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

USER_SETTINGS = ("model", "device", "modelOverlap", "overlap", "mirror", "cleanUp", "uncertainty", "show3D", "fast")
"""Parameters whose last value is the default in the user's next scene."""


@parameterNodeWrapper
class Parameters:
    """The settings of a scene; saved and loaded with it.

    Further channels of a model that needs several volumes are node references `Channel1`, `Channel2`, ... of the same
    node, as their number depends on the model.
    """

    volume: vtkMRMLScalarVolumeNode
    model: str = "brain-mr"
    roi: vtkMRMLMarkupsROINode
    segmentation: vtkMRMLSegmentationNode
    policy: str = "update"
    device: str = "auto"
    modelOverlap: bool = True
    overlap: Annotated[float, WithinRange(0.0, 0.9)] = 0.5
    mirror: bool = False
    cleanUp: bool = True
    uncertainty: bool = True
    show3D: bool = False
    anySpacing: bool = False
    fast: bool = False
    correctRadius: Annotated[float, WithinRange(1.0, 100.0)] = 10.0
    correctAggressiveness: Annotated[float, WithinRange(0.0, 1.0)] = 0.5
    correctOverwrite: bool = False


def channelReference(index):
    """Role of the node reference to further channel `index` (from 1)."""
    return f"Channel{index}"


def leftOut(parameters, model):
    """Names of the segments of a model that the user does not want."""
    text = parameters.parameterNode.GetParameter(_leftOutKey(model))
    return tuple(json.loads(text)) if text else ()


def leaveOut(parameters, model, names):
    """Remember which segments of a model the user does not want."""
    parameters.parameterNode.SetParameter(_leftOutKey(model), json.dumps(list(names)) if names else "")


def _leftOutKey(model):
    return f"LeftOut.{model}"


def connectedWidgets(ui):
    """Widgets by the parameter that their property SlicerParameterName names.

    `connectGui` does the same, but some versions of Slicer give no tag back to disconnect with.
    """
    widgets = {widget.property("SlicerParameterName"): widget for widget in vars(ui).values()}
    return {name: widget for name, widget in widgets.items() if name}


def applyUserSettings(parameters):
    """Set what the user chose last, in a scene that has no choice of its own yet."""
    for name in USER_SETTINGS:
        current = getattr(parameters, name)
        stored = slicer.util.settingsValue(f"DeepSegment/{name}", current, converter=_converter(current))
        if name != "overlap" or 0 <= stored <= 0.9:
            setattr(parameters, name, stored)


def storeUserSettings(parameters):
    """Remember the choices for the user's next scene."""
    settings = slicer.app.userSettings()
    for name in USER_SETTINGS:
        settings.setValue(f"DeepSegment/{name}", getattr(parameters, name))


def _converter(value):
    return slicer.util.toBool if isinstance(value, bool) else type(value)
