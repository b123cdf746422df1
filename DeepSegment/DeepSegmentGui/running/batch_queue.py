"""Several cases: volumes of the scene, frames of a sequence, files of a folder; with one model or several."""

from collections import deque
from dataclasses import dataclass
from typing import Any

import qt
from slicer.i18n import tr as _


@dataclass
class Case:
    """One line of the table.

    Attributes:
        name: What the user reads.
        model: Name of the model.
        job: Makes the job when its turn comes; voxels are read no earlier.
        done: Called with the result; returns what the table says.
        retry: Where the worker died, called with the last stage that was told; returns another case to try, or None.
    """

    name: str
    model: str
    job: Any
    done: Any
    retry: Any = None


class BatchQueue:
    """Works a list of cases off, one after the other; a case that fails does not stop the others.

    Args:
        table: The QTableWidget that shows the cases.
        jobs: `JobRunner`.
        onChanged: Called when the batch starts, gets on or ends.
    """

    def __init__(self, table, jobs, onChanged):
        self._table, self._jobs, self._onChanged = table, jobs, onChanged
        self._waiting = deque()
        self._row = -1
        self._case = None
        self._stage = ""
        table.setColumnCount(3)
        table.setHorizontalHeaderLabels([_("Case"), _("Model"), _("State")])
        table.horizontalHeader().setSectionResizeMode(2, qt.QHeaderView.Stretch)
        table.verticalHeader().setVisible(False)
        table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)

    @property
    def running(self):
        """Whether cases are under way or waiting."""
        return self._case is not None or bool(self._waiting)

    def start(self, cases):
        """Begin with these cases."""
        self._table.setRowCount(0)
        self._waiting.clear()
        self._row = -1
        self.add(cases)
        self._next()

    def add(self, cases):
        """Let these cases wait for their turn, after all others."""
        first = self._table.rowCount
        self._table.setRowCount(first + len(cases))
        for row, case in enumerate(cases, first):
            for column, text in enumerate((case.name, case.model, _("waiting"))):
                self._table.setItem(row, column, qt.QTableWidgetItem(text))
        self._waiting.extend(cases)

    def cancel(self):
        """Stop the case under way and leave out the others."""
        for row in range(self._row + 1, self._table.rowCount):
            self._say(row, _("left out"))
        self._waiting.clear()
        self._jobs.cancel()

    def forget(self):
        """Drop everything, as when the scene closes."""
        self._waiting.clear()
        self._case = None
        self._table.setRowCount(0)

    def _next(self):
        from DeepSegmentLib.errors import DeepSegmentError

        while self._waiting:
            self._case = self._waiting.popleft()
            self._stage = ""
            self._row += 1
            try:
                self._jobs.submit(self._case.job(), self._onEvent)
            except DeepSegmentError as error:
                self._say(self._row, str(error))
                continue
            self._say(self._row, _("running"))
            self._onChanged()
            return
        self._case = None
        self._onChanged()

    def _onEvent(self, event):
        from DeepSegmentLib.hosts.worker.messages import Died, Progressed

        if isinstance(event, Progressed):
            self._stage = event.progress.stage
            self._say(self._row, progressText(event.progress))
        elif self._case is not None:
            self._say(self._row, self._outcome(event))
            again = self._case.retry(self._stage) if isinstance(event, Died) and self._case.retry else None
            self.add([again] if again else [])
            self._next()

    def _outcome(self, event):
        from DeepSegmentLib.errors import DeepSegmentError
        from DeepSegmentLib.hosts.worker.messages import Finished

        if not isinstance(event, Finished):
            return endText(event)
        try:
            return self._case.done(event.result)
        except DeepSegmentError as error:
            return str(error)

    def _say(self, row, text):
        item = self._table.item(row, 2)
        if item is not None:
            item.setText(text)
            item.setToolTip(text)


def progressText(progress):
    """One line of progress: stage, percent, time to go."""
    text = _("{stage} {percent} %").format(stage=progress.stage, percent=round(100 * progress.fraction))
    if progress.eta_s is None:
        return text
    return _("{text}, {seconds} s to go").format(text=text, seconds=round(progress.eta_s))


def endText(event):
    """What the user reads of an end that is no success."""
    from DeepSegmentLib.hosts.worker.messages import Died, Failed

    if isinstance(event, Failed):
        return str(event.error)
    return event.message if isinstance(event, Died) else _("Cancelled; nothing was changed.")
