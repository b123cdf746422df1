"""The host itself: it refuses what PythonQt refuses, swallows no error, and its views show the scene."""

import time

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials", exc_type=ImportError)

import slicer
from host.application import BlockProbe
from host.widgets.mouse import Mouse
from PySide6 import QtWidgets


@pytest.fixture
def qt(running_host):
    import qt

    return qt


@pytest.fixture
def ctk(running_host):
    import ctk

    return ctk


# Properties


def test_properties_are_values(qt):
    button = qt.QPushButton("text")
    assert button.text == "text"
    button.text = "other"
    assert button.text == "other"
    button.setText("third")
    assert (button.text, button.enabled) == ("third", True)


def test_name_is_the_name_of_the_object(qt):
    button = qt.QPushButton()
    button.name = "mine"
    assert (button.objectName, button.name) == ("mine", "mine")


def test_lists_of_texts_are_read_as_tuples(qt):
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    assert selector.nodeTypes == ("vtkMRMLScalarVolumeNode",)


@pytest.mark.parametrize(
    ("name", "value"), [("mine", 1), ("clicked", 1), ("click", None), ("enabled", "yes"), ("text", 3), ("text", None)]
)
def test_what_is_no_property_or_of_another_type_cannot_be_set(qt, name, value):
    button = qt.QPushButton()
    with pytest.raises(AttributeError):
        setattr(button, name, value)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("QLabel", "text()"), ("QSpinBox", "value()"), ("QCheckBox", "checked()"), ("QComboBox", "currentText()"),
        ("QProgressBar", "maximum()"), ("QTabWidget", "count()"),
    ],
)  # fmt: skip
def test_properties_cannot_be_called(qt, kind, name):
    """The commonest slip of those who know PySide6."""
    widget = getattr(qt, kind)()
    with pytest.raises(TypeError, match="not callable"):
        getattr(widget, name[:-2])()


def test_dynamic_properties_are_attributes(qt):
    widget = qt.QWidget()
    widget.setProperty("mine", 3)
    assert widget.mine == 3


# Names


@pytest.mark.parametrize(
    ("kind", "name"),
    [("QComboBox", "labelDrawingMode"), ("QPushButton", "raise_"), ("QCheckBox", "checkStateChanged")],
)
def test_names_that_pyside6_has_and_desktop_slicer_has_not(qt, kind, name):
    """What came with Qt 6, and what PySide6 spells in its own way."""
    assert hasattr(getattr(QtWidgets, kind), name)
    with pytest.raises(AttributeError, match=f"desktop Slicer has no {kind}.{name}"):
        getattr(getattr(qt, kind)(), name)


@pytest.mark.parametrize("name", ["QNothing", "QtWidgets", "pyqtSignal"])
def test_qt_has_only_the_names_of_pythonqt(qt, name):
    with pytest.raises(AttributeError, match=f"no qt.{name}"):
        getattr(qt, name)


def test_ctk_and_the_application_have_only_their_names(ctk):
    with pytest.raises(AttributeError, match=r"no ctk\.ctkNothing"):
        ctk.ctkNothing()
    with pytest.raises(AttributeError, match=r"no slicer\.app\.nothing"):
        slicer.app.nothing()


def test_the_host_says_what_it_lacks_itself(ctk):
    with pytest.raises(AttributeError, match=r"no stand-in for ctk\.ctkMatrixWidget"):
        ctk.ctkMatrixWidget()


def test_classes_of_qt_are_not_subclassed(qt):
    with pytest.raises(TypeError, match="subclassed"):

        class Mine(qt.QPushButton):
            pass


def test_arguments_have_no_names(qt):
    with pytest.raises(TypeError, match="keyword"):
        qt.QPushButton(text="a")
    with pytest.raises(TypeError, match="keyword"):
        qt.QPushButton().setText(text="a")


# Signals


@pytest.mark.parametrize("signature", ["pressedTwice()", "clicked(int)", "clicked", "clicked()  x"])
def test_signatures_must_exist(qt, signature):
    with pytest.raises(ValueError, match="signa"):
        qt.QPushButton().connect(signature, print)


def test_a_slot_gets_as_many_values_as_it_takes(qt):
    seen, box = [], qt.QSpinBox()
    box.connect("valueChanged(int)", lambda: seen.append("none"))
    box.connect("valueChanged(int)", seen.append)
    box.connect("valueChanged( int )", lambda *values: seen.append(values))
    box.value = 7
    assert seen == ["none", 7, (7,)]


def test_signals_bring_wrapped_objects(qt):
    seen, group, button = [], qt.QButtonGroup(), qt.QPushButton("one")
    group.addButton(button)
    group.connect("buttonClicked(QAbstractButton*)", seen.append)
    button.click()
    assert seen[0] is button
    assert seen[0].text == "one"


def test_disconnecting(qt):
    seen, button = [], qt.QPushButton()

    def one():
        seen.append(1)

    def two():
        seen.append(2)

    button.connect("clicked()", one)
    button.connect("clicked()", two)
    button.disconnect("clicked()", one)
    button.click()
    assert seen == [2]
    button.disconnect("clicked()")
    button.click()
    assert seen == [2]


def test_errors_in_slots_are_not_swallowed(host, qt, capsys):
    button = qt.QPushButton()
    button.connect("clicked()", lambda: 1 / 0)
    button.click()
    with pytest.raises(ZeroDivisionError):
        host.process_events()
    host.process_events()
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_errors_in_observers_are_not_swallowed(host, capsys):
    node, seen = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode"), {}
    node.AddObserver("ModifiedEvent", lambda *_: seen["x"])
    node.Modified()
    with pytest.raises(KeyError):
        host.process_events()
    assert "KeyError" in capsys.readouterr().err


def test_a_disabled_or_hidden_button_cannot_be_clicked(host, qt):
    button = qt.QPushButton()
    with pytest.raises(RuntimeError, match="cannot be clicked"):
        host.click(button)
    button.show()
    host.click(button)
    button.enabled = False
    with pytest.raises(RuntimeError, match="cannot be clicked"):
        host.click(button)


# Objects


def test_an_object_has_one_wrapper(qt):
    parent = qt.QWidget()
    child = qt.QLabel(parent)
    assert child.parent() is parent
    assert parent.children()[0] is child
    assert child.className() == "QLabel"


def test_file_dialogs_give_the_path_alone(qt, monkeypatch):
    monkeypatch.setattr(QtWidgets.QFileDialog, "getOpenFileName", lambda *_: ("/a/b", "All (*)"))
    assert qt.QFileDialog.getOpenFileName(None, "Open") == "/a/b"


# The application


def test_the_event_loop_is_probed(host):
    with BlockProbe() as probe:
        host.process_events(0.05)
        time.sleep(0.2)
        host.process_events(0.02)
    assert max(probe.gaps_ms) >= 200 > min(probe.gaps_ms)  # a busy machine has other long gaps


def test_settings_are_empty_at_the_start_of_a_test(host):
    settings = slicer.app.userSettings()
    assert settings.value("DeepSegment/left") is None
    settings.setValue("DeepSegment/left", 1)
    host.clear()
    assert slicer.app.userSettings().value("DeepSegment/left") is None


def test_modules_are_entered_and_left(host, tmp_path):
    for name in ("First", "Second"):
        (tmp_path / f"{name}.py").write_text(
            "from slicer.ScriptedLoadableModule import *\n"
            f"class {name}(ScriptedLoadableModule): pass\n"
            f"class {name}Widget(ScriptedLoadableModuleWidget):\n"
            "    log = []\n"
            "    def enter(self): self.log.append('enter')\n"
            "    def exit(self): self.log.append('exit')\n"
        )
    first, _panel = host.load_module(tmp_path / "First.py")
    second, _panel = host.load_module(tmp_path / "Second.py")
    slicer.util.selectModule("First")
    slicer.util.selectModule("First")
    assert slicer.util.selectedModule() == "First"
    assert (first.log, second.log) == (["enter", "enter"], ["enter", "exit"])
    with pytest.raises(ValueError, match="no module Third"):
        slicer.util.selectModule("Third")


# Views


@pytest.fixture
def red_block(host):
    """A volume with a red segment in its middle, shown."""
    voxels = np.zeros((20, 20, 20), np.float32)
    voxels[5:15] = 100
    volume = slicer.util.addVolumeFromArray(voxels)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment_id = node.GetSegmentation().AddEmptySegment("red", "Red", (1, 0, 0))
    mask = np.zeros((20, 20, 20), np.uint8)
    mask[6:14, 6:14, 6:14] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, segment_id, volume)
    host.show_volume(volume)
    return volume


def red(pixels):
    return int(((pixels[..., 0] > 150) & (pixels[..., 1] < 80) & (pixels[..., 2] < 80)).sum())


@pytest.mark.parametrize("turn", [1, 2])
def test_every_slice_shows_the_segment_also_after_the_scene_was_closed(host, red_block, turn):
    for name in ("Red", "Green", "Yellow"):
        assert red(host.open_views()[name].pixels()) > 50


def test_a_screenshot_has_the_panel_and_the_views(host, red_block, qt, tmp_path):
    panel = qt.QLabel("panel")
    panel.resize(200, 300)
    panel.show()
    host.screenshot(tmp_path / "all.png", panel)
    host.screenshot(tmp_path / "panel.png", panel, views=False)
    whole, alone = (QtWidgets.QLabel().grab().toImage() for _ in range(2))
    assert whole.load(str(tmp_path / "all.png"))
    assert alone.load(str(tmp_path / "panel.png"))
    assert (alone.width(), alone.height()) == (200, 300)
    assert whole.width() == 200 + 2 * 400


def test_the_wheel_moves_the_slice(host, red_block):
    view = host.open_views()["Red"]
    before = view.node.GetSliceOffset()
    mouse = Mouse(host, view)
    mouse.move(200, 200)
    mouse.wheel(2)
    assert view.node.GetSliceOffset() != before
    mouse.wheel(-2)
    assert view.node.GetSliceOffset() == pytest.approx(before)


def test_the_layout_manager_finds_the_views(host, red_block):
    manager = slicer.app.layoutManager()
    assert manager.sliceViewNames() == ("Red", "Green", "Yellow")
    assert manager.threeDViewCount == 1
    widget = manager.sliceWidget("Red")
    assert widget is manager.sliceWidget("Red")
    assert widget.className() == "qMRMLSliceWidget"
    assert widget.mrmlSliceNode() is host.open_views()["Red"].node
    assert widget.sliceView().renderWindow() is host.open_views()["Red"].window
    assert manager.threeDWidget(0).mrmlViewNode() is host.open_views()["3D"].node
