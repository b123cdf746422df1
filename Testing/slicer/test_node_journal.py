"""The journal of a node: what is on disk is what is in the scene, whoever changed it, and work can be resumed."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")

import slicer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nodes import add_volume

from DeepSegmentLib.correction.correct import correct
from DeepSegmentLib.correction.settings import CorrectionSettings
from DeepSegmentLib.data import Box, Geometry, Point, Segment
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.journal import Journal
from DeepSegmentLib.hosts.mrml.correction.edits import keep, make_room, retrace, write_correction
from DeepSegmentLib.hosts.mrml.correction.node_canvas import canvas_of
from DeepSegmentLib.hosts.mrml.correction.node_journal import NodeJournal, held_by
from DeepSegmentLib.hosts.mrml.correction.prompt_history import Step
from DeepSegmentLib.hosts.mrml.correction.unfinished_journals import put_aside, unfinished
from DeepSegmentLib.hosts.mrml.segmentations.label_images import make_image
from DeepSegmentLib.hosts.mrml.segmentations.nodes import add_segments, new_segmentation
from DeepSegmentLib.hosts.mrml.segmentations.segments import Origin, mask_of, segment_ids
from DeepSegmentLib.hosts.mrml.segmentations.writing import make_editor

SHAPE = (16, 18, 20)
TURN = np.array([[0.8, -0.6, 0, 7], [0.6, 0.8, 0, -4], [0, 0, 1, 9], [0, 0, 0, 1.0]])
GRID = Geometry(SHAPE, TURN @ np.diag([1.0, 1.5, 2.0, 1]) @ np.eye(4)[[2, 1, 0, 3]])
SETTINGS = CorrectionSettings(radius_mm=5)


def add_nodes(scene, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:12, 3:9, 3:15] = 1
    labels[3:12, 9:15, 3:15] = 2
    volume = add_volume(scene, GRID, (labels * 60 + rng.normal(0, 10, SHAPE)).astype(np.float32), f"volume {seed}")
    node = new_segmentation(scene, volume, "segmentation")
    add_segments(node, labels, GRID, [Segment("first", 1), Segment("second", 2, (9, 99, 199))], Origin())
    return volume, node


@pytest.fixture
def nodes(scene):
    return add_nodes(scene)


@pytest.fixture(autouse=True)
def closed(monkeypatch):
    """Journals that a test leaves open are closed after it."""
    opened, begin = [], NodeJournal.__init__

    def noted(self, *arguments):
        opened.append(self)
        begin(self, *arguments)

    monkeypatch.setattr(NodeJournal, "__init__", noted)
    yield
    for journal in opened:
        journal.journal.close()


def prompt_at(index, positive, segment="first"):
    return Point(segment, positive, GRID.index_to_ras(index))


def fix(journal, prompt, how=SETTINGS, segment="first"):
    """A correction in the node and in the journal; what was kept of it."""
    canvas = canvas_of(journal.volume, journal.node, segment)
    correction = correct(canvas, prompt, how)
    if not correction.changed.any():
        return None
    make_room(canvas, correction)
    edit = write_correction(canvas, correction)
    step = Step(journal.node.GetID(), keep(edit), prompt, how)
    journal.record(edit, step)
    return step


def masks(node):
    return {name: mask_of(node, name, GRID) for name in segment_ids(node)}


def agree(journal):
    """Whether the labels on disk are those of the node."""
    labels, here = journal.journal.labels(), masks(journal.node)
    by_name = {journal.node.GetSegmentation().GetSegment(name).GetName(): mask for name, mask in here.items()}
    return all(np.array_equal(labels.mask(noun), by_name[noun.name]) for noun in labels.segments)


def logic_of(scene, volume, node):
    logic = make_editor(scene)
    logic.SetSegmentationNode(node)
    logic.SetSourceVolumeNode(volume)
    node_of_editor = logic.GetSegmentEditorNode()
    node_of_editor.SetOverwriteMode(node_of_editor.OverwriteAllSegments)
    return logic


def paint(logic, node, index, segment="second"):
    k, j, i = index
    box = Box(index, (k + 2, j + 3, i + 2))
    logic.SaveStateForUndo()
    stroke = make_image(np.ones(box.shape, np.uint8), GRID, box)
    logic.ModifySegmentByLabelmap(node, segment, stroke, logic.ModificationModeAdd, True, False)


def test_a_journal_begins_with_the_labels_of_the_node(tmp_path, nodes):
    volume, node = nodes
    journal = NodeJournal.begin(tmp_path / "journals" / "one", node, volume)
    assert agree(journal)
    assert journal.journal.header.segments[1].color == (9, 99, 199)
    assert held_by(node) == ("one", 0)


def test_a_correction_is_on_disk_when_it_is_recorded(tmp_path, nodes):
    volume, node = nodes
    journal = NodeJournal.begin(tmp_path / "one", node, volume)
    assert fix(journal, prompt_at((7, 6, 16), True))
    assert agree(journal)
    (entry,) = journal.journal.entries()
    assert entry.settings == SETTINGS
    assert np.array_equal(entry.prompt.point_ras, GRID.index_to_ras((7, 6, 16)))
    assert held_by(node) == ("one", 1)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["fix", "paint", "undo", "their undo"]), st.integers(0, 9999)), max_size=9))
def test_whatever_happens_the_disk_holds_what_the_node_does(tmp_path_factory, scene, steps):
    """Corrections, strokes of Slicer's logic, its undo and ours, in any order; then the journal goes on elsewhere."""
    volume, node = add_nodes(scene)
    folder = tmp_path_factory.mktemp("journals")
    journal, logic, kept = NodeJournal.begin(folder / "one", node, volume), logic_of(scene, volume, node), []
    for kind, seed in steps:
        index = tuple(int(n) for n in np.random.default_rng(seed).integers(2, np.array(SHAPE) - 4))
        if kind == "fix":
            kept += [done] if (done := fix(journal, prompt_at(index, bool(seed % 2)))) else []
        elif kind == "paint":
            paint(logic, node, index)
        elif kind == "their undo":
            logic.Undo() if logic.CanUndo() else None
        elif kept:
            step = kept.pop()
            edit = retrace(node, step.kept, backward=True)
            if edit is not None:
                journal.catch_up()
                journal.record_retrace(edit, step, backward=True)
        journal.catch_up()
        assert journal.fits(volume)
        assert agree(journal)
    expected, corrections = masks(node), journal.corrections
    journal.journal.close()
    other = new_segmentation(scene, volume, "other")
    resumed = NodeJournal.resume(folder / "one", other, volume)
    assert all(np.array_equal(mask, mask_of(other, name, GRID)) for name, mask in expected.items())
    assert [step.prompt.point_ras.tolist() for step in resumed.corrections] == [
        step.prompt.point_ras.tolist() for step in corrections
    ]
    resumed.journal.close()


def test_undo_and_redo_are_recorded_as_such(tmp_path, nodes):
    volume, node = nodes
    journal = NodeJournal.begin(tmp_path / "one", node, volume)
    step = fix(journal, prompt_at((7, 6, 16), True))
    for backward in (True, False, True):
        journal.record_retrace(retrace(node, step.kept, backward=backward), step, backward=backward)
        assert agree(journal)
    assert [entry.kind for entry in journal.journal.entries()] == ["correction", "undo", "redo", "undo"]
    assert journal.corrections == ()


def test_corrections_of_a_resumed_journal_can_be_taken_back(tmp_path, scene, nodes):
    volume, node = nodes
    start = masks(node)
    journal = NodeJournal.begin(tmp_path / "one", node, volume)
    fix(journal, prompt_at((7, 6, 16), True))
    fix(journal, prompt_at((3, 4, 4), False))
    journal.close()
    other = new_segmentation(scene, volume, "other")
    resumed = NodeJournal.resume(tmp_path / "one", other, volume)
    for step in reversed(resumed.corrections):
        edit = retrace(other, step.kept, backward=True)
        assert edit is not None
        resumed.record_retrace(edit, step, backward=True)
    assert all(np.array_equal(mask, mask_of(other, name, GRID)) for name, mask in start.items())
    assert agree(resumed)
    colors = [other.GetSegmentation().GetSegment(name).GetColor() for name in segment_ids(other)]
    assert np.allclose(colors[1], np.array([9, 99, 199]) / 255)


def test_a_segment_that_others_add_asks_for_a_new_journal(tmp_path, nodes):
    volume, node = nodes
    journal = NodeJournal.begin(tmp_path / "one", node, volume)
    node.GetSegmentation().AddEmptySegment("new", "new")
    canvas = canvas_of(volume, node, "new")
    correction = correct(canvas, prompt_at((14, 16, 17), True, "new"), CorrectionSettings(radius_mm=4))
    assert correction.changed.any()
    make_room(canvas, correction)
    assert not journal.fits(volume)
    journal.close()
    second = NodeJournal.begin(tmp_path / "two", node, volume)
    edit = write_correction(canvas, correction)
    second.record(edit, Step(node.GetID(), keep(edit), prompt_at((14, 16, 17), True, "new"), SETTINGS))
    assert agree(second)


def test_segments_on_several_grids_have_no_journal(tmp_path, nodes):
    volume, node = nodes
    other = Geometry(SHAPE, GRID.affine @ np.diag([2.0, 2, 2, 1]))
    add_segments(node, np.ones(SHAPE, np.uint8), other, [Segment("other", 1)], Origin())
    with pytest.raises(InvalidInputError, match="several grids"):
        NodeJournal.begin(tmp_path / "one", node, volume)


def test_segments_of_one_name_are_told_apart(tmp_path, scene, nodes):
    volume, node = nodes
    _volume, as_it_was = add_nodes(scene)
    for one in (node, as_it_was):
        one.GetSegmentation().GetSegment("second").SetName("first")
    journal = NodeJournal.begin(tmp_path / "one", node, volume)
    for name, index in (("first", (3, 4, 4)), ("second", (3, 12, 4))):
        assert fix(journal, prompt_at(index, False), segment=name)
    journal.close()
    resumed = NodeJournal.resume(tmp_path / "one", as_it_was, volume)
    assert {name: mask.sum() for name, mask in masks(as_it_was).items()} == {
        name: mask.sum() for name, mask in masks(node).items()
    }
    assert [step.kept.segment_id for step in resumed.corrections] == ["first", "second"]


# What is offered


def test_a_journal_without_entries_goes_when_it_is_closed(tmp_path, nodes):
    volume, node = nodes
    NodeJournal.begin(tmp_path / "one", node, volume).close()
    assert list(tmp_path.iterdir()) == []


def test_a_journal_is_offered_while_the_scene_holds_less(tmp_path, scene, nodes):
    volume, node = nodes
    journal = NodeJournal.begin(tmp_path / "one", node, volume)
    fix(journal, prompt_at((7, 6, 16), True))
    assert unfinished(tmp_path, node, volume, scene) is None  # it is open, and the node holds all of it
    saved = node.GetAttribute("DeepSegmentJournal")
    fix(journal, prompt_at((3, 4, 4), False))
    journal.close()
    assert unfinished(tmp_path, node, volume, scene) is None
    node.SetAttribute("DeepSegmentJournal", saved)
    offered = unfinished(tmp_path, node, volume, scene)
    assert (offered.folder, offered.corrections) == (tmp_path / "one", 1)


def test_a_journal_is_offered_for_its_volume_where_no_node_knows_it(tmp_path, scene, nodes):
    volume, node = nodes
    journal = NodeJournal.begin(tmp_path / "one", node, volume)
    fix(journal, prompt_at((7, 6, 16), True))
    assert unfinished(tmp_path, None, volume, scene) is None  # it is being written
    journal.close()
    assert unfinished(tmp_path, None, volume, scene) is None  # the node in the scene knows it
    scene.RemoveNode(node)
    assert unfinished(tmp_path, None, volume, scene).corrections == 1
    other = add_volume(scene, GRID, np.zeros(SHAPE, np.float32), "other")
    assert unfinished(tmp_path, None, other, scene) is None
    put_aside(tmp_path / "one")
    assert unfinished(tmp_path, None, volume, scene) is None


def test_another_volume_is_refused(tmp_path, scene, nodes):
    volume, node = nodes
    journal = NodeJournal.begin(tmp_path / "one", node, volume)
    fix(journal, prompt_at((7, 6, 16), True))
    journal.close()
    before = masks(node)
    other = add_volume(scene, GRID, np.zeros(SHAPE, np.float32), "other")
    with pytest.raises(InvalidInputError, match="not the volume that was corrected"):
        NodeJournal.resume(tmp_path / "one", node, other)
    assert all(np.array_equal(before[name], mask) for name, mask in masks(node).items())
    Journal.open(tmp_path / "one").close()


def test_a_saved_and_loaded_node_goes_on_with_its_journal(tmp_path, scene, nodes):
    """The segmentation through its file, the attribute as the scene saves it: undo goes back into the first day."""
    volume, node = nodes
    start = masks(node)
    journal = NodeJournal.begin(tmp_path / "one", node, volume)
    fix(journal, prompt_at((7, 6, 16), True))
    node.AddDefaultStorageNode()
    path = tmp_path / "labels.seg.nrrd"
    node.GetStorageNode().SetFileName(str(path))
    assert node.GetStorageNode().WriteData(node)
    journal.close()
    loaded = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "loaded")
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(path))
    assert storage.ReadData(loaded)
    loaded.SetAttribute("DeepSegmentJournal", node.GetAttribute("DeepSegmentJournal"))
    going_on = NodeJournal.go_on(tmp_path / "one", loaded, volume)
    assert going_on is not None
    (step,) = going_on.corrections
    edit = retrace(loaded, step.kept, backward=True)
    going_on.record_retrace(edit, step, backward=True)
    assert all(np.array_equal(mask, mask_of(loaded, name, GRID)) for name, mask in start.items())
    assert agree(going_on)


def test_a_node_that_was_changed_meanwhile_does_not_go_on(tmp_path, scene, nodes):
    volume, node = nodes
    journal = NodeJournal.begin(tmp_path / "one", node, volume)
    fix(journal, prompt_at((7, 6, 16), True))
    journal.close()
    paint(logic_of(scene, volume, node), node, (8, 8, 8))
    assert NodeJournal.go_on(tmp_path / "one", node, volume) is None
    Journal.open(tmp_path / "one").close()
