"""Stand-ins of scripted Segment Editor effects: the C++ class, its factory and the Python base class.

Behaviour as read in Slicer's qSlicerSegmentEditorAbstractEffect.cxx, qSlicerSegmentEditorScriptedEffect.cxx and
AbstractScriptedSegmentEditorEffect.py. Where Slicer prints an error and goes on, these raise.
"""

from pathlib import Path

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from host.widgets.mouse import place_of
from host.widgets.python_cpp import instantiate, load_source
from host.widgets.pythonqt import unwrap, wrap

_METHODS = {
    "icon", "helpText", "clone", "activate", "deactivate", "setupOptionsFrame", "createCursor",
    "processInteractionEvents", "processViewNodeEvents", "setMRMLDefaults", "referenceGeometryChanged",
    "sourceVolumeNodeChanged", "masterVolumeNodeChanged", "layoutChanged", "interactionNodeModified",
    "updateGUIFromMRML", "updateMRMLFromGUI", "cleanup",
}  # fmt: skip
_Logic = slicer.vtkSlicerSegmentEditorLogic


class qSlicerSegmentEditorEffectFactory(QtCore.QObject):
    """Knows the effects; every editor gets clones of them."""

    effectRegistered = QtCore.Signal()
    _instance = None

    def __init__(self):
        super().__init__()
        self._effects = {}

    @classmethod
    def instance(cls):
        if cls._instance is None:
            cls._instance = cls()
        return cls._instance

    def registerEffect(self, effect):
        """Register an effect; one whose name is known replaces the other, where Slicer refuses it."""
        self._effects[effect.objectName()] = effect
        self.effectRegistered.emit()
        return True

    def registeredEffects(self):
        return list(self._effects.values())


def _setting(name, kind):
    def write(self, value):
        self._settings[name] = value

    return QtCore.Property(kind, lambda self: self._settings[name], write)


class qSlicerSegmentEditorScriptedEffect(QtCore.QObject):
    """Calls an effect written in Python, and gives it the editor's images, parameters and views."""

    ModificationModeSet = _Logic.ModificationModeSet
    ModificationModeAdd = _Logic.ModificationModeAdd
    ModificationModeRemove = _Logic.ModificationModeRemove
    ModificationModeRemoveAll = _Logic.ModificationModeRemoveAll
    NotConfirmed, ConfirmedWithoutDialog, ConfirmedWithDialog = 0, 1, 2

    perSegment = _setting("perSegment", bool)
    requireSegments = _setting("requireSegments", bool)
    title = _setting("title", str)
    showEffectCursorInSliceView = _setting("showEffectCursorInSliceView", bool)
    showEffectCursorInThreeDView = _setting("showEffectCursorInThreeDView", bool)

    def __init__(self, parent=None):
        super().__init__(parent)
        self.setObjectName("UnnamedScriptedEffect")
        self._settings = {
            "perSegment": True, "requireSegments": True, "title": "", "showEffectCursorInSliceView": True,
            "showEffectCursorInThreeDView": False,
        }  # fmt: skip
        self._python, self._methods, self._source, self._active = None, {}, "", False
        self._logic, self._node, self._editor = None, None, None
        self._frame = QtWidgets.QFrame()
        QtWidgets.QFormLayout(self._frame)

    def setPythonSource(self, path):
        """Load the class that is named as its file, as the module that is named as the file's folder."""
        name, module = Path(path).stem, Path(path).parent.name
        kind = load_source(path, module, name if name.endswith("Effect") else f"{name}Effect")
        self._python, self._methods = instantiate(kind, wrap(self), _METHODS)
        self._source = path
        setattr(slicer, module, self._python)
        return True

    def pythonSource(self):
        return self._source

    def self(self):
        return self._python

    # What C++ calls

    def _attach(self, logic, node, editor):
        self._logic, self._editor = logic, editor
        self.setParameterSetNode(node)

    def _call(self, name, *arguments):
        """Call a method that the Python class may have; None where it has not."""
        method = self._methods.get(name)
        return method(*[wrap(argument) for argument in arguments]) if method else None

    def _clone(self):
        return unwrap(self._methods["clone"]())

    def _process(self, interactor, event, widget):
        answer = self._call("processInteractionEvents", interactor, event, widget)
        if not isinstance(answer, bool) and "processInteractionEvents" in self._methods:
            raise TypeError(f"processInteractionEvents must give a bool, not {answer!r}: Slicer takes it as False")
        return bool(answer)

    def _interaction_changed(self, node):
        """Another mouse mode ends the effect, unless it says otherwise."""
        if "interactionNodeModified" in self._methods:
            self._call("interactionNodeModified", node)
        elif node.GetCurrentInteractionMode() != node.ViewTransform:
            self.selectEffect("")

    def activate(self):
        self._frame.setVisible(True)
        self._active = True
        self.updateGUIFromMRML()
        self._call("activate")

    def deactivate(self):
        self._frame.setVisible(False)
        self._active = False
        self._call("deactivate")

    def active(self):
        return self._active

    def cleanup(self):
        self._call("cleanup")

    def updateGUIFromMRML(self):
        self._call("updateGUIFromMRML")

    def updateMRMLFromGUI(self):
        self._call("updateMRMLFromGUI")

    def helpText(self):
        return self._call("helpText") or ""

    def createCursor(self, widget):
        return self._call("createCursor", widget) or QtGui.QCursor()

    def selectEffect(self, name):
        self._editor.setActiveEffectByName(name)

    # Options

    def optionsFrame(self):
        return self._frame

    def optionsLayout(self):
        return self._frame.layout()

    def addOptionsWidget(self, widget):
        self.optionsLayout().addRow(widget)

    def addLabeledOptionsWidget(self, label, widget):
        text = QtWidgets.QLabel(label)
        self.optionsLayout().addRow(text, widget)
        return text

    # Parameters: attributes of the editor's node, as text

    def scene(self):
        return self._node.GetScene() if self._node else None

    def parameterSetNode(self):
        return self._node

    def setParameterSetNode(self, node):
        self._node = node
        if node is not None:
            self._call("setMRMLDefaults")

    def parameter(self, name):
        value = self._node.GetAttribute(f"{self.objectName()}.{name}") or self._node.GetAttribute(name)
        if value is None:
            raise ValueError(f"{self.objectName()} has no parameter {name!r}; Slicer prints an error and gives ''")
        return value

    def integerParameter(self, name):
        return int(self.parameter(name))

    def doubleParameter(self, name):
        return float(self.parameter(name))

    def parameterDefined(self, name):
        return self.commonParameterDefined(f"{self.objectName()}.{name}")

    def setParameter(self, name, value):
        self.setCommonParameter(f"{self.objectName()}.{name}", value)

    def setParameterDefault(self, name, value):
        if not self.parameterDefined(name):
            self.setParameter(name, value)

    def commonParameterDefined(self, name):
        return bool(self._node.GetAttribute(name))

    def setCommonParameter(self, name, value):
        text = _to_text(value)
        if text == (self._node.GetAttribute(name) or ""):
            return
        disabled = self._node.GetDisableModifiedEvent()
        self._node.SetDisableModifiedEvent(1)
        self._node.SetAttribute(name, text)
        self._node.SetDisableModifiedEvent(disabled)
        self._node.InvokeCustomModifiedEvent(self._node.EffectParameterModified)

    # Images

    def defaultModifierLabelmap(self):
        """An empty labelmap to draw into."""
        return self._logic.GetModifierLabelmap() if self._logic.ResetModifierLabelmapToDefault() else None

    def saveStateForUndo(self):
        self._editor.saveStateForUndo()

    def modifySelectedSegmentByLabelmap(self, labelmap, mode, *options):
        """Write a labelmap into the selected segment; options: an extent, whether to bypass masking."""
        self.modifySegmentByLabelmap(
            self._node.GetSegmentationNode(), self._node.GetSelectedSegmentID() or "", labelmap, mode, *options
        )

    def modifySegmentByLabelmap(self, node, segment_id, labelmap, mode, *options):
        if node is None or node.GetSegmentation().GetSegment(segment_id) is None or labelmap is None:
            raise ValueError(f"nothing to modify: {node}, segment {segment_id!r}, {labelmap}")
        bypass = options[-1] if options and isinstance(options[-1], bool) else False
        extent = options[0] if options and not isinstance(options[0], bool) else (0, -1, 0, -1, 0, -1)
        self._logic.ModifySegmentByLabelmap(node, segment_id, labelmap, mode, extent, self.perSegment, bypass)

    def confirmCurrentSegmentVisible(self):
        """Slicer asks whether to show a hidden segment; here the answer is always yes."""
        segment_id = self._node.GetSelectedSegmentID()
        node = self._node.GetSegmentationNode()
        display = node.GetDisplayNode() if node else None
        if not segment_id or display is None:
            return self.ConfirmedWithoutDialog
        if display.GetVisibility() and display.GetSegmentVisibility(segment_id):
            return self.ConfirmedWithoutDialog
        display.SetVisibility(True)
        display.SetSegmentVisibility(segment_id, True)
        return self.ConfirmedWithDialog

    # Views

    def viewNode(self, widget):
        return widget.mrmlSliceNode() if hasattr(widget, "mrmlSliceNode") else widget.mrmlViewNode()

    def renderWindow(self, widget):
        return (widget.sliceView() if hasattr(widget, "sliceView") else widget.threeDView()).renderWindow()

    def renderer(self, widget):
        return self.renderWindow(widget).GetRenderers().GetItemAsObject(0)

    def addActor2D(self, widget, actor):
        self.renderer(widget).AddViewProp(actor)

    def removeActor2D(self, widget, actor):
        self.renderer(widget).RemoveViewProp(actor)

    addActor3D, removeActor3D = addActor2D, removeActor2D

    def scheduleRender(self, widget):
        """Pictures are rendered when they are taken."""

    def sliceSpacing(self, widget):
        return self._logic.GetSliceSpacing(widget.mrmlSliceNode(), widget.sliceLogic())

    def rasToXy(self, ras, widget):
        x, y = place_of(widget.mrmlSliceNode(), (ras.x(), ras.y(), ras.z()))
        return QtCore.QPoint(int(x), int(y))

    def xyzToRas(self, xyz, widget):
        ras = widget.mrmlSliceNode().GetXYToRAS().MultiplyPoint((xyz.x(), xyz.y(), xyz.z(), 1.0))
        return QtGui.QVector3D(*ras[:3])

    def xyToRas(self, xy, widget):
        return self.xyzToRas(QtGui.QVector3D(xy.x(), xy.y(), 0), widget)

    def xyzToIjk(self, xyz, widget, image, transform=None):
        ijk = [0, 0, 0]
        _Logic.XyzToIjk((xyz.x(), xyz.y(), xyz.z()), ijk, widget.mrmlSliceNode(), image, transform)
        return QtGui.QVector3D(*ijk)

    def xyToIjk(self, xy, widget, image, transform=None):
        return self.xyzToIjk(QtGui.QVector3D(xy.x(), xy.y(), 0), widget, image, transform)


def _to_text(value):
    """QString::number: six significant digits."""
    if isinstance(value, str):
        return value
    return f"{value:g}" if isinstance(value, float) else str(int(value))


class AbstractScriptedSegmentEditorEffect:
    """Base of effects written in Python."""

    def __init__(self, scriptedEffect):
        self.scriptedEffect = scriptedEffect

    def register(self):
        slicer.qSlicerSegmentEditorEffectFactory.instance().registerEffect(self.scriptedEffect)

    def cleanup(self):
        """Effects release what they hold here."""

    def rasToXy(self, ras, viewWidget):
        place = self.scriptedEffect.rasToXy(QtGui.QVector3D(*ras), viewWidget)
        return [place.x(), place.y()]

    def xyToRas(self, xy, viewWidget):
        return _values(self.scriptedEffect.xyToRas(QtCore.QPoint(*xy), viewWidget))

    def xyzToRas(self, xyz, viewWidget):
        return _values(self.scriptedEffect.xyzToRas(QtGui.QVector3D(*xyz), viewWidget))

    def xyToIjk(self, xy, viewWidget, image, parentTransformNode=None):
        ijk = self.scriptedEffect.xyToIjk(QtCore.QPoint(*xy), viewWidget, image, parentTransformNode)
        return [int(value) for value in _values(ijk)]

    def xyzToIjk(self, xyz, viewWidget, image, parentTransformNode=None):
        ijk = self.scriptedEffect.xyzToIjk(QtGui.QVector3D(*xyz), viewWidget, image, parentTransformNode)
        return [int(value) for value in _values(ijk)]


def _values(vector):
    return [vector.x(), vector.y(), vector.z()]
