"""Stand-in of `slicer.parameterNodeWrapper`: typed settings in a vtkMRMLScriptedModuleNode, connected to widgets."""

import enum
import json
import pathlib
import types
import typing

import vtk
from PySide6 import QtWidgets

from host.widgets.ctk_widgets import ctkSliderWidget
from host.widgets.mrml_widgets import qMRMLNodeComboBox
from host.widgets.pythonqt import unwrap


class WithinRange:
    """Refuses values outside [minimum, maximum]."""

    def __init__(self, minimum, maximum):
        self.minimum, self.maximum = minimum, maximum

    def __call__(self, value):
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} is not within {self.minimum} to {self.maximum}")


class Default:
    """The value of a parameter that was not set."""

    def __init__(self, value):
        self.value = value


class _Parameter:
    """One parameter: reads and writes the node."""

    def __init__(self, name, annotation, default):
        self.name = name
        self.kind, self.checks = annotation, ()
        if typing.get_origin(annotation) is typing.Annotated:
            self.kind, *extras = typing.get_args(annotation)
            self.checks = tuple(extra for extra in extras if callable(extra))
            default = next((extra.value for extra in extras if isinstance(extra, Default)), default)
        if typing.get_origin(self.kind) in (typing.Union, types.UnionType):
            self.kind = next(kind for kind in typing.get_args(self.kind) if kind is not type(None))
        self.default = default if default is not None or self.is_node else _empty(self.kind)

    @property
    def is_node(self):
        return isinstance(self.kind, type) and issubclass(self.kind, vtk.vtkObject)

    def __get__(self, owner, _owner_class=None):
        if owner is None:
            return self
        node = owner.parameterNode
        if self.is_node:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        return self.default if text == "" and not node.HasParameter(self.name) else self._parse(text)

    def __set__(self, owner, value):
        if self.is_node:
            if value is not None and not isinstance(value, self.kind):
                raise TypeError(f"{self.name} must be a {self.kind.__name__}, got {value!r}")
            owner.parameterNode.SetNodeReferenceID(self.name, value.GetID() if value else None)
            return
        self._check(value)
        owner.parameterNode.SetParameter(self.name, self._format(value))

    def _check(self, value):
        kind = typing.get_origin(self.kind) or self.kind
        allowed = (int, float) if kind is float else kind
        if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
            raise TypeError(f"{self.name} must be {self.kind}, got {value!r}")
        for check in self.checks:
            check(value)

    def _parse(self, text):
        kind = typing.get_origin(self.kind) or self.kind
        if kind is bool:
            return text == "True"
        if kind in (list, tuple, dict):
            return kind(json.loads(text))
        return self.kind[text] if issubclass(kind, enum.Enum) else kind(text)

    def _format(self, value):
        if isinstance(value, list | tuple | dict):
            return json.dumps(value)
        return value.name if isinstance(value, enum.Enum) else str(value)


def _empty(kind):
    origin = typing.get_origin(kind) or kind
    if issubclass(origin, enum.Enum):
        return next(iter(origin))
    return origin() if origin is not pathlib.Path else pathlib.Path()


def parameterNodeWrapper(cls):
    """Make a class of annotated names a typed view of a vtkMRMLScriptedModuleNode."""
    hints = typing.get_type_hints(cls, include_extras=True)
    parameters = {name: _Parameter(name, kind, cls.__dict__.get(name)) for name, kind in hints.items()}
    body = {**{k: v for k, v in cls.__dict__.items() if k not in ("__dict__", "__weakref__")}, **parameters}
    return type(cls.__name__, (_Wrapper,), {**body, "_parameters": parameters})


class _Wrapper:
    def __init__(self, parameterNode, prefix=None):
        if prefix is not None:
            raise NotImplementedError("the host has no prefixes")
        object.__setattr__(self, "parameterNode", parameterNode)
        object.__setattr__(self, "_connections", {})

    def __setattr__(self, name, value):
        if name not in self._parameters:
            raise AttributeError(f"{type(self).__name__} has no parameter {name!r}")
        super().__setattr__(name, value)

    def AddObserver(self, *arguments):
        return self.parameterNode.AddObserver(*arguments)

    def RemoveObserver(self, tag):
        return self.parameterNode.RemoveObserver(tag)

    def StartModify(self):
        return self.parameterNode.StartModify()

    def EndModify(self, previous):
        return self.parameterNode.EndModify(previous)

    def connectParametersToGui(self, mapping):
        """Connect widgets by the names of their parameters; returns a tag to disconnect with."""
        unknown = mapping.keys() - self._parameters.keys()
        if unknown:
            raise ValueError(f"no parameters are named {sorted(unknown)}")
        tag = len(self._connections)
        self._connections[tag] = [_Link(self, name, unwrap(widget)) for name, widget in mapping.items()]
        return tag

    def disconnectGui(self, tag):
        for link in self._connections.pop(tag, ()):
            link.close()


class _Link:
    """Keeps a widget and a parameter equal."""

    def __init__(self, parameters, name, widget):
        self._parameters, self._name, self._widget = parameters, name, widget
        self._read, self._write, self._signal = _accessors(widget)
        self._updating = False
        self._show()
        self._signal.connect(self._edited)
        self._tag = parameters.parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._show())

    def _edited(self, *_):
        if not self._updating:
            setattr(self._parameters, self._name, self._read())

    def _show(self):
        value = getattr(self._parameters, self._name)
        if value != self._read():
            self._updating = True
            self._write(value)
            self._updating = False

    def close(self):
        self._signal.disconnect(self._edited)
        self._parameters.parameterNode.RemoveObserver(self._tag)


def _accessors(widget):
    """How to read and write a widget's value, and the signal of its changes."""
    if isinstance(widget, qMRMLNodeComboBox):
        return widget.currentNode, widget.setCurrentNode, widget.currentNodeIDChanged
    if isinstance(widget, QtWidgets.QCheckBox):
        return widget.isChecked, widget.setChecked, widget.toggled
    if isinstance(widget, ctkSliderWidget):
        return (lambda: widget.value), widget.setValue, widget.valueChanged
    if isinstance(widget, QtWidgets.QSpinBox | QtWidgets.QDoubleSpinBox | QtWidgets.QSlider):
        return widget.value, widget.setValue, widget.valueChanged
    if isinstance(widget, QtWidgets.QLineEdit):
        return widget.text, widget.setText, widget.textChanged
    raise TypeError(f"no connector for {type(widget).__name__} {widget.objectName()}")
