"""The panel rests at one width, needs no horizontal scrolling, remembers its sections, and reads on a dark theme."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials", exc_type=ImportError)

import slicer
from conftest import REPOSITORY
from host.widgets.pythonqt import unwrap
from nodes import add_volume
from PySide6 import QtGui, QtWidgets

from DeepSegmentLib.data import Geometry, LabelMap, Segment
from DeepSegmentLib.hosts.mrml.segmentations.writing import MergePolicy, write_label_map

GRID = Geometry.from_spacing((6, 7, 8), (1, 2, 3))
LONG = "A name that never seems to come to its end, as those of series often do, and then goes on "
SECTIONS = (
    "inputSection", "outputSection", "resultsSection", "correctSection", "exportSection", "batchSection",
    "advancedSection",
)  # fmt: skip
_MARGIN = 9
NARROW = 400  # pixels; what people give the panel beside the views


def widths(widget):
    return widget.minimumSizeHint.width(), widget.sizeHint.width()


def widgets_of(ui):
    """The widgets of the panel as Qt has them, without the one that holds them all."""
    raw = [unwrap(each) for name, each in vars(ui).items() if name != "DeepSegment"]
    return [each for each in raw if isinstance(each, QtWidgets.QWidget)]


def open_all(host, panel):
    for name in SECTIONS:
        getattr(panel.ui, name).collapsed = False
    host.process_events()


def states(host, panel):
    """What happens to a panel, one after the other."""
    ui, scene = panel.ui, slicer.mrmlScene
    yield "empty"
    volume = add_volume(scene, GRID, np.ones(GRID.shape, np.int16), LONG + "volume")
    scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", LONG + "region")
    host.process_events()
    yield "a volume"
    labels = LabelMap(np.ones((1, *GRID.shape), np.uint8), GRID, (Segment(LONG + "segment", 1),))
    written = write_label_map(scene, labels, volume, policy=MergePolicy("new"))
    written.node.SetName(LONG + "segmentation")
    panel.parameters.segmentation = written.node
    panel.correct.choose(written.node)
    host.process_events()
    yield "a segmentation"
    ui.policyComboBox.setCurrentIndex(1)
    host.process_events()
    yield "another policy"
    ui.exportFolderButton.directory = ui.batchFolderButton.directory = "/" + "/".join(LONG.split() * 4)
    host.process_events()
    yield "a long folder"
    for button in (ui.segmentButton, ui.reviewButton):
        button.text = LONG
    host.process_events()
    yield "long buttons"
    panel.messages.showRunning()
    host.process_events()
    yield "running"
    panel.messages.showIdle(LONG * 20)
    for name in vars(ui):
        if name.endswith("MessageLabel"):
            panel.say(LONG * 5 + LONG.replace(" ", "_"), getattr(ui, name))
    host.process_events()
    yield "messages"
    panel.several.batch.add([case(LONG + str(n)) for n in range(30)])
    host.process_events()
    yield "a batch"


def case(name):
    from DeepSegmentGui.running.batch_queue import Case

    return Case(name, LONG, None, None)


def test_the_panel_keeps_its_width(host, module):
    panel, widget = module[0].panel, module[1]
    open_all(host, panel)
    found = {state: widths(widget) for state in states(host, panel)}
    assert set(found.values()) == {found["empty"]}


def test_the_panel_needs_no_horizontal_scrolling(host, module):
    panel, widget = module[0].panel, module[1]
    open_all(host, panel)
    assert widget.minimumSizeHint.width() <= NARROW
    widget.resize(NARROW, 2000)
    host.process_events()
    raw = unwrap(widget)
    inner = [each for each in widgets_of(panel.ui) if each.isVisible()]
    ends = {each.objectName(): each.mapTo(raw, each.rect().topRight()).x() for each in inner}
    assert {name: end for name, end in ends.items() if end > NARROW - _MARGIN} == {}
    assert {each.objectName() for each in inner if each.width() < each.minimumWidth()} == set()


def test_what_has_nothing_to_say_takes_no_room_in_an_opened_section(host, module):
    panel = module[0].panel
    open_all(host, panel)
    shown = [name for name, widget in vars(panel.ui).items() if name.endswith("MessageLabel") and widget.isVisible()]
    assert shown == []
    assert not panel.ui.exportReplaceButton.isVisible()


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_can_be_read_on_light_and_dark(host, module, dark):
    """Text and ground of each widget differ: nothing has a colour of its own."""
    from host.application import dark_palette

    before = host.qt.palette()
    try:
        host.qt.setPalette(dark_palette() if dark else before)
        open_all(host, module[0].panel)
        for widget in widgets_of(module[0].panel.ui):
            palette, roles = widget.palette(), QtGui.QPalette.ColorRole
            active = QtGui.QPalette.ColorGroup.Active
            for text, ground in ((roles.WindowText, roles.Window), (roles.Text, roles.Base)):
                lights = [palette.color(active, role).lightness() for role in (text, ground)]
                assert abs(lights[0] - lights[1]) > 100, widget.objectName()
            assert widget.styleSheet() == ""
    finally:
        host.qt.setPalette(before)


def test_sections_stay_as_the_user_left_them(host, module):
    ui = module[0].panel.ui
    before = {name: getattr(ui, name).collapsed for name in SECTIONS}
    for name in SECTIONS:
        getattr(ui, name).click()
    host.process_events()
    widget, panel = host.load_module(REPOSITORY / "DeepSegment" / "DeepSegment.py")
    after = {name: getattr(widget.panel.ui, name).collapsed for name in SECTIONS}
    widget.cleanup()
    panel.setMRMLScene(None)
    panel.delete()
    assert after == {name: not collapsed for name, collapsed in before.items()}


def test_what_the_panel_opens_by_itself_is_not_remembered(host, module):
    module[0].panel.ui.resultsSection.collapsed = False
    host.process_events()
    assert not slicer.app.userSettings().contains("DeepSegment/sections/resultsSection")
