"""The section Output: where results go and what may happen to the segments that are there."""

import qt
from slicer.i18n import tr as _

from DeepSegmentGui.sections.models import checkedTexts

_POLICIES = (
    ("add", _("Add beside existing segments")),
    ("replace", _("Replace chosen segments")),
    ("empty", _("Only empty voxels")),
    ("roi", _("Only inside the region")),
)


class OutputSection:
    """The choice of the merge policy.

    Args:
        ui: The widgets of the panel by name.
        panel: Gives the settings.
    """

    def __init__(self, ui, panel):
        self._ui, self._panel = ui, panel
        for value, text in _POLICIES:
            ui.policyComboBox.addItem(text, value)
        ui.policyComboBox.connect("currentIndexChanged(int)", self._policyChosen)
        ui.replaceComboBox.connect("checkedIndexesChanged()", self._replaceChosen)
        ui.outputSection.connect("contentsCollapsed(bool)", panel.refresh)

    def refresh(self):
        """Bring the widgets in line with the settings."""
        parameters, ui = self._panel.parameters, self._ui
        there = parameters.segmentation is not None
        ui.policyComboBox.enabled = there
        ui.policyComboBox.setCurrentIndex(max(0, ui.policyComboBox.findData(parameters.policy)))
        replacing = there and parameters.policy == "replace"
        for widget in (ui.replaceComboBox, ui.replaceComboBoxLabel):
            widget.setVisible(replacing)
        if replacing:
            self._fillReplace()

    def _fillReplace(self):
        parameters, box = self._panel.parameters, self._ui.replaceComboBox
        segmentation = parameters.segmentation.GetSegmentation()
        names = [segmentation.GetNthSegment(n).GetName() for n in range(segmentation.GetNumberOfSegments())]
        if names == [box.itemText(n) for n in range(box.count)]:
            return
        box.blockSignals(True)
        box.clear()
        box.addItems(names)
        model = box.checkableModel()
        for row, name in enumerate(names):
            state = qt.Qt.Checked if name in parameters.replace else qt.Qt.Unchecked
            box.setCheckState(model.index(row, 0), state)
        box.blockSignals(False)

    def _policyChosen(self, index):
        if not self._panel.refreshing:
            self._panel.parameters.policy = self._ui.policyComboBox.itemData(index)

    def _replaceChosen(self):
        if not self._panel.refreshing:
            self._panel.parameters.replace = checkedTexts(self._ui.replaceComboBox)
