"""OpenVINO is offered, once, where a network was computed on the CPU without it."""

import slicer
from slicer.i18n import tr as _

from DeepSegmentGui.running.dependencies import installOpenVino


class OpenVinoOffer:
    """A line and two buttons below what is told of a run.

    Args:
        ui: The widgets of the panel by name.
        panel: Gives the worker and shows messages.
    """

    def __init__(self, ui, panel):
        self._ui, self._panel = ui, panel
        self._wanted = False
        ui.openvinoInstallButton.connect("clicked()", self.install)
        ui.openvinoNotNowButton.connect("clicked()", self.decline)

    def ranBy(self, report):
        """A run has ended.

        Args:
            report: Of the run. Where a GPU computed, or the network brings its own way, there is nothing to offer.
        """
        from DeepSegmentLib.service.models.openvino_package import is_worth_offering

        engine = report.get("engine", "")
        self._wanted = report.get("device") == "cpu" and engine.startswith(("torch ", "torch-")) and is_worth_offering()
        self.refresh()

    def install(self):
        """Download and install it; the worker starts anew, with it."""
        if self._panel.busy:
            return
        self._ui.openvinoLabel.text = _("Installing OpenVINO...")
        self._ui.openvinoLabel.repaint()  # pip leaves no turn to the window
        try:
            with slicer.util.WaitCursor():
                installOpenVino()
        except Exception as error:  # of pip, of the network, of the disk
            self._panel.say(_("OpenVINO could not be installed: {error}").format(error=error))
            self.refresh()
            return
        self._wanted = False
        self._panel.jobs.close()
        self._panel.say(_("OpenVINO is installed. The next run tries what is fastest here, and keeps to it."))
        self._panel.refresh()

    def decline(self):
        """Never offer it again."""
        from DeepSegmentLib.service.models.openvino_package import decline

        decline()
        self._wanted = False
        self.refresh()

    def refresh(self):
        """Bring line and buttons in line with what can be done."""
        from DeepSegmentLib.service.models.openvino_package import download_mb

        if self._wanted:
            text = _(
                "This ran on the CPU, where OpenVINO is often about twice as fast: a download of {size} MB, by Intel."
            )
            self._ui.openvinoLabel.text = text.format(size=download_mb())
        self._ui.openvinoFrame.setVisible(self._wanted)
        self._ui.openvinoInstallButton.enabled = not self._panel.busy
