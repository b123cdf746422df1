"""Journals that hold more than the scene: a crash loses nothing that was accepted, and work goes on another day."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials", exc_type=ImportError)

import slicer
from host.case import BITE, GRID, LEAK, OUTSIDE, add_case, digest, masks, same
from host.widgets.mouse import Mouse, place_of

REPOSITORY = Path(__file__).resolve().parents[3]

CRASHING = """
import sys

sys.path[:0] = [{repository!r}, {testing!r}]
from host.application import start
import slicer
from host.case import GRID, add_case, digest
from host.widgets.mouse import Mouse, place_of
import numpy as np

host = start()
widget, _panel = host.load_module({repository!r} + "/DeepSegment/DeepSegment.py")
host.complete_startup()
volume, node = add_case(slicer.mrmlScene)
editor = host.open_segment_editor(node, volume)
editor.setActiveEffectByName("DeepSegment Fix")
host.process_events(0.1)
print("start", digest(node), flush=True)
view, rng = host.open_views()["Red"], np.random.default_rng(0)
mouse = Mouse(host, view)
while True:
    index = rng.integers((12, 8, 6), (28, 34, 28))
    ras = GRID.index_to_ras(index)
    view.node.JumpSliceByCentering(*ras)
    mouse.hold(control=bool(rng.integers(2)))
    mouse.click(*place_of(view.node, ras))
    print("done", digest(node), flush=True)
"""


@pytest.fixture
def panel(host, module):
    return module[0].panel


def show(host, panel, volume, segmentation):
    panel.ui.correctSection.collapsed = False
    panel.ui.volumeSelector.setCurrentNode(volume)
    panel.ui.correctSelector.setCurrentNode(segmentation)
    host.show_volume(volume)
    host.process_events(0.05)


def click(host, index):
    view = host.open_views()["Red"]
    view.node.JumpSliceByCentering(*GRID.index_to_ras(index))
    Mouse(host, view).click(*place_of(view.node, GRID.index_to_ras(index)))
    host.process_events(0.1)


def journals():
    return sorted((Path(os.environ["XDG_DATA_HOME"]) / "DeepSegment" / "Journals").glob("*/journal.jsonl"))


@pytest.mark.parametrize("corrections", [1, 7])
def test_after_a_kill_all_that_was_accepted_comes_back(host, panel, corrections):
    """The other process is killed at no particular moment: what it said it had done must be there."""
    code = CRASHING.format(repository=str(REPOSITORY), testing=str(REPOSITORY / "Testing"))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        said = [process.stdout.readline().split()]
        while sum(line[:1] == ["done"] for line in said) < corrections:
            said.append(process.stdout.readline().split())
            assert said[-1], "the other process ended by itself"
        time.sleep(0.03)
        os.kill(process.pid, signal.SIGKILL)
        said += [line.split() for line in process.stdout.read().splitlines()]
    volume, other = add_case(slicer.mrmlScene)
    slicer.mrmlScene.RemoveNode(other)
    show(host, panel, volume, None)
    assert panel.ui.resumeFrame.visible
    assert "Corrections of" in panel.ui.resumeLabel.text
    assert panel.ui.resumeLabel.width > 200  # and not squeezed to nothing by its button
    host.click(panel.ui.resumeButton)
    node = panel.ui.correctSelector.currentNode()
    assert not panel.ui.resumeFrame.visible
    states = replayed()
    # The last state on disk is the last one that was told, or the next one, which was not told any more.
    assert digest(node) == states[-1]
    assert said[-1][1] in states[-2:]


def replayed():
    """Digests of the labels after each entry of the one journal with entries."""
    from DeepSegmentLib.correction.packed_changes import unpack
    from DeepSegmentLib.files.journal import Journal

    slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    from DeepSegmentGui.correction.scene_corrector import correctorOf

    correctorOf(slicer.mrmlScene).forget()
    (path,) = journals()
    with Journal.open(path.parent) as journal:
        labels = journal.start().layers.copy()
        states = [digest(labels[0])]
        for entry in journal.entries():
            labels[(entry.change.layer, *entry.change.box.to_slices())] = unpack(
                entry.change, labels[entry.change.layer]
            ).after
            states.append(digest(labels[0]))
    return states


def test_work_goes_on_after_the_scene_was_closed(host, panel):
    volume, node = add_case(slicer.mrmlScene)
    show(host, panel, volume, node)
    assert not panel.ui.resumeFrame.visible
    host.click(panel.ui.correctAddButton)
    click(host, BITE)
    host.click(panel.ui.correctRemoveButton)
    click(host, LEAK)
    worked, start = masks(node), None
    slicer.mrmlScene.Clear(0)
    host.process_events(0.1)
    volume, node = add_case(slicer.mrmlScene)
    start = masks(node)
    show(host, panel, volume, node)
    assert panel.ui.resumeFrame.visible
    assert panel.ui.resumeLabel.text.endswith("not in the scene: 2.")
    assert same(start, masks(node))  # never automatic
    host.click(panel.ui.resumeButton)
    assert same(worked, masks(node))
    host.click(panel.ui.correctUndoButton)
    host.click(panel.ui.correctUndoButton)
    assert same(start, masks(node))
    assert not panel.ui.correctUndoButton.enabled


@pytest.fixture
def case(host, panel):
    """The volume and its segmentation, and the Segment Editor with the effect."""
    volume, node = add_case(slicer.mrmlScene)
    show(host, panel, volume, node)
    host.complete_startup()
    editor = host.open_segment_editor(node, volume)
    editor.setCurrentSegmentID("organ")
    editor.setActiveEffectByName("DeepSegment Fix")
    host.process_events(0.1)
    return volume, node, editor


def paint(editor):
    """A stroke as the effect Paint makes it."""
    effect = editor.activeEffect()
    editor.saveStateForUndo()
    image = effect.defaultModifierLabelmap()
    image.GetPointData().GetScalars().Fill(0)
    for n in range(5):
        image.SetScalarComponentFromDouble(30 + n, 30, 30, 0, 1)
    image.Modified()
    effect.modifySelectedSegmentByLabelmap(image, effect.ModificationModeAdd)


def on_disk(tmp_path):
    """Kinds of the entries, and masks, as a killed program would leave them in the newest journal."""
    from DeepSegmentLib.files.journal import Journal

    copy = tmp_path / "left"
    shutil.copytree(journals()[-1].parent, copy)
    with Journal.open(copy) as journal:
        kinds, labels = [entry.kind for entry in journal.entries()], journal.labels()
    shutil.rmtree(copy)
    return kinds, {noun.name: labels.mask(noun) for noun in labels.segments}


def test_edits_of_other_tools_are_journaled_when_things_are_quiet(host, case, tmp_path):
    """A stroke of the Segment Editor's logic, and its undo, between corrections."""
    _volume, node, editor = case
    click(host, BITE)
    paint(editor)
    host.process_events(1.3)
    click(host, OUTSIDE)
    editor.undo()
    host.process_events(1.3)
    kinds, labels = on_disk(tmp_path)
    assert kinds == ["correction", "edit", "correction", "edit"]
    assert same(labels, masks(node))


def test_the_editor_s_undo_after_a_while_is_journaled(host, case, tmp_path):
    _volume, node, editor = case
    click(host, BITE)
    host.process_events(1.3)
    editor.undo()
    host.process_events(1.3)
    kinds, labels = on_disk(tmp_path)
    assert kinds == ["correction", "edit"]
    assert same(labels, masks(node))


def test_a_stroke_of_another_tool_just_before_an_undo_is_journaled(host, panel, case, tmp_path):
    _volume, node, editor = case
    click(host, BITE)
    paint(editor)
    host.click(panel.ui.correctUndoButton)
    _kinds, labels = on_disk(tmp_path)
    assert same(labels, masks(node))


def test_corrections_can_be_taken_back_after_a_stroke_and_a_reload(host, module, case, tmp_path):
    volume, node, editor = case
    click(host, BITE)
    paint(editor)
    painted = masks(node)
    module[0].onReload()
    fresh = slicer.modules.DeepSegmentWidget
    show(host, fresh.panel, volume, node)
    assert fresh.panel.ui.correctPromptList.count == 1
    assert len(journals()) == 1
    host.click(fresh.panel.ui.correctUndoButton)
    assert masks(node)["organ"][30, 30, 30]
    assert masks(node)["organ"].sum() < painted["organ"].sum()
    fresh.cleanup()


def test_a_stroke_just_before_the_scene_closes_is_journaled(host, case, tmp_path):
    _volume, node, editor = case
    click(host, BITE)
    paint(editor)
    expected = masks(node)
    slicer.mrmlScene.Clear(0)
    assert same(on_disk(tmp_path)[1], expected)


def test_corrections_come_back_though_a_segment_was_removed_before_the_end(host, panel, case):
    """The journal of the new segments begins with what was corrected before, and nothing has happened since."""
    volume, node, _editor = case
    click(host, BITE)
    node.GetSegmentation().RemoveSegment("neighbor")
    host.process_events(1.3)
    worked = masks(node)
    slicer.mrmlScene.Clear(0)
    host.process_events(0.1)
    volume, node = add_case(slicer.mrmlScene)
    show(host, panel, volume, node)
    assert panel.ui.resumeFrame.visible
    assert panel.ui.resumeLabel.text.startswith("Changes of ")
    host.click(panel.ui.resumeButton)
    assert np.array_equal(masks(node)["organ"], worked["organ"])


def test_looking_at_a_case_leaves_no_journal(host, panel):
    volume, node = add_case(slicer.mrmlScene)
    show(host, panel, volume, node)
    host.click(panel.ui.correctAddButton)
    assert len(journals()) == 1
    slicer.mrmlScene.Clear(0)
    assert journals() == []


def test_a_correction_that_cannot_be_journaled_says_so(host, panel, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    volume, node = add_case(slicer.mrmlScene)
    show(host, panel, volume, node)
    before = masks(node)
    host.click(panel.ui.correctAddButton)
    click(host, BITE)
    assert not same(before, masks(node))
    assert "not in the journal" in panel.ui.correctStatusLabel.text
