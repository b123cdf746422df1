"""The panel: joins the parts, says why Segment is disabled, runs jobs and shows what comes of them."""

import qt
from slicer.i18n import tr as _

from DeepSegmentGui.parameters import applyUserSettings, connectedWidgets, storeUserSettings
from DeepSegmentGui.running import dependencies
from DeepSegmentGui.running.batch_queue import endText
from DeepSegmentGui.running.expectation import expectation
from DeepSegmentGui.running.job_messages import JobMessages
from DeepSegmentGui.running.job_runner import JobRunner
from DeepSegmentGui.running.segment_run import ResultWriter, jobOf, notesText
from DeepSegmentGui.sections.advanced import AdvancedSection
from DeepSegmentGui.sections.batch import BatchSection
from DeepSegmentGui.sections.correct import CorrectSection
from DeepSegmentGui.sections.export import ExportSection
from DeepSegmentGui.sections.input import InputSection
from DeepSegmentGui.sections.layout import arrange
from DeepSegmentGui.sections.measure import MeasureSection
from DeepSegmentGui.sections.models import ModelList
from DeepSegmentGui.sections.output import OutputSection
from DeepSegmentGui.sections.results import ResultsSection
from DeepSegmentGui.wording import countedSegments


class Panel:
    """What the module widget shows.

    Args:
        ui: The widgets of DeepSegment.ui by name.
        scene: The MRML scene.
        parent: The module widget; shortcuts and dialogs belong to it.
        requirementsPath: Of requirements.txt.
    """

    def __init__(self, ui, scene, parent, requirementsPath):
        self.ui, self._scene, self._parent, self._requirementsPath = ui, scene, parent, requirementsPath
        self._parameters = None
        self._guiTag = None
        self._destination = None
        self._refreshing = False
        self._label = ui.statusLabel
        self.jobs = JobRunner()
        self.writer = ResultWriter(scene)
        self.results = ResultsSection(ui, scene, self)
        self.measure = MeasureSection(ui, scene, self)
        self.messages = JobMessages(ui.statusLabel, ui.progressBar, self.jobs, self._ended, self.refresh)
        self.input = InputSection(ui, scene, self)
        self.models = ModelList(ui.modelSearchBox, ui.modelList, ui.modelCard, self._modelChosen)
        self.several = BatchSection(ui, scene, self)
        self.correct = CorrectSection(ui, scene, self)
        self.exporter = ExportSection(ui, scene, self)
        self.advanced = AdvancedSection(ui, parent, self)
        self.output = OutputSection(ui, self)
        self._shortcuts = []
        arrange(ui)
        self._connect()

    def _connect(self):
        ui = self.ui
        ui.segmentButton.connect("clicked()", self.segmentOrCancel)
        ui.undoButton.connect("clicked()", self.undo)
        ui.volumeSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.correct.volumeChanged)

    # Life of the panel

    def setParameters(self, parameters):
        """Take the settings of a scene; None while there is no scene."""
        if self._parameters is not None:
            self._parameters.disconnectGui(self._guiTag)
        self._parameters = parameters
        if parameters is None:
            return
        if not parameters.parameterNode.GetParameter("initialized"):
            parameters.parameterNode.SetParameter("initialized", "1")
            applyUserSettings(parameters)
        self._guiTag = parameters.connectParametersToGui(connectedWidgets(self.ui))
        self.loadModels(parameters.model)
        self.input.chooseFirst()
        self.refresh()

    def enter(self):
        """The user came to the module: shortcuts work now."""
        self.correct.offerUnfinished()
        self.results.table.fill()
        for keys, action in (
            ("Ctrl+Shift+D", self.segmentOrCancel),
            ("Ctrl+Shift+N", self.results.reviewNext),
            ("Ctrl+Shift+U", self.undo),
        ):
            shortcut = qt.QShortcut(qt.QKeySequence(keys), self._parent)
            shortcut.connect("activated()", action)
            self._shortcuts.append(shortcut)

    def exit(self):
        """The user left the module; a run goes on."""
        self.correct.stop()
        for shortcut in self._shortcuts:
            shortcut.setEnabled(False)
            shortcut.deleteLater()
        self._shortcuts = []

    def sceneClosing(self):
        """Forget every node: the run, the results, the settings."""
        self._destination = None
        self.input.forget()
        self.several.batch.forget()
        self.jobs.close()
        self.setParameters(None)
        self.results.forget()
        self.correct.forget()
        self.writer.forget()
        self.exporter.forget()
        self.messages.showIdle("")

    def nodeAdded(self, node):
        """Offer a new volume."""
        self.input.nodeAdded(node)

    def nodesAdded(self):
        """Many nodes came at once, as from a file or a scene."""
        self.input.takeAdded()

    def nodeRemoved(self, node):
        """Stop what cannot go on without a node that is about to be removed."""
        if self._destination is not None and self._destination.uses(node):
            self._destination = None
            self.jobs.cancel()
        if node is self.results.segmentation:
            self.results.forget()

    def cleanup(self):
        """End the worker; nothing of the panel is used after that."""
        self.exit()
        self.correct.close()
        self.results.forget()
        self.setParameters(None)
        self.jobs.close()

    @property
    def parameters(self):
        """The settings of the scene, or None."""
        return self._parameters

    @property
    def refreshing(self):
        """Whether widgets change by themselves and not by the user."""
        return self._refreshing or self._parameters is None

    @property
    def busy(self):
        """Whether a job or a batch is under way."""
        return self.jobs.busy or self.several.batch.running

    @property
    def parent(self):
        """The module widget."""
        return self._parent

    @property
    def requirementsPath(self):
        """Of requirements.txt."""
        return self._requirementsPath

    def loadModels(self, name):
        """Read the catalogue anew and choose the model of this name."""
        self.models.load(name)
        self.several.fillModels(self.models.names())

    def packagesAreThere(self, label=None):
        """Whether everything is installed, after asking the user; what is wrong is shown, see `say`."""
        try:
            return dependencies.ensure(self._requirementsPath)
        except RuntimeError as error:
            self.messages.showIdle(str(error), label)
            return False

    # Running

    def segmentOrCancel(self):
        """The one button: start, or stop what is under way."""
        if self.several.batch.running:
            self.several.batch.cancel()
        elif self.jobs.busy:
            self.jobs.cancel()
            self.messages.showStopping()
        elif not self.reasonNotToSegment():
            self._segment()

    def reasonNotToSegment(self):
        """Why Segment is disabled, or an empty text."""
        parameters = self._parameters
        if parameters is None or parameters.volume is None:
            return _("Choose a volume to segment.")
        if self.models.spec is None:
            return _("Choose a model.")
        if None in self.input.channels.nodes():
            return _("Choose a volume for each channel of the model.")
        return ""

    def _segment(self):
        from DeepSegmentLib.errors import DeepSegmentError

        storeUserSettings(self._parameters)
        if not self.packagesAreThere():
            return
        try:
            self.output.ask(self._start)
        except DeepSegmentError as error:
            self.messages.showIdle(str(error))

    def _start(self, policy):
        """Segment, and write by this policy; the user may have taken their time to choose it."""
        from DeepSegmentLib.errors import DeepSegmentError

        if self.busy or self.reasonNotToSegment():
            return
        try:
            job, self._destination = jobOf(self._parameters, self.input.channels.nodes(), policy)
            self.jobs.submit(job, self._onEvent)
        except DeepSegmentError as error:
            self.messages.showIdle(str(error))
            return
        self.messages.showRunning()

    def runJob(self, makeJob, onResult, label=None, onError=None):
        """Run a job other than Segment.

        Args:
            makeJob: Makes the job; errors that it raises are shown.
            onResult: Takes the result and returns what to say.
            label: QLabel where the user clicked; shows the progress and the end, as in `say`.
            onError: Takes the error of a job that failed and returns what to say; None says the error.
        """
        self.messages.run(makeJob, onResult, label, onError)

    def say(self, text, label=None):
        """Show a text where the user looks after a click.

        Args:
            text: What to show; an empty one takes no room.
            label: QLabel under the button that was clicked; without it, the line under Segment.
        """
        self.messages.say(text, label)

    def _onEvent(self, event):
        from DeepSegmentLib.hosts.worker.messages import Finished, Progressed

        if isinstance(event, Progressed):
            self.messages.showProgress(event.progress)
        elif isinstance(event, Finished):
            self._finish(event.result)
        else:
            self._destination = None
            self.messages.showIdle(endText(event))

    def _finish(self, result):
        from DeepSegmentLib.errors import DeepSegmentError

        destination, self._destination = self._destination, None
        if destination is None:
            self.messages.showIdle(_("Cancelled; nothing was changed."))
            return
        try:
            written = self.writer.write(result, destination)
        except DeepSegmentError as error:
            self.messages.showIdle(str(error))
            return
        # In a turn of its own, so that the window waits less at once.
        qt.QTimer.singleShot(0, lambda: self._showResult(written, result, destination))

    def _showResult(self, written, result, destination):
        from DeepSegmentLib.hosts.mrml.volumes import in_scene

        if self._parameters is None or not self._scene.IsNodePresent(written.node):
            return
        if self._parameters.segmentation is not written.node:
            self._parameters.segmentation = written.node
        volumeNode = self._scene.GetNodeByID(destination.volumeIDs[0])
        self.refresh()
        self.results.showResult(written.node, in_scene(result.places_ras, volumeNode))
        self.correct.choose(written.node)
        text = _("{segments} from {model} {version} on {device}.").format(
            segments=countedSegments(len(written.added) + len(written.changed)),
            model=result.provenance["model"],
            version=result.provenance["model_version"],
            device=result.report["device"],
        )
        if written.skipped:
            text += " " + _("Locked or finished, so left as they are: {names}.").format(
                names=", ".join(written.skipped)
            )
        if written.backup is not None:
            text += " " + _("What was there before is kept in {name}.").format(name=written.backup.GetName())
        for note in result.report["notes"][1:]:
            self.results.log(note)
        self.messages.showIdle(notesText(result.report["notes"]) + text)

    def showSegmentation(self, volume, segmentation):
        """Choose a volume and its segmentation everywhere in the panel."""
        self._parameters.volume = volume
        self._parameters.segmentation = segmentation
        self.correct.choose(segmentation)

    def undo(self):
        """Take the last result back."""
        if self.writer.canUndo:
            self.writer.undo()
            self.results.takenBack()
            self.messages.showIdle(_("The last result was taken back."))

    # What the widgets show

    def refresh(self, *_arguments):
        """Bring the widgets in line with the settings."""
        if self._parameters is None or self._refreshing:
            return
        self._refreshing = True
        try:
            self.input.refresh()
            self.output.refresh()
            self.results.refresh()
            self.measure.refresh()
            self.correct.refresh()
            self.advanced.refresh()
            self.exporter.refresh()
            self.several.refresh()
            self._refreshRun()
        finally:
            self._refreshing = False

    def _refreshRun(self):
        running = self.busy
        reason = "" if running else self.reasonNotToSegment()
        button = self.ui.segmentButton
        button.text = _("Cancel") if running else _("Segment")
        button.enabled = not reason
        button.toolTip = reason or (_("Stop (Ctrl+Shift+D)") if running else _("Segment the volume (Ctrl+Shift+D)"))
        needs = "" if reason or running else expectation(self._parameters, self.models.entry)
        self.models.showCard(needs)
        self.say(reason or needs, self.ui.preflightLabel)
        self.ui.undoButton.enabled = not running and self.writer.canUndo
        self.ui.exportButton.enabled = not running
        for widget in (self.ui.batchSceneButton, self.ui.batchFolderRunButton, self.ui.batchSequenceButton):
            widget.enabled = not running

    def _ended(self, text):
        """A job has ended, with a text for the log."""
        if text:
            self.results.log(text)
        self.refresh()

    def _modelChosen(self):
        if self._parameters is not None:
            self._parameters.model = self.models.entry.name
            self.refresh()
