"""The section Input and model: which volumes are offered, and which are chosen by themselves."""

import qt
import slicer
from slicer.i18n import tr as _

from DeepSegmentGui.models.channels import ChannelSelectors, assignChannels, channelLabel
from DeepSegmentGui.parameters import channelReference


class InputSection:
    """Offers the volumes of the scene: no labelmaps, no maps that DeepSegment made itself.

    Args:
        ui: The widgets of the panel by name.
        scene: The MRML scene.
        panel: Gives the settings and the model.

    Attributes:
        channels: The `ChannelSelectors`.
    """

    def __init__(self, ui, scene, panel):
        self._ui, self._scene, self._panel = ui, scene, panel
        self._added = []
        self.channels = ChannelSelectors(ui.channelsFrame, panel.refresh)

    def refresh(self):
        """Bring the selectors in line with settings and scene."""
        self._assignChannels()
        spec = self._panel.models.spec
        several = spec is not None and len(spec.channels) > 1
        self._ui.volumeSelectorLabel.text = channelLabel(spec.channels[0]) if several else _("Volume:")
        self.channels.show(spec, self._panel.parameters, self._scene)
        self._hideMaps()

    def chooseFirst(self, among=None):
        """Choose a volume where none is chosen and the scene has one with voxels, of these IDs or any."""
        filled = [node for node in self._volumes() if node.GetImageData() is not None]
        found = next((node for node in filled if among is None or node.GetID() in among), None)
        if self._panel.parameters.volume is None and found is not None:
            self._panel.parameters.volume = found

    def nodeAdded(self, node):
        """A node came: looked at in a turn of its own, as who added it is not ready yet."""
        if node.IsA("vtkMRMLScalarVolumeNode"):
            self._added.append(node.GetID())
            if len(self._added) == 1:
                qt.QTimer.singleShot(0, self.takeAdded)

    def takeAdded(self):
        """Offer the volumes that came; the first of them is chosen where none was. Not while a scene is loaded."""
        if self._panel.parameters is None or self._scene.IsBatchProcessing():
            return
        added, self._added = self._added, []
        if added:
            self.chooseFirst(added)
            self._panel.refresh()

    def forget(self):
        """Drop references to nodes, as when the scene closes."""
        self._added = []

    def _volumes(self):
        from DeepSegmentLib.hosts.mrml.volumes import is_map

        nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode", self._scene)
        real = [node for node in nodes if not node.IsA("vtkMRMLLabelMapVolumeNode") and not is_map(node)]
        return [node for node in real if not node.GetHideFromEditors()]

    def _hideMaps(self):
        from DeepSegmentLib.hosts.mrml.volumes import is_map

        nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode", self._scene)
        maps = [node.GetID() for node in nodes if is_map(node)]
        ui = self._ui
        for selector in (ui.volumeSelector, ui.batchVolumesSelector, *self.channels.selectors()):
            hide(selector, maps)

    def _assignChannels(self):
        """Fill the channels that the scene leaves open, by name."""
        spec, node = self._panel.models.spec, self._panel.parameters.parameterNode
        if spec is None or len(spec.channels) < 2:
            return
        volumes = [n for n in self._volumes() if n is not self._panel.parameters.volume]
        further = [channel.name for channel in spec.channels[1:]]
        for n, chosen in enumerate(assignChannels(further, [v.GetName() for v in volumes]), start=1):
            if chosen is not None and node.GetNodeReference(channelReference(n)) is None:
                node.SetNodeReferenceID(channelReference(n), volumes[chosen].GetID())


def hide(selector, nodeIDs):
    """Let a node selector not offer these nodes."""
    proxy = selector.sortFilterProxyModel()
    if sorted(proxy.hiddenNodeIDs) != sorted(nodeIDs):
        proxy.hiddenNodeIDs = nodeIDs
