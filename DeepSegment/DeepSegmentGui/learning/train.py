"""The section Train: a training in a process of its own, which may be paused and goes on after Slicer was closed."""

import re

import qt
from slicer.i18n import tr as _

from DeepSegmentGui.learning.compare import CompareButtons
from DeepSegmentGui.running.job_runner import JobRunner
from DeepSegmentGui.running.message_lines import JobMessages

_LOOK_MS = 1000
_PATIENCE_S = 60.0
"""How long a training may take to save its state when it is paused: a step, and a try on the held-out cases."""
_PICTURES = ("curvesLabel", "samplesLabel")


class TrainSection:
    """Trains on the project of the section above.

    Args:
        ui: The widgets of the panel by name.
        panel: Gives the project, the models and the place to say things.

    Attributes:
        jobs: The `JobRunner` of the process that learns.
        compare: The `CompareButtons`.
    """

    def __init__(self, ui, panel):
        self._ui, self._panel = ui, panel
        self.jobs = JobRunner()
        self.messages = JobMessages(
            ui.trainingMessageLabel, ui.trainingProgressBar, self.jobs, self._ended, self.refresh
        )
        self.compare = CompareButtons(ui, panel, self)
        self._trainings, self._shown = (), {}
        self._filling = self._isTraining = False
        self._recipe = None
        self._timer = qt.QTimer()
        self._timer.setInterval(_LOOK_MS)
        self._timer.connect("timeout()", self._look)
        ui.trainButton.connect("clicked()", self.trainOrPause)
        ui.trainingComboBox.connect("currentIndexChanged(int)", self._chosen)
        ui.trainSection.connect("contentsCollapsed(bool)", lambda collapsed: collapsed or self.projectChanged())

    @property
    def training(self):
        """The chosen `Training`, or None for a new one."""
        name = self._ui.trainingComboBox.currentData
        return next((each for each in self._trainings if each.name == name), None)

    def close(self):
        """End the process; a training goes on at its last checkpoint."""
        self._timer.stop()
        self.jobs.close()

    # What the widgets show

    def projectChanged(self, name=None):
        """Read the trainings of the project anew, and choose one: that of the name, or the one before."""
        from DeepSegmentLib.service.training.progress.trainings import trainings_of

        if self._ui.trainSection.collapsed and name is None:
            return
        self._trainings = trainings_of(self._panel.project.folder) if self._panel.project.isThere else ()
        box = self._ui.trainingComboBox
        latest = self._trainings[0].name if self._trainings and not box.count else ""
        wanted = name or box.currentData or latest
        self._filling = True
        try:
            box.clear()
            for each in self._trainings:
                box.addItem(_("{name}: {state}").format(name=each.name, state=self._stateOf(each)), each.name)
            box.addItem(_("New training"), "")
            found = box.findData(wanted)
            box.setCurrentIndex(found if found >= 0 else box.count - 1)
        finally:
            self._filling = False
        self._chosen()

    def _stateOf(self, training):
        running = self._isTraining and self.jobs.busy and self._recipe.parent == training.folder
        return _("running") if running and not training.finished else stateOf(training)

    def refresh(self, *_arguments):
        """Bring the widgets in line with the chosen training and what is under way."""
        ui, training, busy = self._ui, self.training, self.jobs.busy
        new = training is None
        for widget in (ui.trainingNameEdit, ui.trainingParentComboBox, ui.trainingMinutesSpinBox):
            widget.enabled = new and not busy
        ui.trainingComboBox.enabled = not busy
        ui.trainButton.text = self._buttonText(training)
        ui.trainButton.enabled = self._panel.project.isThere and (busy or new or not training.finished)
        ui.trainingProgressBar.setVisible(busy and self._isTraining)
        if not ui.trainSection.collapsed:  # it asks the disk for versions
            self.compare.refresh()

    def _buttonText(self, training):
        if self.jobs.busy:
            return _("Pause") if self._isTraining else _("Cancel")
        return _("Train") if training is None or training.finished else _("Go on")

    def _chosen(self, *_index):
        """Show what is known of the chosen training."""
        if self._filling:
            return
        training = self.training
        if training is None:
            self._fillNew()
        else:
            recipe = training.recipe
            self._ui.trainingNameEdit.text = training.name
            self._fillParents(recipe.parent.name if recipe.parent else "")
            if recipe.training.minutes is not None:
                self._ui.trainingMinutesSpinBox.value = recipe.training.minutes
        if not self.jobs.busy:
            self.messages.say("")
        self._shown = {}
        self._look()
        self.compare.show()
        self.refresh()

    def _fillNew(self):
        """Propose a name and the panel's model to begin from."""
        model = self._panel.parameters.model if self._panel.parameters is not None else ""
        self._fillParents(model)
        taken = {each.name for each in self._trainings}
        base = re.sub(r"-tuned(-\d+)?$", "", model) or "model"
        names = (f"{base}-tuned" + (f"-{n}" if n > 1 else "") for n in range(1, 1000))
        self._ui.trainingNameEdit.text = next(name for name in names if name not in taken)

    def _fillParents(self, wanted):
        box, names = self._ui.trainingParentComboBox, list(self._panel.models.names())
        box.clear()
        box.addItem(_("nothing: random weights"), "")
        for name in names + [wanted] * (bool(wanted) and wanted not in names):
            box.addItem(name, name)
        box.setCurrentIndex(max(0, box.findData(wanted)))

    def _look(self):
        """Show the pictures of the chosen training, where they are new."""
        from DeepSegmentLib.service.training.train_request import CURVES, SAMPLES

        if self._isTraining and self.training is None and self._recipe.is_file():  # it is planned now
            self.projectChanged(self._recipe.parent.name)
        training = self.training
        for name, file in zip(_PICTURES, (CURVES, SAMPLES), strict=True):
            path = training.folder / file if training is not None else None
            there = path is not None and path.is_file()
            stamp = (str(path), path.stat().st_mtime_ns) if there else None
            if stamp != self._shown.get(name, ()):
                self._shown[name] = stamp
                showPicture(getattr(self._ui, name), path if there else None)
        if not self.jobs.busy:
            self._timer.stop()

    # Training

    def trainOrPause(self):
        """Begin a training or go on with one; or stop what is under way."""
        if self.jobs.busy:
            self.jobs.cancel(_PATIENCE_S)
            self.messages.say(_("Pausing: the state is saved...") if self._isTraining else _("Stopping..."))
        elif self._panel.packagesAreThere(self._ui.trainingMessageLabel):
            self._train()

    def _train(self):
        from DeepSegmentLib.hosts.worker.learning_jobs import TrainJob
        from DeepSegmentLib.service.training.train_request import RECIPE, TRAININGS

        ui, training = self._ui, self.training
        name = ui.trainingNameEdit.text.strip()
        if training is None and name in {each.name for each in self._trainings}:
            self.messages.say(_("There is a training {name} already: choose another name.").format(name=name))
            return
        folder = str(self._panel.project.folder)
        job = (
            TrainJob(folder, name, ui.trainingParentComboBox.currentData or "", ui.trainingMinutesSpinBox.value)
            if training is None
            else TrainJob(folder, training.name)
        )
        self._isTraining = True
        self.messages.run(lambda: job, lambda result: self._trained(job.name, result))
        if self.jobs.busy:
            self._recipe = self._panel.project.folder / TRAININGS / job.name / RECIPE
            self._timer.start()

    def runJob(self, makeJob, onResult, label, onError=None):
        """Run another job in the process that learns; see `Panel.runJob`."""
        self._isTraining = False
        self.messages.run(makeJob, onResult, label, onError)

    def _trained(self, name, result):
        self.projectChanged(name)
        answer = result.answer
        minutes = float(answer["seconds"]) / 60
        text = _("{name} has learned from {cases} cases in {minutes:.1f} minutes.").format(
            name=name, cases=answer["cases"], minutes=minutes
        )
        early = _("It ended early: nothing was gained any more.") if answer.get("good_enough") else ""
        return " ".join(part for part in (text, early, _("Compare it before you use it.")) if part)

    def _ended(self, text):
        """The process is free: so is its memory; what became of the training is read from the project."""
        training, self._isTraining = self._isTraining, False
        self.jobs.close()
        if self._panel.parameters is None:
            return
        if training:
            self.projectChanged(self._recipe.parent.name)
            stopped = self.training is not None and not self.training.finished
            paused = stopped and text == _("Cancelled; nothing was changed.")
            self.messages.say(_("Paused. It goes on where it stood, also after Slicer was closed.") if paused else text)
        self.refresh()


def stateOf(training):
    """How far a training is, in a word or two."""
    if training.finished:
        return _("compared") if training.compared else _("finished")
    return _("paused at {percent} %").format(percent=round(100 * training.fraction))


def showPicture(label, path):
    """Show a picture at the width that a label has; none hides it."""
    picture = qt.QPixmap(str(path)) if path is not None else None
    if picture is None or picture.isNull():
        label.setVisible(False)
        return
    width = max(200, label.width if label.isVisible() else label.parent().width - 24)
    label.setPixmap(picture.scaledToWidth(min(width, picture.width()), qt.Qt.SmoothTransformation))
    label.setVisible(True)
