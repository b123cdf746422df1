"""Compare, promote and roll back, in the section Train."""

import html

import qt
from slicer.i18n import tr as _

from DeepSegmentGui.models.questions import Question
from DeepSegmentGui.panel_words import panelWords

_WORSE, _BETTER = "#e05555", "#3fae5f"


class CompareButtons:
    """What is done with the candidate of the chosen training.

    Args:
        ui: The widgets of the panel by name.
        panel: Gives the project, the models and the worker that segments.
        section: The `TrainSection`.

    Attributes:
        question: The last window that asked for a second yes, or None.
    """

    def __init__(self, ui, panel, section):
        self._ui, self._panel, self._section = ui, panel, section
        self.question = None
        ui.findingsLabel.setTextFormat(qt.Qt.RichText)
        ui.compareButton.connect("clicked()", self.compare)
        ui.pageButton.connect("clicked()", self.openPage)
        ui.promoteButton.connect("clicked()", self.promote)
        ui.rollBackButton.connect("clicked()", self.rollBack)

    def refresh(self):
        """Bring the buttons in line with the chosen training and what is under way."""
        ui, training, busy = self._ui, self._section.training, self._section.jobs.busy
        finished = training is not None and training.finished
        ui.compareButton.enabled = finished and not busy
        ui.pageButton.enabled = finished and self._page(training).is_file()
        ui.promoteButton.enabled = finished and not busy
        ui.rollBackButton.enabled = training is not None and not busy and bool(self._versions(training.name))

    def show(self):
        """Show what the comparison of the chosen training found."""
        from DeepSegmentLib.errors import DeepSegmentError
        from DeepSegmentLib.service.learning.comparison import read_comparison
        from DeepSegmentLib.service.training.train_request import COMPARISON

        training, text = self._section.training, ""
        self._say("")
        if training is not None and training.compared:
            try:
                text = findingsText(read_comparison(training.folder / COMPARISON))
            except DeepSegmentError as error:
                text = html.escape(panelWords(str(error)))
        self._ui.findingsLabel.text = text
        self._ui.findingsLabel.setVisible(bool(text))

    def compare(self):
        """Try the candidate and what it began from on the held-out cases."""
        from DeepSegmentLib.hosts.worker.learning_jobs import CompareJob

        training, project = self._section.training, str(self._panel.project.folder)
        job = CompareJob(project, training.name, self._panel.parameters.device)
        self._section.runJob(lambda: job, lambda _result: self._compared(training.name), self._ui.compareMessageLabel)

    def _compared(self, name):
        from DeepSegmentLib.service.learning.compare_page import verdict_in_words
        from DeepSegmentLib.service.learning.comparison import read_comparison
        from DeepSegmentLib.service.training.train_request import COMPARISON

        self._section.projectChanged(name)
        return " ".join(verdict_in_words(read_comparison(self._section.training.folder / COMPARISON)))

    def openPage(self):
        """Show the page of the comparison in the browser."""
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self._page(self._section.training))))

    def promote(self, anyway=False):
        """Put the candidate among the models; one that is not proven needs a second yes."""
        from DeepSegmentLib.hosts.worker.learning_jobs import PromoteJob

        job = PromoteJob(str(self._panel.project.folder), self._section.training.name, anyway)
        self._panel.jobs.close()  # it may hold the files of the model open
        self._section.runJob(lambda: job, self._promoted, self._ui.compareMessageLabel, self._notPromoted)

    def _promoted(self, result):
        answer = result.answer
        self._panel.loadModels(answer["model"])
        text = _("{model} {version} is in use, and chosen.").format(**answer)
        kept = _("{before} is kept: Roll back brings it back.").format(**answer) if answer["before"] else ""
        return f"{text} {kept}".strip()

    def _notPromoted(self, error):
        """What to say of a candidate that was not promoted; where it is not proven, the user may say so twice."""
        from DeepSegmentLib.errors import NotProvenError

        if isinstance(error, NotProvenError):
            self.question = PromoteQuestion(self._panel.parent, str(error), lambda: self.promote(anyway=True))
            return _("Not promoted: {error}").format(error=error)
        return str(error)

    def rollBack(self):
        """Bring the version before back."""
        from DeepSegmentLib.hosts.worker.learning_jobs import RollBackJob

        job = RollBackJob(self._section.training.name)
        self._panel.jobs.close()
        self._section.runJob(lambda: job, self._rolledBack, self._ui.compareMessageLabel)

    def _rolledBack(self, result):
        self._panel.loadModels(result.answer["model"])
        return _("{model} {version} is in use again; {before} is kept.").format(**result.answer)

    def _say(self, text):
        self._panel.say(text, self._ui.compareMessageLabel)

    def _page(self, training):
        from DeepSegmentLib.service.learning.comparison import PAGE

        return training.folder / PAGE

    def _versions(self, name):
        from DeepSegmentLib.errors import DeepSegmentError
        from DeepSegmentLib.service.learning.promote import earlier_versions

        try:
            return earlier_versions(name)
        except DeepSegmentError:  # it is not among the models
            return ()


class PromoteQuestion(Question):
    """Asks whether a model that is not proven shall be used anyway; arguments as in `Question`."""

    def __init__(self, parent, problem, go):
        text = f'<p style="color: {_WORSE}">{html.escape(panelWords(problem))}</p>'
        super().__init__(parent, _("The model is not proven"), text, _("Use it anyway"), go)


def findingsText(comparison):
    """A table of what a comparison found: worse in red, better in green."""
    head = "".join(
        f"<th align='{side}'>{text}</th>"
        for side, text in (("left", _("Segment")), ("right", _("Dice before")), ("right", _("now")), ("right", ""))
    )
    rows = [_row(finding) for finding in comparison.findings()]
    if not rows:
        return ""
    cases = _("{count} held-out cases, differences with their 95 % interval").format(count=len(comparison.cases))
    return f"<table cellspacing='4'><tr>{head}</tr>{''.join(rows)}</table><p>{cases}</p>"


def _row(finding):
    dice, color = finding.dice, _WORSE if finding.is_worse else _BETTER if finding.is_better else ""
    name = html.escape(finding.name or _("all together"))
    between = f"{dice.difference:+.3f}"
    if dice.low == dice.low:
        between += f" ({dice.low:+.3f}&nbsp;to&nbsp;{dice.high:+.3f})"
    style = f' style="color: {color}"' if color else ""
    return (
        f"<tr{style}><td>{name}</td><td align='right'>{dice.old:.3f}</td><td align='right'>{dice.new:.3f}</td>"
        f"<td align='right'>{between}</td></tr>"
    )
