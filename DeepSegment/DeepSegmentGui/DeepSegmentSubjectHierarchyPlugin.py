"""Right click on a volume in the subject hierarchy: Segment with DeepSegment.

Slicer finds the class by the name of this file.
"""

import qt
import slicer
from slicer.i18n import tr as _
from SubjectHierarchyPlugins import AbstractScriptedSubjectHierarchyPlugin


class DeepSegmentSubjectHierarchyPlugin(AbstractScriptedSubjectHierarchyPlugin):
    """Adds one action to the menu of scalar volumes."""

    def __init__(self, scriptedPlugin):
        scriptedPlugin.name = "DeepSegment"
        AbstractScriptedSubjectHierarchyPlugin.__init__(self, scriptedPlugin)
        self.segmentAction = qt.QAction(_("Segment with DeepSegment"), scriptedPlugin)
        self.segmentAction.objectName = "SegmentWithDeepSegmentAction"
        self.segmentAction.connect("triggered()", self.onSegment)

    def canOwnSubjectHierarchyItem(self, _itemID):
        """Volumes keep the plugin that shows them."""
        return 0.0

    def roleForPlugin(self):
        """It owns nothing."""
        return "N/A"

    def itemContextMenuActions(self):
        """All actions."""
        return [self.segmentAction]

    def showContextMenuActionsForItem(self, itemID):
        """Show the action for volumes that can be segmented."""
        self.segmentAction.visible = canSegment(volumeOf(itemID))

    def onSegment(self):
        """Open the module with the volume of the clicked item."""
        handler = slicer.qSlicerSubjectHierarchyPluginHandler.instance()
        volume = volumeOf(handler.currentItem())
        if canSegment(volume):
            openWith(volume)


def volumeOf(itemID):
    """The node of an item of the subject hierarchy."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    return hierarchy.GetItemDataNode(itemID) if hierarchy is not None and itemID else None


def canSegment(node):
    """Whether a node is a volume of intensities, and no map that was made here."""
    from DeepSegmentLib.hosts.mrml.volumes import is_map

    isVolume = node is not None and node.IsA("vtkMRMLScalarVolumeNode")
    return isVolume and not node.IsA("vtkMRMLLabelMapVolumeNode") and not is_map(node)


def openWith(volume):
    """Open the module with a volume chosen."""
    slicer.util.selectModule("DeepSegment")
    slicer.modules.DeepSegmentWidget.panel.ui.volumeSelector.setCurrentNode(volume)
