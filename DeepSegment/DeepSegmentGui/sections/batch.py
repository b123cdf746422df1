"""The section Several cases: volumes of the scene, a folder, a sequence; with the panel's model and further ones."""

from pathlib import Path

import qt
from slicer.i18n import tr as _

from DeepSegmentGui.panel_words import countedSegments
from DeepSegmentGui.running.batch_queue import LEFT_OUT, BatchQueue, Case, Outcome
from DeepSegmentGui.running.batch_results import BatchResults
from DeepSegmentGui.running.segment_run import Destination, settingsOf


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
        self._installed = []
        self._results = BatchResults(scene, panel)
        self.batch = BatchQueue(
            ui.batchTable, panel.jobs, panel.refresh, lambda text: panel.say(text, ui.batchMessageLabel)
        )
        ui.batchSceneButton.connect("clicked()", self.segmentVolumes)
        ui.batchFolderRunButton.connect("clicked()", self.segmentFolder)
        ui.batchSequenceButton.connect("clicked()", self.segmentSequence)
        ui.batchSection.connect("contentsCollapsed(bool)", panel.refresh)

    def fillModels(self, names):
        """Know the models that can run."""
        self._installed = names

    def refresh(self):
        """Offer the models other than the chosen one, where there are any."""
        others = [name for name in self._installed if name != self._panel.parameters.model]
        box = self._ui.batchModelsComboBox
        if others != [box.itemText(n) for n in range(box.count)]:
            box.clear()
            box.addItems(others)
        for widget in (box, self._ui.batchModelsComboBoxLabel):
            widget.setVisible(bool(others))

    def sceneClosing(self):
        """Forget every case and node."""
        self.batch.forget()
        self._results.sceneClosing()

    def segmentVolumes(self):
        """Segment the ticked volumes of the scene with each model; each result is a new segmentation."""
        volumes = checkedNodes(self._ui.batchVolumesSelector)
        self._results.forget()
        self._start(
            [self._volumeCase(node, model) for model in self._models() for node in volumes],
            _("Tick the volumes to segment."),
        )

    def segmentFolder(self):
        """Segment all that is in a folder and below with each model; complete results are left out."""
        folder = self._ui.batchFolderButton.directory
        self._start([self._searchCase(folder, model) for model in self._models()])

    def segmentSequence(self):
        """Segment every frame of a sequence with the model; the results play with it."""
        from DeepSegmentLib.hosts.mrml.sequences import frame_count, new_segmentation_sequence

        sequence = self._ui.batchSequenceSelector.currentNode()
        if sequence is None:
            self._say(_("Choose a sequence."))
        elif self._ready():
            name = _("{name} segmentation").format(name=sequence.GetName())
            target = new_segmentation_sequence(self._scene, sequence, name)
            self.batch.start([self._frameCase(sequence, target, n) for n in range(frame_count(sequence))])

    def _say(self, text):
        self._panel.say(text, self._ui.batchMessageLabel)

    def _ready(self):
        busy = self._panel.parameters is None or self._panel.jobs.busy
        return not busy and self._panel.packagesAreThere(self._ui.batchMessageLabel)

    def _start(self, cases, ifNone=""):
        if not cases:
            self._say(ifNone)
        elif self._ready():
            self.batch.start(cases)

    def _models(self):
        return [self._panel.choice.line.name, *checkedTexts(self._ui.batchModelsComboBox)]

    def _volumeCase(self, node, model):
        destination = Destination((node.GetID(),))

        def job():
            return self._job([self._scene.GetNodeByID(destination.volumeIDs[0])], model)

        def done(result):
            self._panel.openvino.ranBy(result.report)
            written = self._panel.writer.write(result, destination)
            self._results.add(written.node)
            ids = destination.volumeIDs[0], written.node.GetID()
            text = _("{segments} in {node}").format(
                segments=countedSegments(len(written.added)), node=written.node.GetName()
            )
            return Outcome("\n".join([text, *result.report["notes"]]), open=lambda: self._results.show(*ids))

        return Case(node.GetName(), model, job, done)

    def _frameCase(self, sequence, target, n):
        from DeepSegmentLib.hosts.mrml.sequences import frame_node, write_frame

        model = self._panel.choice.line.name

        def done(result):
            self._panel.openvino.ranBy(result.report)
            labels, words = result.label_map, result.provenance
            write_frame(self._scene, target, sequence, n, label_map=labels, provenance=words)
            text = "\n".join([countedSegments(len(labels.segments)), *result.report["notes"]])
            return Outcome(text, open=lambda: self._results.showFrame(sequence.GetID(), n))

        name = _("{name}, frame {n}").format(name=sequence.GetName(), n=n + 1)
        return Case(name, model, lambda: self._job([frame_node(sequence, n)], model), done)

    def _searchCase(self, folder, model, avoid=()):
        """Find what is in a folder, but for folders in it that were fatal; a case for each input joins the batch."""
        from DeepSegmentLib.hosts.worker.batch_jobs import FindJob
        from DeepSegmentLib.service.batch.find_inputs import LOOKING

        target = Path(folder) / f"segmented by {model}"

        def done(result):
            cases = self._fileCases(Path(folder), target, model, result.findings)
            self.batch.add(cases)
            return Outcome(_("holds no volume"), LEFT_OUT, kept=not cases)

        def retry(stage):
            fatal = stage.removeprefix(LOOKING)
            known = fatal == stage or fatal in avoid
            return None if known else self._searchCase(folder, model, (*avoid, fatal))

        return Case(folder, model, lambda: FindJob(folder, str(target), avoid), done, retry)

    def _fileCases(self, folder, target, model, findings):
        from DeepSegmentLib.service.batch.plan_cases import plan_cases
        from DeepSegmentLib.service.segment import SegmentRequest

        parameters, subset = self._panel.parameters, self._panel.choice.subsetOf(model)
        settings = settingsOf(parameters, None, subset)
        request = SegmentRequest(folder, target, model, parameters.device, settings, report=target, subset=subset)
        return [
            Case(planned.name, model, jobOf(planned), self._fileDone(planned.request))
            for planned in plan_cases(request, findings)
        ]

    def _fileDone(self, request):
        def done(result):
            self._panel.openvino.ranBy(result.report)
            text, state = reportText(result.report)
            return Outcome(text, state, open=lambda: self._results.showFiles(request))

        return done

    def _job(self, nodes, model):
        from DeepSegmentLib.hosts.mrml.volumes import volume_from_nodes
        from DeepSegmentLib.hosts.worker.jobs_and_events import SegmentJob

        parameters = self._panel.parameters
        settings = settingsOf(parameters, None, self._panel.choice.subsetOf(model))
        return SegmentJob(volume_from_nodes(nodes), model, parameters.device, settings)


def checkedNodes(selector):
    """The ticked nodes of a qMRMLCheckableNodeComboBox."""
    nodes = [selector.nodeFromIndex(n) for n in range(selector.nodeCount())]
    return [node for node in nodes if selector.checkState(node) == qt.Qt.Checked]


def jobOf(planned):
    """Makes the job of a planned case; one that cannot be worked fails in its turn."""
    from DeepSegmentLib.errors import VolumeFileError
    from DeepSegmentLib.hosts.worker.batch_jobs import CaseJob

    def job():
        if planned.error:
            raise VolumeFileError(planned.error)
        return CaseJob(planned.request, skip_existing=True)

    return job


def reportText(report):
    """What the table says of a file, and its state."""
    if "skipped" in report:
        return report["reason"], LEFT_OUT
    found = sum(ml > 0 for ml in report["volumes_ml"].values())
    return "\n".join([countedSegments(found), *report["notes"]]), "done"


def checkedTexts(box):
    """Texts of the ticked items of a ctkCheckableComboBox."""
    model = box.checkableModel()
    rows = [row for row in range(box.count) if box.checkState(model.index(row, 0)) == qt.Qt.Checked]
    return [box.itemText(row) for row in rows]
