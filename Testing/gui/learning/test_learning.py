"""The whole loop in the panel: collect corrected cases, train, pause and go on, compare, promote, segment with it."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials", exc_type=ImportError)

import slicer
from ball_projects import BALLS, ball_case
from conftest import REPOSITORY
from host.widgets.pythonqt import unwrap
from nodes import add_volume

from DeepSegmentLib.files.volumes.writing import write_image
from DeepSegmentLib.hosts.mrml.segmentations.nodes import add_segments, new_segmentation
from DeepSegmentLib.hosts.mrml.segmentations.segments import Origin, segment_ids
from DeepSegmentLib.service.projects.project import case_records, set_status
from DeepSegmentLib.service.training.progress.trainings import trainings_of


@pytest.fixture
def open_panel(host, tmp_path, monkeypatch):
    """Loads the module, as after a start of Slicer, for a user whose models are here."""
    monkeypatch.setenv("DEEPSEGMENT_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    loaded = []

    def open_module():
        loaded.append(host.load_module(REPOSITORY / "DeepSegment" / "DeepSegment.py"))
        panel = loaded[-1][0].panel
        panel.ui.projectSection.collapsed = panel.ui.trainSection.collapsed = False
        panel.ui.projectFolderButton.directory = str(tmp_path / "project")
        host.process_events(0.1)
        return panel

    def close():
        widget, panel = loaded.pop()
        widget.cleanup()
        panel.setMRMLScene(None)
        panel.delete()
        host.process_events()

    open_module.close = close
    yield open_module
    while loaded:
        close()


def show_case(host, panel, seed):
    """A segmented case as the user has it in the scene, chosen."""
    volume, labels = ball_case(seed)
    node = add_volume(slicer.mrmlScene, volume.geometry, volume.voxels[0], f"scan {seed}")
    segmentation = new_segmentation(slicer.mrmlScene, node, f"segmentation {seed}")
    add_segments(segmentation, labels.layers[0], labels.geometry, BALLS, Origin())
    panel.showSegmentation(node, segmentation)
    host.process_events()
    return node, segmentation


def wait(host, panel):
    host.wait_until(lambda: not panel.jobs.busy and not panel.training.jobs.busy, 120)
    host.process_events(0.1)


def collect(host, panel, seed, status="approved"):
    show_case(host, panel, seed)
    box = panel.ui.projectStatusComboBox
    box.setCurrentIndex(box.findData(status))
    panel.ui.projectPatientEdit.text = f"patient {seed}"
    host.click(panel.ui.collectButton)
    wait(host, panel)


def test_from_cases_to_a_model_that_is_used(host, open_panel, tmp_path):
    panel = open_panel()
    ui, project = panel.ui, tmp_path / "project"
    assert not ui.trainButton.enabled
    for seed in range(4):
        collect(host, panel, seed)
    assert ui.projectMessageLabel.text == "Collected as case_0004."
    assert ui.casesTable.rowCount == 4
    assert not ui.casesTable.item(0, 0).icon().isNull()
    assert "patient 1" not in "".join(path.read_text("latin-1") for path in project.rglob("*.json"))
    ui.trainingComboBox.setCurrentIndex(ui.trainingComboBox.count - 1)
    ui.trainingParentComboBox.setCurrentIndex(0)
    ui.trainingNameEdit.text = "balls"
    ui.trainingMinutesSpinBox.value = 0.1
    host.click(ui.trainButton)
    host.wait_until(lambda: any(each.fraction > 0.3 for each in trainings_of(project)), 60)
    assert ui.trainButton.text == "Pause"
    assert ui.trainingProgressBar.isVisible()
    assert ui.segmentButton.enabled  # the panel goes on working
    host.click(ui.trainButton)
    wait(host, panel)
    assert "Paused" in ui.trainingMessageLabel.text
    assert ui.trainButton.text == "Go on"
    open_panel.close()  # Slicer ends; another day
    panel = open_panel()
    ui = panel.ui
    assert "paused at" in ui.trainingComboBox.currentText
    assert ui.curvesLabel.isVisible()
    host.click(ui.trainButton)
    wait(host, panel)
    assert "has learned from 3 cases" in ui.trainingMessageLabel.text
    assert ui.samplesLabel.isVisible()
    host.click(ui.promoteButton)  # not compared yet
    wait(host, panel)
    assert "was not compared" in panel.training.compare.question.box.text
    unwrap(panel.training.compare.question.box).reject()
    host.click(ui.compareButton)
    wait(host, panel)
    assert ui.pageButton.enabled
    host.click(ui.promoteButton)
    wait(host, panel)
    assert ui.compareMessageLabel.text.startswith("balls 0.1.0 is in use")
    assert panel.parameters.model == "balls"
    volume, _labels = ball_case(9)
    node = add_volume(slicer.mrmlScene, volume.geometry, volume.voxels[0], "new scan")
    panel.parameters.volume, panel.parameters.segmentation = node, None
    host.process_events(0.1)
    host.click(ui.segmentButton)
    wait(host, panel)
    segmentation = panel.parameters.segmentation
    found = [segmentation.GetSegmentation().GetSegment(each).GetName() for each in segment_ids(segmentation)]
    assert found == [segment.name for segment in BALLS]


def test_a_case_is_loaded_corrected_and_collected_again_as_a_revision(host, open_panel, tmp_path):
    panel = open_panel()
    collect(host, panel, 0, status="draft")
    slicer.mrmlScene.Clear(0)
    host.process_events(0.1)
    panel.project.read()
    panel.project.table.choose("case_0001")
    host.click(panel.ui.openCaseButton)
    host.process_events(0.1)
    assert panel.parameters.volume.GetName() == "case_0001"
    host.click(panel.ui.collectButton)
    wait(host, panel)
    assert panel.ui.projectMessageLabel.text == "case_0001 has another revision of its labels, number 2."
    (record,) = case_records(tmp_path / "project")
    assert record.revision == 2


def test_status_is_said_in_the_panel_and_read_from_the_folder(host, open_panel, tmp_path):
    panel = open_panel()
    collect(host, panel, 0, status="draft")
    collect(host, panel, 1, status="draft")
    panel.project.table.choose("case_0001")
    assert panel.ui.approveButton.enabled
    host.click(panel.ui.approveButton)
    assert [record.status for record in case_records(tmp_path / "project")] == ["approved", "draft"]
    assert panel.project.table.chosen() == ("case_0001",)
    set_status(tmp_path / "project", ["case_0002"], "reviewed")
    panel.project.read()
    assert panel.ui.casesTable.item(1, 2).text() == "reviewed"


def test_what_cannot_be_collected_is_told_and_leaves_nothing(host, open_panel, tmp_path):
    panel = open_panel()
    host.click(panel.ui.collectButton)
    assert panel.ui.projectMessageLabel.text == "Choose a volume and a segmentation first."
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "thesis.txt").write_text("text")
    collect(host, panel, 0)
    assert "is not empty" in panel.ui.projectMessageLabel.text
    assert [path.name for path in (tmp_path / "project").iterdir()] == ["thesis.txt"]


def test_volumes_are_ranked_and_loaded(host, open_panel, tmp_path):
    panel = open_panel()
    (tmp_path / "scans").mkdir()
    for seed in (1, 2):
        volume, _labels = ball_case(seed, (40, 44, 48))
        write_image(volume.voxels, volume.geometry, tmp_path / "scans" / f"{seed}.nii.gz")
    panel.ui.nextFolderButton.directory = str(tmp_path / "scans")
    panel.refresh()
    host.click(panel.ui.nextButton)
    wait(host, panel)
    told = panel.ui.nextMessageLabel.text
    assert panel.ui.nextTable.rowCount == 2, told
    assert panel.ui.nextTable.item(0, 1).text()
    unwrap(panel.ui.nextTable).cellDoubleClicked.emit(0, 0)
    host.process_events()
    assert panel.parameters.volume.GetName() == panel.ui.nextTable.item(0, 0).text()
    assert np.isfinite(slicer.util.arrayFromVolume(panel.parameters.volume)).all()
