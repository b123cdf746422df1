"""The options of the effect DeepSegment: Fix.

Radius, aggressiveness and overwriting are those of the panel; the others are parameters of the Segment Editor's node.
"""

import ctk
import qt
import slicer
from slicer.i18n import tr as _

from DeepSegmentGui.correction.prompt_list import PromptList
from DeepSegmentGui.correction.scene_corrector import correctorOf
from DeepSegmentGui.correction.shared_settings import LARGEST_MM, SMALLEST_MM, SharedSettings, setRadius, settingsOf

_DEFAULTS = {"Suggest": 0, "Mode": "fix", "Negative": 0, "Tool": "point"}
TOOLS = ("point", "box", "lasso")


class EffectOptions:
    """Widgets and parameters.

    Args:
        effect: The qSlicerSegmentEditorScriptedEffect.
    """

    def __init__(self, effect):
        self._effect = effect
        self._changed = None
        self._showing = False
        self._shared = SharedSettings(self.show)
        self._frame = None

    def setUp(self, changed, target):
        """Make the widgets.

        Args:
            changed: Called without arguments after each change by the user.
            target: Gives what is corrected.
        """
        self._changed = changed
        self._makeTools()
        self._makeSettings()
        self.status = qt.QLabel()
        self.status.setWordWrap(True)
        button = qt.QPushButton(_("Take back"))
        self.prompts = PromptList(qt.QListWidget(), button, lambda: correctorOf(slicer.mrmlScene), target, self.say)
        self._lay()
        self._connect()

    def _makeTools(self):
        self.tool = qt.QComboBox()
        self.tool.toolTip = _("What you draw in a slice view (D).")
        for text, name in ((_("Click or stroke"), "point"), (_("Box"), "box"), (_("Lasso"), "lasso")):
            self.tool.addItem(text, name)
        self.negative = qt.QPushButton(_("Does not belong"))
        self.negative.setCheckable(True)
        self.negative.toolTip = _(
            "What you draw does not belong to the segment (S; A: it belongs); with Ctrl it means the opposite."
        )

    def _makeSettings(self):
        self.radius = _slider(SMALLEST_MM, LARGEST_MM, 0.5, 1, " mm")
        self.radius.toolTip = _(
            "How far from your click voxels may change, and how deep boxes and lassos reach to both sides of the slice "
            "(Shift + mouse wheel, Shift + up and down, + and -)."
        )
        self.suggest = qt.QCheckBox(_("Suggest"))
        self.suggest.toolTip = _("Chooses a radius that suits the place under the pointer.")
        self.aggressiveness = _slider(0.0, 1.0, 0.05, 2, "")
        self.aggressiveness.toolTip = _("0 changes only what is certain, 1 all that is possible.")
        self.mode = qt.QComboBox()
        self.mode.addItem(_("Fix: correct the segment"), "fix")
        self.mode.addItem(_("Grow: make it anew from your prompts"), "grow")
        self.overwrite = qt.QCheckBox(_("Overwrite other segments"))
        self.overwrite.toolTip = _("Takes voxels from segments that are not locked, as Masking of the editor lets it.")

    def _lay(self):
        self._frame = qt.QFrame()
        form = qt.QFormLayout(self._frame)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow(_("Tool:"), _row(self.tool, self.negative))
        form.addRow(_("Radius:"), _row(self.radius, self.suggest))
        form.addRow(_("Aggressiveness:"), self.aggressiveness)
        form.addRow(_("Mode:"), self.mode)
        form.addRow(self.overwrite)
        form.addRow(self.status)
        form.addRow(_("Prompts:"), _row(self.prompts.list, self.prompts.button))
        self._effect.addOptionsWidget(self._frame)

    def remove(self):
        """Take the widgets away, to be made anew."""
        self.leave()
        if self._frame is not None:
            self._frame.hide()
            self._frame.deleteLater()
        self._frame = None

    def _connect(self):
        for widget, signal in (
            (self.tool, "currentIndexChanged(int)"),
            (self.radius, "valueChanged(double)"),
            (self.suggest, "toggled(bool)"),
            (self.aggressiveness, "valueChanged(double)"),
            (self.mode, "currentIndexChanged(int)"),
            (self.negative, "toggled(bool)"),
            (self.overwrite, "toggled(bool)"),
        ):
            widget.connect(signal, self._edited)

    def _edited(self, *_value):
        if not self._showing:
            self.store()
            self._changed()

    def enter(self):
        """The effect was chosen: show what others have set, now and from now on."""
        self._shared.follow()
        self.prompts.enter()
        self.show()

    def leave(self):
        """Another effect was chosen."""
        self._shared.leave()
        if self._frame is not None:
            self.prompts.leave()

    def setDefaults(self):
        """Give parameters that have no value theirs."""
        for name, value in _DEFAULTS.items():
            self._effect.setParameterDefault(name, value)

    def show(self):
        """Show the parameters."""
        if self._showing or self._frame is None:
            return
        effect, shared, self._showing = self._effect, self._shared.parameters, True
        self.radius.value = shared.correctRadius
        self.aggressiveness.value = shared.correctAggressiveness
        self.overwrite.checked = shared.correctOverwrite
        for widget, name in ((self.mode, "Mode"), (self.tool, "Tool")):
            widget.setCurrentIndex(widget.findData(effect.parameter(name)))
        for widget, name in self._boxes():
            widget.checked = bool(effect.integerParameter(name))
        self._showing = False

    def store(self):
        """Take over what the widgets show."""
        effect, shared, self._showing = self._effect, self._shared.parameters, True
        shared.correctRadius = self.radius.value
        shared.correctAggressiveness = self.aggressiveness.value
        shared.correctOverwrite = self.overwrite.checked
        for widget, name in ((self.mode, "Mode"), (self.tool, "Tool")):
            effect.setParameter(name, widget.itemData(widget.currentIndex))
        for widget, name in self._boxes():
            effect.setParameter(name, int(widget.checked))
        self._showing = False

    def _boxes(self):
        return ((self.suggest, "Suggest"), (self.negative, "Negative"))

    # What the pointer needs

    @property
    def settings(self):
        """The parameters as `CorrectionSettings`."""
        return settingsOf(self._shared.parameters, self._effect.parameter("Mode"))

    @property
    def currentTool(self):
        """What is drawn: one of `TOOLS`."""
        return self._effect.parameter("Tool")

    @property
    def isNegative(self):
        """Whether a plain click means what does not belong."""
        return bool(self._effect.integerParameter("Negative"))

    @property
    def suggestsRadius(self):
        """Whether the radius follows the place under the pointer."""
        return bool(self._effect.integerParameter("Suggest"))

    def setNegative(self, negative):
        """Set what a plain click means."""
        self._effect.setParameter("Negative", int(negative))

    def nextTool(self):
        """Take the next tool; after the last the first."""
        self._effect.setParameter("Tool", TOOLS[(TOOLS.index(self.currentTool) + 1) % len(TOOLS)])

    def setRadius(self, radiusMm):
        """Set the radius, in the range of the slider."""
        setRadius(self._shared.parameters, radiusMm)

    def scaleRadius(self, factor):
        """The user wants a larger or smaller circle: from now on theirs holds."""
        self._effect.setParameter("Suggest", 0)
        self.setRadius(self._shared.parameters.correctRadius * factor)

    def say(self, text):
        """Show a text below the options."""
        self.status.text = text


def _slider(low, high, step, decimals, suffix):
    slider = ctk.ctkSliderWidget()
    slider.minimum, slider.maximum = low, high
    slider.singleStep, slider.decimals = step, decimals
    slider.suffix = suffix
    return slider


def _row(*widgets):
    row = qt.QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget)
    return row
