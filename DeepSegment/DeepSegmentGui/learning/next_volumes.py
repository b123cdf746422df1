"""What to annotate next, in the section Project: volumes of a folder, ranked by what the model would learn."""

from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _


class NextVolumes:
    """Ranks the volumes of a folder and loads the one that is chosen.

    Args:
        ui: The widgets of the panel by name.
        panel: Gives the model, the worker and the place to say things.
        project: The `ProjectSection`; what is in the project is left out.
    """

    def __init__(self, ui, panel, project):
        self._ui, self._panel, self._project = ui, panel, project
        self._volumes = []
        table = ui.nextTable
        table.setColumnCount(2)
        table.setHorizontalHeaderLabels([_("Volume"), _("Why")])
        table.horizontalHeader().setSectionResizeMode(1, qt.QHeaderView.Stretch)
        table.verticalHeader().setVisible(False)
        table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
        table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
        table.setVisible(False)
        table.connect("cellDoubleClicked(int,int)", self._load)
        ui.nextButton.connect("clicked()", self.rank)

    def refresh(self):
        """Bring the button in line with what is under way."""
        self._ui.nextButton.enabled = not self._panel.busy and bool(self._ui.nextFolderButton.directory)

    def rank(self):
        """Rank the volumes of the folder by the panel's model."""
        from DeepSegmentLib.hosts.worker.learning_jobs import NextJob

        label = self._ui.nextMessageLabel
        if not self._panel.packagesAreThere(label):
            return
        parameters, project = self._panel.parameters, self._project.folder
        job = NextJob(self._ui.nextFolderButton.directory, parameters.model, str(project or ""), parameters.device)
        self._panel.runJob(lambda: job, self._ranked, label)

    def _ranked(self, result):
        ranked, left = result.answer["ranked"], result.answer["left_out"]
        table = self._ui.nextTable
        self._volumes = [row["volume"] for row in ranked]
        table.setRowCount(len(ranked))
        for n, row in enumerate(ranked):
            for column, text in enumerate((Path(row["volume"]).name, row["reason"])):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(f"{row['volume']}\n{row['reason']}")
                table.setItem(n, column, item)
        table.resizeRowsToContents()
        table.setVisible(bool(ranked))
        told = [_("left out: {volume}: {reason}").format(**each) for each in left[:5]]
        if not ranked:
            told.insert(0, _("There is no volume to annotate."))
        return "\n".join(told)

    def _load(self, row, _column):
        path = self._volumes[row]
        node = slicer.modules.volumes.logic().AddArchetypeVolume(path, Path(path).name, 0)
        if node is None:
            self._panel.say(_("{name} cannot be loaded.").format(name=path), self._ui.nextMessageLabel)
            return
        slicer.util.setSliceViewerLayers(background=node, fit=True)
        self._panel.parameters.volume = node
