"""The panel through its widgets: real scene, real worker, the bundled model."""

import os
import shutil
import signal

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials", exc_type=ImportError)

import slicer
from host.widgets.pythonqt import unwrap

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.files.volumes import write_volume
from DeepSegmentLib.hosts.mrml.geometry import local_geometry
from DeepSegmentLib.hosts.mrml.segmentations.segments import is_protected, mask_of, segment_ids, set_locked


@pytest.fixture
def head(host, tmp_path):
    """A volume node that the bundled model finds something in."""
    return add_volume(host, tmp_path, "head")


def add_volume(host, folder, name, seed=0):
    """A blob of layers on noise, 3 mm: enough for a network to give labels, so small that it is one tile."""
    geometry = GRID
    k, j, i = np.meshgrid(*[np.linspace(-1, 1, n) for n in geometry.shape], indexing="ij")
    radius = np.sqrt(k**2 + j**2 + i**2)
    voxels = 100 * (radius < 0.8) + 60 * (radius < 0.6) + np.random.default_rng(seed).normal(0, 4, geometry.shape)
    path = folder / f"{name}.nrrd"
    write_volume(Volume(voxels[None].astype(np.float32), geometry, name), path)
    return host.application.logics["Volumes"].AddArchetypeVolume(str(path), name, 0)


def choose(host, widget, node):
    widget.panel.ui.volumeSelector.setCurrentNode(node)
    host.process_events()


def run(host, widget, seconds=60):
    """Click Segment and wait for the end; the text that is then shown."""
    host.click(widget.panel.ui.segmentButton)
    host.wait_until(lambda: not widget.panel.jobs.busy, seconds)
    host.process_events()
    return widget.panel.ui.statusLabel.text


def double_click(table, row):
    unwrap(table).cellDoubleClicked.emit(row, 0)


def segmentations():
    return slicer.util.getNodesByClass("vtkMRMLSegmentationNode")


def snapshot():
    """What must not change: nodes, segments, their voxels."""
    scene = slicer.mrmlScene
    nodes = [scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes())]
    voxels = {
        (node.GetID(), segment): int(mask_of(node, segment, GRID).sum())
        for node in segmentations()
        for segment in segment_ids(node)
    }
    return nodes, voxels


GRID = Geometry.from_spacing((40, 44, 40), (3, 3, 3))


def test_the_button_says_why_it_is_disabled(host, module, tmp_path):
    ui = module[0].panel.ui
    assert not ui.segmentButton.enabled
    assert "volume" in ui.segmentButton.toolTip
    choose(host, module[0], add_volume(host, tmp_path, "head"))
    assert ui.segmentButton.enabled
    assert "GB" in ui.preflightLabel.text
    run(host, module[0])  # its one pass compared back ends, which tells no pace
    ui.anySpacingCheckBox.checked = True  # else the worker would give the same result again
    run(host, module[0])
    assert " s; " in ui.preflightLabel.text  # now that a run was timed
    assert ui.preflightLabel.text.split(";")[0] in ui.modelCard.toPlainText()


def test_loading_is_no_part_of_the_time_of_a_model_that_is_loaded(module):
    from DeepSegmentGui.running.run_needs import needsText

    from DeepSegmentLib.service.preflight import Estimate

    needs = Estimate(8, 600_000_000, seconds=20.0, start_seconds=6.0)
    assert "about 20 s" in needsText(needs, None)
    assert "about 14 s" in needsText(needs, None, loaded=True)
    assert " s" not in needsText(Estimate(8, 600_000_000), None)  # it never ran here


def test_a_spacing_that_no_scan_has_is_told_before_the_run_and_can_be_said_to_be_right(host, module, tmp_path):
    ui = module[0].panel.ui
    node = add_volume(host, tmp_path, "head")
    node.SetSpacing(100, 1, 1)
    choose(host, module[0], node)
    assert '"Any spacing"' in ui.preflightLabel.text
    assert "100 x 1 x 1 mm" in ui.preflightLabel.text
    ui.anySpacingCheckBox.checked = True
    host.process_events()
    assert "GB" in ui.preflightLabel.text


def test_a_click_makes_named_segments_in_the_right_place(host, module, head):
    widget = module[0]
    choose(host, widget, head)
    text = run(host, widget)
    assert "15 segments from brain-mr" in text
    (node,) = segmentations()
    names = [node.GetSegmentation().GetSegment(name).GetName() for name in segment_ids(node)]
    assert names[:4] == ["Cerebral white matter", "Cerebral cortex", "Ventricles", "Thalamus"]
    assert node.GetAttribute("DeepSegment.model") == "brain-mr"
    assert widget.panel.ui.segmentsTable.rowCount == 15
    assert widget.panel.ui.volumeSelector.currentNode() is head
    assert sum(mask_of(node, name, local_geometry(head)).sum() for name in segment_ids(node)) > 0


def test_doubts_are_said_where_the_user_clicked(host, module, tmp_path):
    empty = Volume(np.zeros((1, *GRID.shape), np.uint8), GRID, "empty")
    write_volume(empty, tmp_path / "empty.nrrd")
    choose(host, module[0], host.application.logics["Volumes"].AddArchetypeVolume(str(tmp_path / "empty.nrrd"), "e", 0))
    text = run(host, module[0])
    assert text.startswith("The volume holds hardly anything: 100.00% of its voxels are 0. (")
    assert "more in the log)\n" in text
    assert "segments from brain-mr" in text
    assert "Look at the result before you use it." in module[0].panel.ui.logText.toPlainText()


def test_a_second_click_uses_the_warm_worker(host, module, head):
    widget = module[0]
    choose(host, widget, head)
    run(host, widget)
    process = widget.panel.jobs.processID
    widget.panel.ui.segmentationSelector.setCurrentNode(None)
    run(host, widget)
    assert widget.panel.jobs.processID == process
    assert len(segmentations()) == 2


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.8])
def test_cancel_leaves_the_scene_as_it_was(host, module, head, delay):
    widget = module[0]
    choose(host, widget, head)
    before = snapshot()
    host.click(widget.panel.ui.segmentButton)
    assert widget.panel.ui.segmentButton.text == "Cancel"
    host.process_events(delay)
    if widget.panel.jobs.busy:
        host.click(widget.panel.ui.segmentButton)
        host.wait_until(lambda: not widget.panel.jobs.busy, 5)
        host.process_events()
        assert "Cancelled" in widget.panel.ui.statusLabel.text
        assert snapshot() == before
    assert widget.panel.ui.segmentButton.text == "Segment"


def test_a_killed_worker_is_reported_and_the_next_click_works(host, module, head):
    widget = module[0]
    choose(host, widget, head)
    before = snapshot()
    host.click(widget.panel.ui.segmentButton)
    host.process_events(0.3)
    os.kill(widget.panel.jobs.processID, signal.SIGKILL)
    host.wait_until(lambda: not widget.panel.jobs.busy, 5)
    host.process_events()
    assert "killed" in widget.panel.ui.statusLabel.text
    assert snapshot() == before
    assert "15 segments" in run(host, widget)


def test_removing_the_volume_stops_the_run(host, module, head):
    widget = module[0]
    choose(host, widget, head)
    host.click(widget.panel.ui.segmentButton)
    host.process_events(0.1)
    slicer.mrmlScene.RemoveNode(head)
    host.wait_until(lambda: not widget.panel.jobs.busy, 5)
    host.process_events()
    assert not segmentations()
    assert not widget.panel.ui.segmentButton.enabled


def test_closing_the_scene_stops_the_run(host, module, head, tmp_path):
    widget = module[0]
    choose(host, widget, head)
    host.click(widget.panel.ui.segmentButton)
    host.process_events(0.1)
    slicer.mrmlScene.Clear(0)
    assert not widget.panel.jobs.busy
    host.process_events(0.2)
    assert not segmentations()
    choose(host, widget, add_volume(host, tmp_path, "next"))
    assert "15 segments" in run(host, widget)


def test_undo_takes_the_result_back(host, module, head):
    widget = module[0]
    choose(host, widget, head)
    before = snapshot()
    run(host, widget)
    host.click(widget.panel.ui.undoButton)
    assert not segmentations()
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    assert volumes == [head]
    assert [name for name in before[0] if slicer.mrmlScene.GetNodeByID(name) is None] == []
    assert not widget.panel.ui.undoButton.enabled


def answer(host, widget, button):
    """Click a button of the question that is open."""
    host.click(getattr(widget.panel.output.question, button))


def counted(host, widget):
    """The table of segments when everything is counted: rows of texts."""
    panel = widget.panel
    host.wait_until(lambda: not panel.results.table.counting, 10)
    table = panel.ui.segmentsTable
    return [[table.item(row, column).text() for column in (1, 2)] for row in range(table.rowCount)]


def test_a_second_click_updates_what_the_first_made(host, module, head):
    widget = module[0]
    choose(host, widget, head)
    run(host, widget)
    (node,) = segmentations()
    before = snapshot()
    voxels = slicer.util.arrayFromVolume(head)
    voxels[:] = np.roll(voxels, 3, axis=0)
    head.Modified()
    assert "15 segments from brain-mr" in run(host, widget)
    assert segmentations() == [node]
    assert snapshot()[0] == before[0]  # no new nodes, maps and backups included
    assert len(segment_ids(node)) == 15
    assert snapshot()[1] != before[1]
    host.click(widget.panel.ui.undoButton)
    assert snapshot() == before
    assert not widget.panel.ui.undoButton.enabled


def test_before_changed_segments_are_updated_the_user_is_asked(host, module, head):
    widget = module[0]
    choose(host, widget, head)
    run(host, widget)
    (node,) = segmentations()
    first, second, third = segment_ids(node)[:3]
    set_locked(node.GetSegmentation().GetSegment(first), True)
    slicer.vtkSlicerSegmentationsModuleLogic.ClearSegment(node, second)
    before = snapshot()
    host.click(widget.panel.ui.segmentButton)
    text = widget.panel.output.question.box.text
    assert "Changed since brain-mr made them: Cerebral cortex." in text
    assert "Locked or finished: Cerebral white matter." in text
    assert not widget.panel.jobs.busy
    widget.panel.output.question.box.reject()
    host.process_events()
    assert not widget.panel.jobs.busy
    host.click(widget.panel.ui.segmentButton)
    answer(host, widget, "updateButton")
    host.wait_until(lambda: not widget.panel.jobs.busy, 60)
    host.process_events()
    assert "left as they are: Cerebral white matter" in widget.panel.ui.statusLabel.text
    after = snapshot()
    assert after[1][node.GetID(), first] == before[1][node.GetID(), first]
    assert after[1][node.GetID(), second] > 0
    assert after[1][node.GetID(), third] == before[1][node.GetID(), third]


def test_keep_both_makes_a_segmentation_of_its_own(host, module, head):
    widget = module[0]
    choose(host, widget, head)
    run(host, widget)
    (node,) = segmentations()
    slicer.vtkSlicerSegmentationsModuleLogic.ClearSegment(node, segment_ids(node)[0])
    before = snapshot()
    host.click(widget.panel.ui.segmentButton)
    answer(host, widget, "keepButton")
    host.wait_until(lambda: not widget.panel.jobs.busy, 60)
    host.process_events()
    other = next(each for each in segmentations() if each is not node)
    assert widget.panel.parameters.segmentation is other
    assert before[1].items() <= snapshot()[1].items()
    assert not any("(2)" in other.GetSegmentation().GetSegment(each).GetName() for each in segment_ids(other))


def test_another_volume_gets_its_own_segmentation(host, module, head, tmp_path):
    widget = module[0]
    choose(host, widget, head)
    run(host, widget)
    (first,) = segmentations()
    other = add_volume(host, tmp_path, "other", 1)
    choose(host, widget, other)
    assert widget.panel.parameters.segmentation is None
    run(host, widget)
    assert len(segmentations()) == 2
    choose(host, widget, head)
    assert widget.panel.parameters.segmentation is first
    widget.panel.ui.segmentationSelector.setCurrentNode(segmentations()[1])
    host.process_events()
    host.click(widget.panel.ui.segmentButton)
    assert "shows another volume: other" in widget.panel.output.question.box.text
    widget.panel.output.question.box.reject()


def test_a_segmentation_that_moved_away_is_told_before_the_run(host, module, head):
    widget = module[0]
    choose(host, widget, head)
    run(host, widget)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    head.SetAndObserveTransformNodeID(transform.GetID())
    host.click(widget.panel.ui.segmentButton)
    assert not widget.panel.jobs.busy
    assert "under different transforms" in widget.panel.ui.statusLabel.text


def keep_both(host, widget, node):
    """Change a segment, segment again and keep both; the new node."""
    slicer.vtkSlicerSegmentationsModuleLogic.ClearSegment(node, segment_ids(node)[0])
    host.click(widget.panel.ui.segmentButton)
    answer(host, widget, "keepButton")
    host.wait_until(lambda: not widget.panel.jobs.busy, 60)
    host.process_events()
    return widget.panel.parameters.segmentation


def test_undo_of_keep_both_shows_the_former_segmentation(host, module, head):
    widget = module[0]
    choose(host, widget, head)
    run(host, widget)
    (node,) = segmentations()
    assert keep_both(host, widget, node) is not node
    host.click(widget.panel.ui.undoButton)
    host.process_events()
    assert widget.panel.parameters.segmentation is node
    assert widget.panel.ui.segmentsTable.rowCount == 15
    assert widget.panel.ui.measureButton.enabled


def test_a_volume_that_is_chosen_again_has_its_segmentation_again(host, module, head, tmp_path):
    widget = module[0]
    choose(host, widget, head)
    run(host, widget)
    (node,) = segmentations()
    choose(host, widget, add_volume(host, tmp_path, "other", 1))
    assert widget.panel.parameters.segmentation is None
    choose(host, widget, head)
    assert widget.panel.parameters.segmentation is node


def test_a_result_stays_with_its_volume_when_another_one_was_chosen_meanwhile(host, module, head, tmp_path):
    widget = module[0]
    other = add_volume(host, tmp_path, "other", 1)
    choose(host, widget, head)
    host.click(widget.panel.ui.segmentButton)
    choose(host, widget, other)
    host.wait_until(lambda: not widget.panel.jobs.busy, 60)
    host.process_events()
    assert "They are of head" in widget.panel.ui.statusLabel.text
    assert widget.panel.parameters.segmentation is None
    assert "15 segments" in run(host, widget)  # and nothing is asked
    assert len(segmentations()) == 2
    choose(host, widget, head)
    assert widget.panel.parameters.segmentation is segmentations()[0]
    assert widget.panel.ui.reviewButton.enabled


@pytest.mark.parametrize("agreed", [False, True])
def test_undo_asks_before_it_takes_later_changes_away(host, module, head, monkeypatch, agreed):
    widget, asked = module[0], []
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text: asked.append(text) or agreed)
    choose(host, widget, head)
    run(host, widget)
    (node,) = segmentations()
    widget.panel.ui.show3DButton.checked = True
    host.wait_until(lambda: not widget.panel.results.making3D, 10)
    assert not widget.panel.writer.isChanged
    slicer.vtkSlicerSegmentationsModuleLogic.ClearSegment(node, segment_ids(node)[0])
    host.click(widget.panel.ui.undoButton)
    assert len(asked) == 1
    assert len(segmentations()) == (0 if agreed else 1)


def test_nothing_is_said_of_a_scene_that_was_closed(host, module, head):
    widget = module[0]
    choose(host, widget, head)
    run(host, widget)
    host.click(widget.panel.ui.measureButton)
    assert widget.panel.ui.resultsMessageLabel.text
    slicer.mrmlScene.Clear(0)
    host.process_events()
    assert not widget.panel.ui.resultsMessageLabel.text


def ml_of(node, segment, spacing=3):
    return f"{mask_of(node, segment, GRID).sum() * spacing**3 / 1000:.2f}"


def test_the_table_tells_the_scene_whoever_changed_it(host, module, head):
    from DeepSegmentLib.hosts.mrml.segmentations.label_images import make_image
    from DeepSegmentLib.hosts.mrml.segmentations.writing import make_editor

    widget = module[0]
    choose(host, widget, head)
    run(host, widget)
    (node,) = segmentations()
    ids = segment_ids(node)
    assert counted(host, widget) == [
        [node.GetSegmentation().GetSegment(each).GetName(), ml_of(node, each)] for each in ids
    ]
    brush = np.zeros(GRID.shape, np.uint8)
    brush[10:20, 10:20, 10:20] = 1
    editor = make_editor(slicer.mrmlScene)
    editor.SetSegmentationNode(node)
    editor.SaveStateForUndo()
    editor.ModifySegmentByLabelmap(node, ids[3], make_image(brush, GRID), editor.ModificationModeSet, False, True)
    host.process_events(0.01)
    assert counted(host, widget)[3] == ["Thalamus", "27.00"]
    editor.Undo()
    host.process_events(0.01)
    assert counted(host, widget)[3] == ["Thalamus", ml_of(node, ids[3])]
    node.GetSegmentation().GetSegment(ids[3]).SetName("T")
    node.GetSegmentation().RemoveSegment(ids[0])
    host.process_events(0.01)
    assert len(counted(host, widget)) == 14
    assert counted(host, widget)[2][0] == "T"


def test_the_table_is_there_after_loading_a_scene_and_for_any_segmentation(host, module, head, tmp_path):
    widget = module[0]
    ui = widget.panel.ui
    choose(host, widget, head)
    run(host, widget)
    rows = counted(host, widget)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    save_scene(bundle)
    slicer.mrmlScene.Clear(0)
    host.process_events()
    assert ui.segmentsTable.rowCount == 0
    assert not ui.measureButton.enabled
    slicer.mrmlScene.SetURL(str(bundle / "scene.mrml"))
    assert slicer.mrmlScene.Connect()
    host.process_events()
    assert counted(host, widget) == rows
    assert ui.measureButton.enabled
    assert ui.reviewButton.enabled
    host.show_volume(slicer.util.getNode("head"))
    host.click(ui.reviewButton)
    assert ui.reviewButton.text.startswith("Review next (1 of")
    (node,) = segmentations()
    assert "15 segments" in run(host, widget)  # known again as the model's own: nothing is asked
    assert segmentations() == [node]
    ui.segmentationSelector.setCurrentNode(None)
    host.process_events()
    assert ui.segmentsTable.rowCount == 0
    ui.segmentationSelector.setCurrentNode(node)
    host.process_events()
    assert len(counted(host, widget)) == 15


def save_scene(folder):
    """Write every storable node into the folder, and the scene."""
    scene = slicer.mrmlScene
    for node in slicer.util.getNodesByClass("vtkMRMLStorableNode"):
        if node.GetSaveWithScene() and not node.IsA("vtkMRMLColorNode"):
            node.AddDefaultStorageNode()
            kind = "seg.nrrd" if node.IsA("vtkMRMLSegmentationNode") else "nrrd"
            node.GetStorageNode().SetFileName(str(folder / f"{node.GetName()}.{kind}"))
            assert node.GetStorageNode().WriteData(node)
    scene.SetURL(str(folder / "scene.mrml"))
    assert scene.Commit()


def test_the_table_is_sorted_by_name_and_by_volume(host, module, head):
    widget = module[0]
    choose(host, widget, head)
    run(host, widget)
    rows = counted(host, widget)
    header = widget.panel.ui.segmentsTable.horizontalHeader()
    for column, key in ((1, lambda row: row[0].casefold()), (2, lambda row: -float(row[1]))):
        for reverse in (False, True):
            click_header(host, header, column)
            assert [key(row) for row in counted(host, widget)] == sorted(map(key, rows), reverse=reverse)
        click_header(host, header, column)
        assert counted(host, widget) == rows


def click_header(host, header, section):
    """Press the mouse on a header."""
    from host.widgets.pythonqt import unwrap
    from PySide6 import QtCore, QtTest

    raw = unwrap(header)
    place = QtCore.QPoint(raw.sectionViewportPosition(section) + raw.sectionSize(section) // 2, raw.height() // 2)
    QtTest.QTest.mouseClick(raw.viewport(), QtCore.Qt.MouseButton.LeftButton, pos=place)
    host.process_events()


def test_all_of_fifteen_segments_can_be_read_without_scrolling(host, module, head):
    widget, panel = module
    choose(host, widget, head)
    panel.resize(400, 900)
    run(host, widget)
    counted(host, widget)
    table = widget.panel.ui.segmentsTable
    assert table.verticalScrollBar().maximum == 0
    assert table.sizeHintForColumn(1) <= table.columnWidth(1)
    for column in (0, 2, 3):
        assert table.columnWidth(column) <= 70


def test_a_click_on_a_row_goes_to_the_structure(host, module, head):
    widget = module[0]
    choose(host, widget, head)
    run(host, widget)
    host.show_volume(head)
    (node,) = segmentations()
    views = slicer.util.getNodesByClass("vtkMRMLSliceNode")
    full = [row for row, each in enumerate(segment_ids(node)) if mask_of(node, each, GRID).any()]
    for row in (full[0], full[-1]):
        click_cell(host, widget.panel.ui.segmentsTable, row, 1)
        center = node.GetSegmentCenterRAS(segment_ids(node)[row])
        red = next(each for each in views if each.GetName() == "Red")
        assert abs(red.GetSliceOffset() - center[2]) <= 2
        middle = [red.GetXYToRAS().MultiplyPoint((*[n / 2 for n in red.GetDimensions()[:2]], 0, 1))[n] for n in (0, 1)]
        assert np.allclose(middle, center[:2], atol=2)


def click_cell(host, table, row, column):
    """Press the mouse on a cell."""
    from host.widgets.pythonqt import unwrap
    from PySide6 import QtCore, QtTest

    raw = unwrap(table)
    place = raw.visualRect(raw.model().index(row, column)).center()
    QtTest.QTest.mouseClick(raw.viewport(), QtCore.Qt.MouseButton.LeftButton, pos=place)
    host.process_events()


def test_a_segment_without_voxels_is_told_until_the_next_click(host, module, head):
    ui = module[0].panel.ui
    choose(host, module[0], head)
    run(host, module[0])
    (node,) = segmentations()
    slicer.vtkSlicerSegmentationsModuleLogic.ClearSegment(node, segment_ids(node)[0])
    assert counted(host, module[0])[0][1] == "0.00"
    click_cell(host, ui.segmentsTable, 0, 1)
    assert ui.resultsMessageLabel.text == "This segment has no voxels."
    click_cell(host, ui.segmentsTable, 1, 1)
    assert not ui.resultsMessageLabel.text


def test_surfaces_have_no_millilitres(host, module):
    import vtk

    ball, node = vtk.vtkSphereSource(), slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    ball.Update()
    node.CreateDefaultDisplayNodes()
    node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    node.AddSegmentFromClosedSurfaceRepresentation(ball.GetOutput(), "ball", [1, 0, 0])
    module[0].panel.ui.segmentationSelector.setCurrentNode(node)
    host.process_events()
    assert counted(host, module[0]) == [["ball", "-"]]


def test_ticks_show_and_lock_segments(host, module, head):
    table = module[0].panel.ui.segmentsTable
    choose(host, module[0], head)
    run(host, module[0])
    (node,) = segmentations()
    first = segment_ids(node)[0]
    table.item(0, 0).setCheckState(qt_unchecked())
    assert not node.GetDisplayNode().GetSegmentVisibility(first)
    table.item(0, 3).setCheckState(qt_checked())
    assert is_protected(node.GetSegmentation().GetSegment(first))
    table.item(0, 3).setCheckState(qt_unchecked())
    assert not is_protected(node.GetSegmentation().GetSegment(first))
    node.GetDisplayNode().SetSegmentVisibility(first, True)
    counted(host, module[0])
    assert table.item(0, 0).checkState() == qt_checked()


def test_the_table_outlives_what_happens_to_its_segments(host, module, head):
    table = module[0].panel.results.table
    choose(host, module[0], head)
    run(host, module[0])
    (node,) = segmentations()
    rows = counted(host, module[0])
    table._counted = None
    table._startCounting()
    next(table._counting)
    node.GetSegmentation().RemoveSegment(segment_ids(node)[0])  # while it is being counted
    module[0].panel.ui.segmentsTable.item(0, 3).setCheckState(qt_checked())  # and still has a row
    assert counted(host, module[0]) == rows[1:]
    node.RemoveAllDisplayNodeIDs()
    module[0].panel.ui.segmentsTable.item(0, 0).setCheckState(qt_unchecked())
    host.process_events()
    assert not node.GetDisplayNode().GetSegmentVisibility(segment_ids(node)[0])


def test_the_overlay_follows_the_segmentation(host, module, head):
    ui = module[0].panel.ui
    choose(host, module[0], head)
    run(host, module[0])
    host.show_volume(head)
    (node,) = segmentations()
    overlay = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")[0].GetForegroundVolumeID
    ui.uncertaintyOverlayCheckBox.checked = True
    shown = overlay()
    assert shown == module[0].panel.results.uncertainty.GetID()
    for chosen, expected in ((None, None), (node, shown)):
        ui.segmentationSelector.setCurrentNode(chosen)
        host.process_events()
        assert overlay() == expected


def test_surfaces_are_made_one_by_one_and_by_themselves_if_the_user_wants(host, module, head):
    from DeepSegmentLib.hosts.mrml.segmentations.surfaces import without_surface

    widget = module[0]
    ui = widget.panel.ui
    choose(host, widget, head)
    run(host, widget)
    (node,) = segmentations()
    assert len(without_surface(node)) == 15
    ui.show3DButton.checked = True
    seen = set()

    def ended():
        seen.add(len(without_surface(node)))
        return not widget.panel.results.making3D

    host.wait_until(ended, 10)
    assert len(seen) > 2  # the window lived in between
    assert not {each for each in without_surface(node) if mask_of(node, each, GRID).any()}
    ui.show3DButton.checked = False
    ui.show3DCheckBox.checked = True
    ui.segmentationSelector.setCurrentNode(None)
    run(host, widget)
    other = widget.panel.parameters.segmentation
    assert other is not node
    assert ui.show3DButton.checked
    host.wait_until(lambda: not widget.panel.results.making3D, 10)
    assert not {each for each in without_surface(other) if mask_of(other, each, GRID).any()}
    slicer.mrmlScene.Clear(0)
    host.process_events()
    assert not ui.show3DButton.checked
    assert ui.show3DCheckBox.checked  # the user's, not the scene's


def qt_checked():
    import qt

    return qt.Qt.Checked


def qt_unchecked():
    import qt

    return qt.Qt.Unchecked


def test_settings_are_saved_with_the_scene(host, module, head, tmp_path):
    widget = module[0]
    choose(host, widget, head)
    widget.panel.ui.overlapSlider.value = 0.25
    widget.panel.ui.mirrorCheckBox.checked = True
    host.process_events()
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    assert slicer.mrmlScene.Commit()
    slicer.mrmlScene.Clear(0)
    host.process_events()
    assert widget.panel.ui.overlapSlider.value == 0.5
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    assert slicer.mrmlScene.Connect()
    host.process_events()
    assert widget.panel.ui.overlapSlider.value == 0.25
    assert widget.panel.ui.mirrorCheckBox.checked


def test_choices_are_the_defaults_of_the_next_scene(host, module, head):
    widget = module[0]
    choose(host, widget, head)
    widget.panel.ui.uncertaintyCheckBox.checked = False
    run(host, widget)
    slicer.mrmlScene.Clear(0)
    host.process_events()
    assert not widget.panel.ui.uncertaintyCheckBox.checked


def test_reload_keeps_the_settings_and_works(host, module, head):
    widget = module[0]
    choose(host, widget, head)
    widget.panel.ui.overlapSlider.value = 0.25
    widget.onReload()
    fresh = slicer.modules.DeepSegmentWidget
    host.process_events()
    assert fresh is not widget
    assert fresh.panel.ui.overlapSlider.value == 0.25
    assert "15 segments" in run(host, fresh)
    fresh.cleanup()


def test_a_damaged_model_is_shown_and_cannot_run(host, monkeypatch, tmp_path, head):
    from conftest import REPOSITORY

    monkeypatch.setenv("DEEPSEGMENT_MODELS", str(tmp_path))
    shutil.copytree(REPOSITORY / "Resources" / "Models" / "brain-mr", tmp_path / "broken")
    (tmp_path / "broken" / "model.json").write_text("{}")
    widget, panel = host.load_module(REPOSITORY / "DeepSegment" / "DeepSegment.py")
    choose(host, widget, head)
    widget.panel.models.choose("broken")
    host.process_events()
    assert not widget.panel.ui.segmentButton.enabled
    assert "cannot be used" in widget.panel.ui.modelCard.toPlainText()
    widget.cleanup()
    panel.delete()


def test_several_volumes_are_segmented_one_after_the_other(host, module, tmp_path):
    ui = module[0].panel.ui
    nodes = [add_volume(host, tmp_path, f"head {n}", n) for n in range(2)]
    host.process_events()
    for node in nodes:
        ui.batchVolumesSelector.check(node)
    ui.batchSection.collapsed = False
    host.click(ui.batchSceneButton)
    host.wait_until(lambda: not module[0].panel.several.batch.running, 60)
    assert len(segmentations()) == 2
    assert ["15 segments" in ui.batchTable.item(row, 2).text() for row in range(2)] == [True, True]
    assert ui.batchMessageLabel.text == "2 segmented."
    assert [node.GetDisplayNode().GetVisibility() for node in segmentations()] == [0, 1]
    double_click(ui.batchTable, 0)
    host.process_events()
    assert [node.GetDisplayNode().GetVisibility() for node in segmentations()] == [1, 0]
    assert ui.volumeSelector.currentNode() is nodes[0]
    assert module[0].panel.parameters.segmentation is segmentations()[0]
    slicer.mrmlScene.RemoveNode(segmentations()[0])
    double_click(ui.batchTable, 0)
    assert ui.batchMessageLabel.text == "The result is no longer in the scene."
    double_click(ui.batchTable, 1)
    assert ui.batchMessageLabel.text == "2 segmented."


def test_results_of_a_folder_are_loaded_anew_into_another_scene(host, module, tmp_path):
    panel = module[0].panel
    ui = panel.ui
    slicer.mrmlScene.RemoveNode(add_volume(host, tmp_path, "case"))
    host.process_events()
    ui.batchFolderButton.directory = str(tmp_path)
    ui.batchSection.collapsed = False
    for _scene in range(2):
        host.click(ui.batchFolderRunButton)
        host.wait_until(lambda: not panel.several.batch.running, 60)
        double_click(ui.batchTable, 0)
        assert panel.parameters.volume.GetName() == "case.nrrd"
        slicer.mrmlScene.Clear(0)
        for name in ("vtkMRMLScalarVolumeNode", "vtkMRMLSegmentationNode"):  # get the IDs of those that are gone
            slicer.mrmlScene.AddNewNodeByClass(name, "another")
        host.process_events()


def test_a_folder_is_segmented_and_resumed(host, module, tmp_path):
    ui = module[0].panel.ui
    for n in range(2):
        slicer.mrmlScene.RemoveNode(add_volume(host, tmp_path, f"case{n}", n))
    choose(host, module[0], None)
    ui.uncertaintyCheckBox.checked = False
    ui.batchFolderButton.directory = str(tmp_path)
    ui.batchSection.collapsed = False
    os.mkfifo(tmp_path / "pipe.nii.gz")
    (tmp_path / "zero.nii.gz").write_bytes(b"no volume")
    for expected in ("segments", "its result is complete"):
        host.click(ui.batchFolderRunButton)
        host.wait_until(lambda: not module[0].panel.several.batch.running, 60)
        states = [ui.batchTable.item(row, 2).text() for row in range(ui.batchTable.rowCount)]
        assert len(states) == 4
        assert all(expected in state for state in states[:2])
        assert "pipe" in states[2]
        assert "zero.nii.gz" in states[3]
        assert ui.batchMessageLabel.text.startswith("2 of 4 failed: pipe.nii.gz, zero.nii.gz. 2 ")
    for _click in range(2):  # loads once
        double_click(ui.batchTable, 1)
        host.process_events()
    assert len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) == len(segmentations()) == 1
    assert ui.volumeSelector.currentNode().GetName() == "case1.nrrd"
    double_click(ui.batchTable, 3)
    assert "zero.nii.gz has no result" in ui.batchMessageLabel.text
    results = tmp_path / "segmented by brain-mr"
    assert sorted(path.name for path in results.iterdir()) == [
        "case0.json", "case0.seg.nrrd", "case1.json", "case1.seg.nrrd",
    ]  # fmt: skip


def test_a_folder_that_kills_the_worker_is_avoided(host, module, tmp_path):
    from DeepSegmentLib.data import Progress
    from DeepSegmentLib.hosts.worker.jobs_and_events import Died, Progressed

    (tmp_path / "fatal").mkdir()
    several, table = module[0].panel.several, module[0].panel.ui.batchTable
    submit = several.batch._jobs.submit

    def die(job, onEvent):
        several.batch._jobs.submit = submit
        onEvent(Progressed(Progress("looking into fatal", 0.0)))
        onEvent(Died("The worker crashed."))

    several.batch._jobs.submit = die
    several.batch.start([several._searchCase(str(tmp_path), "brain-mr")])
    host.wait_until(lambda: not several.batch.running, 60)
    assert [table.item(row, 0).text() for row in range(table.rowCount)] == ["fatal"]
    assert "ended the process" in table.item(0, 2).text()


def test_diagnose_answers_in_a_dialog(host, module):
    panel = module[0].panel
    panel.ui.advancedSection.collapsed = False
    host.click(panel.ui.diagnoseButton)
    host.wait_until(lambda: not panel.advanced.dialog.running, 60)
    host.process_events()
    assert "Python" in panel.advanced.dialog.text.toPlainText()
    panel.advanced.dialog.dialog.close()


def test_a_sequence_is_segmented_frame_by_frame(host, module, tmp_path):
    ui, scene = module[0].panel.ui, slicer.mrmlScene
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "movie")
    for n in range(2):
        node = add_volume(host, tmp_path, f"frame{n}", n)
        sequence.SetDataNodeAtValue(node, str(n))
        scene.RemoveNode(node)
    ui.batchSequenceSelector.setCurrentNode(sequence)
    ui.batchSection.collapsed = False
    host.click(ui.batchSequenceButton)
    host.wait_until(lambda: not module[0].panel.several.batch.running, 60)
    (target,) = [n for n in slicer.util.getNodesByClass("vtkMRMLSequenceNode") if n is not sequence]
    assert target.GetNumberOfDataNodes() == 2
    assert target.GetNthDataNode(1).GetSegmentation().GetNumberOfSegments() == 15


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        (
            "nifti",
            ["case_0001/case_0001.nii.gz", "case_0001/case_0001_seg.nii.gz", "case_0001/case_0001_seg.labels.json"],
        ),
        ("seg-nrrd", ["case_0001.seg.nrrd"]),
        ("nnunet", ["dataset.json", "imagesTr/case_0001_0000.nii.gz", "labelsTr/case_0001.nii.gz"]),
        ("csv", ["case_0001.csv"]),
    ],
)
def test_a_case_is_exported(host, module, head, tmp_path, kind, made):
    ui = module[0].panel.ui
    choose(host, module[0], head)
    run(host, module[0])
    folder = tmp_path / ("Dataset007_Heads" if kind == "nnunet" else "out")
    folder.mkdir()
    ui.exportFormatComboBox.setCurrentIndex(ui.exportFormatComboBox.findData(kind))
    ui.exportFolderButton.directory = str(folder)
    ui.exportSection.collapsed = False
    host.click(ui.exportButton)
    host.wait_until(lambda: not module[0].panel.jobs.busy, 60)
    host.process_events()
    assert ui.exportMessageLabel.text.startswith("Exported to"), ui.exportMessageLabel.text
    for name in made:
        assert (folder / name).is_file(), sorted(path.name for path in folder.rglob("*"))
    assert not any("head" in path.name.lower().removeprefix("dataset007_heads") for path in folder.rglob("*"))


def test_the_number_of_a_case_is_shown_kept_for_its_volume_and_new_for_the_next(host, module, head, tmp_path):
    ui, exporter = module[0].panel.ui, module[0].panel.exporter
    assert exporter._caseName(head, tmp_path) == ui.exportCaseEdit.text == "case_0001"
    (tmp_path / "case_0001.csv").write_text("")
    assert exporter._caseName(head, tmp_path) == "case_0001"
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "DOE^JOHN")
    assert exporter._caseName(other, tmp_path) == ui.exportCaseEdit.text == "case_0002"
    ui.exportCaseEdit.text = "mine"
    assert exporter._caseName(other, tmp_path) == exporter._caseName(head, tmp_path) == "mine"


def test_segments_are_measured_into_a_table_that_is_shown_and_copied(host, module, head):
    ui = module[0].panel.ui
    choose(host, module[0], head)
    run(host, module[0])
    assert not ui.copyTableButton.enabled
    for _ in range(2):
        host.click(ui.measureButton)
        host.wait_until(lambda: not module[0].panel.jobs.busy, 60)
        host.process_events()
    (table,) = slicer.util.getNodesByClass("vtkMRMLTableNode")
    assert table.GetTable().GetNumberOfRows() == 15
    assert table.GetColumnUnitLabel("volume [ml]") == "ml"
    assert slicer.app.layoutManager().layout == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpTableView
    assert slicer.util.getNodesByClass("vtkMRMLTableViewNode")[0].GetTableNodeID() == table.GetID()
    assert ui.resultsMessageLabel.text == "15 segments measured: table Segments."
    volumes = [f"{table.GetTable().GetValueByName(row, 'volume [ml]').ToDouble():.2f}" for row in range(15)]
    assert [row[1] for row in counted(host, module[0])] == volumes
    host.click(ui.copyTableButton)
    lines = slicer.app.clipboard().text().split("\n")
    slicer.mrmlScene.RemoveNode(table)
    host.click(ui.copyTableButton)
    assert ui.resultsMessageLabel.text == "The table is no longer in the scene."
    assert not ui.copyTableButton.enabled
    assert lines[0].split("\t")[:3] == ["segment", "voxels", "volume [ml]"]
    assert [line.split("\t")[0] for line in lines[1:]] == [row[0] for row in counted(host, module[0])]


def test_review_goes_to_uncertain_places(host, module, head):
    ui = module[0].panel.ui
    choose(host, module[0], head)
    run(host, module[0])
    host.show_volume(head)
    nodes = slicer.util.getNodesByClass("vtkMRMLSliceNode")
    before = [node.GetSliceOffset() for node in nodes]
    host.click(ui.reviewButton)
    assert [node.GetSliceOffset() for node in nodes] != before
    assert ui.reviewButton.text.startswith("Review next (1 of")
    (marker,) = [n for n in slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode") if n.GetHideFromEditors()]
    names = [segmentations()[0].GetSegmentation().GetNthSegment(n).GetName() for n in range(15)]
    assert any(marker.GetNthControlPointLabel(0).startswith(name) for name in names)
    assert any(ui.resultsMessageLabel.text.startswith(name) for name in names)
    assert ui.resultsMessageLabel.text
    run(host, module[0])
    assert not ui.resultsMessageLabel.text  # it was about the former result
    assert ui.reviewButton.text == "Review next"


def test_inside_a_region_only_its_voxels_change(host, module, head):
    widget = module[0]
    ui = widget.panel.ui
    choose(host, widget, head)
    run(host, widget)
    (node,) = segmentations()
    geometry = local_geometry(head)
    before = {name: mask_of(node, name, geometry) for name in segment_ids(node)}
    for name in before:  # something to be put right, inside and outside of the region
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        logic.ClearSegment(node, name)
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "here")
    center = geometry.index_to_ras((20, 22, 20))
    roi.SetCenter(*center)
    roi.SetSize(60.0, 60.0, 60.0)
    ui.roiSelector.setCurrentNode(roi)
    host.process_events()
    host.click(ui.segmentButton)
    answer(host, widget, "updateButton")  # the cleared segments were changed
    host.wait_until(lambda: not widget.panel.jobs.busy, 60)
    host.process_events()
    assert "segments from" in ui.statusLabel.text
    inside = np.abs(geometry.index_to_ras(np.argwhere(np.ones(geometry.shape))) - center).max(axis=1) <= 30.0 + 1e-6
    inside = inside.reshape(geometry.shape)
    after = {name: mask_of(node, name, geometry) for name in before}
    assert sum(mask.sum() for mask in after.values()) > 0
    assert not any((mask & ~inside).any() for mask in after.values())


def test_a_dicom_segmentation_says_who_made_it(host, module, shared_data, tmp_path, monkeypatch):
    """The volume comes from DICOM, as Slicer's database remembers it; the object is read back by pydicom."""
    pydicom = pytest.importorskip("pydicom")
    pytest.importorskip("highdicom")
    from nodes import add_volume as add_node

    from DeepSegmentLib.files.dicom import read_series, series_files

    files = series_files(shared_data / "ct_dicom", None)
    volume = read_series(shared_data / "ct_dicom")
    node = add_node(slicer.mrmlScene, volume.geometry, volume.voxels[0].astype(np.float32), "CT")
    by_uid = {f"1.2.826.{n}": str(path) for n, path in enumerate(files)}
    node.SetAttribute("DICOM.instanceUIDs", " ".join(by_uid))
    database = type("Database", (), {"fileForInstance": staticmethod(by_uid.get)})
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    widget = module[0]
    ui = widget.panel.ui
    choose(host, widget, node)
    ui.modelOverlapCheckBox.checked = False
    ui.overlapSlider.value = 0  # a whole abdomen is many tiles
    host.process_events()
    run(host, widget, 300)
    ui.exportFormatComboBox.setCurrentIndex(ui.exportFormatComboBox.findData("dicom-seg"))
    ui.exportFolderButton.directory = str(tmp_path)
    ui.exportSection.collapsed = False
    host.click(ui.exportButton)
    host.wait_until(lambda: not widget.panel.jobs.busy, 120)
    host.process_events()
    assert ui.exportMessageLabel.text.startswith("Exported to"), ui.exportMessageLabel.text
    made = pydicom.dcmread(tmp_path / "case_0001.dcm")
    assert {item.SegmentAlgorithmType for item in made.SegmentSequence} == {"AUTOMATIC"}
    assert "brain-mr" in made.SegmentSequence[0].SegmentAlgorithmName
