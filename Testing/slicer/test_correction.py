"""Corrections on real nodes: blocks read and written in place, masks as Slicer's, undo, neighbours untouched."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")

import slicer
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import add_linear_transform, add_volume, add_warp
from vtk.util.numpy_support import vtk_to_numpy

from DeepSegmentLib.correction.correct import Correction, correct
from DeepSegmentLib.correction.session import CorrectionSession
from DeepSegmentLib.correction.settings import CorrectionSettings
from DeepSegmentLib.data import Box, Geometry, LabelMap, Point, Scribble, Segment, Volume
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.hosts.mrml.correction.blocks import read_labels, sample, write_labels
from DeepSegmentLib.hosts.mrml.correction.edits import keep, renew_surface, retrace, save_state_before, write_correction
from DeepSegmentLib.hosts.mrml.correction.masking import EditRules, rules_of
from DeepSegmentLib.hosts.mrml.correction.node_canvas import canvas_of
from DeepSegmentLib.hosts.mrml.segmentations.label_images import make_image
from DeepSegmentLib.hosts.mrml.segmentations.layers import image_of, value_of
from DeepSegmentLib.hosts.mrml.segmentations.nodes import add_segments, new_segmentation
from DeepSegmentLib.hosts.mrml.segmentations.segments import Origin, mask_of, segment_ids, set_locked
from DeepSegmentLib.hosts.mrml.segmentations.writing import make_editor

SHAPE = (24, 26, 28)
TURN = np.array([[0.96, -0.28, 0, 7], [0.28, 0.96, 0, -4], [0, 0, 1, 9], [0, 0, 0, 1.0]])
OBLIQUE = Geometry(SHAPE, TURN @ np.diag([2.0, 1.5, 1.0, 1]) @ np.eye(4)[[2, 1, 0, 3]])


def ball(center, radius, shape=SHAPE):
    grid = np.indices(shape)
    return sum((axis - middle) ** 2 for axis, middle in zip(grid, center, strict=True)) <= radius**2


def image_and_labels():
    """Two touching balls of intensities; the first one's label has lost a bite, and there is a third small segment."""
    first, second = ball((12, 13, 9), 7), ball((12, 13, 21), 5)
    voxels = 100 * first + 160 * second + np.random.default_rng(0).normal(0, 8, SHAPE)
    labels = np.where(first & ~ball((12, 8, 9), 4), 1, 0)
    labels[second & ~first] = 2
    labels[2:4, 2:4, 2:4] = 3
    return voxels.astype(np.float32), labels.astype(np.uint8)


SEGMENTS = [Segment("first", 1), Segment("second", 2), Segment("third", 3)]


@pytest.fixture
def nodes(scene):
    """A volume, and its segmentation in one layer."""
    voxels, labels = image_and_labels()
    volume = add_volume(scene, OBLIQUE, voxels)
    node = new_segmentation(scene, volume, "segmentation")
    add_segments(node, labels, OBLIQUE, SEGMENTS, Origin())
    return volume, node


def masks(node, grid=OBLIQUE):
    return {name: mask_of(node, name, grid) for name in segment_ids(node)}


def same(before, after):
    return before.keys() == after.keys() and all(np.array_equal(before[name], after[name]) for name in before)


BITE = Point("first", True, OBLIQUE.index_to_ras((12, 8, 9)))
SETTINGS = CorrectionSettings(radius_mm=9)


def fix(volume, node, prompt=BITE, how=SETTINGS, segment="first", editor=None):
    canvas = canvas_of(volume, node, segment, editor=editor, overwrite=how.overwrite)
    return write_correction(canvas, correct(canvas, prompt, how))


# Blocks


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_written_block_is_read_again_and_nothing_else_changes(data):
    """The lattice has no borders: blocks may reach beyond the image, to negative indices."""
    numbers = st.integers(-6, 9)
    box = data.draw(st.tuples(numbers, numbers, numbers, *[st.integers(1, 6)] * 3))
    box = Box(box[:3], tuple(a + n for a, n in zip(box[:3], box[3:], strict=True)))
    labels = np.random.default_rng(1).integers(0, 4, (5, 6, 7)).astype(np.uint8)
    image = make_image(labels, Geometry.from_spacing((5, 6, 7), (1, 1, 1)))
    around = Box((-12, -12, -12), (20, 20, 20))
    expected = read_labels(image, around)
    assert expected.sum() == labels.sum()
    assert np.array_equal(expected[12:17, 12:18, 12:19], labels)
    wanted = np.random.default_rng(2).integers(0, 4, box.shape).astype(np.uint8)
    write_labels(image, box, wanted, Box.of_shape((5, 6, 7)))
    assert np.array_equal(read_labels(image, box), wanted)
    expected[box.shift((12, 12, 12)).to_slices()] = wanted
    assert np.array_equal(read_labels(image, around), expected)


def test_a_small_image_grows_by_what_it_needs_and_some_room():
    image = make_image(np.ones((2, 2, 2), np.uint8), Geometry.from_spacing((90, 90, 90), (1, 1, 1)))
    write_labels(image, Box((40, 0, 0), (42, 2, 2)), np.ones((2, 2, 2), np.uint8), Box.of_shape((90, 90, 90)))
    assert image.GetExtent() == (0, 17, 0, 17, 0, 57)


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.integers(-4, 8)] * 3), st.tuples(*[st.integers(1, 7)] * 3))
def test_samples_of_the_same_grid_are_its_voxels(start, shape):
    channels = np.random.default_rng(0).normal(size=(2, 5, 6, 7))
    step = np.eye(4)
    box = Box(start, tuple(a + n for a, n in zip(start, shape, strict=True)))
    found = sample(channels, box, step)
    places = np.indices(shape).reshape(3, -1).T + start
    nearest = np.clip(places, 0, np.array(channels.shape[1:]) - 1)
    assert np.allclose(found.reshape(2, -1), channels[:, *nearest.T], atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_samples_of_another_grid_are_linear_between_voxels(seed):
    """A plane of intensities is its own interpolation."""
    rng = np.random.default_rng(seed)
    k, j, i = np.indices((9, 10, 11))
    channels = (2.0 * k - 3.0 * j + 0.5 * i)[None]
    step = np.eye(4)
    step[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0] * rng.uniform(0.3, 0.6)
    step[:3, 3] = np.array([4, 4.5, 5]) - step[:3, :3] @ np.array([2, 2, 2])
    found = sample(channels, Box((0, 0, 0), (5, 5, 5)), step)
    places = np.indices((5, 5, 5)).reshape(3, -1).T @ step[:3, :3].T + step[:3, 3]
    assert np.allclose(found.ravel(), places @ [2.0, -3.0, 0.5], atol=1e-4)


# The canvas


def test_a_correction_on_nodes_is_that_on_arrays(nodes):
    voxels, labels = image_and_labels()
    edit = fix(*nodes)
    session = CorrectionSession(Volume(voxels[None], OBLIQUE), LabelMap(labels[None], OBLIQUE, tuple(SEGMENTS)))
    session.apply(BITE, SETTINGS)
    assert edit is not None
    assert edit.update.changed.sum() > 50
    for segment in SEGMENTS:
        assert np.array_equal(session.labels.mask(segment), mask_of(nodes[1], segment.name, OBLIQUE))


def test_neighbors_keep_every_voxel(nodes):
    before = masks(nodes[1])
    for prompt in (BITE, Point("first", True, OBLIQUE.index_to_ras((12, 13, 18)))):
        fix(*nodes, prompt, CorrectionSettings(radius_mm=14, aggressiveness=1))
    after = masks(nodes[1])
    assert not np.array_equal(before["first"], after["first"])
    assert np.array_equal(before["second"], after["second"])
    assert np.array_equal(before["third"], after["third"])
    assert nodes[1].GetSegmentation().GetNumberOfLayers() == 1


def test_overwriting_takes_from_neighbors_that_are_free(nodes):
    prompt = Point("first", True, OBLIQUE.index_to_ras((12, 13, 17)))
    how = CorrectionSettings(radius_mm=6, aggressiveness=1, overwrite=True)
    set_locked(nodes[1].GetSegmentation().GetSegment("second"), locked=True)
    before = masks(nodes[1])
    fix(*nodes, prompt, how)
    assert np.array_equal(masks(nodes[1])["second"], before["second"])
    set_locked(nodes[1].GetSegmentation().GetSegment("second"), locked=False)
    fix(*nodes, prompt, how)
    after = masks(nodes[1])
    assert after["second"].sum() < before["second"].sum()
    assert not (after["first"] & after["second"]).any()


@pytest.mark.parametrize("how", ["locked", "completed"])
def test_a_protected_segment_does_not_change(nodes, how):
    segment = nodes[1].GetSegmentation().GetSegment("first")
    if how == "locked":
        set_locked(segment, locked=True)
    else:
        slicer.vtkSlicerSegmentationsModuleLogic.SetSegmentStatus(
            segment, slicer.vtkSlicerSegmentationsModuleLogic.Completed
        )
    before = masks(nodes[1])
    assert fix(*nodes) is None
    assert same(before, masks(nodes[1]))


def test_what_is_missing_is_named(nodes):
    with pytest.raises(InvalidInputError, match="source volume is missing"):
        canvas_of(None, nodes[1], "first")
    with pytest.raises(InvalidInputError, match="no segment 'nothing'"):
        canvas_of(*nodes, "nothing")
    with pytest.raises(InvalidInputError, match="no segment"):
        canvas_of(nodes[0], None, "first")


MODES = [
    "EditAllowedEverywhere", "EditAllowedInsideAllSegments", "EditAllowedInsideVisibleSegments",
    "EditAllowedOutsideAllSegments", "EditAllowedOutsideVisibleSegments", "EditAllowedInsideSingleSegment",
]  # fmt: skip


@pytest.mark.parametrize("span", [None, (60.0, 130.0)])
@pytest.mark.parametrize("mode", MODES)
def test_masks_are_those_of_slicer_s_own_editor(scene, nodes, mode, span):
    """Slicer paints everywhere, under the same mask and into a segment of its own: it reaches what we call editable."""
    volume, node = nodes
    node.GetSegmentation().AddEmptySegment("probe", "probe")
    node.GetDisplayNode().SetSegmentVisibility("second", False)
    logic = make_editor(scene)
    logic.SetSegmentationNode(node)
    logic.SetSourceVolumeNode(volume)
    editor = logic.GetSegmentEditorNode()
    editor.SetAndObserveSourceVolumeNode(volume)
    editor.SetAndObserveSegmentationNode(node)
    editor.SetMaskMode(getattr(node, mode))
    editor.SetMaskSegmentID("second")
    if span is not None:
        editor.SetSourceVolumeIntensityMask(True)
        editor.SetSourceVolumeIntensityMaskRange(*span)
    canvas, whole = canvas_of(volume, node, "probe"), Box.of_shape(SHAPE)
    allowed = rules_of(node, editor).allowed(canvas.intensities(whole), lambda name: canvas.mask_of(name, whole))
    everything = make_image(np.ones(SHAPE, np.uint8), OBLIQUE)
    logic.ModifySegmentByLabelmap(node, "probe", everything, logic.ModificationModeAdd, True, False)
    assert np.array_equal(mask_of(node, "probe", OBLIQUE), allowed)
    assert (mode == MODES[0] and span is None) == bool(allowed.all())


def test_masks_of_the_editor_hold_for_corrections(scene, nodes):
    volume, node = nodes
    editor = slicer.vtkMRMLSegmentEditorNode()
    editor = scene.AddNode(editor)
    editor.SetMaskMode(node.EditAllowedInsideSingleSegment)
    editor.SetMaskSegmentID("second")
    before = masks(node)
    assert fix(volume, node, editor=editor) is None
    assert same(before, masks(node))


@pytest.mark.parametrize(
    ("mode", "taken"), [("OverwriteAllSegments", True), ("OverwriteVisibleSegments", False), ("OverwriteNone", False)]
)
def test_the_editor_says_who_may_be_overwritten(scene, nodes, mode, taken):
    node = nodes[1]
    node.GetDisplayNode().SetSegmentVisibility("second", False)
    editor = scene.AddNode(slicer.vtkMRMLSegmentEditorNode())
    editor.SetOverwriteMode(getattr(editor, mode))
    assert ("second" in rules_of(node, editor, overwrite=True).takes_from) == taken
    assert rules_of(node, editor).takes_from == ()
    assert rules_of(node) == EditRules()


# Grids and transforms


def test_a_segment_on_another_grid_is_corrected_on_its_own(scene):
    """Labels of half the resolution, turned against the volume: the same ball comes out."""
    voxels, _ = image_and_labels()
    volume = add_volume(scene, OBLIQUE, voxels)
    node = new_segmentation(scene, volume, "segmentation")
    affine = OBLIQUE.affine @ np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = OBLIQUE.index_to_ras((0.5, 0.5, 0.5))
    coarse = Geometry((12, 13, 14), affine)
    first = voxels[::2, ::2, ::2] * 0 + ball((5.75, 6.25, 4.25), 3.5, coarse.shape)
    labels = (first.astype(bool) & ~ball((5.75, 4, 4.25), 2, coarse.shape)).astype(np.uint8)
    add_segments(node, labels, coarse, SEGMENTS[:1], Origin())
    canvas = canvas_of(volume, node, "first")
    assert canvas.geometry.is_close(coarse)
    edit = fix(volume, node, how=CorrectionSettings(radius_mm=10))
    assert edit.update.changed.sum() > 5
    assert read_labels(image_of(node, "first"), Box.of_shape(coarse.shape)).sum() > labels.sum()


@pytest.mark.parametrize("kind", ["both", "volume", "warp"])
def test_prompts_are_where_the_user_sees_the_voxels(scene, nodes, kind):
    """Under a transform the voxels move; a prompt at the moved place does what the other did at rest."""
    volume, node = nodes
    reference = correct(canvas_of(volume, node, "first"), BITE, SETTINGS)
    move = np.array([[0, -1, 0, 5], [1, 0, 0, -3], [0, 0, 1, 20], [0, 0, 0, 1.0]])
    if kind == "warp":
        transform = add_warp(scene)
        for moved in nodes:
            moved.SetAndObserveTransformNodeID(transform.GetID())
        general = __import__("vtk").vtkGeneralTransform()
        transform.GetTransformToWorld(general)
        place = np.array(general.TransformPoint(BITE.point_ras.tolist()))
    else:
        transform = add_linear_transform(scene, move)
        volume.SetAndObserveTransformNodeID(transform.GetID())
        place = move[:3, :3] @ BITE.point_ras + move[:3, 3]
        if kind == "both":
            node.SetAndObserveTransformNodeID(transform.GetID())
        else:
            image = image_of(node, "first")
            from DeepSegmentLib.hosts.mrml.geometry import image_to_world

            image.SetImageToWorldMatrix(image_to_world(Geometry(SHAPE, move @ OBLIQUE.affine)))
    canvas = canvas_of(volume, node, "first")
    prompt = Point("first", True, canvas.point(place))
    found = correct(canvas, prompt, SETTINGS)
    assert found.box == reference.box
    differing = (found.after != reference.after).sum()
    assert differing <= 0.02 * reference.changed.sum()  # rounding of the moved place and of intensities


def test_a_volume_under_another_warp_is_refused(scene, nodes):
    nodes[0].SetAndObserveTransformNodeID(add_warp(scene).GetID())
    with pytest.raises(InvalidInputError, match="different transforms"):
        canvas_of(*nodes, "first")


# Images that are smaller than the volume, or empty


def test_an_image_grows_with_its_segment(scene):
    voxels, _ = image_and_labels()
    volume = add_volume(scene, OBLIQUE, voxels)
    node = new_segmentation(scene, volume, "segmentation")
    box = Box((10, 11, 5), (15, 16, 12))
    add_segments(node, np.ones(box.shape, np.uint8), OBLIQUE.crop(box), SEGMENTS[:1], Origin())
    image = make_image(np.ones(box.shape, np.uint8), OBLIQUE, box)
    node.GetSegmentation().GetSegment("first").AddRepresentation("Binary labelmap", image)
    canvas = canvas_of(volume, node, "first")
    assert canvas.geometry.is_close(OBLIQUE)
    before = mask_of(node, "first", OBLIQUE)
    edit = fix(volume, node)
    after = mask_of(node, "first", OBLIQUE)
    assert after.sum() > before.sum()
    assert (after >= before).all()
    retrace(node, keep(edit), backward=True)
    assert np.array_equal(mask_of(node, "first", OBLIQUE), before)


def test_an_empty_segment_joins_the_others_so_that_it_cannot_cover_them(nodes):
    volume, node = nodes
    node.GetSegmentation().AddEmptySegment("new", "new")
    before = masks(node)
    prompt = Scribble("new", True, OBLIQUE.index_to_ras([(12, 13, 20), (12, 13, 27)]))
    edit = fix(volume, node, prompt, CorrectionSettings(radius_mm=8, aggressiveness=1), "new")
    after = masks(node)
    assert edit is not None
    assert after["new"].any()
    assert all(np.array_equal(before[name], after[name]) for name in ("first", "second", "third"))
    assert not (after["new"] & (after["first"] | after["second"])).any()
    assert image_of(node, "new") is image_of(node, "first")
    assert value_of(node, "new") == 4


def test_the_first_segment_of_all_begins_an_image_on_the_volume_s_grid(scene):
    voxels, _ = image_and_labels()
    volume = add_volume(scene, OBLIQUE, voxels)
    node = new_segmentation(scene, volume, "segmentation")
    for name in ("a", "b"):
        node.GetSegmentation().AddEmptySegment(name, name)
    edit = fix(volume, node, Point("a", True, OBLIQUE.index_to_ras((12, 13, 9))), SETTINGS, "a")
    assert edit is not None
    assert mask_of(node, "a", OBLIQUE)[12, 13, 9]
    taken = mask_of(node, "a", OBLIQUE)
    fix(volume, node, Point("b", True, OBLIQUE.index_to_ras((12, 13, 21))), CorrectionSettings(radius_mm=30), "b")
    assert mask_of(node, "b", OBLIQUE)[12, 13, 21]
    assert np.array_equal(mask_of(node, "a", OBLIQUE), taken)
    assert node.GetSegmentation().GetNumberOfLayers() == 1


# Undo


def test_edits_are_taken_back_and_done_again_exactly(nodes):
    states, edits = [masks(nodes[1])], []
    for prompt in (BITE, Point("first", False, OBLIQUE.index_to_ras((12, 13, 3)))):
        edits.append(fix(*nodes, prompt))
        states.append(masks(nodes[1]))
    kept = [keep(edit) for edit in edits]
    for edit, state in zip(reversed(kept), reversed(states[:-1]), strict=True):
        assert retrace(nodes[1], edit, backward=True) is not None
        assert same(masks(nodes[1]), state)
    for edit, state in zip(kept, states[1:], strict=True):
        assert retrace(nodes[1], edit, backward=False) is not None
        assert same(masks(nodes[1]), state)
    assert all(edit.change.size_bytes < 2000 for edit in kept)


def test_an_edit_is_not_taken_back_where_others_painted_since(nodes):
    """Voxels of its box that it did not change may be another's meanwhile."""
    edit = fix(*nodes)
    box, image = edit.update.box, image_of(nodes[1], "first")
    corner = np.where(edit.update.changed, edit.update.after, 3).astype(np.uint8)
    write_labels(image, box, corner, box)
    assert retrace(nodes[1], keep(edit), backward=True) is not None
    assert np.array_equal(read_labels(image, box), np.where(edit.update.changed, edit.update.before, 3))
    assert retrace(nodes[1], keep(edit), backward=True) is None
    assert retrace(nodes[1], keep(edit), backward=False) is not None


def test_an_edit_is_taken_back_while_its_labels_mean_the_same_segments(nodes):
    edit = fix(*nodes)
    nodes[1].GetSegmentation().RemoveSegment("second")
    assert retrace(nodes[1], keep(edit), backward=True) is not None
    nodes[1].GetSegmentation().GetSegment("first").SetLabelValue(7)
    assert retrace(nodes[1], keep(edit), backward=False) is None


def test_the_editor_s_history_gets_the_state_before_an_edit(scene, nodes):
    """Two corrections and a brush stroke between: Slicer's Undo and Redo go through all of them."""
    volume, node = nodes
    logic = make_editor(scene)
    logic.SetSegmentationNode(node)
    logic.SetSourceVolumeNode(volume)
    states = [masks(node)]
    save_state_before(node, fix(*nodes), logic.SaveStateForUndo)
    states.append(masks(node))
    logic.SaveStateForUndo()
    stroke = make_image(np.ones((4, 4, 4), np.uint8), OBLIQUE, Box((18, 18, 18), (22, 22, 22)))
    logic.ModifySegmentByLabelmap(node, "third", stroke, logic.ModificationModeAdd, True, False)
    states.append(masks(node))
    save_state_before(
        node, fix(*nodes, Point("first", False, OBLIQUE.index_to_ras((12, 13, 3)))), logic.SaveStateForUndo
    )
    states.append(masks(node))
    for state in reversed(states[:-1]):
        assert not same(masks(node), state)
        logic.Undo()
        assert same(masks(node), state)
    for state in states[1:]:
        logic.Redo()
        assert same(masks(node), state)


# What others see


def test_observers_learn_which_segment_changed(nodes):
    seen = []

    def note(_caller, event):
        seen.append(event)

    segments = nodes[1].GetSegmentation()
    tags = [segments.AddObserver(segments.RepresentationModified, note)]
    saved = nodes[1].GetStoredTime() if hasattr(nodes[1], "GetStoredTime") else None
    fix(*nodes)
    assert len(seen) == 1
    assert saved is None or nodes[1].GetModifiedSinceRead()
    segments.RemoveObserver(tags[0])


def test_surfaces_of_the_others_stay_and_the_segment_s_own_is_renewed(nodes):
    volume, node = nodes
    node.CreateClosedSurfaceRepresentation()
    segments = node.GetSegmentation()
    surfaces = {name: segments.GetSegment(name).GetRepresentation("Closed surface") for name in segment_ids(node)}
    before = {name: surface.GetNumberOfPoints() for name, surface in surfaces.items()}
    fix(volume, node)
    renew_surface(node, "first")
    for name in ("second", "third"):
        assert segments.GetSegment(name).GetRepresentation("Closed surface") is surfaces[name]
    assert segments.GetSegment("first").GetRepresentation("Closed surface").GetNumberOfPoints() != before["first"]


def test_nothing_is_renewed_where_there_are_no_surfaces(nodes):
    renew_surface(nodes[1], "first")
    assert nodes[1].GetSegmentation().GetSegment("first").GetRepresentation("Closed surface") is None


def test_a_correction_without_change_writes_nothing(nodes):
    canvas = canvas_of(*nodes, "first")
    box = Box((0, 0, 0), (3, 3, 3))
    none = np.zeros(box.shape, bool)
    image = image_of(nodes[1], "first")
    time = image.GetMTime()
    assert write_correction(canvas, Correction(box, none, none)) is None
    assert image.GetMTime() == time


def test_voxels_are_shared_and_not_copied(nodes):
    canvas = canvas_of(*nodes, "first")
    assert np.shares_memory(canvas.channels, vtk_to_numpy(nodes[0].GetImageData().GetPointData().GetScalars()))


def test_structures_at_a_place_are_named_the_nearest_first(scene):
    """Under a transform, too; far ones and hidden ones are not named."""
    from DeepSegmentLib.hosts.mrml.correction.structures_at import structures_at

    grid = Geometry.from_spacing((12, 12, 12), (2.0, 1.0, 1.0))
    volume = add_volume(scene, grid)
    labels = np.zeros(grid.shape, np.uint8)
    labels[5, 5, 2:5], labels[5, 5, 7:9] = 1, 2
    node = new_segmentation(scene, volume, "segmentation")
    add_segments(node, labels, grid, [Segment("one", 1), Segment("other", 2)], Origin())
    place = grid.index_to_ras((5, 5, 5.4))
    assert structures_at(node, place) == ["one", "other"]
    assert structures_at(node, grid.index_to_ras((5, 5, 6.2))) == ["other", "one"]
    assert structures_at(node, place, reach_mm=1.0) == ["one"]
    assert structures_at(node, grid.index_to_ras((0, 0, 0)), reach_mm=2.0) == []
    shift = np.eye(4)
    shift[0, 3] = 30.0
    node.SetAndObserveTransformNodeID(add_linear_transform(scene, shift).GetID())
    assert structures_at(node, place + shift[:3, 3]) == ["one", "other"]
    node.GetDisplayNode().SetSegmentVisibility(segment_ids(node)[0], False)
    assert structures_at(node, place + shift[:3, 3]) == ["other"]
