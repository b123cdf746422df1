"""The panel: joins the parts, says why Segment is disabled, runs jobs and shows what comes of them."""

import qt

from DeepSegmentGui.learning.project import ProjectSection
from DeepSegmentGui.learning.train import TrainSection
from DeepSegmentGui.models.bring_models import BringModels
from DeepSegmentGui.models.model_table import ModelTable
from DeepSegmentGui.models.segment_choice import SegmentChoice
from DeepSegmentGui.panel_layout import arrange
from DeepSegmentGui.parameters import applyUserSettings, connectedWidgets
from DeepSegmentGui.running import dependencies
from DeepSegmentGui.running.job_runner import JobRunner
from DeepSegmentGui.running.message_lines import JobMessages
from DeepSegmentGui.running.segment_run import ResultWriter
from DeepSegmentGui.sections.advanced import AdvancedSection
from DeepSegmentGui.sections.batch import BatchSection
from DeepSegmentGui.sections.correct import CorrectSection
from DeepSegmentGui.sections.export import ExportSection
from DeepSegmentGui.sections.input import InputSection
from DeepSegmentGui.sections.measure import MeasureSection
from DeepSegmentGui.sections.openvino_offer import OpenVinoOffer
from DeepSegmentGui.sections.output import OutputSection
from DeepSegmentGui.sections.results import ResultsSection
from DeepSegmentGui.sections.segment import SegmentSection


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
        self._refreshing = False
        self.jobs = JobRunner()
        self.writer = ResultWriter(scene)
        self.results = ResultsSection(ui, scene, self)
        self.measure = MeasureSection(ui, scene, self)
        self.messages = JobMessages(ui.statusLabel, ui.progressBar, self.jobs, self._ended, self.refresh)
        self.input = InputSection(ui, scene, self)
        self.models = ModelTable(ui.modelSearchBox, ui.modelTable, ui.modelCard, self._modelChosen)
        self.bringing = BringModels(ui, parent, self)
        self.choice = SegmentChoice(ui, self)
        self.several = BatchSection(ui, scene, self)
        self.correct = CorrectSection(ui, scene, self)
        self.exporter = ExportSection(ui, scene, self)
        self.advanced = AdvancedSection(ui, parent, self)
        self.output = OutputSection(ui, scene, self)
        self.segment = SegmentSection(ui, scene, self)
        self.openvino = OpenVinoOffer(ui, self)
        self.project = ProjectSection(ui, scene, self)
        self.training = TrainSection(ui, self)
        self.segmentOrCancel, self.undo = self.segment.segmentOrCancel, self.segment.undo
        self.reasonNotToSegment = self.segment.reasonNotToSegment
        self._shortcuts = []
        arrange(ui)
        self._connect()

    def _connect(self):
        self.ui.volumeSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.correct.volumeChanged)

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
        self.segment.forget()
        self.input.forget()
        self.several.sceneClosing()
        self.jobs.close()
        self.setParameters(None)
        self.results.forget()
        self.correct.forget()
        self.segment.doubts.forget()
        self.writer.forget()
        self.exporter.forget()
        self.messages.showIdle("")
        for name, label in vars(self.ui).items():
            if name.endswith("MessageLabel"):
                self.say("", label)

    def nodeAdded(self, node):
        """Offer a new volume."""
        self.input.nodeAdded(node)

    def nodesAdded(self):
        """Many nodes came at once, as from a file or a scene."""
        self.input.takeAdded()

    def nodeRemoved(self, node):
        """Stop what cannot go on without a node that is about to be removed."""
        self.segment.nodeRemoved(node)
        if node is self.results.segmentation:
            self.results.forget()

    def cleanup(self):
        """End the worker; nothing of the panel is used after that."""
        self.exit()
        self.correct.close()
        self.results.forget()
        self.setParameters(None)
        self.jobs.close()
        self.bringing.close()
        self.training.close()

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
        problem = self.models.load(name)
        if problem:
            self.say(problem, self.ui.modelMessageLabel)
        self.several.fillModels(self.models.names())

    def packagesAreThere(self, label=None):
        """Whether everything is installed, after asking the user; what is wrong is shown, see `say`."""
        try:
            return dependencies.ensure(self._requirementsPath)
        except RuntimeError as error:
            self.messages.showIdle(str(error), label)
            return False

    # Running

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

    def showSegmentation(self, volume, segmentation):
        """Choose a volume and its segmentation everywhere in the panel."""
        self._parameters.volume = volume
        self._parameters.segmentation = segmentation
        self.correct.choose(segmentation)

    # What the widgets show

    def refresh(self, *_arguments):
        """Bring the widgets in line with the settings."""
        if self._parameters is None or self._refreshing:
            return
        self._refreshing = True
        try:
            self.input.refresh()
            self.choice.refresh()
            self.bringing.refresh()
            self.output.refresh()
            self.results.refresh()
            self.measure.refresh()
            self.correct.refresh()
            self.advanced.refresh()
            self.exporter.refresh()
            self.several.refresh()
            self.segment.refresh()
            self.openvino.refresh()
            self.project.refresh()
            self.training.refresh()
        finally:
            self._refreshing = False

    def _ended(self, text):
        """A job has ended, with a text for the log."""
        if text:
            self.results.log(text)
        self.refresh()

    def _modelChosen(self):
        if self._parameters is not None:
            if self._parameters.model != self.models.line.name:
                self.bringing.forgetMessage()
            self._parameters.model = self.models.line.name
            self.refresh()
