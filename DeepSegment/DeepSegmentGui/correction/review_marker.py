"""A marker at a place to look at: in every slice view that is near, whatever its orientation, and in 3D."""

import slicer
from slicer.i18n import tr as _

_ATTRIBUTE = "DeepSegmentPlaceMarker"
_COLOR = (1.0, 0.0, 0.9)
"""Magenta: neither tissue on a scan nor the usual color of a segment; the text has a background of its own."""


def showPlace(scene, ras, text):
    """Move all slice views to a place and mark it; a marker that was there goes.

    Args:
        scene: The MRML scene.
        ras: The place, in RAS mm.
        text: What is to be seen there, in a few words.
    """
    hidePlace(scene)
    node = scene.AddNode(_marker())
    node.CreateDefaultDisplayNodes()
    node.AddControlPoint(*ras, text)
    node.SetLocked(True)
    _dress(node.GetDisplayNode())
    jumpTo(scene, ras)


def jumpTo(scene, ras):
    """Move all slice views to a point in RAS mm."""
    slicer.vtkMRMLSliceNode.JumpAllSlices(scene, *ras, slicer.vtkMRMLSliceNode.CenteredJumpSlice)


def hidePlace(scene):
    """Take the marker away, if there is one."""
    nodes = scene.GetNodesByClass("vtkMRMLMarkupsFiducialNode")
    for node in [nodes.GetItemAsObject(n) for n in range(nodes.GetNumberOfItems())]:
        if node.GetAttribute(_ATTRIBUTE):
            node.SetDisplayVisibility(False)  # views that are not told of the removal draw it no more either
            scene.RemoveNode(node)


def structuresText(segmentation, ras):
    """The names of the structures at a place, in RAS mm, as a text."""
    from DeepSegmentLib.hosts.mrml.correction.structures_at import structures_at

    names = structures_at(segmentation, ras)
    if len(names) < 2:
        return names[0] if names else _("No structure")
    return _("{one} or {other}").format(one=names[0], other=names[1])


def _marker():
    node = slicer.vtkMRMLMarkupsFiducialNode()
    node.SetName("Place to look at")
    node.SetAttribute(_ATTRIBUTE, "1")
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    return node


def _dress(display):
    display.SetSelectedColor(*_COLOR)
    display.SetGlyphTypeFromString("CrossDot2D")
    display.SetGlyphScale(4.0)
    display.SetTextScale(2.5)
    display.SetSliceProjection(True)  # seen from neighboring slices, too
    display.SetSliceProjectionOpacity(0.6)
    display.SetOccludedVisibility(True)
    display.SetOccludedOpacity(0.6)
    text = display.GetTextProperty()
    text.SetColor(1.0, 1.0, 1.0)
    text.SetBackgroundColor(0.0, 0.0, 0.0)
    text.SetBackgroundOpacity(0.7)
    text.BoldOn()
