"""The searchable list of models and the card of the chosen one."""

import html

import qt
from slicer.i18n import tr as _

_NAME = qt.Qt.UserRole


class ModelList:
    """Shows the catalogue; tells when another model is chosen.

    Attributes:
        entry: The chosen `ModelEntry`, or None.
        spec: Its `ModelSpec`, or None.
    """

    def __init__(self, searchBox, listWidget, card, onChosen):
        self._searchBox, self._list, self._card, self._onChosen = searchBox, listWidget, card, onChosen
        self._models = {}
        self.entry = self.spec = None
        searchBox.connect("textChanged(QString)", self._fill)
        listWidget.connect("currentRowChanged(int)", self._choose)

    def load(self, name):
        """Read the catalogue anew and choose the model of this name, or the first one."""
        from DeepSegmentLib.files.models import read_spec
        from DeepSegmentLib.service.catalogue import list_models

        self._models = {entry.name: (entry, None if entry.damage else read_spec(entry.path)) for entry in list_models()}
        self._fill(chosen=name)

    def choose(self, name):
        """Select the model of this name, if it is there."""
        for row in range(self._list.count):
            if self._list.item(row).data(_NAME) == name:
                self._list.setCurrentRow(row)
                return

    def names(self):
        """Names of all models that can run."""
        return [name for name, (entry, spec) in self._models.items() if spec is not None]

    def showCard(self, needs=""):
        """Show the chosen model's card; `needs` says what a run will need here."""
        self._card.setHtml("" if self.entry is None else describe(self.entry, self.spec, needs))

    def _fill(self, text=None, chosen=None):
        words = (self._searchBox.text if text is None else text).casefold().split()
        chosen = chosen or (self.entry.name if self.entry else "")
        self._list.blockSignals(True)
        self._list.clear()
        for name, (entry, spec) in self._models.items():
            if all(word in searchText(entry, spec) for word in words):
                self._list.addItem(_item(name, entry))
        self._list.blockSignals(False)
        self.choose(chosen)
        if self._list.currentRow < 0 and self._list.count:
            self._list.setCurrentRow(0)

    def _choose(self, row):
        if row < 0:
            return
        self.entry, self.spec = self._models[self._list.item(row).data(_NAME)]
        self.showCard()
        self._onChosen()


def _item(name, entry):
    text = f"{name} {entry.version}".strip()
    item = qt.QListWidgetItem(text if not entry.damage else _("{name} (damaged)").format(name=text))
    item.setData(_NAME, name)
    item.setToolTip(entry.damage or entry.description)
    return item


def searchText(entry, spec):
    """What a search looks through: name, description, licence, structures and modalities, in lower case."""
    words = [entry.name, entry.description, entry.license]
    if spec is not None:
        words += [segment.name for segment in spec.segments] + [channel.modality for channel in spec.channels]
    return " ".join(words).casefold()


def describe(entry, spec, needs=""):
    """The card as HTML; the text of foreign models is escaped."""
    if spec is None:
        return _("<b>{name}</b> cannot be used: {damage}").format(
            name=html.escape(entry.name), damage=html.escape(entry.damage)
        )
    size = sum(path.stat().st_size for path in entry.path.iterdir() if path.is_file()) / 1e6
    inputs = ", ".join(f"{channel.name} ({channel.modality})" for channel in spec.channels)
    rows = [
        (_("Input"), inputs),
        (_("Segments"), ", ".join(segment.name for segment in spec.segments)),
        (_("Licence"), spec.license),
        (_("Size"), _("{megabytes:.0f} MB").format(megabytes=size)),
        (_("Here"), needs),
        (_("Cite"), spec.citation),
    ]
    lines = [f"<b>{html.escape(label)}:</b> {html.escape(text)}" for label, text in rows if text]
    return html.escape(spec.description) + "<br>" + "<br>".join(lines)


def checkedTexts(box):
    """Texts of the ticked items of a ctkCheckableComboBox."""
    model = box.checkableModel()
    rows = [row for row in range(box.count) if box.checkState(model.index(row, 0)) == qt.Qt.Checked]
    return [box.itemText(row) for row in rows]
