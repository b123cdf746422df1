"""What is asked before a model comes: its licence, and whether a file may be another one than before."""

import html

import qt
from slicer.i18n import tr as _

from DeepSegmentGui.models.model_card import linked, readable
from DeepSegmentGui.panel_words import panelWords


class Question:
    """Goes on when the user agrees. The window stays alive while it is open.

    Args:
        parent: The widget that it belongs to.
        title: Of the window.
        text: What is asked, as HTML.
        agree: Text of the button that goes on.
        go: Called without arguments.
    """

    def __init__(self, parent, title, text, agree, go):
        self._go = go
        self.box = qt.QMessageBox(parent)
        self.box.setWindowTitle(title)
        self.box.setTextFormat(qt.Qt.RichText)
        self.box.setTextInteractionFlags(qt.Qt.TextBrowserInteraction)
        self.box.setText(readable(text, self.box))
        self.agreeButton = self.box.addButton(agree, qt.QMessageBox.AcceptRole)
        self.box.setDefaultButton(self.box.addButton(qt.QMessageBox.Cancel))
        self.box.connect("finished(int)", self._answered)
        self.box.open()

    def _answered(self, *_result):
        agreed = self.box.clickedButton() == self.agreeButton
        self.box.deleteLater()
        if agreed:
            self._go()


class LicenceQuestion(Question):
    """Asks for a licence that is not for every use.

    Args:
        parent: The widget that it belongs to.
        title: Of the model.
        licence: What the library asks, with the address of the licence.
        go: Called when the user agrees.
    """

    def __init__(self, parent, title, licence, go):
        text = _("<p>The weights of <b>{title}</b> are not for every use:</p><p>{licence}</p><p>Nothing is downloaded "
                 "before you agree. You are asked once for each licence.</p>")  # fmt: skip
        super().__init__(
            parent,
            _("Licence of the model"),
            text.format(title=html.escape(title), licence=linked(panelWords(licence))),
            _("I agree"),
            go,
        )


class ChangeQuestion(Question):
    """Asks whether a file may be another than the one that was downloaded earlier; arguments as in `Question`."""

    def __init__(self, parent, problem, go):
        text = f"<p>{linked(panelWords(problem))}</p>"
        super().__init__(parent, _("The file has changed"), text, _("Take the new file"), go)
