"""The prompts of a segmentation in a list: each can be looked at and taken back."""

from datetime import datetime

import slicer
from slicer.i18n import tr as _

from DeepSegmentGui.correction.review_marker import showPlace

_HEIGHT = 76


class PromptList:
    """Shows prompts, the last one at the bottom.

    Args:
        listWidget: QListWidget for them.
        button: QPushButton that takes the chosen one back.
        corrector: Gives the `Corrector`.
        target: Gives the `Target` whose segmentation is shown.
        say: Called with what to tell the user.

    Attributes:
        list: The list.
        button: The button.
    """

    def __init__(self, listWidget, button, corrector, target, say):
        self.list, self.button = listWidget, button
        self._corrector, self._target, self._say = corrector, target, say
        self._steps = []
        listWidget.setMaximumHeight(_HEIGHT)
        listWidget.toolTip = _("What you pointed at so far; a double click goes there.")
        button.toolTip = _(
            "Takes the chosen prompt back, whichever it is: its change goes, and prompts after it are answered anew "
            "where they depended on it. Undo brings it back."
        )
        listWidget.connect("itemSelectionChanged()", self._chosen)
        listWidget.connect("itemDoubleClicked(QListWidgetItem*)", lambda _item: self.goThere())
        button.connect("clicked()", self.takeBack)

    def enter(self):
        """Follow what is corrected from now on."""
        listeners = self._corrector().listeners
        if self.refresh not in listeners:
            listeners.append(self.refresh)
        self.refresh()

    def leave(self):
        """Follow no more."""
        listeners = self._corrector().listeners
        if self.refresh in listeners:
            listeners.remove(self.refresh)

    def refresh(self):
        """Show the prompts as they are now."""
        steps = self._corrector().steps(self._target().segmentation)
        steps = [step for step in steps if step.prompt is not None]
        if steps != self._steps or self.list.count != len(steps):
            self._steps = steps
            self.list.clear()
            for number, step in enumerate(steps, start=1):
                self.list.addItem(promptText(number, step))
            self.list.scrollToBottom()
        self._chosen()

    def _chosen(self):
        self.button.enabled = self._step() is not None

    def _step(self):
        row = self.list.currentRow
        return self._steps[row] if 0 <= row < len(self._steps) and self.list.selectedItems() else None

    def takeBack(self):
        """Take the chosen prompt back."""
        from DeepSegmentLib.errors import DeepSegmentError

        step = self._step()
        if step is None:
            return
        try:
            self._say(self._corrector().takeBack(self._target(), step))
        except DeepSegmentError as error:
            self._say(_("It cannot be taken back: {reason}.").format(reason=error))

    def goThere(self):
        """Show where the chosen prompt was given."""
        from DeepSegmentLib.correction.rules.marked_voxels import points_of

        step, target = self._step(), self._target()
        if step is not None:
            canvas = target.canvas(overwrite=False)
            showPlace(slicer.mrmlScene, canvas.in_scene(points_of(step.prompt).mean(axis=0)), step.prompt.segment)


def promptText(number, step):
    """A prompt as a line of the list."""
    from DeepSegmentLib.data import BoxPrompt, Lasso, Point

    kinds = {Point: _("point"), BoxPrompt: _("box"), Lasso: _("lasso")}
    return _("{number}.  {sign} {kind}  {segment}  {time}").format(
        number=number,
        sign="+" if step.prompt.positive else "\N{MINUS SIGN}",
        kind=kinds.get(type(step.prompt), _("stroke")),
        segment=step.prompt.segment,
        time=datetime.fromisoformat(step.time).astimezone().strftime("%H:%M"),
    )
