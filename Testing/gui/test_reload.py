"""Reload leaves one copy of every class: corrections go on in the panel and in the effect, and can be taken back."""

import gc
import sys

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials", exc_type=ImportError)

import slicer
from host.case import BITE, GRID, LEAK, OUTSIDE, add_case, masks, open_effect, same
from host.widgets.mouse import Mouse, place_of


@pytest.fixture
def nodes(host, module):
    return add_case(slicer.mrmlScene)


@pytest.fixture
def editor(host, nodes):
    editor = open_effect(host, nodes)
    host.process_events(0.05)
    return editor


def click(host, index, *, control=False):
    view = host.open_views()["Red"]
    view.node.JumpSliceByCentering(*GRID.index_to_ras(index))
    mouse = Mouse(host, view)
    mouse.hold(control=control)
    mouse.click(*place_of(view.node, GRID.index_to_ras(index)))
    host.process_events(0.15)


def rest(host, index):
    view = host.open_views()["Red"]
    view.node.JumpSliceByCentering(*GRID.index_to_ras(index))
    Mouse(host, view).move(*place_of(view.node, GRID.index_to_ras(index)))
    host.process_events(0.15)


def reload(host, module):
    """Click Reload; the new panel."""
    old = slicer.modules.DeepSegmentWidget
    old.onReload()
    host.process_events(0.05)
    fresh = slicer.modules.DeepSegmentWidget
    assert fresh is not old
    return fresh


def show(panel, volume, segmentation):
    panel.ui.correctSection.collapsed = False
    panel.ui.volumeSelector.setCurrentNode(volume)
    panel.ui.correctSelector.setCurrentNode(segmentation)
    panel.ui.correctSelector.setCurrentSegmentID("organ")


def test_corrections_go_on_in_effect_and_panel_after_a_reload(host, module, nodes, editor):
    volume, segmentation = nodes
    states = [masks(segmentation)]
    for index, control in ((BITE, False), (LEAK, True)):
        click(host, index, control=control)
        states.append(masks(segmentation))
    rest(host, OUTSIDE)
    fresh = reload(host, module)
    assert same(states[-1], masks(segmentation))
    assert segmentation.GetDisplayNode().GetOpacity2DFill() == 0.5  # no preview stays behind

    click(host, OUTSIDE)
    states.append(masks(segmentation))
    assert not same(states[-2], states[-1])
    show(fresh.panel, volume, segmentation)
    ui = fresh.panel.ui
    assert ui.correctPromptList.count == 3
    for state in reversed(states[:-1]):
        host.click(ui.correctUndoButton)
        assert same(state, masks(segmentation))
    for state in states[1:]:
        host.click(ui.correctRedoButton)
        assert same(state, masks(segmentation))
    fresh.cleanup()


def test_what_was_undone_before_a_reload_can_be_done_again(host, module, nodes, editor):
    volume, segmentation = nodes
    click(host, BITE)
    worked = masks(segmentation)
    show(module[0].panel, volume, segmentation)
    host.click(module[0].panel.ui.correctUndoButton)
    fresh = reload(host, module)
    show(fresh.panel, volume, segmentation)
    assert not same(worked, masks(segmentation))
    host.click(fresh.panel.ui.correctRedoButton)
    assert same(worked, masks(segmentation))
    fresh.cleanup()


def test_the_effect_is_the_same_one_with_new_parts(host, module, nodes, editor):
    effect = editor.activeEffect()
    python, parts = effect.self(), (effect.self().options, effect.self().pointer)
    editor.activeEffect().setParameter("Tool", "box")
    fresh = reload(host, module)
    assert editor.activeEffect().self() is python
    assert python.options is not parts[0]
    assert python.options.tool.currentIndex == 1
    assert type(python.pointer) is sys.modules["DeepSegmentGui.correction.effect_pointer"].EffectPointer
    frames = [widget for widget in effect.optionsFrame().children() if widget.className() == "QFrame"]
    assert [frame.isHidden() for frame in frames] == [True, False]  # the first goes with the event loop
    fresh.cleanup()


def test_no_object_of_an_old_class_is_left(host, module, nodes, editor):
    """Twice, as what the first reload leaves behind would only answer then."""
    volume, segmentation = nodes
    others = [id(found) for found in of_old_classes()]  # of other tests
    show(module[0].panel, volume, segmentation)
    click(host, BITE)
    for _n in range(2):
        fresh = reload(host, module)
        show(fresh.panel, volume, segmentation)
        click(host, LEAK, control=True)
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
        host.process_events(0.05)
    assert [found for found in of_old_classes() if id(found) not in others and is_called(host, found)] == []
    assert len(fresh.panel.correct.corrector.listeners) == 3  # section, its list, the effect's list
    fresh.cleanup()


def of_old_classes():
    """Objects of the panel whose class is not the one that is loaded now."""
    gc.collect()
    kinds = [(found, type(found)) for found in gc.get_objects()]
    ours = [(found, kind) for found, kind in kinds if str(kind.__module__).startswith("DeepSegmentGui.")]
    return [found for found, kind in ours if getattr(sys.modules.get(kind.__module__), kind.__name__, None) is not kind]


def is_called(host, found):
    """Whether the application still calls an object."""
    return any(getattr(function, "__self__", None) is found for _signal, function in host.startup)
