"""The section Results: the chosen segmentation as it is in the scene, 3D, uncertainty, where to look, the log."""

import slicer
from slicer.i18n import tr as _

from DeepSegmentGui.correction.review_marker import hidePlace, jumpTo, showPlace, structuresText
from DeepSegmentGui.running.surface_maker import SurfaceMaker
from DeepSegmentGui.sections.segments_table import SegmentsTable

_OVERLAY_OPACITY = 0.45


class ResultsSection:
    """Shows the segmentation that the settings name, as it is in the scene.

    Args:
        ui: The widgets of the panel by name.
        scene: The MRML scene.
        panel: Gives the settings.
    """

    def __init__(self, ui, scene, panel):
        self._ui, self._scene, self._panel = ui, scene, panel
        self._places, self._next, self._overlaid = {}, 0, False
        self.table = SegmentsTable(ui.segmentsTable, self._goToSegment, self._tableChanged)
        self._surfaces = SurfaceMaker(scene)
        ui.show3DButton.connect("toggled(bool)", self._show3D)
        ui.uncertaintyOverlayCheckBox.connect("toggled(bool)", self._showOverlay)
        ui.reviewButton.connect("clicked()", self.reviewNext)
        ui.resultsSection.connect("contentsCollapsed(bool)", lambda _collapsed: self.table.fill())

    @property
    def segmentation(self):
        """The node on show, or None."""
        return self.table.node

    @property
    def uncertainty(self):
        """The uncertainty map of the segmentation, or None."""
        from DeepSegmentLib.hosts.mrml.segmentations.nodes import uncertainty_of

        return None if self.segmentation is None else uncertainty_of(self.segmentation)

    @property
    def making3D(self):
        """Whether surfaces are still to be made."""
        return self._surfaces.running

    def refresh(self):
        """Follow the settings."""
        parameters = self._panel.parameters
        node = parameters and parameters.segmentation
        if node is not self.segmentation:
            self._surfaces.stop()
            self.table.show(node)
            self._next = 0
            self._set3DButton()
            if self._ui.uncertaintyOverlayCheckBox.checked:
                self._showOverlay(True)
        self._refreshButtons()

    def forget(self):
        """Drop references to nodes, as when the scene closes."""
        hidePlace(self._scene)
        self._surfaces.stop()
        self.table.show(None)
        self._places.clear()
        self._overlaid = False
        self._set3DButton()

    def showResult(self, node, places):
        """A result was written; it is shown where the settings name it.

        Args:
            node: Its segmentation node.
            places: RAS points to review, the most uncertain first.
        """
        self._places[node.GetID()] = list(places)
        if node is not self.segmentation:
            return
        self._next = 0
        hidePlace(self._scene)
        self._panel.say("", self._ui.resultsMessageLabel)
        self._ui.resultsSection.collapsed = False
        if self._ui.show3DButton.checked or self._panel.parameters.show3D:
            self._set3DButton(True)
            self._show3D(True)
        if self._ui.uncertaintyOverlayCheckBox.checked:
            self._showOverlay(True)
        self._refreshButtons()

    def takenBack(self):
        """The last result was undone: its places are no longer true."""
        hidePlace(self._scene)
        self._places.clear()
        self._next = 0

    def log(self, text):
        """Add a line to the log."""
        self._ui.logText.appendPlainText(text)

    # Where to look

    def reviewNext(self):
        """Go to the next most uncertain place; after the last one to the first."""
        places = self._placesOf(self.segmentation)
        if not places:
            self._panel.say(self._whyNoPlaces(), self._ui.resultsMessageLabel)
            return
        n = self._next % len(places)
        self._next = n + 1
        names = structuresText(self.segmentation, places[n])
        showPlace(self._scene, places[n], f"{names}?")
        self._ui.reviewButton.text = _("Review next ({n} of {total})").format(n=n + 1, total=len(places))
        text = _("{names}: the network is not sure here.").format(names=names)
        self._panel.say(text, self._ui.resultsMessageLabel)

    def _placesOf(self, node):
        """Places of the last run, or else of the map in the scene."""
        from DeepSegmentLib.hosts.mrml.segmentations.nodes import uncertainty_of
        from DeepSegmentLib.hosts.mrml.volumes import in_scene, volume_from_nodes
        from DeepSegmentLib.segmentation.uncertain_places import most_uncertain_places

        if node is None:
            return []
        if node.GetID() not in self._places:
            found = uncertainty_of(node)
            if found is None:
                return []
            places = most_uncertain_places(volume_from_nodes([found])).points_ras
            self._places[node.GetID()] = list(in_scene(places, found))
        return self._places[node.GetID()]

    def _whyNoPlaces(self):
        if self.uncertainty is None:
            return _("There is no uncertainty map of these segments; Next place in Correct looks at their shapes.")
        return _("No place is uncertain.")

    def _goToSegment(self, segmentID):
        from DeepSegmentLib.hosts.mrml.segmentations.layers import image_of

        isEmpty = self.table.millilitres(segmentID) == 0 or image_of(self.segmentation, segmentID) is None
        self._panel.say(_("This segment has no voxels.") if isEmpty else "", self._ui.resultsMessageLabel)
        if not isEmpty:
            jumpTo(self._scene, self.segmentation.GetSegmentCenterRAS(segmentID))

    # Views

    def _set3DButton(self, shown=None):
        """Show the state of the scene, or the given one; nobody is told."""
        from DeepSegmentLib.hosts.mrml.segmentations.surfaces import has_surfaces

        button, node = self._ui.show3DButton, self.segmentation
        if shown is None:
            display = node and node.GetDisplayNode()
            shown = bool(display and display.GetVisibility3D() and has_surfaces(node))
        button.blockSignals(True)
        button.checked = shown
        button.blockSignals(False)

    def _show3D(self, show):
        if self.segmentation is None:
            return
        self.segmentation.CreateDefaultDisplayNodes()
        self.segmentation.GetDisplayNode().SetVisibility3D(show)
        self._surfaces.start(self.segmentation) if show else self._surfaces.stop()

    def _showOverlay(self, show):
        """Show the map of the segmentation over the volume; where it has none, take away what was shown."""
        found = self.uncertainty if show else None
        if found is not None:
            slicer.util.setSliceViewerLayers(foreground=found, foregroundOpacity=_OVERLAY_OPACITY)
        elif self._overlaid:
            slicer.util.setSliceViewerLayers(foreground=None, foregroundOpacity=0.0)
        self._overlaid = found is not None

    # What the widgets show

    def _tableChanged(self):
        """The segments have changed; where they are in 3D, so have their surfaces."""
        if self._ui.show3DButton.checked and self.segmentation is not None and not self._surfaces.running:
            self._surfaces.start(self.segmentation)
        self._refreshButtons()

    def _refreshButtons(self):
        there = self._ui.segmentsTable.rowCount > 0
        self._ui.show3DButton.enabled = there
        self._ui.reviewButton.enabled = there
        self._ui.uncertaintyOverlayCheckBox.enabled = self.uncertainty is not None
        self._ui.measureButton.enabled = there and not self._panel.busy
        if not self._next:
            self._ui.reviewButton.text = _("Review next")
