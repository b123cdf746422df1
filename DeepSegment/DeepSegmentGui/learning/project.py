"""The section Project: its folder, collecting the case on show, the table of cases."""

from pathlib import Path

import slicer
from slicer.i18n import tr as _

from DeepSegmentGui.learning.case_table import CaseTable
from DeepSegmentGui.learning.next_volumes import NextVolumes
from DeepSegmentGui.running.dependencies import missing

_KEY = "DeepSegment/project"
_STATUSES = (("draft", _("Draft")), ("reviewed", _("Reviewed")), ("approved", _("Approved")))


class ProjectSection:
    """Collects cases and shows those that there are. The folder is the truth: it is read whenever it may have changed.

    Args:
        ui: The widgets of the panel by name.
        scene: The MRML scene.
        panel: Gives the settings, the worker and the place to say things.

    Attributes:
        table: The `CaseTable`.
        next: The `NextVolumes`.
    """

    def __init__(self, ui, scene, panel):
        self._ui, self._scene, self._panel = ui, scene, panel
        for value, text in _STATUSES:
            ui.projectStatusComboBox.addItem(text, value)
        self.table = CaseTable(ui.casesTable, self._load, self.refresh)
        self.next = NextVolumes(ui, panel, self)
        stored = slicer.util.settingsValue(_KEY, "")
        if stored:
            ui.projectFolderButton.directory = stored
        ui.projectFolderButton.connect("directoryChanged(QString)", self._folderChosen)
        ui.collectButton.connect("clicked()", self.collect)
        ui.openCaseButton.connect("clicked()", self._loadChosen)
        for button, (status, _text) in zip(
            (ui.draftButton, ui.reviewedButton, ui.approveButton), _STATUSES, strict=True
        ):
            button.connect("clicked()", lambda status=status: self.setStatus(status))
        ui.projectSection.connect("contentsCollapsed(bool)", self._opened)

    @property
    def folder(self):
        """Of the project, or None where none was chosen."""
        text = slicer.util.settingsValue(_KEY, "")
        return Path(text) if text else None

    @property
    def isThere(self):
        """Whether the folder is a project already."""
        return self.folder is not None and (self.folder / "project.json").is_file()

    def refresh(self, *_arguments):
        """Bring the buttons in line with what is chosen."""
        chosen = self.table.chosen()
        self._ui.openCaseButton.enabled = len(chosen) == 1
        for button in (self._ui.draftButton, self._ui.reviewedButton, self._ui.approveButton):
            button.enabled = bool(chosen)
        self._ui.collectButton.enabled = not self._panel.jobs.busy
        self.next.refresh()

    def read(self):
        """Read the cases anew."""
        from DeepSegmentLib.errors import DeepSegmentError
        from DeepSegmentLib.service.projects.project import case_records, damaged_cases

        if not self.isThere:
            self.table.show((), (), None)
            return
        try:
            self.table.show(case_records(self.folder), damaged_cases(self.folder), self.folder)
        except DeepSegmentError as error:
            self.table.show((), (), None)
            self._say(str(error))
        self._panel.training.projectChanged()
        self.refresh()

    def _say(self, text):
        self._panel.say(text, self._ui.projectMessageLabel)

    def _folderChosen(self, folder):
        slicer.app.userSettings().setValue(_KEY, folder)
        self._say("")
        self._opened(False)

    def _opened(self, collapsed):
        """Show the cases of the folder; those without a picture get one, where nothing else is under way."""
        from DeepSegmentLib.hosts.worker.learning_jobs import DrawCasesJob

        if collapsed:
            return
        self.read()
        if self.table.lacksPictures and not self._panel.busy and not missing(self._panel.requirementsPath):
            folder = str(self.folder)
            self._panel.runJob(lambda: DrawCasesJob(folder), self._drawn, self._ui.projectMessageLabel)

    def _drawn(self, _result):
        self.read()
        return ""

    # Collect

    def collect(self):
        """Copy the volume and the segmentation on show into the project."""
        label = self._ui.projectMessageLabel
        if self.folder is None:
            self._say(_("Choose a folder for the project first."))
            return
        parameters = self._panel.parameters
        nodes = (parameters.volume, parameters.segmentation) if parameters is not None else (None, None)
        if None in nodes:
            self._say(_("Choose a volume and a segmentation first."))
        elif self._panel.packagesAreThere(label):
            folder = str(self.folder)
            self._panel.runJob(lambda: self._job(folder, *nodes), self._collected, label)

    def _job(self, folder, volumeNode, segmentation):
        from DeepSegmentLib.data import LabelMap
        from DeepSegmentLib.hosts.mrml.segmentations.nodes import label_map_from_node, provenance_of
        from DeepSegmentLib.hosts.mrml.volumes import volume_from_nodes
        from DeepSegmentLib.hosts.worker.learning_jobs import CollectJob, Said

        volume = volume_from_nodes([volumeNode])
        labels = label_map_from_node(segmentation, volumeNode)
        labels = LabelMap(labels.layers, volume.geometry, labels.segments)
        said = Said(
            status=self._ui.projectStatusComboBox.currentData,
            patient=self._ui.projectPatientEdit.text,
            absent=listed(self._ui.projectAbsentEdit.text),
            journal=journalOf(segmentation),
        )
        return CollectJob(folder, volume, labels, said, provenance_of(segmentation))

    def _collected(self, result):
        self.read()
        case, revision = result.answer["case"], result.answer["revision"]
        self.table.choose(case)
        self._ui.projectAbsentEdit.text = ""
        if revision > 1:
            return _("{case} has another revision of its labels, number {revision}.").format(
                case=case, revision=revision
            )
        return _("Collected as {case}.").format(case=case)

    # The cases

    def setStatus(self, status):
        """Say how far the chosen cases are."""
        from DeepSegmentLib.errors import DeepSegmentError
        from DeepSegmentLib.service.projects.project import set_status

        chosen = self.table.chosen()
        try:
            set_status(self.folder, chosen, status)
            self._say("")
        except DeepSegmentError as error:
            self._say(str(error))
        self.read()
        for name in chosen:
            self.table.choose(name, alone=False)

    def _loadChosen(self):
        for name in self.table.chosen()[:1]:
            self._load(name)

    def _load(self, name):
        """Load a case into the scene, to look at it and to correct it; collecting it again makes a new revision."""
        from DeepSegmentLib.errors import DeepSegmentError
        from DeepSegmentLib.files.projects import case_folder, open_project, read_case

        try:
            project = open_project(self.folder)
            record, folder = read_case(project, name), case_folder(project, name)
        except DeepSegmentError as error:
            self._say(str(error))
            return
        volume = slicer.modules.volumes.logic().AddArchetypeVolume(str(folder / record.channels[0]), name, 0)
        labels = slicer.modules.segmentations.logic().LoadSegmentationFromFile(str(folder / record.labels))
        if volume is None or labels is None:
            self._say(_("{name} cannot be loaded.").format(name=name))
            return
        labels.SetName(_("{name} segmentation").format(name=name))
        labels.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
        self._panel.showSegmentation(volume, labels)
        self._say(_("{name} is loaded: correct it, and collect it again.").format(name=name))


def listed(text):
    """Names with commas between them."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def journalOf(segmentation):
    """Folder of the journal of a segmentation's corrections; empty without."""
    from DeepSegmentGui.correction.journals import journalsFolder
    from DeepSegmentLib.hosts.mrml.correction.node_journal import held_by

    held = held_by(segmentation)
    folder = journalsFolder() / held[0] if held else None
    return str(folder) if folder is not None and folder.is_dir() else ""
