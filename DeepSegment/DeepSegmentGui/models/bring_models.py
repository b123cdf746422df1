"""Get, Remove and Add model: models come here in a process of their own, so that segmenting goes on beside it."""

import qt
import slicer
from slicer.i18n import tr as _

from DeepSegmentGui.models.model_card import countedStructures, madeOf
from DeepSegmentGui.models.model_lines import sizeText
from DeepSegmentGui.models.questions import ChangeQuestion, LicenceQuestion
from DeepSegmentGui.running.job_runner import JobRunner
from DeepSegmentGui.running.message_lines import JobMessages

_FILES = "*.zip *.pt *.pth *.ts *.onnx *.json"


class BringModels:
    """The buttons below the card.

    Args:
        ui: The widgets of the panel by name.
        parent: Widget that dialogs belong to.
        panel: Gives the list of models and the worker that segments.

    Attributes:
        jobs: The `JobRunner` of the process that brings models.
        question: The last window that asked something, or None.
    """

    def __init__(self, ui, parent, panel):
        self._ui, self._parent, self._panel = ui, parent, panel
        self.jobs, self.question = JobRunner(), None
        self._messages = JobMessages(ui.modelMessageLabel, ui.modelProgressBar, self.jobs, self._ended, self.refresh)
        self._getting = ""  # what is being downloaded, until the library has said what became of it
        self._menu = qt.QMenu(ui.addModelButton)
        for text, action in ((_("Folder..."), self.addFolder), (_("Files..."), self.addFiles)):
            self._menu.addAction(text).connect("triggered()", action)
        ui.addModelButton.setMenu(self._menu)
        ui.getModelButton.connect("clicked()", self.getOrCancel)
        ui.removeModelButton.connect("clicked()", self.remove)

    def refresh(self, *_arguments):
        """Bring the buttons in line with the chosen model and what is under way."""
        line, ui, busy = self._panel.models.line, self._ui, self.jobs.busy
        ui.getModelButton.setVisible(busy or (line is not None and line.canBeGot))
        ui.getModelButton.text = _("Cancel") if busy else _("Get")
        ui.getModelButton.toolTip = _("Stops; what was downloaded is kept.") if busy else self._getTip(line)
        ui.removeModelButton.setVisible(not busy and line is not None and line.canBeRemoved)
        ui.removeModelButton.enabled = not self._panel.busy
        ui.addModelButton.setVisible(not busy)
        ui.modelProgressBar.setVisible(busy)

    def close(self):
        """End the process; what was downloaded is kept."""
        self.jobs.close()
        self._getting = ""

    def forgetMessage(self):
        """What was said of another model is no longer of interest."""
        if not self.jobs.busy:
            self._messages.say("")

    # Get

    def getOrCancel(self):
        """Download the chosen model and add it, or stop what is under way."""
        if self.jobs.busy:
            self.jobs.cancel()
            self._messages.showStopping()
        elif self._panel.models.line is not None and self._panel.models.line.canBeGot:
            self._get(self._panel.models.line.name)

    def _get(self, name):
        """Ask what is to be asked, and download."""
        from DeepSegmentLib.errors import DeepSegmentError
        from DeepSegmentLib.service.models.get_model import download_question

        if not self._panel.packagesAreThere(self._ui.modelMessageLabel):
            return
        try:
            asked = download_question(name)
        except DeepSegmentError as error:
            self._messages.say(str(error))
            return
        if asked:
            line = self._panel.models.find(name)
            self.question = LicenceQuestion(self._parent, line.title, asked, lambda: self._download(name, agreed=True))
        else:
            self._download(name)

    def _download(self, name, *, agreed=False, changed=False):
        from DeepSegmentLib.hosts.worker.model_jobs import GetModelJob

        self._getting = name
        self._messages.run(
            lambda: GetModelJob(name, accept_licence=agreed, accept_change=changed),
            self._brought,
            onError=lambda error: self._notGot(error, name, agreed),
        )

    def _notGot(self, error, name, agreed):
        """What to say of a download that failed; what the user can agree to is asked."""
        from DeepSegmentLib.errors import ChangedError

        if isinstance(error, ChangedError):
            go = lambda: self._download(name, agreed=agreed, changed=True)  # noqa: E731 - a slot of one line
            self.question = ChangeQuestion(self._parent, str(error), go)
        self._getting = ""
        return str(error)

    # Add model

    def addFolder(self):
        """Add the model of a folder."""
        folder = qt.QFileDialog.getExistingDirectory(self._parent, _("Folder of a model"))
        if folder:
            self._add((folder,))

    def addFiles(self):
        """Add the model of a file, or of several that belong together."""
        title = _("Files of a model; choose all where it has several")
        files = qt.QFileDialog.getOpenFileNames(self._parent, title, "", _("Models ({files})").format(files=_FILES))
        if files:
            self._add(tuple(files))

    def _add(self, sources, *, agreed=False):
        from DeepSegmentLib.hosts.worker.model_jobs import AddModelJob

        if not self._panel.packagesAreThere(self._ui.modelMessageLabel):
            return
        self._getting = ""
        self._messages.run(
            lambda: AddModelJob(sources, accept_licence=agreed),
            self._brought,
            onError=lambda error: self._notAdded(error, sources),
        )

    def _notAdded(self, error, sources):
        """What to say of a model that was not added; a licence is asked for."""
        from DeepSegmentLib.errors import LicenceError

        if isinstance(error, LicenceError):
            go = lambda: self._add(sources, agreed=True)  # noqa: E731 - a slot of one line
            self.question = LicenceQuestion(self._parent, _("This model"), str(error), go)
            return ""
        return str(error)

    # Both

    def _brought(self, result):
        """Choose the model that came; what it is."""
        self._panel.loadModels(result.entry.name)
        return broughtText(self._panel.models.line)

    def _ended(self, text):
        """Free the memory of the process, and show what is here now."""
        self.jobs.close()
        begun, self._getting = self._getting, ""
        if self._panel.parameters is None:
            return
        self._panel.loadModels(self._panel.models.line.name)
        line = self._panel.models.find(begun)
        if line is not None and line.begun:
            kept = _("{text} {size} are here already: Get goes on from there.")
            self._messages.say(kept.format(text=text, size=sizeText(line.begun)))
        self.refresh()

    def _getTip(self, line):
        if line is None or not line.canBeGot:
            return ""
        places = sorted({file.url.split("/")[2] for file in line.known.files})
        return _("Downloads the model from {places}; nothing is downloaded without this click.").format(
            places=", ".join(places)
        )

    # Remove

    def remove(self):
        """Delete the chosen model, if the user says so."""
        from DeepSegmentLib.errors import DeepSegmentError
        from DeepSegmentLib.service.catalogue import remove_model

        line = self._panel.models.line
        question = _("Delete the model {name} from this computer? That frees {size}.")
        if self._panel.busy or not slicer.util.confirmOkCancelDisplay(
            question.format(name=line.name, size=sizeText(line.size))
        ):
            return
        self._panel.jobs.close()  # it may hold the files of the model open
        try:
            remove_model(line.entry.path.name if line.entry.damage else line.name)
            text = _("{name} is deleted; {size} are free again.").format(name=line.name, size=sizeText(line.size))
        except DeepSegmentError as error:
            text = str(error)
        self._panel.loadModels(line.name)
        self._messages.say(text)


def broughtText(line):
    """What came, in a line: kind, networks, segments."""
    spec, told = line.spec, [madeOf(line.spec)]
    kind = spec.provenance.get("kind", "")
    about = ", ".join(text for text in (kind, *told) if text)
    return _("{name} is here and chosen{about}. {structures}").format(
        name=line.name,
        about=f": {about}" if about else "",
        structures=countedStructures([segment.name for segment in spec.segments]),
    )
