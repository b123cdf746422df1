"""The buttons of the section Advanced: memory, the Diagnose dialog."""

from slicer.i18n import tr as _

from DeepSegmentGui.diagnosis_dialog import DiagnosisDialog


class AdvancedSection:
    """What is not needed every day.

    Args:
        ui: The widgets of the panel by name.
        parent: Widget that dialogs belong to.
        panel: Gives the worker.

    Attributes:
        dialog: The last `DiagnosisDialog`, or None.
    """

    def __init__(self, ui, parent, panel):
        self._ui, self._parent, self._panel = ui, parent, panel
        self.dialog = None
        ui.deviceComboBox.connect("currentTextChanged(QString)", self._deviceChosen)
        ui.modelOverlapCheckBox.connect("toggled(bool)", panel.refresh)
        ui.releaseButton.connect("clicked()", self.releaseMemory)
        ui.diagnoseButton.connect("clicked()", self.diagnose)

    def refresh(self):
        """Bring the widgets in line with the settings."""
        device = self._panel.parameters.device
        if self._ui.deviceComboBox.currentText != device:
            self._ui.deviceComboBox.setEditText(device)
        for widget in (self._ui.overlapSlider, self._ui.overlapSliderLabel):
            widget.enabled = not self._panel.parameters.modelOverlap

    def _deviceChosen(self, device):
        if not self._panel.refreshing:
            self._panel.parameters.device = device.strip() or "auto"

    def diagnose(self):
        """Open the Diagnose dialog."""
        self.dialog = DiagnosisDialog(self._parent, self._panel.requirementsPath)
        self.dialog.open()

    def releaseMemory(self):
        """End the worker process; not while it works."""
        if not self._panel.jobs.busy:
            self._panel.jobs.close()
            self._panel.say(
                _("The worker's memory is free; it starts again with the next click."), self._ui.advancedMessageLabel
            )
