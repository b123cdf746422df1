"""The module uses only names that desktop Slicer has, and the stand-ins offer nothing else."""

import ast
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials", exc_type=ImportError)

import slicer
import vtk
from host import manifest
from host.modules import extension_points, parameter_node, scripted, segment_effects
from host.widgets import ctk_widgets, mrml_widgets
from PySide6 import QtWidgets

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = sorted((REPOSITORY / "DeepSegment").rglob("*.py"))
UI_FILES = sorted((REPOSITORY / "DeepSegment").rglob("*.ui"))
STANDINS = [
    kind
    for module in (ctk_widgets, mrml_widgets)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, QtWidgets.QWidget) and kind.__name__[0] in "cq"
]
STANDINS += [kind for kind in extension_points.CLASSES if manifest.knows(kind.__name__)]
# What Slicer puts there at run time: modules by name, their widgets, and what is imported as a sub-module.
_DYNAMIC = {"slicer.modules", "slicer.packaging", "slicer.i18n", "slicer.ScriptedLoadableModule"}


def _chains(tree):
    """Dotted names that start with qt, ctk, slicer or vtk."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            parts, inner = [node.attr], node.value
            while isinstance(inner, ast.Attribute):
                parts.append(inner.attr)
                inner = inner.value
            if isinstance(inner, ast.Name) and inner.id in ("qt", "ctk", "slicer", "vtk"):
                yield [inner.id, *reversed(parts)]
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "slicer":
            for alias in node.names:
                yield [*node.module.split("."), alias.name]


def _problem(chain):
    """What desktop Slicer lacks of a dotted name, or an empty text."""
    head, name = chain[0], chain[1]
    if head == "slicer":
        return _slicer_problem(chain)
    if head == "vtk":
        return "" if all(map(hasattr, (vtk, getattr(vtk, name, None)), chain[1:3])) else ".".join(chain)
    if name not in manifest.module_names(head):
        return f"{head}.{name}"
    if len(chain) > 2 and manifest.knows(name) and chain[2] not in manifest.names(name):
        return f"{head}.{name}.{chain[2]}"
    return ""


def _slicer_problem(chain):
    name = chain[1]
    if name.startswith("vtk"):
        kind = getattr(slicer, name, None)
        return "" if kind is not None and all(hasattr(kind, part) for part in chain[2:3]) else ".".join(chain)
    if name in ("util", "app"):
        return "" if len(chain) < 3 or chain[2] in manifest.module_names(f"slicer.{name}") else ".".join(chain)
    if name == "parameterNodeWrapper":
        known = manifest.python_api()["parameterNodeWrapper"]
        return "" if len(chain) < 3 or chain[2] in known else ".".join(chain)
    if f"slicer.{name}" in _DYNAMIC or name in ("mrmlScene",):
        return ""
    return "" if name in manifest.module_names("slicer") else ".".join(chain)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_sources_use_names_that_exist(path):
    chains = list(_chains(ast.parse(path.read_text(encoding="utf-8"))))
    assert [problem for chain in chains if (problem := _problem(chain))] == []


def test_a_wrong_name_would_be_found():
    code = "qt.QPushButton.click\nslicer.util.nonsense()\nslicer.vtkMRMLNothing\nqt.QLabel.nope\nvtk.vtkNothing"
    problems = [problem for chain in _chains(ast.parse(code)) if (problem := _problem(chain))]
    wrong = {"slicer.util.nonsense", "slicer.vtkMRMLNothing", "qt.QLabel.nope", "vtk.vtkNothing"}
    assert wrong <= set(problems)
    assert "qt.QPushButton.click" not in problems


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_nothing_but_slicer_is_imported_at_file_scope(path):
    """Packages that Slicer does not bring, and our own library, are imported where they are used."""
    allowed = {"qt", "ctk", "slicer", "vtk", "numpy", "DeepSegmentGui"}
    allowed |= {"SampleData", "SegmentEditorEffects", "SubjectHierarchyPlugins"}
    import sys

    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in tree.body if isinstance(node, ast.ImportFrom)]
    roots = {name.split(".")[0] for name in names}
    assert roots - allowed - set(sys.stdlib_module_names) == set()


@pytest.mark.parametrize("path", UI_FILES, ids=lambda path: path.name)
def test_ui_files_use_classes_and_properties_that_exist(path):
    missing = []
    for widget in ET.parse(path).iter("widget"):
        kind = widget.get("class")
        if not manifest.knows(kind):
            missing.append(kind)
            continue
        for entry in widget.findall("property"):
            name = entry.get("name")
            if entry.get("stdset") != "0" and name not in manifest.properties(kind) and name != "buddy":
                missing.append(f"{kind}.{name}")
    assert missing == []


@pytest.mark.parametrize("path", UI_FILES, ids=lambda path: path.name)
def test_standins_have_the_properties_that_ui_files_set(path):
    """PySide6 makes a dynamic property of what a class lacks, and nothing happens."""
    by_name = {kind.__name__: kind for kind in STANDINS}
    missing = []
    for widget in ET.parse(path).iter("widget"):
        kind = by_name.get(widget.get("class"))
        named = [entry.get("name") for entry in widget.findall("property") if entry.get("stdset") != "0"]
        missing += [f"{kind}.{name}" for name in named if kind and kind.staticMetaObject.indexOfProperty(name) < 0]
    assert missing == []


@pytest.mark.parametrize("path", UI_FILES, ids=lambda path: path.name)
def test_ui_files_declare_the_classes_that_are_not_of_qt(path):
    """Designer needs the header and the base of each."""
    root = ET.parse(path).getroot()
    used = {widget.get("class") for widget in root.iter("widget") if widget.get("class")[0] in "cq"}
    declared = {entry.findtext("class") for entry in root.iter("customwidget")}
    assert used == declared
    for entry in root.iter("customwidget"):
        assert entry.findtext("extends")
        assert entry.findtext("header") == f"{entry.findtext('class')}.h"


@pytest.mark.parametrize("path", UI_FILES, ids=lambda path: path.name)
def test_ui_files_connect_signals_and_slots_that_exist(path):
    root = ET.parse(path).getroot()
    classes = {widget.get("name"): widget.get("class") for widget in root.iter("widget")}
    for connection in root.iter("connection"):
        sender, receiver = classes[connection.findtext("sender")], classes[connection.findtext("receiver")]
        assert connection.findtext("signal") in manifest.signals(sender)
        assert connection.findtext("slot").split("(")[0] in manifest.names(receiver)


@pytest.mark.parametrize("path", UI_FILES, ids=lambda path: path.name)
def test_texts_of_ui_files_can_be_translated(path):
    for entry in ET.parse(path).iter("property"):
        text = entry.find("string")
        if entry.get("name") in ("text", "toolTip", "placeholderText", "title", "windowTitle") and text is not None:
            assert text.get("notr") is None


@pytest.mark.parametrize("kind", STANDINS, ids=lambda kind: kind.__name__)
def test_standins_offer_only_what_the_real_widget_has(kind):
    own = {name for name in vars(kind) if not name.startswith("_")}
    qt_own = {
        "staticMetaObject",
        "sizeHint",
        "minimumSizeHint",
        "childEvent",
        "showEvent",
        "paintEvent",
        "mousePressEvent",
    }
    assert own - qt_own - manifest.names(kind.__name__) == set()


@pytest.mark.parametrize("kind", STANDINS, ids=lambda kind: kind.__name__)
def test_standins_have_properties_of_the_real_type(kind):
    meta = kind.staticMetaObject
    for n in range(meta.propertyOffset(), meta.propertyCount()):
        assert meta.property(n).name() in manifest.properties(kind.__name__)


@pytest.mark.parametrize(
    "name", ["ScriptedLoadableModule", "ScriptedLoadableModuleWidget", "ScriptedLoadableModuleLogic"]
)
def test_scripted_bases_have_slicer_s_methods(name):
    real, ours = manifest.python_api()[name], vars(getattr(scripted, name))
    own = {method for method in ours if not method.startswith("_")}
    assert own <= set(real)


def test_the_base_of_effects_has_slicer_s_methods():
    ours = vars(segment_effects.AbstractScriptedSegmentEditorEffect)
    real = manifest.python_api()["AbstractScriptedSegmentEditorEffect"]
    assert {name for name in ours if not name.startswith("_")} <= set(real)


@pytest.mark.parametrize("kind", extension_points.CLASSES, ids=lambda kind: kind.__name__)
def test_extension_points_are_classes_of_slicer(kind):
    assert kind.__name__ in manifest.module_names("slicer")


def test_the_parameter_node_wrapper_has_slicer_s_names():
    public = {name for name, value in vars(parameter_node).items() if isinstance(value, type) and name[0] != "_"}
    public -= {"qMRMLNodeComboBox", "ctkSliderWidget"}
    assert public <= set(manifest.python_api()["parameterNodeWrapper"])
