"""What classes of desktop Slicer offer, by class name."""

import json
import re
from functools import cache
from pathlib import Path

_DATA = Path(__file__).parent / "data"


@cache
def _api():
    return json.loads((_DATA / "qt_api.json").read_text(encoding="utf-8"))


@cache
def python_api():
    """Slicer's own Python classes: their methods with signatures."""
    return json.loads((_DATA / "slicer_python_api.json").read_text(encoding="utf-8"))


def module_names(module):
    """Names that a Python module of Slicer offers: qt, ctk, slicer, slicer.util or slicer.app."""
    return frozenset(_api()["modules"][module])


_EFFECT = "qSlicerSegmentEditorScriptedEffect"
_EFFECT_PROPERTIES = {
    "name": "QString", "title": "QString", "perSegment": "bool", "requireSegments": "bool",
    "showEffectCursorInSliceView": "bool", "showEffectCursorInThreeDView": "bool",
}  # fmt: skip


@cache
def _by_class():
    known = {name.split(".")[1]: entry for name, entry in _api()["classes"].items()}
    effect = {"names": python_api()[_EFFECT]["names"], "slots": [], "signals": [], "properties": _EFFECT_PROPERTIES}
    return known | {_EFFECT: effect}


def knows(class_name):
    """Whether the class was read."""
    return class_name in _by_class()


@cache
def _chain(class_name):
    """The entry of a class and those of the bases it was read beyond."""
    entry = _by_class().get(class_name)
    if entry is None:
        return ()
    base = entry.get("beyond") or ""
    return (entry, *_chain(base.split(".")[-1]))


@cache
def properties(class_name):
    """Names and types of the properties of a class, its bases' included."""
    found = {}
    for entry in reversed(_chain(class_name)):
        found |= entry["properties"]
    return found


@cache
def signals(class_name):
    """Signatures of the signals, spaces removed; QObject's own included."""
    listed = {signal.replace(" ", "") for entry in _chain(class_name) for signal in entry["signals"]}
    return frozenset(listed | {"destroyed()", "destroyed(QObject*)", "objectNameChanged(QString)"})


@cache
def names(class_name):
    """Every name that Python sees."""
    found = {"name", "connect", "disconnect", "delete", "className"}
    for entry in _chain(class_name):
        found |= {*entry["names"], *entry["properties"]}
        found |= {re.match(r"\w+", signature)[0] for signature in (*entry["slots"], *entry["signals"])}
    return frozenset(found)
