"""The Segment Editor effect DeepSegment: Fix.

Slicer finds the class by the name of this file, and loads the file as a module named as its folder: it must stay alone
in it. Slicer keeps this class when the module DeepSegment is reloaded; its parts are then made anew.
"""

import weakref
from pathlib import Path
from typing import ClassVar

import qt
import slicer
from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect
from slicer.i18n import tr as _

_ICON = Path(__file__).resolve().parent.parent / "Resources" / "Icons" / "DeepSegment.png"


class DeepSegmentFixEffect(AbstractScriptedSegmentEditorEffect):
    """Point where a segment is wrong: its shape follows at once, only there.

    Attributes:
        options: Its `EffectOptions`.
        pointer: Its `EffectPointer`.
    """

    living: ClassVar = weakref.WeakSet()
    """All effects there are, one for each editor."""

    def __init__(self, scriptedEffect):
        scriptedEffect.name = "DeepSegment Fix"
        scriptedEffect.title = _("DeepSegment: Fix")
        scriptedEffect.perSegment = True
        scriptedEffect.requireSegments = True
        AbstractScriptedSegmentEditorEffect.__init__(self, scriptedEffect)
        self.hasWidgets = False
        self.makeParts()
        self.living.add(self)

    def makeParts(self):
        """Make what does the work, of the classes that are loaded now."""
        from DeepSegmentGui.correction.effect_options import EffectOptions
        from DeepSegmentGui.correction.effect_pointer import EffectPointer

        self.options = EffectOptions(self.scriptedEffect)
        self.pointer = EffectPointer(self.scriptedEffect, self.options)

    @classmethod
    def dropAllParts(cls):
        """The module is going to be loaded anew: nothing of it stays in use."""
        for effect in cls.living:
            effect.pointer.deactivate()
            effect.options.remove()

    @classmethod
    def makeAllParts(cls):
        """The module was loaded anew."""
        for effect in cls.living:
            effect.makeParts()
            if effect.hasWidgets:
                effect.setupOptionsFrame()
            if effect.scriptedEffect.active():
                effect.activate()

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
            "<html>Correct the segment: left click or stroke on what belongs to it, or draw a <b>box</b> or a "
            "<b>lasso</b> around it; with Ctrl (Cmd on macOS) on what does not. What would change is shown while you "
            "rest. The circle is how far a correction may reach; boxes and lassos reach as deep. "
            "Masking, locks and undo of the Segment Editor hold.<br>"
            "<b>A</b> belongs, <b>S</b> does not belong, <b>D</b> next tool; "
            "<b>Shift + mouse wheel</b>, <b>Shift + up/down</b> or <b>+</b> and <b>-</b> radius.</html>"
        )

    def setupOptionsFrame(self):
        """Make the options."""
        self.options.setUp(self.pointer.settingsChanged, self.pointer.target)
        self.hasWidgets = True

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
        self.living.discard(self)
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
