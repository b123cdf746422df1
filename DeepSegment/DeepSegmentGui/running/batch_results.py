"""What a batch made, in the views: the current result alone, files loaded when they are asked for."""

import slicer
from slicer.i18n import tr as _


class BatchResults:
    """Shows one result of a batch and hides the others.

    Args:
        scene: The MRML scene.
        panel: Shows the chosen volume and segmentation.
    """

    def __init__(self, scene, panel):
        self._scene, self._panel = scene, panel
        self._ids = []
        self._loaded = {}

    def forget(self):
        """A new batch begins; earlier results are left as they are."""
        self._ids = []

    def sceneClosing(self):
        """The nodes go; the next scene has others of the same IDs."""
        self._ids, self._loaded = [], {}

    def add(self, segmentation):
        """Show a new result and no other."""
        self._ids.append(segmentation.GetID())
        self._showOnly(segmentation)

    def show(self, volumeID, segmentationID):
        """Show a result with its volume, where both are still there."""
        volume, segmentation = (self._scene.GetNodeByID(each) for each in (volumeID, segmentationID))
        if volume is None or segmentation is None:
            self._panel.say(_("The result is no longer in the scene."), self._panel.ui.batchMessageLabel)
            return
        self._showOnly(segmentation)
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        self._panel.showSegmentation(volume, segmentation)

    def showFrame(self, sequenceID, n):
        """Go to a frame of a sequence, where it plays."""
        sequence = self._scene.GetNodeByID(sequenceID)
        logic = slicer.modules.sequences.logic()
        browser = logic.GetFirstBrowserNodeForSequenceNode(sequence) if sequence is not None else None
        if browser is not None:
            browser.SetSelectedItemNumber(n)
        else:
            text = _("Nothing plays this sequence: choose it in the module Sequences.")
            self._panel.say(text, self._panel.ui.batchMessageLabel)

    def showFiles(self, request):
        """Load the volume and the result of a file, unless they are in the scene already, and show them."""
        target = request.target
        written = (str(target), target.stat().st_mtime_ns if target.is_file() else 0)
        ids = self._loaded.get(written, ("", ""))
        if None in [self._scene.GetNodeByID(each) for each in ids]:
            ids = self._load(request)
        if ids is not None:
            self._loaded[written] = ids
            self.show(*ids)

    def _load(self, request):
        volume = slicer.modules.volumes.logic().AddArchetypeVolume(str(firstFile(request)), request.source.name, 0)
        segmentation = slicer.modules.segmentations.logic().LoadSegmentationFromFile(str(request.target))
        if volume is None or segmentation is None:
            text = _("{name}: it cannot be loaded").format(name=request.source.name)
            self._panel.say(text, self._panel.ui.batchMessageLabel)
            return None
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        self._ids.append(segmentation.GetID())
        return volume.GetID(), segmentation.GetID()

    def _showOnly(self, segmentation):
        nodes = [self._scene.GetNodeByID(each) for each in self._ids]
        for node in nodes:
            if node is not None:
                node.GetDisplayNode().SetVisibility(node is segmentation)


def firstFile(request):
    """The volume file of a request, or a file of its DICOM series."""
    from DeepSegmentLib.files.dicom import series_files

    return series_files(request.source, request.series)[0] if request.source.is_dir() else request.source
