"""Export from the panel: several formats to one folder, replacing on request, DICOM where it can be made."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials", exc_type=ImportError)

import slicer
from nodes import add_volume

from DeepSegmentLib.data import Geometry, LabelMap, Segment
from DeepSegmentLib.hosts.mrml.segmentations.writing import MergePolicy, write_label_map

GRID = Geometry.from_spacing((6, 7, 8), (1, 2, 3))


@pytest.fixture
def panel(host, module):
    """The panel with a volume and a segmentation of one structure."""
    panel = module[0].panel
    volume = add_volume(slicer.mrmlScene, GRID, np.ones(GRID.shape, np.int16), "head")
    labels = np.zeros((1, *GRID.shape), np.uint8)
    labels[0, 2:4, 2:5, 2:6] = 1
    written = write_label_map(
        slicer.mrmlScene, LabelMap(labels, GRID, (Segment("Liver", 1),)), volume, policy=MergePolicy("new")
    )
    host.process_events()
    panel.parameters.segmentation = written.node
    panel.ui.exportSection.collapsed = False
    host.process_events()
    return panel


def choose(panel, kind, folder):
    ui = panel.ui
    ui.exportFormatComboBox.setCurrentIndex(ui.exportFormatComboBox.findData(kind))
    ui.exportFolderButton.directory = str(folder)


def export(host, panel, button="exportButton"):
    host.click(getattr(panel.ui, button))
    host.wait_until(lambda: not panel.jobs.busy, 60)
    host.process_events()
    return panel.ui.exportMessageLabel.text


def asked(panel):
    return panel.ui.exportReplaceButton.isVisible()


def test_formats_of_one_case_go_to_one_folder(host, panel, tmp_path):
    panel.ui.exportCaseEdit.text = "ch2"
    for kind in ("seg-nrrd", "csv", "nifti", "obj", "glb", "stl"):
        choose(panel, kind, tmp_path)
        assert export(host, panel).startswith("Exported to")
    records = {str(path.relative_to(tmp_path).as_posix()) for path in tmp_path.rglob("*.provenance.json")}
    beside = ("seg.nrrd", "csv", "obj", "glb", "stl")
    assert records == {*(f"ch2.{each}.provenance.json" for each in beside), "ch2/ch2.provenance.json"}
    assert (tmp_path / "ch2_liver.stl").is_file()


@pytest.mark.parametrize("kind", ["csv", "nifti", "nnunet", "monai-label"])
def test_what_is_there_is_replaced_when_the_user_says_so(host, panel, tmp_path, kind):
    folder = tmp_path / "Dataset001_Livers"
    choose(panel, kind, folder)
    panel.ui.exportCaseEdit.text = "mine"
    assert export(host, panel).startswith("Exported to")
    before = written(folder)
    panel.parameters.segmentation.GetSegmentation().GetNthSegment(0).SetName("Spleen")
    text = export(host, panel)
    assert asked(panel)
    assert not any(word in text for word in ("ask to", "--"))
    assert written(folder) == before
    assert export(host, panel, "exportReplaceButton").startswith("Exported to")
    assert not asked(panel)
    assert written(folder) != before


def written(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_question_goes_when_the_user_chooses_something_else(host, panel, tmp_path):
    choose(panel, "csv", tmp_path)
    panel.ui.exportCaseEdit.text = "mine"
    for change in (
        lambda: setattr(panel.ui.exportCaseEdit, "text", "other"),
        lambda: choose(panel, "csv", tmp_path / "elsewhere"),
        lambda: choose(panel, "seg-nrrd", tmp_path),
        panel.exporter.forget,
    ):
        choose(panel, "csv", tmp_path)
        panel.ui.exportCaseEdit.text = "mine"
        (tmp_path / "mine.csv").write_text("there")
        export(host, panel)
        assert asked(panel)
        change()
        assert not asked(panel)
        assert panel.ui.exportMessageLabel.text == ""
    assert (tmp_path / "mine.csv").read_text() == "there"


def test_the_question_is_not_for_another_segmentation_and_not_while_something_runs(host, panel, tmp_path):
    choose(panel, "csv", tmp_path)
    panel.ui.exportCaseEdit.text = "mine"
    (tmp_path / "mine.csv").write_text("there")
    export(host, panel)
    assert panel.ui.exportReplaceButton.enabled
    assert asked(panel)
    panel.measure.measure()
    assert panel.busy
    assert not panel.ui.exportReplaceButton.enabled
    host.wait_until(lambda: not panel.busy)
    assert panel.ui.exportReplaceButton.enabled
    panel.parameters.segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    host.process_events()
    assert not asked(panel)


def test_another_error_offers_no_replacing(host, panel, tmp_path):
    (tmp_path / "file").write_text("")
    choose(panel, "csv", tmp_path / "file")
    panel.ui.exportCaseEdit.text = "mine"
    assert "cannot be" in export(host, panel)
    assert not asked(panel)


class Database:
    """Slicer's DICOM database, as far as it is asked."""

    def __init__(self, files):
        self.fileForInstance = lambda uid: files.get(uid, "")


@pytest.mark.parametrize("case", ["no dicom", "no database", "gone", "no package", "possible"])
def test_dicom_is_offered_where_it_can_be_made_and_says_why_where_not(host, panel, tmp_path, monkeypatch, case):
    file = tmp_path / "slice.dcm"
    file.write_text("")
    box, volume = panel.ui.exportFormatComboBox, panel.parameters.volume
    monkeypatch.setattr(slicer, "dicomDatabase", Database({"1.2": str(file)}), raising=False)
    if case == "no database":
        monkeypatch.delattr(slicer, "dicomDatabase")
    if case == "gone":
        file.unlink()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if case == "no package" else object())
    if case != "no dicom":
        volume.SetAttribute("DICOM.instanceUIDs", "1.2 1.3")
    panel.refresh()
    row = box.findData("dicom-seg")
    told = {
        "no dicom": "not loaded from DICOM",
        "no database": "database",
        "gone": "no longer there",
        "no package": "highdicom",
        "possible": "DICOM Segmentation",
    }
    assert told[case] in box.itemText(row)
    assert box.model().item(row).isEnabled() == (case == "possible")
