"""The searchable list of models and the card of the chosen one."""

import qt
from slicer.i18n import tr as _

from DeepSegmentGui.models.model_card import describe, readable
from DeepSegmentGui.models.model_lines import linesOf, offeredModels, searchWords

_NAME, _STATE = range(2)
_ROW_FRAME = 6  # pixels around the text of a row


class ModelTable:
    """Shows what is here and what could be; tells when another model is chosen.

    Rows are made once for each reading; a search only hides some.

    Args:
        searchBox: ctkSearchBox.
        table: QTableWidget.
        card: QTextBrowser.
        onChosen: Called without arguments.

    Attributes:
        line: The chosen `ModelLine`, or None.
    """

    def __init__(self, searchBox, table, card, onChosen):
        self._searchBox, self._table, self._card, self._onChosen = searchBox, table, card, onChosen
        self._lines, self._shown, self._needs = [], "", ""
        self.line = None
        _arrange(table)
        searchBox.connect("textChanged(QString)", self._search)
        table.connect("currentCellChanged(int,int,int,int)", self._choose)

    @property
    def entry(self):
        """`ModelEntry` of the chosen model; None where it is not here."""
        return None if self.line is None else self.line.entry

    @property
    def spec(self):
        """`ModelSpec` of the chosen model; None where it cannot run."""
        return None if self.line is None else self.line.spec

    def load(self, name):
        """Read the catalogue anew and choose the model of this name, or the first one.

        Returns:
            What is wrong with the list of offers, or an empty text; the models that are here are shown anyway.
        """
        from DeepSegmentLib.errors import DeepSegmentError

        try:
            offers, problem = offeredModels(), ""
        except DeepSegmentError as error:
            offers, problem = (), str(error)
        self._lines = linesOf(offers)
        self._fill()
        self.choose(name)
        if self._table.currentRow() < 0 and self._lines:
            self._table.setCurrentCell(0, _NAME)
        return problem

    def choose(self, name):
        """Choose the model of this name, if it is there; a search that hides it ends."""
        row = next((n for n, line in enumerate(self._lines) if line.name == name), None)
        if row is None:
            return
        if self._table.isRowHidden(row):
            self._searchBox.text = ""
        self._show(row)

    def find(self, name):
        """The line of this name, or None."""
        return next((line for line in self._lines if line.name == name), None)

    def names(self):
        """Names of all models that can run."""
        return [line.name for line in self._lines if line.spec is not None]

    def showCard(self, needs=None):
        """Show the chosen model's card; `needs` says what a run will need here, None what it said before."""
        self._needs = self._needs if needs is None else needs
        text = readable(describe(self.line, self._needs), self._card)
        if self._lines and not self.shownRows():
            text = _("No model tells of that; fewer words find more. Still chosen:<br><br>{card}").format(card=text)
        if text != self._shown:  # otherwise it would scroll back to its top
            self._shown = text
            self._card.setHtml(text)

    def _fill(self):
        table = self._table
        table.blockSignals(True)
        table.setRowCount(0)
        table.setRowCount(len(self._lines))
        for row, line in enumerate(self._lines):
            for column, item in enumerate(_items(line)):
                table.setItem(row, column, item)
        self._hideOthers()
        table.setCurrentCell(-1, -1)
        table.blockSignals(False)

    def _hideOthers(self):
        words = searchWords(self._searchBox.text)
        for row, line in enumerate(self._lines):
            self._table.setRowHidden(row, not line.has(words))

    def _search(self, _text):
        """Hide what does not fit; where that is the chosen one, the first that fits is chosen."""
        self._hideOthers()
        row, shown = self._table.currentRow(), self.shownRows()
        if shown:
            self._show(row if row in shown else shown[0])
        self.showCard()

    def _show(self, row):
        """Choose a row and scroll there, once the table has laid out what a search hid or showed."""
        self._table.setCurrentCell(row, _NAME)
        qt.QTimer.singleShot(0, self._scroll)

    def _scroll(self):
        item = self._table.item(self._table.currentRow(), _NAME)
        if item is not None:
            self._table.doItemsLayout()  # rows that a search showed again count from now on
            self._table.scrollToItem(item)

    def shownRows(self):
        """Rows that the search leaves."""
        return [row for row in range(self._table.rowCount) if not self._table.isRowHidden(row)]

    def _choose(self, row, *_cells):
        if row < 0:
            return
        self.line = self._lines[row]
        self.showCard("")
        self._onChosen()


def _arrange(table):
    """Two columns without headers: the name takes what the state leaves."""
    table.setColumnCount(2)
    header = table.horizontalHeader()
    header.setVisible(False)
    header.setSectionResizeMode(_NAME, qt.QHeaderView.Stretch)
    header.setSectionResizeMode(_STATE, qt.QHeaderView.ResizeToContents)
    rows = table.verticalHeader()
    rows.setVisible(False)
    height = table.fontMetrics().height() + _ROW_FRAME
    rows.setMinimumSectionSize(height)
    rows.setSectionResizeMode(qt.QHeaderView.ResizeToContents)  # titles that differ at their ends only are wrapped


def _items(line):
    """The cells of a row."""
    name, state = qt.QTableWidgetItem(line.title), qt.QTableWidgetItem(line.state)
    tip = line.entry.damage or line.entry.description if line.entry else line.known.description
    for item in (name, state):
        item.setToolTip(f"{line.title}\n{tip}" if tip else line.title)
        item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
    state.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
    if line.entry is not None:
        font = name.font()
        font.setBold(True)
        name.setFont(font)
    return name, state
