"""What is told of jobs: progress, ends and errors, in the line under the button that was clicked."""

from slicer.i18n import tr as _

from DeepSegmentGui.panel_words import endText, panelWords, progressText


class JobMessages:
    """Runs the jobs of the sections and shows their messages.

    Args:
        statusLabel: QLabel under Segment, for what has no place of its own.
        progressBar: Of Segment alone.
        jobs: `JobRunner`.
        onIdle: Called with the last text when a job has ended.
        onBusy: Called when one has begun.
    """

    def __init__(self, statusLabel, progressBar, jobs, onIdle, onBusy):
        self._statusLabel, self._progressBar, self._jobs = statusLabel, progressBar, jobs
        self._onIdle, self._onBusy = onIdle, onBusy
        self._label = statusLabel
        self._onResult = self._onError = None

    def say(self, text, label=None):
        """Show a text where the user looks after a click; an empty one takes no room."""
        label, text = self._statusLabel if label is None else label, panelWords(text)
        label.text = text
        label.toolTip = text
        label.setVisible(bool(text))

    def run(self, makeJob, onResult, label=None, onError=None):
        """Run a job other than Segment, see `Panel.runJob`."""
        from DeepSegmentLib.errors import DeepSegmentError

        if self._jobs.busy:
            return
        self._onResult, self._onError = onResult, onError
        try:
            self._jobs.submit(makeJob(), self._onEvent)
        except DeepSegmentError as error:
            self.showIdle(str(error), label)
            return
        self.showRunning(label)

    def _onEvent(self, event):
        from DeepSegmentLib.hosts.worker.jobs_and_events import Progressed

        if isinstance(event, Progressed):
            self.showProgress(event.progress)
        else:
            self.showIdle(self._endOf(event), self._label)

    def _endOf(self, event):
        from DeepSegmentLib.errors import DeepSegmentError
        from DeepSegmentLib.hosts.worker.jobs_and_events import Failed, Finished

        try:
            if isinstance(event, Finished):
                return self._onResult(event.result)
            if isinstance(event, Failed) and self._onError is not None:
                return self._onError(event.error)
        except DeepSegmentError as error:
            return str(error)
        return endText(event)

    def showRunning(self, label=None):
        """A job has begun; its messages go to `label`."""
        self._label = self._statusLabel if label is None else label
        self._progressBar.setVisible(label is None)
        self._progressBar.value = 0
        self.say(_("Starting..."), self._label)
        self._onBusy()

    def showProgress(self, progress):
        """A job got on."""
        self._progressBar.value = round(1000 * progress.fraction)
        if self._label.text != _("Stopping..."):
            self.say(progressText(progress), self._label)

    def showStopping(self):
        """A job was asked to stop."""
        self.say(_("Stopping..."), self._label)

    def showIdle(self, text, label=None):
        """No job is under way any more; `text` says how it ended."""
        self._label = self._statusLabel
        self._progressBar.setVisible(False)
        self.say(text, label)
        self._onIdle(panelWords(text))
