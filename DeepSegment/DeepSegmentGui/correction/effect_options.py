"""The options of the effect DeepSegment: Fix; kept as parameters of the Segment Editor's node."""

import ctk
import qt
from slicer.i18n import tr as _

SMALLEST_MM, LARGEST_MM = 1.0, 100.0
_DEFAULTS = {"RadiusMm": 10.0, "Suggest": 0, "Aggressiveness": 0.5, "Mode": "fix", "Negative": 0, "Overwrite": 0}


class EffectOptions:
    """Widgets and parameters.

    Args:
        effect: The qSlicerSegmentEditorScriptedEffect.
    """

    def __init__(self, effect):
        self._effect = effect
        self._changed = None
        self._showing = False

    def setUp(self, changed):
        """Make the widgets; `changed` is called without arguments after each change by the user."""
        self._changed = changed
        self.radius = _slider(SMALLEST_MM, LARGEST_MM, 0.5, 1, " mm")
        self.radius.toolTip = _("How far from your click voxels may change (Shift + mouse wheel, + and -).")
        self.suggest = qt.QCheckBox(_("Suggest"))
        self.suggest.toolTip = _("Chooses a radius that suits the place under the pointer.")
        self.aggressiveness = _slider(0.0, 1.0, 0.05, 2, "")
        self.aggressiveness.toolTip = _("0 changes only what is certain, 1 all that is possible.")
        self.mode = qt.QComboBox()
        self.mode.addItem(_("Fix: correct the segment"), "fix")
        self.mode.addItem(_("Grow: make it anew from your clicks"), "grow")
        self.negative = qt.QPushButton(_("Does not belong"))
        self.negative.setCheckable(True)
        self.negative.toolTip = _(
            "Your clicks mean what does not belong to the segment; Ctrl + click does the opposite."
        )
        self.overwrite = qt.QCheckBox(_("Overwrite other segments"))
        self.overwrite.toolTip = _("Takes voxels from segments that are not locked, as Masking of the editor lets it.")
        self.status = qt.QLabel()
        self.status.setWordWrap(True)
        self._lay()
        self._connect()

    def _lay(self):
        row = qt.QHBoxLayout()
        row.addWidget(self.radius)
        row.addWidget(self.suggest)
        add = self._effect.addLabeledOptionsWidget
        add(_("Radius:"), row)
        add(_("Aggressiveness:"), self.aggressiveness)
        add(_("Mode:"), self.mode)
        for widget in (self.negative, self.overwrite, self.status):
            self._effect.addOptionsWidget(widget)

    def _connect(self):
        for widget, signal in (
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

    def setDefaults(self):
        """Give parameters that have no value theirs."""
        for name, value in _DEFAULTS.items():
            self._effect.setParameterDefault(name, value)

    def show(self):
        """Show the parameters."""
        effect, self._showing = self._effect, True
        self.radius.value = effect.doubleParameter("RadiusMm")
        self.aggressiveness.value = effect.doubleParameter("Aggressiveness")
        self.mode.setCurrentIndex(self.mode.findData(effect.parameter("Mode")))
        for widget, name in self._boxes():
            widget.checked = bool(effect.integerParameter(name))
        self._showing = False

    def store(self):
        """Take over what the widgets show."""
        effect = self._effect
        effect.setParameter("RadiusMm", self.radius.value)
        effect.setParameter("Aggressiveness", self.aggressiveness.value)
        effect.setParameter("Mode", self.mode.itemData(self.mode.currentIndex))
        for widget, name in self._boxes():
            effect.setParameter(name, int(widget.checked))

    def _boxes(self):
        return ((self.suggest, "Suggest"), (self.negative, "Negative"), (self.overwrite, "Overwrite"))

    # What the pointer needs

    @property
    def settings(self):
        """The parameters as `CorrectionSettings`."""
        from DeepSegmentLib.correction.settings import CorrectionSettings

        effect = self._effect
        return CorrectionSettings(
            radius_mm=effect.doubleParameter("RadiusMm"),
            aggressiveness=effect.doubleParameter("Aggressiveness"),
            mode=effect.parameter("Mode"),
            overwrite=bool(effect.integerParameter("Overwrite")),
        )

    @property
    def isNegative(self):
        """Whether a plain click means what does not belong."""
        return bool(self._effect.integerParameter("Negative"))

    @property
    def suggestsRadius(self):
        """Whether the radius follows the place under the pointer."""
        return bool(self._effect.integerParameter("Suggest"))

    def setRadius(self, radiusMm):
        """Set the radius, in the range of the slider."""
        self._effect.setParameter("RadiusMm", min(max(radiusMm, SMALLEST_MM), LARGEST_MM))

    def scaleRadius(self, factor):
        """The user wants a larger or smaller circle: from now on theirs holds."""
        self._effect.setParameter("Suggest", 0)
        self.setRadius(self._effect.doubleParameter("RadiusMm") * factor)

    def say(self, text):
        """Show a text below the options."""
        self.status.text = text


def _slider(low, high, step, decimals, suffix):
    slider = ctk.ctkSliderWidget()
    slider.minimum, slider.maximum = low, high
    slider.singleStep, slider.decimals = step, decimals
    slider.suffix = suffix
    return slider
