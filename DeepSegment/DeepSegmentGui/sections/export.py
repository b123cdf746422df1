"""The section Export: a case out of the scene, by the worker, as export reads every voxel."""

import importlib.util
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

_FORMATS = (
    ("nifti", _("NIfTI pair with label table"), "{case}"),
    ("seg-nrrd", _("Slicer segmentation (.seg.nrrd)"), "{case}.seg.nrrd"),
    ("nnunet", _("nnU-Net dataset (append case)"), ""),
    ("monai-label", _("MONAI Label datastore (append case)"), ""),
    ("dicom-seg", _("DICOM Segmentation"), "{case}.dcm"),
    ("stl", _("Surfaces for printing (STL)"), ""),
    ("obj", _("Surfaces with colors (OBJ)"), "{case}.obj"),
    ("glb", _("Surfaces with colors (glTF)"), "{case}.glb"),
    ("csv", _("Measurements (CSV)"), "{case}.csv"),
)
_TEXTS = {value: text for value, text, _name in _FORMATS}
_DICOM = "dicom-seg"
_INSTANCES = "DICOM.instanceUIDs"


class ExportSection:
    """Exports the segmentation on show.

    Args:
        ui: The widgets of the panel by name.
        scene: The MRML scene.
        panel: Gives the settings, the worker and the place to say things.
    """

    def __init__(self, ui, scene, panel):
        self._ui, self._scene, self._panel = ui, scene, panel
        self._numbered, self._asked = ("", ""), None
        for value, text, _name in _FORMATS:
            ui.exportFormatComboBox.addItem(text, value)
        ui.exportButton.connect("clicked()", self.export)
        ui.exportReplaceButton.connect("clicked()", lambda: self.export(replace=True))
        ui.exportFormatComboBox.connect("currentIndexChanged(int)", self._askNoMore)
        ui.exportCaseEdit.connect("textChanged(QString)", self._askNoMore)
        ui.exportFolderButton.connect("directoryChanged(QString)", self._askNoMore)

    def refresh(self):
        """Offer DICOM Segmentation only where it can be made, and say why where it cannot."""
        volume = self._panel.parameters.volume
        reason, box, text = whyNoDicom(volume), self._ui.exportFormatComboBox, _TEXTS[_DICOM]
        row = box.findData(_DICOM)
        box.setItemText(row, _("{format}: {reason}").format(format=text, reason=reason) if reason else text)
        box.setItemData(row, reason, qt.Qt.ToolTipRole)
        box.model().item(row).setEnabled(not reason)
        if reason and box.currentIndex == row:
            box.setCurrentIndex(0)
        if self._asked not in (None, self._chosen()):
            self._askNoMore()

    def export(self, replace=False):
        """Write the case to the chosen folder in the chosen format."""
        from DeepSegmentLib.hosts.worker.jobs_and_events import ExportJob

        nodes = self._nodes(self._ui.exportMessageLabel)
        if nodes is None:
            return
        kind = self._ui.exportFormatComboBox.currentData
        folder = Path(self._ui.exportFolderButton.directory)
        case = self._caseName(nodes[0], folder)
        target = folder / targetName(kind, case)
        spec = self._panel.models.spec
        settings = settingsFor(kind, spec.channels[0].modality if spec else "MR", replace)
        self._askNoMore()
        self._asked = nodes
        self._panel.runJob(
            lambda: ExportJob(caseOf(nodes, case, kind), str(target), settings),
            self._exported,
            self._ui.exportMessageLabel,
            self._failed,
        )

    def forget(self):
        """Drop what was asked, as when the scene closes."""
        self._askNoMore()

    def _failed(self, error):
        """What to say of an export that failed; where something is there already, a button replaces it."""
        from DeepSegmentLib.errors import ExistsError

        self._ui.exportReplaceButton.setVisible(isinstance(error, ExistsError))
        return str(error)

    def _askNoMore(self, *_arguments):
        self._asked = None
        if self._ui.exportReplaceButton.isVisibleTo(self._ui.exportMessageFrame):
            self._ui.exportReplaceButton.setVisible(False)
            self._panel.say("", self._ui.exportMessageLabel)

    def _caseName(self, volume, folder):
        """What the user calls the case, or a number: names of volumes are often names of patients.

        The number stays for further exports of the same volume.
        """
        from DeepSegmentLib.files.datasets.nnunet import free_case

        edit, (volumeID, number) = self._ui.exportCaseEdit, self._numbered
        name = edit.text.strip()
        if name and not (name == number and volume.GetID() != volumeID):
            return name
        self._numbered = volume.GetID(), free_case(folder)
        edit.text = self._numbered[1]
        return self._numbered[1]

    def _nodes(self, label):
        """The volume and the segmentation to export, or None after saying what is missing."""
        nodes = self._chosen()
        if None in nodes:
            self._panel.say(_("Choose a volume and a segmentation first."), label)
            return None
        return nodes

    def _chosen(self):
        """The volume and the segmentation of the settings; None for what is not chosen."""
        parameters = self._panel.parameters
        return (None, None) if parameters is None else (parameters.volume, parameters.segmentation)

    def _exported(self, result):
        outputs, notes = result.report["outputs"], result.report["notes"]
        for note in notes:
            self._panel.results.log(note)
        return _("Exported to {paths}").format(paths=", ".join(outputs))


def targetName(kind, case):
    """Name of the file or folder below the chosen folder."""
    names = {value: name for value, _text, name in _FORMATS}
    return names[kind].format(case="".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in case))


def settingsFor(kind, modality, replace=False):
    """How the panel exports: a dataset may learn new labels; what exists is replaced only where the user said so."""
    from DeepSegmentLib.service.export import ExportSettings

    training = kind == "nnunet"
    return ExportSettings(kind, replace, new_labels=training, channel_names=(modality,) if training else ())


def caseOf(nodes, name, kind):
    """The case as the exporters want it.

    A linear transform above the nodes is applied, as the exported files have none; DICOM SEG keeps the grid of its
    slices, which know nothing of transforms.
    """
    from DeepSegmentLib.data import LabelMap
    from DeepSegmentLib.hosts.mrml.correction.node_journal import held_by
    from DeepSegmentLib.hosts.mrml.segmentations.nodes import label_map_from_node, provenance_of
    from DeepSegmentLib.hosts.mrml.volumes import local_volume, volume_from_nodes
    from DeepSegmentLib.service.export import ExportCase

    volumeNode, segmentation = nodes
    volume = local_volume(volumeNode) if kind == _DICOM else volume_from_nodes([volumeNode])
    labels = label_map_from_node(segmentation, volumeNode)
    labels = LabelMap(labels.layers, volume.geometry, labels.segments)
    provenance, (_journal, corrections) = provenance_of(segmentation), held_by(segmentation) or ("", 0)
    if corrections:
        provenance["corrections"] = str(corrections)
    return ExportCase(name, volume, labels, provenance, dicomFiles(volumeNode))


def dicomFiles(volumeNode):
    """The DICOM files that a volume was loaded from; none for other volumes."""
    database = getattr(slicer, "dicomDatabase", None)
    uids = (volumeNode.GetAttribute(_INSTANCES) or "").split()
    return tuple(Path(database.fileForInstance(uid)) for uid in uids) if database is not None else ()


def whyNoDicom(volumeNode):
    """Why no DICOM Segmentation can be made of a volume, or an empty text."""
    uids = ((volumeNode and volumeNode.GetAttribute(_INSTANCES)) or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    if volumeNode is not None and not uids:
        return _("the volume was not loaded from DICOM")
    if uids and database is None:
        return _("Slicer's DICOM database is not open")
    if uids and not Path(database.fileForInstance(uids[0]) or "?").is_file():
        return _("the DICOM files of the volume are no longer there")
    return "" if importlib.util.find_spec("highdicom") else _("the package highdicom is not installed")
