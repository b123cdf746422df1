"""Several cases, one after the other, and the table that shows them: a row each, with its state and its error."""

from collections import deque
from dataclasses import dataclass
from typing import Any

import qt
from slicer.i18n import tr as _

from DeepSegmentGui.panel_words import endText, panelWords, progressText

WAITING, RUNNING, DONE, LEFT_OUT, FAILED = "waiting", "running", "done", "left out", "failed"
_ICONS = {
    DONE: qt.QStyle.SP_DialogApplyButton,
    FAILED: qt.QStyle.SP_MessageBoxCritical,
}  # those that can be seen on dark and light
_STATE_COLUMN, _NAME_WIDTH, _NAMED = 2, 120, 5


@dataclass(frozen=True)
class Outcome:
    """What came of a case.

    Attributes:
        text: What the table says.
        state: DONE, LEFT_OUT or FAILED.
        open: Shows the result; None where there is none.
        kept: Whether the row stays; a search that found cases gives its place to them.
    """

    text: str
    state: str = DONE
    open: Any = None
    kept: bool = True


@dataclass
class Case:
    """One row of the table.

    Attributes:
        name: What the user reads.
        model: Name of the model.
        job: Makes the job when its turn comes; voxels are read no earlier.
        done: Called with the result; returns the `Outcome`.
        retry: Where the worker died, called with the last stage that was told; returns another case to try, or None.
        outcome: What came of it; None before.
    """

    name: str
    model: str
    job: Any
    done: Any
    retry: Any = None
    outcome: Any = None


class BatchQueue:
    """Works a list of cases off; a case that fails does not stop the others.

    Args:
        table: The QTableWidget that shows the cases.
        jobs: `JobRunner`.
        onChanged: Called when the batch starts, gets on or ends.
        say: Shows a line under the buttons: where the batch is, and at its end what failed.
    """

    def __init__(self, table, jobs, onChanged, say):
        self._table, self._jobs, self._onChanged, self._say = table, jobs, onChanged, say
        self._cases, self._waiting = [], deque()
        self._case, self._stage = None, ""
        table.setColumnCount(_STATE_COLUMN + 1)
        table.setHorizontalHeaderLabels([_("Case"), _("Model"), _("State")])
        table.horizontalHeader().setSectionResizeMode(_STATE_COLUMN, qt.QHeaderView.Stretch)
        table.setColumnWidth(0, _NAME_WIDTH)
        table.verticalHeader().setVisible(False)
        table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
        table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
        table.connect("cellDoubleClicked(int,int)", self._open)

    @property
    def running(self):
        """Whether cases are under way or waiting."""
        return self._case is not None or bool(self._waiting)

    def start(self, cases):
        """Begin with these cases."""
        self.forget()
        self.add(cases)
        self._next()

    def add(self, cases):
        """Let these cases wait for their turn, after all others."""
        for case in cases:
            row = len(self._cases)
            self._cases.append(case)
            self._table.setRowCount(row + 1)
            for column, text in enumerate((case.name, case.model, "")):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(text)
                self._table.setItem(row, column, item)
            self._show(case, WAITING, _("waiting"))
        self._waiting.extend(cases)
        self._table.setColumnHidden(1, len({case.model for case in self._cases}) < 2)

    def cancel(self):
        """Stop the case under way and leave out the others."""
        for case in self._waiting:
            self._end(case, Outcome(_("not begun"), LEFT_OUT))
        self._waiting.clear()
        self._jobs.cancel()

    def forget(self):
        """Drop everything, as when the scene closes."""
        self._cases.clear()
        self._waiting.clear()
        self._case = None
        self._table.setRowCount(0)
        self._say("")

    def _next(self):
        from DeepSegmentLib.errors import DeepSegmentError

        while self._waiting:
            self._case = self._waiting.popleft()
            self._stage = ""
            try:
                self._jobs.submit(self._case.job(), self._onEvent)
            except DeepSegmentError as error:
                self._end(self._case, Outcome(str(error), FAILED))
                continue
            self._show(self._case, RUNNING, _("running"))
            self._onChanged()
            return
        self._case = None
        self._say(summary(self._cases))
        self._onChanged()

    def _onEvent(self, event):
        from DeepSegmentLib.hosts.worker.jobs_and_events import Died, Progressed

        if isinstance(event, Progressed):
            self._stage = event.progress.stage
            self._show(self._case, RUNNING, progressText(event.progress))
        elif self._case is not None:
            case = self._case
            again = case.retry(self._stage) if isinstance(event, Died) and case.retry else None
            self._end(case, Outcome("", kept=False) if again else self._outcomeOf(event))
            self.add([again] if again else [])
            self._next()

    def _outcomeOf(self, event):
        from DeepSegmentLib.errors import DeepSegmentError
        from DeepSegmentLib.hosts.worker.jobs_and_events import Finished, Stopped

        if not isinstance(event, Finished):
            return Outcome(endText(event), LEFT_OUT if isinstance(event, Stopped) else FAILED)
        try:
            return self._case.done(event.result)
        except DeepSegmentError as error:
            return Outcome(str(error), FAILED)

    def _end(self, case, outcome):
        case.outcome = outcome
        if outcome.kept:
            self._show(case, outcome.state, outcome.text)
            self._table.resizeRowToContents(self._cases.index(case))
        else:
            self._table.removeRow(self._cases.index(case))
            self._cases.remove(case)

    def _show(self, case, state, text):
        row, text = self._cases.index(case), panelWords(text)
        item = self._table.item(row, _STATE_COLUMN)
        item.setText(text)
        item.setToolTip(text)
        icon = self._table.style().standardIcon(_ICONS[state]) if state in _ICONS else qt.QIcon()
        self._table.item(row, 0).setIcon(icon)
        if state == RUNNING:
            done = _("Case {n} of {total}, {name}: {text}")
            self._say(done.format(n=row + 1, total=len(self._cases), name=case.name, text=text))

    def _open(self, row, _column):
        outcome = self._cases[row].outcome
        if not self.running:
            self._say(summary(self._cases))
        if outcome is not None and outcome.open is not None:
            outcome.open()
        else:
            self._say(_("{name} has no result to show.").format(name=self._cases[row].name))


def summary(cases):
    """What came of a batch in a line; what failed comes first, by name."""
    by = {state: [case.name for case in cases if case.outcome.state == state] for state in (FAILED, DONE, LEFT_OUT)}
    parts = []
    if by[FAILED]:
        names = ", ".join(by[FAILED][:_NAMED]) + (", ..." if len(by[FAILED]) > _NAMED else "")
        parts.append(
            _("{count} of {total} failed: {names}.").format(count=len(by[FAILED]), total=len(cases), names=names)
        )
    if by[DONE]:
        parts.append(_("{count} segmented.").format(count=len(by[DONE])))
    if by[LEFT_OUT]:
        parts.append(_("{count} left out.").format(count=len(by[LEFT_OUT])))
    return " ".join(parts)
