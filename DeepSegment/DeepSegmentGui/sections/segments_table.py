"""The table of segments: what is in the scene now, whoever changed it; counted while the window lives."""

import time

import qt
from slicer.i18n import tr as _

_SEGMENT_ID = qt.Qt.UserRole
_SHOWN, _NAME, _ML, _LOCKED = range(4)
_HEADERS = ("", _("Segment"), _("ml"), _("Locked"))

_QUIET_MS = 200
"""After so long without a change the table is filled anew: strokes of a brush come faster."""

_TURN_S = 0.015
"""So long is counted before the window gets its turn."""

_MOST_ROWS = 24
"""Longer tables are scrolled."""


class SegmentsTable:
    """Rows for the segments of one segmentation node: shown, name, volume, locked.

    Args:
        table: The QTableWidget.
        goTo: Called with the ID of a segment whose row was clicked.
        changed: Called without arguments when the segments or what is known of them have changed.
    """

    def __init__(self, table, goTo, changed):
        self._table, self._goTo, self._notify = table, goTo, changed
        self._node, self._tags = None, []
        self._ml, self._counting, self._counted = {}, None, None
        self._order = None
        table.setColumnCount(len(_HEADERS))
        table.setHorizontalHeaderLabels(list(_HEADERS))
        header = table.horizontalHeader()
        header.setMinimumSectionSize(20)
        for column in (_SHOWN, _ML, _LOCKED):
            header.setSectionResizeMode(column, qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(_NAME, qt.QHeaderView.Stretch)
        header.connect("sectionClicked(int)", self._sortBy)
        table.verticalHeader().setVisible(False)
        table.connect("itemChanged(QTableWidgetItem*)", self._ticked)
        table.connect("cellClicked(int,int)", self._clicked)
        self._quietTimer, self._countTimer = qt.QTimer(), qt.QTimer()
        self._quietTimer.setSingleShot(True)
        self._quietTimer.setInterval(_QUIET_MS)
        self._quietTimer.connect("timeout()", self.fill)
        self._countTimer.setInterval(0)
        self._countTimer.connect("timeout()", self._count)
        self._fitHeight()

    @property
    def node(self):
        """The segmentation node on show, or None."""
        return self._node

    @property
    def counting(self):
        """Whether volumes are still being counted, or will be."""
        return self._countTimer.isActive() or self._quietTimer.isActive()

    def millilitres(self, segmentID):
        """The volume of a segment; None while it is not counted."""
        return self._ml.get(segmentID)

    def show(self, node):
        """Show the segments of this node from now on; None for no segments."""
        if node is self._node:
            return
        for tag in self._tags:
            self._node.RemoveObserver(tag)
        self._node, self._ml, self._counted = node, {}, None
        self._tags = [] if node is None else [node.AddObserver(event, self._changed) for event in _events(node)]
        self.fill()

    def fill(self):
        """Fill the table from the scene now."""
        self._quietTimer.stop()
        self._fillRows()
        self._fitHeight()
        if self._table.visible:
            self._startCounting()
        self._notify()

    # The scene

    def _changed(self, *_event):
        """Fill anew, but not now; what is being counted may have other segments and voxels by now."""
        if self._countTimer.isActive():
            self._countTimer.stop()
            self._counted = self._counting = None
        self._quietTimer.start()

    def _segment(self, segmentID):
        return self._node.GetSegmentation().GetSegment(segmentID)

    def _startCounting(self):
        """Count, unless the voxels are those that are counted already or being counted."""
        from DeepSegmentLib.hosts.mrml.segmentations.sizes import millilitres, voxel_times

        times = None if self._node is None else voxel_times(self._node)
        if times != self._counted:
            self._counted, self._counting = times, None if times is None else millilitres(self._node)
            self._countTimer.start()

    def _count(self):
        end = time.monotonic() + _TURN_S
        known = self._ml
        while self._counting is not None and time.monotonic() < end:
            step = next(self._counting, None)
            if step is None:
                self._counting = None
            else:
                known = step
        if self._counting is None:
            self._countTimer.stop()
        if known != self._ml:
            self._ml = self._ml | known
            self._fillVolumes()

    # The rows

    def _sortedIDs(self):
        from DeepSegmentLib.hosts.mrml.segmentations.segments import segment_ids

        ids = [] if self._node is None else list(segment_ids(self._node))
        if self._order is None:
            return ids
        column, descending = self._order
        key = self._ml.get if column == _ML else lambda each: self._segment(each).GetName().casefold()
        known = [each for each in ids if column == _NAME or each in self._ml]
        return sorted(known, key=key, reverse=descending) + [each for each in ids if each not in known]

    def _sortBy(self, column):
        """One way, the other way, the order of the scene: names from A, volumes from the largest."""
        if column not in (_NAME, _ML):
            return
        first = (column, column == _ML)
        orders = [first, (column, not first[1]), None]
        self._order = orders[(orders.index(self._order) + 1) % 3] if self._order in orders else first
        header = self._table.horizontalHeader()
        header.setSortIndicatorShown(self._order is not None)
        if self._order is not None:
            header.setSortIndicator(column, qt.Qt.DescendingOrder if self._order[1] else qt.Qt.AscendingOrder)
        self.fill()

    def _fillRows(self):
        """A row for each segment, in order; the chosen one stays chosen."""
        ids, chosen = self._sortedIDs(), self._chosen()
        self._table.blockSignals(True)
        self._table.setRowCount(len(ids))
        for row, segmentID in enumerate(ids):
            self._fillRow(row, segmentID)
            if segmentID == chosen:
                self._table.selectRow(row)
        self._table.blockSignals(False)

    def _fillRow(self, row, segmentID):
        from DeepSegmentLib.hosts.mrml.segmentations.segments import is_protected

        segment, display = self._segment(segmentID), self._node.GetDisplayNode()
        name = qt.QTableWidgetItem(segment.GetName())
        name.setData(qt.Qt.DecorationRole, qt.QColor.fromRgbF(*segment.GetColor()))
        name.setToolTip(segment.GetName())
        name.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
        shown = _tickItem(display is None or display.GetSegmentVisibility(segmentID))
        shown.setData(_SEGMENT_ID, segmentID)
        items = {_SHOWN: shown, _NAME: name, _ML: self._volumeItem(segmentID),
                 _LOCKED: _tickItem(is_protected(segment))}  # fmt: skip
        for column, item in items.items():
            self._table.setItem(row, column, item)

    def _fillVolumes(self):
        if self._order is not None and self._order[0] == _ML and self._counting is None:
            self._fillRows()
            return
        self._table.blockSignals(True)
        for row in range(self._table.rowCount):
            self._table.setItem(row, _ML, self._volumeItem(self._idOf(row)))
        self._table.blockSignals(False)

    def _volumeItem(self, segmentID):
        """Millilitres; three dots while they are counted, a dash where there are only surfaces to count."""
        from DeepSegmentLib.hosts.mrml.segmentations.label_images import labelmap_name

        ml, hasVoxels = self._ml.get(segmentID), self._node.GetSegmentation().ContainsRepresentation(labelmap_name())
        item = qt.QTableWidgetItem(f"{ml:.2f}" if ml is not None else "..." if hasVoxels else "-")
        item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
        item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
        return item

    def _fitHeight(self):
        """As tall as its rows, so that nothing is scrolled inside a panel that scrolls."""
        table = self._table
        rows = sum(table.rowHeight(row) for row in range(min(table.rowCount, _MOST_ROWS)))
        table.setFixedHeight(table.horizontalHeader().sizeHint.height() + rows + 2 * table.frameWidth)

    def _idOf(self, row):
        return self._table.item(row, _SHOWN).data(_SEGMENT_ID)

    def _chosen(self):
        row = self._table.currentRow()
        return self._idOf(row) if 0 <= row < self._table.rowCount else None

    # The user

    def _ticked(self, item):
        from DeepSegmentLib.hosts.mrml.segmentations.segments import is_protected, set_finished, set_locked

        segmentID, ticked = self._idOf(item.row()), item.checkState() == qt.Qt.Checked
        if self._segment(segmentID) is None:  # removed a moment ago: the table is about to be filled
            return
        if item.column() == _SHOWN:
            self._node.CreateDefaultDisplayNodes()
            self._node.GetDisplayNode().SetSegmentVisibility(segmentID, ticked)
        elif item.column() == _LOCKED:
            set_locked(self._segment(segmentID), ticked)
            if not ticked and is_protected(self._segment(segmentID)):
                set_finished(self._segment(segmentID), finished=False)

    def _clicked(self, row, column):
        if column in (_NAME, _ML):
            self._goTo(self._idOf(row))


def _events(node):
    """What tells of changes; the node passes on what its segmentation and its display say.

    Undo says no more than that segments were modified.
    """
    segmentation = node.GetSegmentation()
    return (
        segmentation.SegmentAdded,
        segmentation.SegmentRemoved,
        segmentation.SegmentModified,
        segmentation.SegmentsOrderModified,
        segmentation.SourceRepresentationModified,
        node.SegmentationChangedEvent,
        node.DisplayModifiedEvent,
    )


def _tickItem(ticked):
    item = qt.QTableWidgetItem()
    item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsUserCheckable)
    item.setCheckState(qt.Qt.Checked if ticked else qt.Qt.Unchecked)
    return item
