"""Which segments of the model are made, and whether its faster variant makes them."""

import qt
from slicer.i18n import tr as _

from DeepSegmentGui.models.model_lines import searchWords
from DeepSegmentGui.parameters import leaveOut, leftOut

_FEW = 3
"""Models of so few segments are not worth a choice."""


class SegmentChoice:
    """The check box Fast, and the list of segments that opens below its button.

    Args:
        ui: The widgets of the panel by name.
        panel: Gives the settings and the models.
    """

    def __init__(self, ui, panel):
        self._ui, self._panel = ui, panel
        self._names = ()
        ui.subsetButton.connect("toggled(bool)", panel.refresh)
        ui.subsetSearchBox.connect("textChanged(QString)", self._search)
        ui.subsetAllButton.connect("clicked()", lambda: self._tickShown(True))
        ui.subsetNoneButton.connect("clicked()", lambda: self._tickShown(False))
        ui.subsetList.connect("itemChanged(QListWidgetItem*)", self._ticked)
        ui.fastCheckBox.connect("toggled(bool)", panel.refresh)

    @property
    def subset(self):
        """Names of the segments to make; None for all."""
        names = self._allNames()
        out = leftOut(self._panel.parameters, self._panel.models.spec.name) if len(names) > _FEW else ()
        return tuple(name for name in names if name not in out) if out else None

    def subsetOf(self, model):
        """Names of the segments that a model makes, which may be the chosen one or another; None for all."""
        return self.subset if model == self.line.name else None

    @property
    def line(self):
        """The `ModelLine` that runs: the chosen one, or its faster variant where that is asked for and here."""
        coarse = self._coarse()
        isThere = coarse is not None and coarse.spec is not None
        return coarse if isThere and self._panel.parameters.fast else self._panel.models.line

    def refresh(self):
        """Bring the widgets in line with model and settings."""
        self._refreshFast()
        names, ui = self._allNames(), self._ui
        isOffered = len(names) > _FEW
        ui.subsetButton.setVisible(isOffered)
        ui.subsetFrame.setVisible(isOffered and ui.subsetButton.checked)
        if not isOffered:
            return
        if names != self._names:
            self._fill(names)
        subset = self.subset
        if subset is None:
            ui.subsetButton.text = _("All {count} segments").format(count=len(names))
        else:
            ui.subsetButton.text = _("{chosen} of {count} segments").format(chosen=len(subset), count=len(names))

    def _refreshFast(self):
        spec, box = self._panel.models.spec, self._ui.fastCheckBox
        box.setVisible(spec is not None and bool(spec.coarse_model))
        if spec is None or not spec.coarse_model:
            return
        coarse = self._coarse()
        box.enabled = coarse is not None and coarse.spec is not None
        box.text = _("Fast, with {name}").format(name=spec.coarse_model)
        if not box.enabled:
            how = _("get it first") if coarse is not None else _("add it first")
            box.text = _("Fast: {name}, {how}").format(name=spec.coarse_model, how=how)
        box.toolTip = _("The same segments from a coarser model: a first look in less time.")

    def _coarse(self):
        spec = self._panel.models.spec
        return self._panel.models.find(spec.coarse_model) if spec is not None and spec.coarse_model else None

    def _allNames(self):
        spec = self._panel.models.spec
        return () if spec is None else tuple(segment.name for segment in spec.segments)

    def _fill(self, names):
        """Make the items once for each model; a search only hides some."""
        self._names = names
        out = leftOut(self._panel.parameters, self._panel.models.spec.name)
        box = self._ui.subsetList
        box.blockSignals(True)
        box.clear()
        for name in names:
            item = qt.QListWidgetItem(name)
            item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsUserCheckable)
            item.setCheckState(qt.Qt.Unchecked if name in out else qt.Qt.Checked)
            box.addItem(item)
        box.blockSignals(False)
        self._ui.subsetSearchBox.text = ""

    def _items(self):
        return [self._ui.subsetList.item(n) for n in range(self._ui.subsetList.count)]

    def _search(self, text):
        words = searchWords(text)
        for item in self._items():
            has = " " + " ".join(searchWords(item.text()))
            item.setHidden(not all(f" {word}" in has for word in words))

    def _tickShown(self, ticked):
        self._ui.subsetList.blockSignals(True)
        for item in self._items():
            if not item.isHidden():
                item.setCheckState(qt.Qt.Checked if ticked else qt.Qt.Unchecked)
        self._ui.subsetList.blockSignals(False)
        self._ticked()

    def _ticked(self, *_item):
        out = [item.text() for item in self._items() if item.checkState() != qt.Qt.Checked]
        leaveOut(self._panel.parameters, self._panel.models.spec.name, out)
        self._panel.refresh()
