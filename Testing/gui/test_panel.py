"""The panel through its widgets: real scene, real worker, the bundled model."""

import os
import shutil
import signal

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials", exc_type=ImportError)

import slicer

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.files.volumes import write_volume
from DeepSegmentLib.hosts.mrml.geometry import local_geometry
from DeepSegmentLib.hosts.mrml.segmentations.segments import is_protected, mask_of, segment_ids, set_locked


@pytest.fixture
def head(host, tmp_path):
    """A volume node that the bundled model finds something in."""
    return add_volume(host, tmp_path, "head")


def add_volume(host, folder, name, seed=0):
    """A blob of layers on noise, 4 mm: enough for a network to give labels, small enough to be quick."""
    geometry = Geometry.from_spacing((40, 44, 40), (4, 4, 4))
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


GRID = Geometry.from_spacing((40, 44, 40), (4, 4, 4))


def test_the_button_says_why_it_is_disabled(host, module, tmp_path):
    ui = module[0].panel.ui
    assert not ui.segmentButton.enabled
    assert "volume" in ui.segmentButton.toolTip
    choose(host, module[0], add_volume(host, tmp_path, "head"))
    assert ui.segmentButton.enabled
    assert "GB" in ui.preflightLabel.text
    run(host, module[0])
    assert " s; " in ui.preflightLabel.text  # now that a run was timed
    assert ui.preflightLabel.text.split(";")[0] in ui.modelCard.toPlainText()


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


def test_merging_into_a_segmentation_leaves_locked_segments(host, module, head):
    widget = module[0]
    ui = widget.panel.ui
    choose(host, widget, head)
    run(host, widget)
    (node,) = segmentations()
    assert ui.segmentationSelector.currentNode() is node
    first, second = segment_ids(node)[:2]
    set_locked(node.GetSegmentation().GetSegment(first), True)
    before = snapshot()
    ui.policyComboBox.setCurrentIndex(ui.policyComboBox.findData("replace"))
    host.process_events()
    assert "segments to replace" in ui.segmentButton.toolTip
    model = ui.replaceComboBox.checkableModel()
    for row in (0, 1):
        ui.replaceComboBox.setCheckState(model.index(row, 0), 2)
    host.process_events()
    text = run(host, widget)
    assert "Locked or completed" in text
    assert snapshot()[1][node.GetID(), first] == before[1][node.GetID(), first]
    assert second in segment_ids(node)


def test_ticks_show_and_lock_segments(host, module, head):
    table = module[0].panel.ui.segmentsTable
    choose(host, module[0], head)
    run(host, module[0])
    (node,) = segmentations()
    first = segment_ids(node)[0]
    table.item(0, 0).setCheckState(qt_unchecked())
    assert not node.GetDisplayNode().GetSegmentVisibility(first)
    table.item(0, 2).setCheckState(qt_checked())
    assert is_protected(node.GetSegmentation().GetSegment(first))
    table.item(0, 2).setCheckState(qt_unchecked())
    assert not is_protected(node.GetSegmentation().GetSegment(first))


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


def test_models_are_found_by_words(host, module):
    ui = module[0].panel.ui
    for text, count in (("thalamus MR", 1), ("BRAIN", 1), ("kidney", 0), ("", 1)):
        ui.modelSearchBox.text = text
        host.process_events()
        assert ui.modelList.count == count, text
    assert "Thalamus" in ui.modelCard.toPlainText()
    assert "Apache-2.0" in ui.modelCard.toPlainText()


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
    for expected in ("segments", "left out: its result is complete"):
        host.click(ui.batchFolderRunButton)
        host.wait_until(lambda: not module[0].panel.several.batch.running, 60)
        states = [ui.batchTable.item(row, 2).text() for row in range(5)]
        assert states[0] == "4 inputs found"
        assert all(expected in state for state in states[1:3])
        assert "pipe" in states[3]
        assert "zero.nii.gz" in states[4]
    results = tmp_path / "segmented by brain-mr"
    assert sorted(path.name for path in results.iterdir()) == [
        "case0.json", "case0.seg.nrrd", "case1.json", "case1.seg.nrrd",
    ]  # fmt: skip


def test_a_folder_that_kills_the_worker_is_avoided(host, module, tmp_path):
    from DeepSegmentLib.data import Progress
    from DeepSegmentLib.hosts.worker.messages import Died, Progressed

    (tmp_path / "fatal").mkdir()
    several, table = module[0].panel.several, module[0].panel.ui.batchTable
    submit = several.batch._worker.submit

    def die(job, onEvent):
        several.batch._worker.submit = submit
        onEvent(Progressed(Progress("looking into fatal", 0.0)))
        onEvent(Died("The worker crashed."))

    several.batch._worker.submit = die
    several.batch.start([several._searchCase(str(tmp_path), "brain-mr")])
    host.wait_until(lambda: not several.batch.running, 60)
    assert [table.item(row, 0).text() for row in range(3)] == [str(tmp_path), str(tmp_path), "fatal"]
    assert "ended the process" in table.item(2, 2).text()


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
    assert ui.statusLabel.text.startswith("Exported to"), ui.statusLabel.text
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


def test_exporting_twice_replaces_nothing(host, module, head, tmp_path):
    ui = module[0].panel.ui
    choose(host, module[0], head)
    run(host, module[0])
    ui.exportFormatComboBox.setCurrentIndex(ui.exportFormatComboBox.findData("csv"))
    ui.exportFolderButton.directory = str(tmp_path)
    ui.exportSection.collapsed = False
    for expected in ("Exported to", "exists"):
        host.click(ui.exportButton)
        host.wait_until(lambda: not module[0].panel.jobs.busy, 60)
        host.process_events()
        assert expected in ui.statusLabel.text


def test_segments_are_measured_into_a_table(host, module, head):
    ui = module[0].panel.ui
    choose(host, module[0], head)
    run(host, module[0])
    for _ in range(2):
        host.click(ui.measureButton)
        host.wait_until(lambda: not module[0].panel.jobs.busy, 60)
        host.process_events()
    (table,) = slicer.util.getNodesByClass("vtkMRMLTableNode")
    assert table.GetTable().GetNumberOfRows() == 15
    assert table.GetColumnUnitLabel("volume [ml]") == "ml"


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
    ui.policyComboBox.setCurrentIndex(ui.policyComboBox.findData("roi"))
    host.process_events()
    assert "segments from" in run(host, widget)
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
    run(host, widget, 300)
    ui.exportFormatComboBox.setCurrentIndex(ui.exportFormatComboBox.findData("dicom-seg"))
    ui.exportFolderButton.directory = str(tmp_path)
    ui.exportSection.collapsed = False
    host.click(ui.exportButton)
    host.wait_until(lambda: not widget.panel.jobs.busy, 120)
    host.process_events()
    assert ui.statusLabel.text.startswith("Exported to"), ui.statusLabel.text
    made = pydicom.dcmread(tmp_path / "case_0001.dcm")
    assert {item.SegmentAlgorithmType for item in made.SegmentSequence} == {"AUTOMATIC"}
    assert "brain-mr" in made.SegmentSequence[0].SegmentAlgorithmName
