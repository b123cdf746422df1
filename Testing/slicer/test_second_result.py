"""A model's second result on a segmentation: what it replaces, what the user is asked before, what is kept."""

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core")

from hypothesis import given, settings
from hypothesis import strategies as st
from nodes import add_linear_transform, add_volume, points_of
from test_saving import OBLIQUE, _opened

from DeepSegmentLib.data import Box, Geometry, LabelMap, Segment
from DeepSegmentLib.hosts.mrml.segmentations.label_images import make_image, read_shapes
from DeepSegmentLib.hosts.mrml.segmentations.made_by_model import fingerprint, is_untouched, output_of
from DeepSegmentLib.hosts.mrml.segmentations.nodes import new_segmentation, segmentation_of
from DeepSegmentLib.hosts.mrml.segmentations.second_result import Doubtful, doubtful
from DeepSegmentLib.hosts.mrml.segmentations.segments import (
    find_by_name,
    name_of,
    segment_ids,
    set_finished,
    set_locked,
)
from DeepSegmentLib.hosts.mrml.segmentations.shapes import Shape
from DeepSegmentLib.hosts.mrml.segmentations.sizes import millilitres
from DeepSegmentLib.hosts.mrml.segmentations.writing import MergePolicy, make_editor, take_back, write_label_map

SEGMENTS = (Segment("A", 1), Segment("B | ~ größe", 2), Segment("C", 7))
NAMES = [segment.name for segment in SEGMENTS]
MODEL = {"model": "brain-mr", "model_version": "1"}


def _label_map(seed, geometry=OBLIQUE):
    layers = np.random.default_rng(seed).choice(np.array([0, 0, 1, 2, 7], np.uint8), size=(1, *geometry.shape))
    return LabelMap(layers, geometry, SEGMENTS)


@pytest.fixture
def volume(scene):
    return add_volume(scene, OBLIQUE, name="head")


@pytest.fixture
def node(scene, volume):
    """What brain-mr made of the volume."""
    return write_label_map(scene, _label_map(0), volume, provenance=MODEL).node


def _update(scene, volume, node, seed=1, **options):
    options = {"policy": MergePolicy.UPDATE, "target": node, "provenance": MODEL, **options}
    return write_label_map(scene, _label_map(seed), volume, **options)


def _points(node):
    return {name_of(node, each): points_of(node, each) for each in segment_ids(node)}


def _expected(scene, volume, seed):
    return _points(write_label_map(scene, _label_map(seed), volume).node)


def _segment(node, name):
    return node.GetSegmentation().GetSegment(find_by_name(node, name))


def _brush(node, name, seed=0):
    """Paint a voxel that was empty in a result with Slicer's own editor; the editor, to undo it."""
    mask = np.zeros(OBLIQUE.shape, np.uint8)
    mask[tuple(np.argwhere(_label_map(seed).layers[0] == 0)[0])] = 1
    editor = make_editor(node.GetScene())
    editor.SetSegmentationNode(node)
    editor.SaveStateForUndo()
    image = make_image(mask, OBLIQUE)
    editor.ModifySegmentByLabelmap(node, find_by_name(node, name), image, editor.ModificationModeAdd, False, True)
    return editor


def _ask(node, volume, model="brain-mr"):
    return doubtful(node, volume, model, NAMES)


def test_a_second_result_replaces_the_first_without_asking(scene, volume, node):
    ids, nodes = segment_ids(node), scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    assert not _ask(node, volume)
    written = _update(scene, volume, node)
    assert segment_ids(node) == ids == written.changed
    assert written.backup is None
    assert written.added == ()
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == nodes
    assert _points(node) == _expected(scene, volume, 1)
    assert not _ask(node, volume)  # nor before the third


def test_what_was_changed_is_asked_about_and_kept(scene, volume, node):
    editor = _brush(node, "A")
    assert _ask(node, volume) == Doubtful(changed=("A",))
    editor.Undo()
    assert not _ask(node, volume)
    _brush(node, "A")
    old = _points(node)
    written = _update(scene, volume, node)
    assert _points(written.backup) == {"A": old["A"]}
    assert _points(node) == _expected(scene, volume, 1)
    assert not written.backup.GetDisplayNode().GetVisibility()
    assert written.backup.GetName().startswith("head segmentation before 2")


def test_what_is_locked_or_finished_is_asked_about_and_stays(scene, volume, node):
    set_locked(_segment(node, "A"), True)
    set_finished(_segment(node, "C"), True)
    old = _points(node)
    assert _ask(node, volume) == Doubtful(protected=("A", "C"))
    written = _update(scene, volume, node)
    assert written.skipped == ("A", "C")
    assert {**_expected(scene, volume, 1), "A": old["A"], "C": old["C"]} == _points(node)


def test_a_renamed_segment_and_segmentation_are_known_again(scene, volume, node):
    node.SetName("mine")
    _segment(node, "A").SetName("my A")
    _segment(node, "C").SetName("A")  # the user means another one now
    written = _update(scene, volume, node)
    assert written.added == ()
    new = _expected(scene, volume, 1)
    assert _points(node) == {"my A": new["A"], NAMES[1]: new[NAMES[1]], "A": new["C"]}


def test_a_deleted_segment_comes_again(scene, volume, node):
    node.GetSegmentation().RemoveSegment(find_by_name(node, "C"))
    assert not _ask(node, volume)
    written = _update(scene, volume, node)
    assert [name_of(node, each) for each in written.added] == ["C"]
    assert _points(node) == _expected(scene, volume, 1)


def test_segments_of_another_origin_are_asked_about_and_kept(scene, volume, node):
    assert _ask(node, volume, "other") == Doubtful(foreign=tuple(NAMES))
    old = _points(node)
    written = _update(scene, volume, node, provenance={"model": "other"})
    assert _points(written.backup) == old
    assert not _ask(node, volume, "other")
    drawn = slicer.vtkSegment()
    drawn.SetName("drawn")
    node.GetSegmentation().AddSegment(drawn, "drawn")
    assert not doubtful(node, volume, "other", ["drawn"])  # empty: nothing is lost


def test_the_segmentation_of_another_volume_is_asked_about_and_kept(scene, volume, node):
    other = add_volume(scene, OBLIQUE, name="knee")
    assert segmentation_of(volume) is node
    assert segmentation_of(other) is None
    new_segmentation(scene, volume, "drawn by hand")
    assert segmentation_of(volume) is node
    assert _ask(node, other) == Doubtful(other_volume="head")
    old = _points(node)
    assert _points(_update(scene, other, node).backup) == old


def test_in_a_region_one_backup_keeps_all_and_work_by_hand_is_not_forgotten(scene, volume, node):
    _brush(node, "A")
    old = _points(node)
    corners = OBLIQUE.index_to_ras([(1, 1, 1), (3, 5, 5)])
    written = _update(scene, volume, node, region_ras=corners)
    assert _points(written.backup) == old
    assert _ask(node, volume) == Doubtful(changed=("A",))


@pytest.mark.parametrize("kind", ["mrml", "mrb"])
@pytest.mark.parametrize("transform", ["none", "linear"])
def test_a_loaded_scene_knows_what_was_changed(scene, volume, node, tmp_path, kind, transform):
    if transform == "linear":
        above = add_linear_transform(scene, np.diag([1.0, -1, 1, 1])).GetID()
        volume.SetAndObserveTransformNodeID(above)
        node.SetAndObserveTransformNodeID(above)
    _brush(node, "A")
    backup = _update(scene, volume, node, provenance={"model": "x"}).backup
    _update(scene, volume, node)
    _brush(node, "C", seed=1)
    fresh = _opened(tmp_path, scene, kind)
    again, head = fresh.GetFirstNodeByName(node.GetName()), fresh.GetFirstNodeByName("head")
    kept = fresh.GetFirstNodeByName(backup.GetName())
    assert _points(kept) == _points(backup)
    assert not kept.GetDisplayNode().GetVisibility()
    assert _ask(again, head) == Doubtful(changed=("C",))
    assert [output_of(again.GetSegmentation().GetSegment(each)) for each in segment_ids(again)] == NAMES


def test_a_loaded_segmentation_file_is_known_again(scene, volume, node, tmp_path):
    storage = slicer.vtkMRMLSegmentationStorageNode()
    scene.AddNode(storage)
    storage.SetFileName(str(tmp_path / "result.seg.nrrd"))
    assert storage.WriteData(node)
    fresh = slicer.vtkMRMLSegmentationNode()
    scene.AddNode(fresh)
    assert storage.ReadData(fresh)
    assert not _ask(fresh, volume)
    _segment(fresh, "A").RemoveTag("DeepSegmentVoxels")
    assert _ask(fresh, volume) == Doubtful(changed=("A",))  # nobody knows: so it is asked


def test_one_undo_takes_an_update_back(scene, volume, node):
    editor = make_editor(scene)
    _brush(node, "A")
    old = _points(node)
    written = _update(scene, volume, node, editor=editor)
    take_back(scene, written, editor)
    assert _points(node) == old
    assert not scene.IsNodePresent(written.backup)
    assert _ask(node, volume) == Doubtful(changed=("A",))


@settings(max_examples=30)
@given(st.integers(0, 2**20), st.integers(0, 2**20))
def test_a_fingerprint_tells_shapes_apart_and_nothing_else(seed, other):
    mask = np.random.default_rng(seed).random((3, 4, 5)) < 0.4
    shape, wider = Shape(OBLIQUE.affine, Box((1, 1, 1), (4, 5, 6)), mask), Box((0, -1, 0), (5, 6, 8))
    padded = Shape(OBLIQUE.affine, wider, shape.within(wider))
    assert fingerprint(shape) == fingerprint(padded)
    different = np.random.default_rng(other).random((3, 4, 5)) < 0.4
    same = np.array_equal(mask, different)
    assert (fingerprint(shape) == fingerprint(Shape(shape.affine, shape.box, different))) == same
    if mask.any():
        assert fingerprint(shape) != fingerprint(Shape(shape.affine, shape.box.shift((0, 1, 0)), mask))


def test_untouched_is_never_a_guess(volume, node):
    shapes = read_shapes(node, segment_ids(node), OBLIQUE)
    segment = _segment(node, "A")
    for words in ("", "x", "empty", "a b c d", fingerprint(shapes[find_by_name(node, "A")]) + " 1"):
        segment.SetTag("DeepSegmentVoxels", words)
        assert not is_untouched(segment, shapes[find_by_name(node, "A")])


def test_millilitres_are_those_of_the_voxels_step_by_step(scene, monkeypatch):
    monkeypatch.setattr("DeepSegmentLib.hosts.mrml.segmentations.sizes._COMPARED", 3000)
    geometry = Geometry.from_spacing((20, 20, 20), (2.0, 1.5, 1.0))
    label_map = _label_map(3, geometry)
    node = write_label_map(scene, label_map, add_volume(scene, geometry)).node
    steps = list(millilitres(node))
    expected = {
        each: int((label_map.layers == segment.value).sum()) * 0.003
        for each, segment in zip(segment_ids(node), SEGMENTS, strict=True)
    }
    assert len(steps) > 8
    assert steps[-1] == pytest.approx(expected)
    node.GetSegmentation().AddEmptySegment("empty")
    assert list(millilitres(node))[-1]["empty"] == 0.0
    assert list(millilitres(slicer.vtkMRMLSegmentationNode())) in ([], [{}, {}])


def test_what_is_at_a_place_is_named_first_under_any_transform(scene, volume, node):
    from DeepSegmentLib.hosts.mrml.correction.structures_at import structures_at

    labels = _label_map(0).layers[0]
    node.SetAndObserveTransformNodeID(add_linear_transform(scene, np.diag([2.0, -1, 1, 1])).GetID())
    node.CreateDefaultDisplayNodes()
    for index in np.argwhere(labels > 0)[::20]:
        ras = OBLIQUE.index_to_ras(index) * (2, -1, 1)
        expected = [segment.name for segment in SEGMENTS if segment.value == labels[tuple(index)]]
        assert structures_at(node, ras)[0] in expected
    assert structures_at(node, (1e4, 0, 0)) == []


def test_a_surface_made_alone_is_the_one_that_slicer_makes_of_all(scene, volume, node):
    from DeepSegmentLib.hosts.mrml.segmentations.surfaces import make_surface, surface_name, without_surface

    segmentation = node.GetSegmentation()
    node.CreateClosedSurfaceRepresentation()
    expected = {each: segmentation.GetSegment(each).GetRepresentation(surface_name()) for each in segment_ids(node)}
    node.RemoveClosedSurfaceRepresentation()
    assert without_surface(node) == segment_ids(node)
    for each in segment_ids(node):
        make_surface(node, each)
        made = segmentation.GetSegment(each).GetRepresentation(surface_name())
        assert made.GetNumberOfPoints() == expected[each].GetNumberOfPoints()
        assert made.GetBounds() == expected[each].GetBounds()
    assert not without_surface(node)
