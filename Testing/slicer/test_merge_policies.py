"""Merging into segmentations as users have them: other lattices, shared images, surfaces, masks, removed nodes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

vtk = pytest.importorskip("vtk", reason="needs slicer-core")
slicer = pytest.importorskip("slicer", reason="needs slicer-core")

from host.headless import make_application
from nodes import add_linear_transform, add_volume, points_of, stray_labels, surface_bounds

from DeepSegmentLib.data import Box, Geometry, LabelMap, Segment
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.hosts.mrml.segmentations.label_images import make_image
from DeepSegmentLib.hosts.mrml.segmentations.nodes import label_map_from_node, provenance_of
from DeepSegmentLib.hosts.mrml.segmentations.segments import (
    find_by_name,
    mask_of,
    name_of,
    segment_ids,
    set_locked,
    tag,
)
from DeepSegmentLib.hosts.mrml.segmentations.writing import MergePolicy, make_editor, take_back, write_label_map

GEOMETRY = Geometry.from_spacing((8, 10, 12), (2.0, 1.5, 1.0))
SEGMENTS = (Segment("A", 1), Segment("B", 2), Segment("C", 7))
CORNERS = GEOMETRY.index_to_ras([(2, 3, 1), (5, 8, 7)])
ADD, UPDATE, EMPTY, IN_REGION = "add", "update", "empty", "update in region"
CHANGING = [UPDATE, EMPTY, IN_REGION]


def _label_map(seed, geometry=GEOMETRY, segments=SEGMENTS):
    values = np.array([0, 0, *[segment.value for segment in segments]], np.uint8)
    layers = np.random.default_rng(seed).choice(values, size=(1, *geometry.shape))
    return LabelMap(layers, geometry, segments)


def _write(scene, volume, label_map, how, target, **options):
    region = CORNERS if how == IN_REGION else None
    policy = MergePolicy(how.split(" ")[0])
    return write_label_map(scene, label_map, volume, policy=policy, target=target, region_ras=region, **options)


def _points(node):
    """RAS positions of the voxels of each segment by name."""
    return {name_of(node, segment_id): points_of(node, segment_id) for segment_id in segment_ids(node)}


@pytest.fixture
def volume(scene):
    return add_volume(scene, GEOMETRY)


@pytest.fixture
def target(scene, volume):
    """A segmentation with the segments of seed 0, which share one image."""
    return write_label_map(scene, _label_map(0), volume).node


@pytest.fixture
def editor(scene):
    return make_editor(scene)


@pytest.mark.parametrize("policy", CHANGING)
def test_what_lies_outside_the_volume_stays(scene, volume, editor, policy):
    """The segmentation was drawn on a larger scan of which this volume is a part."""
    large = GEOMETRY.crop(Box((-3, -2, -4), (11, 12, 15)))
    node = write_label_map(scene, _label_map(0, large), add_volume(scene, large, name="large")).node
    old = _points(node)
    written = _write(scene, volume, _label_map(1), policy, node, editor=editor)
    outside = {name: _outside(points) for name, points in old.items()}
    for name, points in _points(node).items():
        assert _outside(points) == (set() if policy == UPDATE else outside[name])
    assert written.backup is None if policy == EMPTY else _points(written.backup) == old
    editor.Undo()
    assert _points(node) == old


def _outside(points):
    index = GEOMETRY.ras_to_index(np.array(sorted(points)).reshape(-1, 3))
    beyond = ((index < -0.5) | (index > np.array(GEOMETRY.shape) - 0.5)).any(axis=1)
    return {point for point, far in zip(sorted(points), beyond, strict=True) if far}


@pytest.mark.parametrize("policy", CHANGING)
def test_finer_segments_keep_their_lattice(scene, volume, editor, policy):
    """Segments were drawn on a finer, turned grid; those that are not written to must not move by a hair."""
    turn = np.eye(4)
    turn[:3, :3] = [[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]
    fine = Geometry((16, 16, 16), turn @ GEOMETRY.resampled((1.0, 0.7, 0.5)).affine)
    node = write_label_map(scene, _label_map(0, fine), add_volume(scene, fine, name="fine")).node
    old = _points(node)
    only_a = LabelMap(np.minimum(_label_map(1).layers, 1), GEOMETRY, SEGMENTS[:1])
    _write(scene, volume, only_a, policy, node, editor=editor)
    new = _points(node)
    assert new["B"] == old["B"]
    assert new["C"] == old["C"]
    if policy == EMPTY:
        assert new["A"] >= old["A"]
    if policy == IN_REGION:
        index = GEOMETRY.ras_to_index(np.array(sorted(old["A"])))
        outside = ((index < (1.4, 2.4, 0.4)) | (index > (5.6, 8.6, 7.6))).any(axis=1)
        assert new["A"] >= {point for point, far in zip(sorted(old["A"]), outside, strict=True) if far}
    if policy == UPDATE:
        assert np.array_equal(mask_of(node, find_by_name(node, "A"), GEOMETRY), only_a.layers[0] == 1)
    editor.Undo()
    assert _points(node) == old


@pytest.mark.parametrize("policy", CHANGING)
def test_neighbors_in_the_same_image_are_left_alone(scene, volume, target, policy):
    old = _points(target)
    only_a = LabelMap(np.minimum(_label_map(1).layers, 1), GEOMETRY, SEGMENTS[:1])
    _write(scene, volume, only_a, policy, target)
    new = _points(target)
    assert new["B"] == old["B"]
    assert new["C"] == old["C"]
    assert not stray_labels(target)


def test_results_and_backups_take_one_layer_each(scene, volume, target):
    written = _write(scene, volume, _label_map(1), UPDATE, target)
    assert len(segment_ids(written.backup)) == len(segment_ids(target)) == 3
    assert target.GetSegmentation().GetNumberOfLayers() == written.backup.GetSegmentation().GetNumberOfLayers() == 1


@pytest.mark.parametrize("policy", [ADD, *CHANGING])
def test_surfaces_follow_the_voxels(scene, volume, target, editor, policy):
    target.CreateClosedSurfaceRepresentation()
    old = surface_bounds(target)
    _write(scene, volume, _label_map(1), policy, target, editor=editor)
    target.CreateClosedSurfaceRepresentation()  # makes those that the write has dropped
    fresh = slicer.vtkMRMLSegmentationNode()
    fresh.Copy(target)
    fresh.GetSegmentation().RemoveRepresentation("Closed surface")
    fresh.CreateClosedSurfaceRepresentation()
    assert surface_bounds(target) == surface_bounds(fresh)
    editor.Undo()
    assert surface_bounds(target) == old


def test_more_than_255_segments(scene):
    geometry = Geometry.from_spacing((1, 20, 20), (1, 1, 1))
    volume = add_volume(scene, geometry)
    layers = np.arange(400, dtype=np.uint16).reshape(1, 1, 20, 20)
    segments = tuple(Segment(f"{n:03}", n) for n in range(1, 400))
    label_map = LabelMap(layers, geometry, segments)
    node = write_label_map(scene, label_map, volume).node
    turned = LabelMap(np.ascontiguousarray(layers[..., ::-1]), geometry, segments)
    write_label_map(scene, turned, volume, policy=MergePolicy.UPDATE, target=node)
    back = label_map_from_node(node, volume)
    assert np.array_equal(back.layers, turned.layers)


def test_painting_goes_on_after_a_merge(scene, volume, target, editor):
    """The user's own Segment Editor finds images that it can work on."""
    _write(scene, volume, _label_map(1), UPDATE, target, editor=editor)
    before = _points(target)
    brush = np.zeros(GEOMETRY.shape, np.uint8)
    brush[1:3, 1:3, 1:3] = 1
    first = find_by_name(target, "A")
    editor.SaveStateForUndo()
    editor.ModifySegmentByLabelmap(target, first, make_image(brush, GEOMETRY), editor.ModificationModeAdd, False, True)
    after = _points(target)
    painted = {tuple(np.round(point, 3)) for point in GEOMETRY.index_to_ras(np.argwhere(brush)).tolist()}
    assert after["A"] == before["A"] | painted
    assert after["B"] == before["B"]
    assert after["C"] == before["C"]
    editor.Undo()
    assert _points(target) == before
    editor.Undo()
    assert _points(target) == _points(write_label_map(scene, _label_map(0), volume).node)


@pytest.mark.parametrize("policy", CHANGING)
def test_hostile_masks_of_the_callers_editor_do_not_distort(scene, volume, target, policy):
    expected = write_label_map(scene, _label_map(0), volume).node
    _write(scene, volume, _label_map(1), policy, expected)
    editor = make_editor(scene)
    node = editor.GetSegmentEditorNode()
    node.SetAndObserveSourceVolumeNode(volume)
    node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment)
    node.SetMaskSegmentID(segment_ids(target)[1])
    node.SetOverwriteMode(node.OverwriteAllSegments)
    node.SetSourceVolumeIntensityMask(True)
    node.SetSourceVolumeIntensityMaskRange(1e6, 2e6)
    _write(scene, volume, _label_map(1), policy, target, editor=editor)
    assert _points(target) == _points(expected)


def test_surfaces_alone_are_refused(scene, volume, target):
    target.CreateClosedSurfaceRepresentation()
    target.GetSegmentation().SetSourceRepresentationName("Closed surface")
    with pytest.raises(InvalidInputError, match="kept as 'Closed surface'; make 'Binary labelmap' its source"):
        _write(scene, volume, _label_map(1), EMPTY, target)
    target.GetSegmentation().RemoveRepresentation("Binary labelmap")
    with pytest.raises(InvalidInputError, match="Closed surface"):
        label_map_from_node(target, volume)


def test_reading_across_transforms_is_refused(scene, volume, target):
    volume.SetAndObserveTransformNodeID(add_linear_transform(scene, np.eye(4)).GetID())
    with pytest.raises(InvalidInputError, match="different transforms"):
        label_map_from_node(target, volume)


def test_removed_nodes_are_named(scene, volume, target):
    volume.SetName("head")
    scene.RemoveNode(target)
    with pytest.raises(InvalidInputError, match="'volume segmentation' was removed"):
        _write(scene, volume, _label_map(1), EMPTY, target)
    scene.RemoveNode(volume)
    with pytest.raises(InvalidInputError, match="'head' was removed"):
        write_label_map(scene, _label_map(1), volume)


@pytest.mark.parametrize("policy", [ADD, *CHANGING])
def test_a_node_removed_in_the_middle_of_a_write(scene, volume, target, editor, policy):
    """An observer of another extension removes the node at the first change; Slicer must survive."""

    def remove(_segmentation, _event):
        if scene.IsNodePresent(target):
            scene.RemoveNode(target)

    target.GetSegmentation().AddObserver(vtk.vtkCommand.AnyEvent, remove)
    written = _write(scene, volume, _label_map(1), policy, target, editor=editor)
    assert not scene.IsNodePresent(target)
    take_back(scene, written, editor)
    assert write_label_map(scene, _label_map(1), volume).node is not target


def test_a_closed_scene_ends_an_editor_quietly(scene, volume, target, editor):
    written = _write(scene, volume, _label_map(1), EMPTY, target, editor=editor)
    scene.Clear(0)
    take_back(scene, written, editor)
    again = add_volume(scene, GEOMETRY)
    node = write_label_map(scene, _label_map(0), again).node
    old = _points(node)
    fresh = make_editor(scene)
    _write(scene, again, _label_map(1), UPDATE, node, editor=fresh)
    fresh.Undo()
    assert _points(node) == old


def test_a_failure_in_the_middle_leaves_everything(scene, volume, target, editor):
    old = _points(target)
    with pytest.raises(TypeError):
        _write(scene, volume, _label_map(1), UPDATE, target, editor=editor, provenance={"model": 5})
    assert _points(target) == old
    assert provenance_of(target) == {}


def test_undo_goes_to_the_node_that_was_written_last(scene, volume, target, editor):
    other = write_label_map(scene, _label_map(5), volume).node
    old = _points(other)
    _write(scene, volume, _label_map(1), UPDATE, target, editor=editor)
    written = _points(target)
    _write(scene, volume, _label_map(2), UPDATE, other, editor=editor)
    editor.Undo()
    assert _points(other) == old
    assert not editor.CanUndo()
    assert _points(target) == written


@pytest.mark.parametrize("policy", [ADD, *CHANGING])
def test_taking_back_leaves_no_trace(scene, volume, editor, policy):
    target = write_label_map(scene, _label_map(0), volume, provenance={"model": "first"}).node
    old, first = _points(target), target.GetSegmentation().GetSegment(segment_ids(target)[0])
    words = {"model": "second", "device": "cpu"}
    written = _write(scene, volume, _label_map(1), policy, target, editor=editor, provenance=words)
    assert provenance_of(target) == words
    for _ in range(2):  # the second finds nothing to take back
        take_back(scene, written, editor)
        assert _points(target) == old
        assert len(segment_ids(target)) == 3
        assert provenance_of(target) == {"model": "first"}
        assert tag(first, "DeepSegment.model") == "first"
        assert tag(first, "DeepSegment.device") == ""


def test_taking_back_a_new_node_removes_it(scene, volume):
    written = write_label_map(scene, _label_map(0), volume)
    take_back(scene, written)
    assert not scene.IsNodePresent(written.node)
    assert scene.IsNodePresent(volume)


def test_two_results_of_one_name_are_both_kept(scene, volume, target):
    twins = (Segment("A", 1), Segment("A", 2))
    label_map = LabelMap(np.minimum(_label_map(1).layers, 2), GEOMETRY, twins)
    _write(scene, volume, label_map, UPDATE, target)
    assert np.array_equal(mask_of(target, find_by_name(target, "A"), GEOMETRY), label_map.layers[0] == 1)
    assert np.array_equal(mask_of(target, find_by_name(target, "A (2)"), GEOMETRY), label_map.layers[0] == 2)


def test_an_empty_result_replaces_and_is_taken_back(scene, volume, target, editor):
    old = _points(target)
    nothing = LabelMap(np.zeros((1, *GEOMETRY.shape), np.uint8), GEOMETRY, SEGMENTS)
    _write(scene, volume, nothing, UPDATE, target, editor=editor)
    assert set(map(len, _points(target).values())) == {0}
    _write(scene, volume, _label_map(1), EMPTY, target, editor=editor)
    assert np.array_equal(mask_of(target, find_by_name(target, "C"), GEOMETRY), _label_map(1).layers[0] == 7)
    editor.Undo()
    editor.Undo()
    assert _points(target) == old


@settings(max_examples=12)
@given(st.lists(st.tuples(st.sampled_from([ADD, *CHANGING]), st.integers(1, 99)), min_size=1, max_size=4))
def test_any_row_of_writes_can_be_undone_and_redone(writes):
    """Whatever is written after each other: locked segments stay, no label strays, and Undo goes all the way back."""
    scene = make_application().scene
    volume = add_volume(scene, GEOMETRY)
    node, editor = write_label_map(scene, _label_map(0), volume).node, make_editor(scene)
    set_locked(node.GetSegmentation().GetSegment(segment_ids(node)[1]), True)
    states = [_points(node)]
    for policy, seed in writes:
        _write(scene, volume, _label_map(seed), policy, node, editor=editor)
        states.append(_points(node))
        assert states[-1]["B"] == states[0]["B"]
        assert not stray_labels(node)
    for state in reversed(states[:-1]):
        editor.Undo()
        assert _points(node) == state
    for state in states[1:]:
        editor.Redo()
        assert _points(node) == state
