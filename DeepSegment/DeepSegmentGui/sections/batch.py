"""The section Several cases: volumes of the scene, a folder, a sequence; with one model or several."""

from pathlib import Path

import qt
from slicer.i18n import tr as _

from DeepSegmentGui.running.batch_queue import BatchQueue, Case
from DeepSegmentGui.running.segment_run import Destination, settingsOf
from DeepSegmentGui.sections.models import checkedTexts


class BatchSection:
    """Makes the cases of a batch from what the section's widgets say.

    Args:
        ui: The widgets of the panel by name.
        scene: The MRML scene.
        panel: Gives the settings, the worker and the writer of results.

    Attributes:
        batch: The `BatchQueue`.
    """

    def __init__(self, ui, scene, panel):
        self._ui, self._scene, self._panel = ui, scene, panel
        self.batch = BatchQueue(ui.batchTable, panel.jobs, panel.refresh)
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
        """Segment all that is in a folder and below with each ticked model; complete results are left out."""
        folder = self._ui.batchFolderButton.directory
        self._start([self._searchCase(folder, model) for model in self._models()])

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
        return self._panel.parameters is not None and not self._panel.jobs.busy and self._panel.packagesAreThere()

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
            written = self._panel.writer.write(result, destination)
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

    def _searchCase(self, folder, model, avoid=()):
        """Find what is in a folder, but for folders in it that were fatal; a case for each input joins the batch."""
        from DeepSegmentLib.hosts.worker.batch_messages import FindJob
        from DeepSegmentLib.service.batch.finding import LOOKING

        target = Path(folder) / f"segmented by {model}"

        def done(result):
            cases = self._fileCases(Path(folder), target, model, result.findings)
            self.batch.add(cases)
            return _("{count} inputs found").format(count=len(cases))

        def retry(stage):
            fatal = stage.removeprefix(LOOKING)
            known = fatal == stage or fatal in avoid
            return None if known else self._searchCase(folder, model, (*avoid, fatal))

        return Case(folder, model, lambda: FindJob(folder, str(target), avoid), done, retry)

    def _fileCases(self, folder, target, model, findings):
        from DeepSegmentLib.hosts.worker.batch_messages import CaseJob
        from DeepSegmentLib.service.batch.planning import plan_cases
        from DeepSegmentLib.service.segment import SegmentRequest

        parameters = self._panel.parameters
        request = SegmentRequest(folder, target, model, parameters.device, settingsOf(parameters, None), report=target)
        return [
            Case(each.name, model, jobOf(each, lambda r: CaseJob(r, skip_existing=True)), reportText)
            for each in plan_cases(request, findings)
        ]

    def _job(self, nodes, model):
        from DeepSegmentLib.hosts.mrml.volumes import volume_from_nodes
        from DeepSegmentLib.hosts.worker.messages import SegmentJob

        parameters = self._panel.parameters
        return SegmentJob(volume_from_nodes(nodes), model, parameters.device, settingsOf(parameters, None))


def checkedNodes(selector):
    """The ticked nodes of a qMRMLCheckableNodeComboBox."""
    nodes = [selector.nodeFromIndex(n) for n in range(selector.nodeCount())]
    return [node for node in nodes if selector.checkState(node) == qt.Qt.Checked]


def jobOf(case, make):
    """Makes the job of a planned case; one that cannot be worked fails in its turn."""
    from DeepSegmentLib.errors import VolumeFileError

    def job():
        if case.error:
            raise VolumeFileError(case.error)
        return make(case.request)

    return job


def reportText(result):
    """What the table says of a file."""
    report = result.report
    if "skipped" in report:
        return _("left out: {reason}").format(reason=report["reason"])
    found = sum(ml > 0 for ml in report["volumes_ml"].values())
    return "\n".join([_("{count} segments").format(count=found), *report["notes"]])
