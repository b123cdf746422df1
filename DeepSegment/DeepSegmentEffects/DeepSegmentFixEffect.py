"""The Segment Editor effect DeepSegment: Fix.

Slicer finds the class by the name of this file, and loads the file as a module named as its folder: it must stay alone
in it.
"""

from pathlib import Path

import qt
import slicer
from DeepSegmentGui.correction.effect_options import EffectOptions
from DeepSegmentGui.correction.effect_pointer import EffectPointer
from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect
from slicer.i18n import tr as _

_ICON = Path(__file__).resolve().parent.parent / "Resources" / "Icons" / "DeepSegment.png"


class DeepSegmentFixEffect(AbstractScriptedSegmentEditorEffect):
    """Click where a segment is wrong: its shape follows at once, only there."""

    def __init__(self, scriptedEffect):
        scriptedEffect.name = "DeepSegment Fix"
        scriptedEffect.title = _("DeepSegment: Fix")
        scriptedEffect.perSegment = True
        scriptedEffect.requireSegments = True
        AbstractScriptedSegmentEditorEffect.__init__(self, scriptedEffect)
        self.options = EffectOptions(scriptedEffect)
        self.pointer = EffectPointer(scriptedEffect, self.options)

    def clone(self):
        """A new effect for another editor."""
        effect = slicer.qSlicerSegmentEditorScriptedEffect(None)
        effect.setPythonSource(Path(__file__).as_posix())
        return effect

    def icon(self):
        """What the editor's button shows."""
        return qt.QIcon(str(_ICON)) if _ICON.is_file() else qt.QIcon()

    def helpText(self):
        """What the editor tells of the effect."""
        return _(
            "<html>Correct the segment with clicks: left click or stroke on what belongs to it, with Ctrl (Cmd on "
            "macOS) on what does not. The circle is how far a correction may reach: <b>Shift + mouse wheel</b> or "
            "<b>+</b> and <b>-</b> change it. What would change is shown while you rest. Masking, locks and undo of "
            "the Segment Editor hold.</html>"
        )

    def setupOptionsFrame(self):
        """Make the options."""
        self.options.setUp(self.pointer.settingsChanged)

    def setMRMLDefaults(self):
        """Give the parameters values."""
        self.options.setDefaults()

    def updateGUIFromMRML(self):
        """Show the parameters."""
        self.options.show()

    def updateMRMLFromGUI(self):
        """Take over what the user set."""
        self.options.store()

    def activate(self):
        """The user chose the effect."""
        self.pointer.activate()

    def deactivate(self):
        """The user chose another effect."""
        self.pointer.deactivate()

    def cleanup(self):
        """The editor is being deleted."""
        self.pointer.deactivate()
        AbstractScriptedSegmentEditorEffect.cleanup(self)

    def processInteractionEvents(self, callerInteractor, eventId, viewWidget):
        """An event in a view; True where nobody else shall see it."""
        return self.pointer.process(callerInteractor, eventId, viewWidget)

    def processViewNodeEvents(self, _callerViewNode, _eventId, viewWidget):
        """A view was moved or zoomed."""
        self.pointer.viewChanged(viewWidget)

    def sourceVolumeNodeChanged(self):
        """Another volume: what is on show no longer holds."""
        self.pointer.settingsChanged()
