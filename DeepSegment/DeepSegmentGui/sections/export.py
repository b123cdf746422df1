"""The section Export: a case out of the scene, by the worker, as export reads every voxel."""

from pathlib import Path

import slicer
from slicer.i18n import tr as _

_FORMATS = (
    ("nifti", _("NIfTI pair with label table"), "{case}"),
    ("seg-nrrd", _("Slicer segmentation (.seg.nrrd)"), "{case}.seg.nrrd"),
    ("nnunet", _("nnU-Net dataset (append case)"), ""),
    ("dicom-seg", _("DICOM Segmentation"), "{case}.dcm"),
    ("csv", _("Measurements (CSV)"), "{case}.csv"),
)


class ExportSection:
    """Exports the segmentation on show.

    Args:
        ui: The widgets of the panel by name.
        scene: The MRML scene.
        panel: Gives the settings, the worker and the place to say things.
    """

    def __init__(self, ui, scene, panel):
        self._ui, self._scene, self._panel = ui, scene, panel
        self._numbered = ("", "")
        for value, text, _name in _FORMATS:
            ui.exportFormatComboBox.addItem(text, value)
        ui.exportButton.connect("clicked()", self.export)

    def export(self):
        """Write the case to the chosen folder in the chosen format."""
        from DeepSegmentLib.hosts.worker.messages import ExportJob

        nodes = self._nodes()
        if nodes is None:
            return
        kind = self._ui.exportFormatComboBox.currentData
        folder = Path(self._ui.exportFolderButton.directory)
        case = self._caseName(nodes[0], folder)
        target = folder / targetName(kind, case)
        spec = self._panel.models.spec
        settings = settingsFor(kind, spec.channels[0].modality if spec else "MR")
        self._panel.runJob(lambda: ExportJob(caseOf(nodes, case, kind), str(target), settings), self._exported)

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

    def _nodes(self):
        """The volume and the segmentation to export, or None after saying what is missing."""
        parameters = self._panel.parameters
        segmentation = parameters and (self._panel.results.segmentation or parameters.segmentation)
        if not segmentation or parameters.volume is None:
            self._panel.say(_("Choose a volume and a segmentation first."))
            return None
        return parameters.volume, segmentation

    def _exported(self, result):
        outputs, notes = result.report["outputs"], result.report["notes"]
        for note in notes:
            self._panel.results.log(note)
        return _("Exported to {paths}").format(paths=", ".join(outputs))


def targetName(kind, case):
    """Name of the file or folder below the chosen folder."""
    names = {value: name for value, _text, name in _FORMATS}
    return names[kind].format(case="".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in case))


def settingsFor(kind, modality):
    """How the panel exports: a dataset may learn new labels, nothing that exists is replaced."""
    from DeepSegmentLib.service.export import ExportSettings

    training = kind == "nnunet"
    return ExportSettings(kind, new_labels=training, channel_names=(modality,) if training else ())


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
    volume = local_volume(volumeNode) if kind == "dicom-seg" else volume_from_nodes([volumeNode])
    labels = label_map_from_node(segmentation, volumeNode)
    labels = LabelMap(labels.layers, volume.geometry, labels.segments)
    provenance, (_journal, corrections) = provenance_of(segmentation), held_by(segmentation) or ("", 0)
    if corrections:
        provenance["corrections"] = str(corrections)
    return ExportCase(name, volume, labels, provenance, dicomFiles(volumeNode))


def dicomFiles(volumeNode):
    """The DICOM files that a volume was loaded from; none for other volumes."""
    database = getattr(slicer, "dicomDatabase", None)
    uids = (volumeNode.GetAttribute("DICOM.instanceUIDs") or "").split()
    return tuple(Path(database.fileForInstance(uid)) for uid in uids) if database is not None else ()
