"""The section Several cases: volumes of the scene, a folder, a sequence; with one model or several."""

from pathlib import Path

import qt
from slicer.i18n import tr as _

from DeepSegmentGui.batch import Batch, Case
from DeepSegmentGui.models import checkedTexts
from DeepSegmentGui.segmenting import Destination, settingsOf


class SeveralCases:
    """Makes the cases of a batch from what the section's widgets say.

    Args:
        ui: The widgets of the panel by name.
        scene: The MRML scene.
        panel: Gives the settings, the worker and the writer of results.

    Attributes:
        batch: The `Batch`.
    """

    def __init__(self, ui, scene, panel):
        self._ui, self._scene, self._panel = ui, scene, panel
        self.batch = Batch(ui.batchTable, panel.worker, panel.refresh)
        ui.batchSceneButton.connect("clicked()", self.segmentVolumes)
        ui.batchFolderRunButton.connect("clicked()", self.segmentFolder)
        ui.batchSequenceButton.connect("clicked()", self.segmentSequence)

    def fillModels(self, names):
        """Offer these models."""
        self._ui.batchModelsComboBox.clear()
        self._ui.batchModelsComboBox.addItems(names)

    def segmentVolumes(self):
        """Segment the ticked volumes of the scene with each ticked model; each result is a new segmentation."""
        volumes = checkedNodes(self._ui.batchVolumesSelector)
        self._start([self._volumeCase(node, model) for model in self._models() for node in volumes])

    def segmentFolder(self):
        """Segment every volume file of a folder with each ticked model; cases that have a result are left out."""
        folder = self._ui.batchFolderButton.directory
        self._start([self._folderCase(folder, model) for model in self._models()])

    def segmentSequence(self):
        """Segment every frame of a sequence with the model; the results play with it."""
        from DeepSegmentLib.hosts.mrml.sequences import frame_count, new_segmentation_sequence

        sequence = self._ui.batchSequenceSelector.currentNode()
        if sequence is None or not self._ready():
            return
        name = _("{name} segmentation").format(name=sequence.GetName())
        target = new_segmentation_sequence(self._scene, sequence, name)
        self.batch.start([self._frameCase(sequence, target, n) for n in range(frame_count(sequence))])

    def _ready(self):
        return self._panel.parameters is not None and not self._panel.worker.busy and self._panel.packagesAreThere()

    def _start(self, cases):
        if cases and self._ready():
            self.batch.start(cases)

    def _models(self):
        return checkedTexts(self._ui.batchModelsComboBox) or [self._panel.parameters.model]

    def _volumeCase(self, node, model):
        destination = Destination((node.GetID(),))

        def job():
            return self._job([self._scene.GetNodeByID(destination.volumeIDs[0])], model)

        def done(result):
            written, _uncertainty = self._panel.writer.write(result, destination)
            text = _("{count} segments in {node}").format(count=len(written.added), node=written.node.GetName())
            return "\n".join([text, *result.report["notes"]])

        return Case(node.GetName(), model, job, done)

    def _frameCase(self, sequence, target, n):
        from DeepSegmentLib.hosts.mrml.sequences import frame_node, write_frame

        model = self._panel.parameters.model

        def done(result):
            labels, words = result.label_map, result.provenance
            write_frame(self._scene, target, sequence, n, label_map=labels, provenance=words)
            text = _("{count} segments").format(count=len(labels.segments))
            return "\n".join([text, *result.report["notes"]])

        name = _("{name}, frame {n}").format(name=sequence.GetName(), n=n + 1)
        return Case(name, model, lambda: self._job([frame_node(sequence, n)], model), done)

    def _folderCase(self, folder, model):
        from DeepSegmentLib.hosts.worker.messages import FilesJob

        parameters, target = self._panel.parameters, Path(folder) / f"segmented by {model}"
        settings = settingsOf(parameters, None)
        return Case(
            folder, model, lambda: FilesJob(folder, str(target), model, parameters.device, settings), reportText
        )

    def _job(self, nodes, model):
        from DeepSegmentLib.hosts.mrml.volumes import volume_from_nodes
        from DeepSegmentLib.hosts.worker.messages import SegmentJob

        parameters = self._panel.parameters
        return SegmentJob(volume_from_nodes(nodes), model, parameters.device, settingsOf(parameters, None))


def checkedNodes(selector):
    """The ticked nodes of a qMRMLCheckableNodeComboBox."""
    nodes = [selector.nodeFromIndex(n) for n in range(selector.nodeCount())]
    return [node for node in nodes if selector.checkState(node) == qt.Qt.Checked]


def reportText(result):
    """What the table says of a folder."""
    failed = [report for report in result.reports if "error" in report]
    skipped = [report for report in result.reports if "skipped" in report]
    text = _("{done} segmented, {skipped} had a result").format(
        done=len(result.reports) - len(failed) - len(skipped), skipped=len(skipped)
    )
    lines = ["{}: {}".format(report["input"]["path"], report["error"]) for report in failed]
    for report in result.reports:
        lines += ["{}: {}".format(report["input"]["path"], note) for note in report.get("notes", ())]
    return "\n".join([text, *lines])
