"""PySide6 objects as PythonQt shows them: properties are attributes, signals are connected by their signature.

`wrap` makes the stand-in of an object; all that module code touches is wrapped. Stand-in widgets and the host itself
work with the plain PySide6 objects inside.
"""

import inspect
import re
import weakref
from typing import ClassVar

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

from host import manifest

_PYTHON_TYPES = {
    "bool": (bool, int), "int": (int,), "uint": (int,), "double": (int, float), "QString": (str,),
    "QStringList": (list, tuple),
}  # fmt: skip
_wrappers = weakref.WeakValueDictionary()
_RAW = "_raw"


class Object:
    """Stands for a QObject in module code.

    Reading: properties give values, everything else methods. Writing: properties only; a name the class lacks, or a
    value of a wrong type, raises AttributeError as in PythonQt.
    """

    __slots__ = (_RAW, "__weakref__")

    def __init__(self, raw):
        object.__setattr__(self, _RAW, raw)

    def __getattr__(self, name):
        raw = object.__getattribute__(self, _RAW)
        if name.startswith("__"):
            raise AttributeError(name)
        _check_name(raw, name)
        if name == "name":
            return raw.objectName()
        if name in _own_methods:
            return lambda *arguments: _own_methods[name](raw, *arguments)
        if _is_property(raw, name):
            return wrap(raw.property(name))
        value = getattr(raw, name)
        return value if isinstance(value, int) else _Method(value)

    def __setattr__(self, name, value):
        raw = object.__getattribute__(self, _RAW)
        if name == "name":
            raw.setObjectName(value)
            return
        if not _is_property(raw, name):
            raise AttributeError(f"{_class_name(raw)} has no property {name!r}; PythonQt does not let you add one")
        _check_type(raw, name, value)
        value = unwrap(value)
        if not raw.setProperty(name, list(value) if isinstance(value, tuple) else value):
            raise AttributeError(f"{_class_name(raw)}.{name} cannot be set to {value!r}")

    def __repr__(self):
        raw = object.__getattribute__(self, _RAW)
        return f"<{_class_name(raw)} {raw.objectName()!r}>"

    def __eq__(self, other):
        return isinstance(other, Object) and unwrap(self) is unwrap(other)

    def __hash__(self):
        return id(object.__getattribute__(self, _RAW))

    def __bool__(self):
        return True


class _Method:
    """A method, slot or signal of a wrapped object."""

    def __init__(self, function):
        self._function = function

    def __call__(self, *arguments, **keywords):
        if keywords:
            raise TypeError("PythonQt takes no keyword arguments")
        return wrap(self._function(*[unwrap(argument) for argument in arguments]))


class Class:
    """Stands for a Qt class: makes wrapped objects; static methods and enumerations are its attributes."""

    def __init__(self, raw):
        self._raw_class = raw

    def __call__(self, *arguments, **keywords):
        if keywords:
            raise TypeError("PythonQt takes no keyword arguments in constructors")
        return wrap(self._raw_class(*[unwrap(argument) for argument in arguments]))

    def __getattr__(self, name):
        class_name = self._raw_class.__name__
        if manifest.knows(class_name) and name not in manifest.names(class_name):
            raise AttributeError(f"desktop Slicer has no {class_name}.{name}")
        value = getattr(self._raw_class, name)
        if name in _FILE_DIALOGS:
            return lambda *arguments: _first(value(*[unwrap(argument) for argument in arguments]))
        return value if isinstance(value, int) or not callable(value) or isinstance(value, type) else _Method(value)

    def __mro_entries__(self, bases):
        raise TypeError(f"{self._raw_class.__name__} cannot be subclassed in the host; PythonQt crashes on some of it")


_FILE_DIALOGS = {"getOpenFileName", "getOpenFileNames", "getSaveFileName"}


def _first(answer):
    """PythonQt gives the paths alone, PySide6 the paths and the chosen filter."""
    return wrap(answer[0] if isinstance(answer, tuple) else answer)


def wrap(value):
    """A value of PySide6 as PythonQt gives it to Python."""
    if isinstance(value, QtCore.QObject):
        found = _wrappers.get(id(value))
        if found is None or unwrap(found) is not value:
            found = Object(value)
            _wrappers[id(value)] = found
        return found
    if isinstance(value, list):
        return tuple(wrap(entry) for entry in value)
    return value


def unwrap(value):
    """The inverse of `wrap`."""
    if isinstance(value, Object):
        return object.__getattribute__(value, _RAW)
    if isinstance(value, list | tuple):
        return type(value)(unwrap(entry) for entry in value)
    return value


def _class_name(raw):
    """The class of desktop Slicer that an object stands for."""
    for kind in type(raw).__mro__:
        if manifest.knows(kind.__name__):
            return kind.__name__
    return type(raw).__name__


def _is_strict(raw):
    """Whether the object's own class, and not only a base of it, was read."""
    return manifest.knows(type(raw).__name__)


def _check_name(raw, name):
    if name.encode() in raw.dynamicPropertyNames():
        return
    if _is_strict(raw) and name not in manifest.names(type(raw).__name__):
        raise AttributeError(f"desktop Slicer has no {type(raw).__name__}.{name}")
    if name not in _own_methods and name != "name" and not _is_property(raw, name) and not hasattr(raw, name):
        raise AttributeError(f"the host's {type(raw).__name__} has no {name}; add it to the stand-in")


def _is_property(raw, name):
    if (
        _is_strict(raw)
        and name not in manifest.properties(type(raw).__name__)
        and name in manifest.names(type(raw).__name__)
    ):
        return False
    return raw.metaObject().indexOfProperty(name) >= 0 or name.encode() in raw.dynamicPropertyNames()


def _check_type(raw, name, value):
    kind = manifest.properties(_class_name(raw)).get(name)
    allowed = _PYTHON_TYPES.get(kind)
    if allowed and not isinstance(value, allowed):
        raise AttributeError(f"{_class_name(raw)}.{name} is of type {kind}, {value!r} is not")


# Signals

_connections = {}


def _connect(raw, signature, receiver, slot=None):
    function = receiver if slot is None else getattr(receiver, slot.split("(")[0])
    signature = signature.replace(" ", "")
    signal, count = _signal(raw, signature)
    accepted = _accepted(function)
    limit = count if accepted is None else min(count, accepted)

    def call(*values):
        function(*[wrap(value) for value in values[:limit]])

    _connections.setdefault((id(raw), signature), []).append((function, call))
    signal.connect(call)
    return True


def _disconnect(raw, signature=None, receiver=None, slot=None):
    if signature is None:
        for (owner, known), _pairs in list(_connections.items()):
            if owner == id(raw):
                _disconnect(raw, known)
        return True
    signature = signature.replace(" ", "")
    function = receiver if slot is None else getattr(receiver, slot.split("(")[0])
    pairs = _connections.get((id(raw), signature), [])
    for pair in list(pairs):
        if function is None or pair[0] == function:
            _signal(raw, signature)[0].disconnect(pair[1])
            pairs.remove(pair)
    return True


def _signal(raw, signature):
    """The bound signal and how many values it brings."""
    match = re.fullmatch(r"(\w+)\((.*)\)", signature)
    if match is None:
        raise ValueError(f"{signature!r} is no signature; PythonQt wants name(types)")
    if _is_strict(raw) and signature not in manifest.signals(type(raw).__name__):
        raise ValueError(f"desktop Slicer's {type(raw).__name__} has no signal {signature!r}")
    name, types = match[1], [kind for kind in match[2].split(",") if kind]
    if not hasattr(raw, name):
        raise ValueError(f"the host's {type(raw).__name__} has no signal {name!r}; add it to the stand-in")
    return getattr(raw, name), len(types)


def _accepted(function):
    """How many positional values a function takes; None for any number."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return None
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


_own_methods = {
    "connect": _connect,
    "disconnect": _disconnect,
    "className": _class_name,
    "delete": lambda raw: raw.deleteLater(),
}


class UiLoader(QtUiTools.QUiLoader):
    """Loads .ui files with the stand-in widgets."""

    standins: ClassVar[dict] = {}

    def createWidget(self, class_name, parent=None, name=""):
        standin = self.standins.get(class_name)
        if standin is None:
            return super().createWidget(class_name, parent, name)
        widget = standin(parent)
        widget.setObjectName(name)
        return widget


UiLoader.__name__ = "QUiLoader"
MODULES = (QtCore, QtGui, QtWidgets, QtUiTools)


def qt_name(name):
    """What `qt.<name>` is: a class stand-in for QObjects, the PySide6 class itself for values."""
    if name not in manifest.module_names("qt"):
        raise AttributeError(f"desktop Slicer has no qt.{name}")
    if name == "QUiLoader":
        return Class(UiLoader)
    for module in MODULES:
        value = getattr(module, name, None)
        if value is not None:
            return Class(value) if isinstance(value, type) and issubclass(value, QtCore.QObject) else value
    raise AttributeError(f"PySide6 has no {name}; the host cannot stand in for it")
