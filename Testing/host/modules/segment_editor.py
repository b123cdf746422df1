"""Stand-ins of the Segment Editor: its widget over the real vtkSlicerSegmentEditorLogic, and scripted effects.

Behaviour as read in Slicer's qMRMLSegmentEditorWidget.cxx, qSlicerSegmentEditorAbstractEffect.cxx and
qSlicerSegmentEditorScriptedEffect.cxx. Where Slicer prints an error and goes on, these raise.
"""

import types

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from host.modules.segment_effects import qSlicerSegmentEditorEffectFactory
from host.widgets.mrml_widgets import qMRMLWidget
from host.widgets.pythonqt import wrap

Signal = QtCore.Signal
_EVENTS = (
    "LeftButtonPressEvent", "LeftButtonReleaseEvent", "LeftButtonDoubleClickEvent",
    "RightButtonPressEvent", "RightButtonReleaseEvent", "RightButtonDoubleClickEvent",
    "MiddleButtonPressEvent", "MiddleButtonReleaseEvent", "MiddleButtonDoubleClickEvent",
    "MouseMoveEvent", "MouseWheelForwardEvent", "MouseWheelBackwardEvent", "MouseWheelLeftEvent",
    "MouseWheelRightEvent", "KeyPressEvent", "KeyReleaseEvent", "EnterEvent", "LeaveEvent",
)  # fmt: skip


class qMRMLSegmentEditorWidget(qMRMLWidget):
    """Effects as buttons, the options of the active one below; state in a vtkMRMLSegmentEditorNode."""

    segmentationNodeChanged = Signal(object)
    sourceVolumeNodeChanged = Signal(object)
    currentSegmentIDChanged = Signal(str)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._logic = slicer.vtkSlicerSegmentEditorLogic()
        self._node, self._node_tags, self._view_tags, self._commands = None, [], [], {}
        self._interaction, self._interaction_tag = None, None
        self._effects, self._button_of, self._active = {}, {}, None
        self._buttons = QtWidgets.QHBoxLayout()
        layout = QtWidgets.QVBoxLayout(self)
        layout.addLayout(self._buttons)
        qSlicerSegmentEditorEffectFactory.instance().effectRegistered.connect(self.updateEffectList)
        self.updateEffectList()

    def _get_states(self):
        return self._logic.GetMaximumNumberOfUndoStates()

    def setMaximumNumberOfUndoStates(self, count):
        self._logic.SetMaximumNumberOfUndoStates(count)

    maximumNumberOfUndoStates = QtCore.Property(int, _get_states, setMaximumNumberOfUndoStates)

    # What is edited

    def setMRMLScene(self, scene):
        self._logic.SetMRMLScene(scene)
        super().setMRMLScene(scene)

    def setMRMLSegmentEditorNode(self, node):
        for tag in self._node_tags:
            self._node.RemoveObserver(tag)
        self._node, self._node_tags = node, []
        self._logic.SetSegmentEditorNode(node)
        for effect in self._effects.values():
            effect._attach(self._logic, node, self)
        if node is not None:
            changed = slicer.vtkMRMLSegmentEditorNode.EffectParameterModified
            self._node_tags = [
                node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self.updateWidgetFromMRML()),
                node.AddObserver(changed, lambda *_: self._active and self._active.updateGUIFromMRML()),
            ]
        self.updateWidgetFromMRML()

    def mrmlSegmentEditorNode(self):
        return self._node

    def segmentationNode(self):
        return self._node.GetSegmentationNode()

    def setSegmentationNode(self, node):
        self._logic.SetSegmentationNode(node)
        self._node.SetAndObserveSegmentationNode(node)
        self.updateWidgetFromMRML()
        self.segmentationNodeChanged.emit(node)

    def setSourceVolumeNode(self, node):
        self._logic.SetSourceVolumeNode(node)
        self._node.SetAndObserveSourceVolumeNode(node)
        for effect in self._effects.values():
            effect._call("sourceVolumeNodeChanged")
        self.updateWidgetFromMRML()
        self.sourceVolumeNodeChanged.emit(node)

    def currentSegmentID(self):
        return self._node.GetSelectedSegmentID() or ""

    def setCurrentSegmentID(self, segment_id):
        self._node.SetSelectedSegmentID(segment_id)
        self.currentSegmentIDChanged.emit(segment_id)

    # Effects

    def updateEffectList(self):
        for effect in qSlicerSegmentEditorEffectFactory.instance().registeredEffects():
            if effect.objectName() not in self._effects:
                self._add_effect(effect._clone())

    def _add_effect(self, effect):
        name = effect.objectName()
        self._effects[name] = effect
        effect._attach(self._logic, self._node, self)
        effect._call("setupOptionsFrame")
        effect.optionsFrame().hide()
        button = QtWidgets.QToolButton(self)
        button.setText(effect.property("title") or name)
        button.setToolTip(effect.helpText())
        button.setCheckable(True)
        button.clicked.connect(lambda checked: self.setActiveEffectByName(name if checked else ""))
        self._buttons.addWidget(button)
        self.layout().addWidget(effect.optionsFrame())
        self._button_of[name] = button

    def availableEffectNames(self):
        return list(self._effects)

    def effectByName(self, name):
        return self._effects.get(name)

    def activeEffect(self):
        return self._active

    def setActiveEffect(self, effect):
        self._node.SetActiveEffectName(effect.objectName() if effect else "")

    def setActiveEffectByName(self, name):
        self.setActiveEffect(self.effectByName(name))

    def updateWidgetFromMRML(self):
        """Activate the effect that the node names, unless what it needs is missing."""
        wanted = self._effects.get(self._node.GetActiveEffectName()) if self._node else None
        if wanted is not None and not self._is_usable(wanted):
            wanted = None
        if wanted is not None and wanted.property("perSegment") and not self._node.GetSelectedSegmentID():
            self._logic.SelectFirstSegment(False)
        if wanted is self._active:
            return
        previous, self._active = self._active, wanted
        if previous is not None:
            previous.deactivate()
        if wanted is not None:
            wanted.activate()
        for name, button in self._button_of.items():
            button.setChecked(self._effects[name] is wanted)

    def _is_usable(self, effect):
        segmentation = self._node.GetSegmentationNode()
        if self._node.GetSourceVolumeNode() is None or segmentation is None:
            return False
        return segmentation.GetSegmentation().GetNumberOfSegments() > 0 or not effect.property("requireSegments")

    def setInteractionNode(self, node):
        """Watch the mouse mode: placing markups ends the active effect."""
        if self._interaction is not None:
            self._interaction.RemoveObserver(self._interaction_tag)
        self._interaction = node
        if node is not None:
            self._interaction_tag = node.AddObserver(
                vtk.vtkCommand.ModifiedEvent, lambda *_: self._active and self._active._interaction_changed(node)
            )

    # Undo

    def saveStateForUndo(self):
        self._logic.SaveStateForUndo()

    def undo(self):
        self._logic.Undo()

    def redo(self):
        self._logic.Redo()

    def _close(self):
        """What the destructor does: effects are told, nothing is observed any more."""
        self.removeViewObservations()
        if self._active is not None:
            self._active.deactivate()
            self._active = None
        for effect in self._effects.values():
            effect.cleanup()
        for tag in self._node_tags:
            self._node.RemoveObserver(tag)
        self._node_tags = []

    # Views

    def setupViewObservations(self):
        """Give the events of all views to the active effect."""
        self.removeViewObservations()
        manager = slicer.app.layoutManager()
        widgets = [manager.sliceWidget(name) for name in manager.sliceViewNames()]
        for widget in widgets:
            self._observe(widget, widget.sliceView().interactorStyle().GetInteractor(), widget.mrmlSliceNode())
        widget = manager.threeDWidget(0)
        self._observe(widget, widget.threeDView().interactor(), widget.mrmlViewNode())

    def _observe(self, widget, interactor, node):
        for event in _EVENTS:
            tag = interactor.AddObserver(event, lambda caller, name: self._process(caller, name, widget), 1.0)
            self._view_tags.append((interactor, tag))
            self._commands[widget, event] = interactor.GetCommand(tag)
        tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, _: self._node_changed(caller, widget))
        self._view_tags.append((node, tag))

    def removeViewObservations(self):
        for caller, tag in self._view_tags:
            caller.RemoveObserver(tag)
        self._view_tags, self._commands = [], {}

    def _process(self, interactor, name, widget):
        if self._node is None or self._active is None:
            return
        event = vtk.vtkCommand.GetEventIdFromString(name)
        if self._active._process(interactor, event, widget):
            self._commands[widget, name].SetAbortFlag(1)

    def _node_changed(self, node, widget):
        if self._active is not None:
            self._active._call("processViewNodeEvents", node, vtk.vtkCommand.ModifiedEvent, widget)


_open = []


def close_editors():
    """Editors go with the test that opened them."""
    for editor in _open:
        editor._close()
    _open.clear()


def open_editor(scene, segmentation, volume):
    """An editor on a segmentation and its source volume, found as `slicer.modules.SegmentEditorWidget.editor`, too."""
    editor = qMRMLSegmentEditorWidget()
    _open.append(editor)
    editor.setMRMLScene(scene)
    editor.setMRMLSegmentEditorNode(scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(volume)
    editor.setupViewObservations()
    widget = types.SimpleNamespace(editor=wrap(editor), enter=lambda: None, exit=lambda: None)
    representation = types.SimpleNamespace(self=lambda: widget)
    slicer.modules.segmenteditor = types.SimpleNamespace(widgetRepresentation=lambda: representation)
    slicer.modules.SegmentEditorWidget = widget
    return widget.editor
