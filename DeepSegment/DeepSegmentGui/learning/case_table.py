"""The table of a project's cases: picture, name, segments, status."""

import qt
from slicer.i18n import tr as _

from DeepSegmentGui.panel_words import countedSegments

_PICTURE_PX, _ROW_PX = 64, 68
_STATUS_WORDS = {"draft": _("draft"), "reviewed": _("reviewed"), "approved": _("approved")}
_NAME, _SEGMENTS, _STATUS = range(3)


class CaseTable:
    """Shows cases; several may be chosen.

    Args:
        table: The QTableWidget.
        onOpen: Called with the name of a case that was clicked twice.
        onChosen: Called when others are chosen.
    """

    def __init__(self, table, onOpen, onChosen):
        self._table, self._onOpen, self._names = table, onOpen, []
        self.lacksPictures = False
        table.setColumnCount(3)
        table.setHorizontalHeaderLabels([_("Case"), _("Segments"), _("Status")])
        table.horizontalHeader().setSectionResizeMode(_SEGMENTS, qt.QHeaderView.Stretch)
        table.setColumnWidth(_NAME, _PICTURE_PX + 90)
        table.setColumnWidth(_STATUS, 74)
        table.verticalHeader().setVisible(False)
        table.setIconSize(qt.QSize(_PICTURE_PX, _PICTURE_PX))
        table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
        table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
        table.connect("cellDoubleClicked(int,int)", self._open)
        table.connect("itemSelectionChanged()", onChosen)

    def show(self, records, damaged, folder):
        """Show these cases.

        Args:
            records: The `CaseRecord`s that can be read.
            damaged: The `DamagedCase`s that cannot.
            folder: Of the project.
        """
        chosen = set(self.chosen())
        self._names = []  # nothing is chosen while rows come and go
        self.lacksPictures = False
        self._table.setRowCount(0)
        self._table.setRowCount(len(records) + len(damaged))
        for row, record in enumerate(records):
            self._showRecord(row, record, folder)
        for row, case in enumerate(damaged, start=len(records)):
            self._show(row, case.folder.name, case.problem, _("damaged"), case.problem)
        self._names = [record.name for record in records]
        for name in self._names:
            if name in chosen:
                self.choose(name, alone=False)

    def _showRecord(self, row, record, folder):
        from DeepSegmentLib.service.projects.case_pictures import picture_of

        drawn = [each.name for each in record.drawn]
        told = "\n".join([toldOf(record), "", *drawn])
        text = ", ".join(drawn) if len(drawn) <= 3 else countedSegments(len(drawn))
        item = self._show(row, record.name, text, _STATUS_WORDS[record.status], told)
        picture = picture_of(folder, record)
        if picture.is_file():
            item.setIcon(qt.QIcon(str(picture)))
        else:
            self.lacksPictures = True

    def _show(self, row, name, segments, status, tip):
        items = [qt.QTableWidgetItem(text) for text in (name, segments, status)]
        for column, item in enumerate(items):
            item.setToolTip(tip)
            self._table.setItem(row, column, item)
        self._table.setRowHeight(row, _ROW_PX)
        return items[0]

    def chosen(self):
        """Names of the chosen cases that can be read."""
        return tuple(name for row, name in enumerate(self._names) if self._table.item(row, _NAME).isSelected())

    def choose(self, name, alone=True):
        """Choose a case, beside those that are chosen where it shall not be alone."""
        if name not in self._names:
            return
        if alone:
            self._table.clearSelection()
        row = self._names.index(name)
        for column in range(self._table.columnCount):
            self._table.item(row, column).setSelected(True)
        self._table.scrollToItem(self._table.item(row, _NAME))

    def _open(self, row, _column):
        if row < len(self._names):
            self._onOpen(self._names[row])


def toldOf(record):
    """What is known of a case beside its segments: when, how, by which model."""
    making = record.making
    lines = [
        _("collected {when}, revision {n}").format(when=record.collected[:16].replace("T", " "), n=record.revision),
        _("result of {model} {version}").format(model=making.model, version=making.model_version) * bool(making.model),
        _("corrections: {count}").format(count=making.corrections) * bool(making.corrections),
        _("minutes: {minutes:.0f}").format(minutes=making.minutes) * bool(making.minutes),
        record.notes,
    ]
    return "\n".join(line for line in lines if line)
