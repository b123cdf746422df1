"""The button Segment: why it is disabled, what a run will need, the run, its result, and taking that back."""

import qt
import slicer
from slicer.i18n import tr as _

from DeepSegmentGui.panel_words import countedSegments, endText
from DeepSegmentGui.parameters import storeUserSettings
from DeepSegmentGui.running.run_needs import runNeeds
from DeepSegmentGui.running.segment_run import jobOf, notesText
from DeepSegmentGui.running.volume_doubts import VolumeDoubts


class SegmentSection:
    """Segments the chosen volume.

    Args:
        ui: The widgets of the panel by name.
        scene: The MRML scene.
        panel: Gives the settings, the worker, the messages and the other sections.
    """

    def __init__(self, ui, scene, panel):
        self._ui, self._scene, self._panel = ui, scene, panel
        self._destination = None
        self._loadedModel = ""
        self.doubts = VolumeDoubts(panel.refresh)
        ui.segmentButton.connect("clicked()", self.segmentOrCancel)
        ui.undoButton.connect("clicked()", self.undo)

    def segmentOrCancel(self):
        """The one button: start, or stop what is under way."""
        if self._panel.several.batch.running:
            self._panel.several.batch.cancel()
        elif self._panel.jobs.busy:
            self._panel.jobs.cancel()
            self._panel.messages.showStopping()
        elif not self.reasonNotToSegment():
            self._segment()

    def reasonNotToSegment(self):
        """Why Segment is disabled, or an empty text."""
        parameters = self._panel.parameters
        if parameters is None or parameters.volume is None:
            return _("Choose a volume to segment.")
        if self._panel.models.spec is None:
            return whyNoModel(self._panel.models.line)
        if None in self._panel.input.channels.nodes():
            return _("Choose a volume for each channel of the model.")
        if self._panel.choice.subset == ():
            return _("Tick a segment to make.")
        return ""

    def undo(self):
        """Take the last result back; what was done to it since goes too, if the user agrees."""
        if self._panel.writer.canUndo and self._mayDropChanges():
            self._panel.writer.undo()
            self._panel.output.chooseOwn()
            self._panel.results.takenBack()
            self._panel.messages.showIdle(_("The last result was taken back."))

    def _mayDropChanges(self):
        question = _("The segments were changed since. Take the result back, and these changes with it, for good?")
        return not self._panel.writer.isChanged or slicer.util.confirmOkCancelDisplay(question)

    def nodeRemoved(self, node):
        """Stop a run that cannot go on without a node."""
        if self._destination is not None and self._destination.uses(node):
            self.forget()
            self._panel.jobs.cancel()

    def forget(self):
        """Let a run that is under way write nothing, as when the scene closes."""
        self._destination = None

    def _segment(self):
        from DeepSegmentLib.errors import DeepSegmentError

        storeUserSettings(self._panel.parameters)
        if not self._panel.packagesAreThere():
            return
        try:
            self._panel.output.ask(self._start)
        except DeepSegmentError as error:
            self._panel.messages.showIdle(str(error))

    def _start(self, policy):
        """Segment, and write by this policy; the user may have taken their time to choose it."""
        from DeepSegmentLib.errors import DeepSegmentError

        if self._panel.busy or self.reasonNotToSegment():
            return
        try:
            nodes = self._panel.input.channels.nodes()
            choice = self._panel.choice
            job, self._destination = jobOf(self._panel.parameters, choice.line.name, choice.subset, nodes, policy)
            self._panel.jobs.submit(job, self._onEvent)
        except DeepSegmentError as error:
            self._panel.messages.showIdle(str(error))
            return
        self._panel.messages.showRunning()

    def _onEvent(self, event):
        from DeepSegmentLib.hosts.worker.jobs_and_events import Finished, Progressed

        if isinstance(event, Progressed):
            self._panel.messages.showProgress(event.progress)
        elif isinstance(event, Finished):
            self._finish(event.result)
        else:
            self._destination = None
            self._panel.messages.showIdle(endText(event))

    def _finish(self, result):
        from DeepSegmentLib.errors import DeepSegmentError

        destination, self._destination = self._destination, None
        self._loadedModel = result.provenance["model"]
        if destination is None:
            self._panel.messages.showIdle(_("Cancelled; nothing was changed."))
            return
        try:
            written = self._panel.writer.write(result, destination)
        except DeepSegmentError as error:
            self._panel.messages.showIdle(str(error))
            return
        # In a turn of its own, so that the window waits less at once.
        qt.QTimer.singleShot(0, lambda: self._showResult(written, result, destination))

    def _showResult(self, written, result, destination):
        from DeepSegmentLib.hosts.mrml.volumes import in_scene

        if self._panel.parameters is None or not self._scene.IsNodePresent(written.node):
            return
        volumeNode = self._scene.GetNodeByID(destination.volumeIDs[0])
        isChosen = volumeNode is self._panel.parameters.volume
        if isChosen and self._panel.parameters.segmentation is not written.node:
            self._panel.parameters.segmentation = written.node
        self._panel.refresh()
        self._panel.results.showResult(written.node, in_scene(result.places_ras, volumeNode))
        if isChosen:
            self._panel.correct.choose(written.node)
        for note in result.report["notes"][1:]:
            self._panel.results.log(note)
        text = writtenText(written, result, "" if isChosen else volumeNode.GetName())
        self._panel.messages.showIdle(notesText(result.report["notes"]) + text)
        self._panel.openvino.ranBy(result.report)

    def _needs(self):
        choice = self._panel.choice
        loaded = self._panel.jobs.processID is not None and self._loadedModel == choice.line.name
        return runNeeds(self._panel.parameters, choice.line.entry, choice.subset, loaded=loaded)

    def _doubts(self):
        """What is doubted of the volumes before the run; nothing where they cannot be segmented anyway."""
        if self.reasonNotToSegment():
            return []
        nodes = [self._panel.parameters.volume, *self._panel.input.channels.nodes()]
        return doubtsText(self.doubts.of(nodes, self._panel.choice.line.spec))

    def refresh(self):
        """Bring button, the needs of a run and what waits for the run in line with what can be done."""
        running = self._panel.busy
        reason = "" if running else self.reasonNotToSegment()
        button = self._ui.segmentButton
        button.text = _("Cancel") if running else _("Segment")
        button.enabled = not reason
        button.toolTip = reason or (_("Stop (Ctrl+Shift+D)") if running else _("Segment the volume (Ctrl+Shift+D)"))
        needs = "" if reason or running else self._needs()
        self._panel.models.showCard(needs)
        self._panel.say(reason or "\n".join([*([] if running else self._doubts()), needs]), self._ui.preflightLabel)
        self._ui.undoButton.enabled = not running and self._panel.writer.canUndo
        self._ui.exportButton.enabled = self._ui.exportReplaceButton.enabled = not running
        for widget in (self._ui.batchSceneButton, self._ui.batchFolderRunButton, self._ui.batchSequenceButton):
            widget.enabled = not running


def doubtsText(doubts):
    """The first doubt, and how many more there are; in a list that is empty without one."""
    more = [_("({count} more)").format(count=len(doubts) - 1)] if len(doubts) > 1 else []
    return [" ".join([_("Look first:"), *doubts[:1], *more])] if doubts else []


def whyNoModel(line):
    """Why the chosen model cannot run."""
    if line is None or line.entry is not None:
        return _("Choose a model.")
    if line.canBeGot:
        return _("{model} is not on this computer yet: click Get.").format(model=line.title)
    return _("{model} is not on this computer, and can only be got by hand; see its card.").format(model=line.title)


def writtenText(written, result, otherVolume=""):
    """What the user reads of a result that was written.

    Args:
        written: `Written`.
        result: The worker's result.
        otherVolume: Name of its volume, where another one is chosen now.
    """
    text = _("{segments} from {model} {version} on {device}.").format(
        segments=countedSegments(len(written.added) + len(written.changed)),
        model=result.provenance["model"],
        version=result.provenance["model_version"],
        device=result.report["device"],
    )
    if otherVolume:
        text += " " + _("They are of {volume}: choose it to see them here.").format(volume=otherVolume)
    if written.skipped:
        text += " " + _("Locked or finished, so left as they are: {names}.").format(names=", ".join(written.skipped))
    if written.backup is not None:
        text += " " + _("What was there before is kept in {name}.").format(name=written.backup.GetName())
    return text
