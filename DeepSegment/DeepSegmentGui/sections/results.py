"""What came out: the table of segments, 3D, the uncertainty overlay, the next place to review, the log."""

import qt
import slicer
from slicer.i18n import tr as _

from DeepSegmentGui.correction.place_marker import hidePlace, showPlace, structuresText

_SEGMENT_ID = qt.Qt.UserRole
_OVERLAY_OPACITY = 0.45
_LOCKED = 2


class ResultsSection:
    """The results section of the panel.

    Attributes:
        segmentation: The node on show, or None.
        uncertainty: The node of its uncertainty map, or None.
    """

    def __init__(self, ui, scene):
        self._ui, self._scene = ui, scene
        self.segmentation = self.uncertainty = None
        self._places, self._next = [], 0
        table = ui.segmentsTable
        table.setColumnCount(3)
        table.setHorizontalHeaderLabels([_("Segment"), _("Volume [ml]"), _("Locked")])
        table.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.Stretch)
        table.verticalHeader().setVisible(False)
        table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
        table.connect("itemChanged(QTableWidgetItem*)", self._itemChanged)
        table.connect("cellDoubleClicked(int,int)", self._jumpToSegment)
        ui.show3DButton.connect("toggled(bool)", self._show3D)
        ui.uncertaintyOverlayCheckBox.connect("toggled(bool)", self._showOverlay)
        ui.reviewButton.connect("clicked()", self.reviewNext)
        self.clear()

    def clear(self):
        """Show nothing, as in a new scene."""
        hidePlace(self._scene)
        self.segmentation = self.uncertainty = None
        self._places, self._next = [], 0
        self._ui.segmentsTable.setRowCount(0)
        for box in (self._ui.show3DButton, self._ui.uncertaintyOverlayCheckBox):
            box.blockSignals(True)
            box.checked = False
            box.blockSignals(False)
        self._refreshButtons()

    def show(self, segmentation, volumesMl, uncertainty=None, places=()):
        """Show a result.

        Args:
            segmentation: The segmentation node.
            volumesMl: Millilitres by segment ID.
            uncertainty: Node of the uncertainty map, or None.
            places: RAS points to review, the most uncertain first.
        """
        overlay = self._ui.uncertaintyOverlayCheckBox.checked
        self.segmentation, self.uncertainty = segmentation, uncertainty
        self._places, self._next = list(places), 0
        self._fillTable(volumesMl)
        self._refreshButtons()
        self._show3D(self._ui.show3DButton.checked)
        self._showOverlay(overlay)
        self._ui.resultsSection.collapsed = False

    def log(self, text):
        """Add a line to the log."""
        self._ui.logText.appendPlainText(text)

    def reviewNext(self):
        """Go to the next most uncertain place; after the last one to the first."""
        if not self._places:
            return
        place = self._places[self._next % len(self._places)]
        self._next += 1
        names = structuresText(self.segmentation, place)
        showPlace(self._scene, place, f"{names}?")
        self._ui.resultsMessageLabel.text = _("{names}: the network is not sure here.").format(names=names)
        self._ui.resultsMessageLabel.visible = True
        self._ui.reviewButton.text = _("Review next ({n} of {total})").format(
            n=(self._next - 1) % len(self._places) + 1, total=len(self._places)
        )

    def _fillTable(self, volumesMl):
        table, segmentation = self._ui.segmentsTable, self.segmentation.GetSegmentation()
        shown = [segmentID for segmentID in volumesMl if segmentation.GetSegment(segmentID)]
        table.blockSignals(True)
        table.setRowCount(len(shown))
        for row, segmentID in enumerate(shown):
            items = _row(segmentation.GetSegment(segmentID), volumesMl[segmentID])
            items[0].setData(_SEGMENT_ID, segmentID)
            visible = self.segmentation.GetDisplayNode().GetSegmentVisibility(segmentID)
            items[0].setCheckState(qt.Qt.Checked if visible else qt.Qt.Unchecked)
            for column, item in enumerate(items):
                table.setItem(row, column, item)
        table.blockSignals(False)

    def _itemChanged(self, item):
        from DeepSegmentLib.hosts.mrml.segmentations.segments import set_locked

        if self.segmentation is None:
            return
        segmentID = self._ui.segmentsTable.item(item.row(), 0).data(_SEGMENT_ID)
        checked = item.checkState() == qt.Qt.Checked
        if item.column() == 0:
            self.segmentation.GetDisplayNode().SetSegmentVisibility(segmentID, checked)
        elif item.column() == _LOCKED:
            set_locked(self.segmentation.GetSegmentation().GetSegment(segmentID), checked)

    def _jumpToSegment(self, row, _column):
        segmentID = self._ui.segmentsTable.item(row, 0).data(_SEGMENT_ID)
        center = self.segmentation.GetSegmentCenterRAS(segmentID)
        if center is not None:
            jumpTo(self._scene, center)

    def _show3D(self, show):
        if self.segmentation is None:
            return
        if show:
            self.segmentation.CreateClosedSurfaceRepresentation()
        self.segmentation.GetDisplayNode().SetVisibility3D(show)

    def _showOverlay(self, show):
        if self.uncertainty is None:
            return
        if show:
            slicer.util.setSliceViewerLayers(foreground=self.uncertainty, foregroundOpacity=_OVERLAY_OPACITY)
        else:
            slicer.util.setSliceViewerLayers(foreground=None, foregroundOpacity=0.0)

    def _refreshButtons(self):
        there = self.segmentation is not None
        self._ui.show3DButton.enabled = there
        self._ui.measureButton.enabled = there
        self._ui.uncertaintyOverlayCheckBox.enabled = self.uncertainty is not None
        self._ui.reviewButton.enabled = bool(self._places)
        self._ui.reviewButton.text = _("Review next")


def jumpTo(scene, ras):
    """Move all slice views to a point in RAS mm."""
    slicer.vtkMRMLSliceNode.JumpAllSlices(scene, *ras, slicer.vtkMRMLSliceNode.CenteredJumpSlice)


def _row(segment, ml):
    from DeepSegmentLib.hosts.mrml.segmentations.segments import is_protected

    name = qt.QTableWidgetItem(segment.GetName())
    name.setData(qt.Qt.DecorationRole, qt.QColor.fromRgbF(*segment.GetColor()))
    name.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable | qt.Qt.ItemIsUserCheckable)
    volume = qt.QTableWidgetItem(f"{ml:.2f}")
    volume.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
    locked = qt.QTableWidgetItem()
    locked.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsUserCheckable)
    locked.setCheckState(qt.Qt.Checked if is_protected(segment) else qt.Qt.Unchecked)
    return name, volume, locked
