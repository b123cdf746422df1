"""The Diagnose dialog: facts and remedies as text to copy. The facts are collected in a process of their own."""

import os

import qt
import slicer
from slicer.i18n import tr as _

from DeepSegmentGui.panel_words import panelWords
from DeepSegmentGui.running.dependencies import installFromFolder
from DeepSegmentGui.running.job_runner import pythonExecutable


class DiagnosisDialog:
    """Opens at once and fills in when `deepsegment diagnose` has answered.

    Args:
        parent: Widget that the dialog belongs to.
        requirementsPath: Of requirements.txt.
    """

    def __init__(self, parent, requirementsPath):
        self._requirementsPath = requirementsPath
        self.dialog = qt.QDialog(parent)
        self.dialog.setWindowTitle(_("DeepSegment: Diagnose"))
        self.dialog.resize(720, 560)
        self.text = qt.QPlainTextEdit(self.dialog)
        self.text.setReadOnly(True)
        self.text.setPlainText(_("Looking at versions, GPU, memory and disk..."))
        layout = qt.QVBoxLayout(self.dialog)
        layout.addWidget(self.text)
        buttons = qt.QHBoxLayout()
        layout.addLayout(buttons)
        for label, action in (
            (_("Copy"), self._copy),
            (_("Install packages from folder..."), self._installFromFolder),
            (_("Close"), self.dialog.close),
        ):
            button = qt.QPushButton(label, self.dialog)
            button.connect("clicked()", action)
            buttons.addWidget(button)
        self._process = qt.QProcess(self.dialog)
        self._process.setProcessChannelMode(qt.QProcess.MergedChannels)
        self._process.connect("finished(int,QProcess::ExitStatus)", self._finished)

    def open(self):
        """Show the dialog and start looking."""
        from DeepSegmentLib.hosts.worker.client import with_library

        environment = qt.QProcessEnvironment()
        for name, value in with_library(os.environ).items():
            environment.insert(name, value)
        self._process.setProcessEnvironment(environment)
        self._process.start(pythonExecutable(), ["-m", "DeepSegmentLib.hosts.command.main", "diagnose"])
        self.dialog.show()

    @property
    def running(self):
        """Whether the answer is still to come."""
        return self._process.state() != qt.QProcess.NotRunning

    def _finished(self, _exitCode, _status):
        output = self._process.readAllStandardOutput().data()
        self.text.setPlainText(panelWords(output if isinstance(output, str) else output.decode("utf-8", "replace")))

    def _copy(self):
        slicer.app.clipboard().setText(self.text.toPlainText())

    def _installFromFolder(self):
        folder = qt.QFileDialog.getExistingDirectory(self.dialog, _("Folder of wheels"))
        if folder:
            with slicer.util.tryWithErrorDisplay(_("The packages could not be installed."), waitCursor=True):
                installFromFolder(self._requirementsPath, folder)
