"""Merge policies, protected segments and undo, on the real vtkSlicerSegmentEditorLogic, voxel for voxel."""

import numpy as np
import pytest

vtk = pytest.importorskip("vtk", reason="needs slicer-core")
slicer = pytest.importorskip("slicer", reason="needs slicer-core")

from nodes import add_linear_transform, add_volume

from DeepSegmentLib.data import Code, Geometry, LabelMap, Segment, Terminology
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.segmentations.labelmaps import read_provenance
from DeepSegmentLib.files.segmentations.seg_nrrd import read_seg_nrrd
from DeepSegmentLib.hosts.mrml.geometry import local_geometry
from DeepSegmentLib.hosts.mrml.segmentations.nodes import label_map_from_node, provenance_of
from DeepSegmentLib.hosts.mrml.segmentations.segments import (
    PROVENANCE_WORDS,
    find_by_name,
    mask_of,
    segment_ids,
    set_locked,
    tag,
)
from DeepSegmentLib.hosts.mrml.segmentations.writing import MergePolicy, make_editor, write_label_map

GEOMETRY = Geometry.from_spacing((8, 10, 12), (2.0, 1.5, 1.0))
LIVER = Terminology(Code("SCT", "123037004", "Anatomical Structure"), Code("SCT", "10200004", "Liver"))
SEGMENTS = (Segment("A", 1, (255, 0, 0), LIVER), Segment("B", 2, (0, 255, 0)), Segment("C", 7, (0, 0, 255)))
PROVENANCE = {"model": "brain-mr", "model_version": "0.1.0", "parameters": '{"overlap": 0.5}'}


def _labels(seed):
    values = np.array([0, 0, 1, 2, 7], np.uint8)
    return np.random.default_rng(seed).choice(values, size=(1, *GEOMETRY.shape))


def _label_map(seed):
    return LabelMap(_labels(seed), GEOMETRY, SEGMENTS)


@pytest.fixture
def volume(scene):
    return add_volume(scene, GEOMETRY)


@pytest.fixture
def target(scene, volume):
    """A segmentation with the segments of seed 0."""
    return write_label_map(scene, _label_map(0), volume).node


def _masks(node):
    """Voxels of each segment by name."""
    grid = GEOMETRY
    found = {}
    for segment_id in segment_ids(node):
        found[node.GetSegmentation().GetSegment(segment_id).GetName()] = mask_of(node, segment_id, grid)
    return found


def _same(first, second):
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def _expected(policy, old, new, inside):
    """What each segment must be after a merge, by the policy's definition."""
    occupied = np.logical_or.reduce(list(old.values()))
    result = dict(old)
    for name, mask in new.items():
        if policy is MergePolicy.ADD:
            result[f"{name} (2)"] = mask & inside
        elif policy is MergePolicy.UPDATE:
            result[name] = (old[name] & ~inside) | (mask & inside)
        else:
            result[name] = old[name] | (mask & ~occupied & inside)
    return result


@pytest.mark.parametrize("region", ["whole", "region"])
@pytest.mark.parametrize("policy", [MergePolicy.ADD, MergePolicy.UPDATE, MergePolicy.EMPTY])
@pytest.mark.parametrize("seed", range(1, 4))
def test_policies_do_what_they_say_and_one_undo_takes_it_back(scene, volume, target, policy, region, seed):
    editor = make_editor(scene)
    old = _masks(target)
    labels = _labels(seed)[0]
    new = {segment.name: labels == segment.value for segment in SEGMENTS}
    inside = np.full(GEOMETRY.shape, region == "whole")
    inside[2:6, 3:9, 1:8] = True
    written = write_label_map(
        scene,
        _label_map(seed),
        volume,
        policy=policy,
        target=target,
        region_ras=None if region == "whole" else GEOMETRY.index_to_ras([(2, 3, 1), (5, 8, 7)]),
        provenance=PROVENANCE,
        editor=editor,
    )
    after = _masks(target)
    assert _same(after, _expected(policy, old, new, inside))
    if policy is MergePolicy.UPDATE:
        assert _same(_masks(written.backup), old)
    else:
        assert written.backup is None
    editor.Undo()
    assert _same(_masks(target), old)
    editor.Redo()
    assert _same(_masks(target), after)


@pytest.mark.parametrize("how", ["locked", "completed"])
@pytest.mark.parametrize("policy", [MergePolicy.UPDATE, MergePolicy.EMPTY])
def test_protected_segments_never_change(scene, volume, target, how, policy):
    segment = target.GetSegmentation().GetSegment(find_by_name(target, "A"))
    if how == "locked":
        set_locked(segment, True)
    else:
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        logic.SetSegmentStatus(segment, logic.Completed)
    old = _masks(target)["A"]
    written = write_label_map(scene, _label_map(5), volume, policy=policy, target=target)
    assert np.array_equal(_masks(target)["A"], old)
    assert written.skipped == ("A",)


def test_masking_of_another_editor_does_not_distort(scene, volume, target):
    """The user's Segment Editor may mask by intensity and overwrite everything; results are not its business."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedInsideSingleSegment)
    node.SetMaskSegmentID(segment_ids(target)[1])
    node.SetSourceVolumeIntensityMask(True)
    node.SetSourceVolumeIntensityMaskRange(1e6, 2e6)
    write_label_map(scene, _label_map(3), volume, policy=MergePolicy.UPDATE, target=target)
    assert np.array_equal(_masks(target)["A"], _labels(3)[0] == 1)


def test_the_caller_is_told_once_before_anything_changes(scene, volume, target):
    old, seen = _masks(target), []
    write_label_map(
        scene,
        _label_map(2),
        volume,
        policy=MergePolicy.UPDATE,
        target=target,
        region_ras=GEOMETRY.index_to_ras([(0, 0, 0), (7, 9, 11)]),
        before_change=lambda node: seen.append(_same(_masks(node), old)),
    )
    assert seen == [True]


def test_a_new_node_has_everything(scene, volume):
    volume.SetName("head")
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "study")
    hierarchy.CreateItem(folder, volume)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def give_item(_scene, _event, node):  # as the desktop does for every node
        if node.IsA("vtkMRMLSegmentationNode"):
            hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)

    scene.AddObserver(scene.NodeAddedEvent, give_item)
    volume.SetAndObserveTransformNodeID(add_linear_transform(scene, np.diag([1.0, -1, 1, 1])).GetID())
    node = write_label_map(scene, _label_map(0), volume, provenance=PROVENANCE).node
    assert node.GetName() == "head segmentation"
    assert node.GetTransformNodeID() == volume.GetTransformNodeID()
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == folder
    assert node.GetSegmentation().GetNumberOfLayers() == 1
    assert provenance_of(node) == PROVENANCE
    first = node.GetSegmentation().GetSegment(segment_ids(node)[0])
    assert tag(first, "DICOM.SegmentAlgorithmType") == "AUTOMATIC"
    assert tag(first, "DICOM.SegmentAlgorithmName") == "brain-mr 0.1.0"
    entry = slicer.vtkSlicerTerminologyEntry()
    text = tag(first, first.GetTerminologyEntryTagName())
    assert slicer.vtkSlicerTerminologiesModuleLogic().DeserializeTerminologyEntry(text, entry)
    assert entry.GetTypeObject().GetCodeValue() == "10200004"
    back = label_map_from_node(node, volume)
    assert [segment.name for segment in back.segments] == ["A", "B", "C"]
    assert [segment.color for segment in back.segments] == [segment.color for segment in SEGMENTS]
    assert back.segments[0].terminology == LIVER


def test_overlapping_results_stay_apart(scene, volume):
    layers = np.random.default_rng(0).integers(0, 2, (3, *GEOMETRY.shape), np.uint8)
    segments = tuple(Segment(f"region {n}", 1, layer=n) for n in range(3))
    node = write_label_map(scene, LabelMap(layers, GEOMETRY, segments), volume).node
    back = label_map_from_node(node, volume)
    for n in range(3):
        assert np.array_equal(back.mask(back.segments[n]), layers[n] == 1)


def test_labels_without_a_segment_are_left_out(scene, volume):
    node = write_label_map(scene, LabelMap(_labels(0), GEOMETRY, SEGMENTS[:1]), volume).node
    assert len(segment_ids(node)) == 1
    assert np.array_equal(_masks(node)["A"], _labels(0)[0] == 1)


def test_a_segmentation_on_another_grid_is_merged_in_place(scene, volume):
    """The target was drawn on a coarser grid; occupied voxels are found where they are in space."""
    coarse = GEOMETRY.resampled((4.0, 3.0, 2.0))
    other = add_volume(scene, coarse, name="coarse")
    old = np.zeros((1, *coarse.shape), np.uint8)
    old[0, :2] = 1
    target = write_label_map(scene, LabelMap(old, coarse, SEGMENTS[:1]), other).node
    new = np.full((1, *GEOMETRY.shape), 2, np.uint8)
    write_label_map(scene, LabelMap(new, GEOMETRY, SEGMENTS[1:2]), volume, policy=MergePolicy.EMPTY, target=target)
    added = mask_of(target, find_by_name(target, "B"), GEOMETRY)
    before = mask_of(target, find_by_name(target, "A"), GEOMETRY)
    assert not (added & before).any()
    assert (added | before).all()


def test_what_cannot_be_is_refused(scene, volume, target):
    with pytest.raises(InvalidInputError, match="existing segmentation"):
        write_label_map(scene, _label_map(0), volume, policy=MergePolicy.EMPTY)
    with pytest.raises(InvalidInputError, match="shape"):
        small = Geometry.from_spacing((2, 2, 2), (1, 1, 1))
        write_label_map(scene, LabelMap(np.zeros((1, 2, 2, 2), np.uint8), small), volume)
    target.SetAndObserveTransformNodeID(add_linear_transform(scene, np.eye(4)).GetID())
    with pytest.raises(InvalidInputError, match="different transforms"):
        write_label_map(scene, _label_map(0), volume, policy=MergePolicy.EMPTY, target=target)


def test_scene_and_file_give_everything_back(scene, volume, target, tmp_path):
    write_label_map(scene, _label_map(1), volume, policy=MergePolicy.EMPTY, target=target, provenance=PROVENANCE)
    old = _masks(target)
    path = tmp_path / "result.seg.nrrd"
    storage = slicer.vtkMRMLSegmentationStorageNode()
    scene.AddNode(storage)
    storage.SetFileName(str(path))
    target.SetAndObserveStorageNodeID(storage.GetID())
    assert storage.WriteData(target)
    assert read_provenance(path)["model"] == "brain-mr"
    ours = read_seg_nrrd(path)
    assert {segment.name: int(ours.mask(segment).sum()) for segment in ours.segments} == {
        name: int(mask.sum()) for name, mask in old.items()
    }
    scene.SetURL(str(tmp_path / "scene.mrml"))
    assert scene.Commit()
    fresh = slicer.vtkMRMLSegmentationNode()
    scene.AddNode(fresh)
    assert storage.ReadData(fresh)
    assert _same(_masks(fresh), old)
    assert provenance_of(fresh)["model"] == "brain-mr"
    assert "DeepSegment.model" in (tmp_path / "scene.mrml").read_text()


def test_the_words_of_the_provenance_are_known():
    pytest.importorskip("torch")
    from DeepSegmentLib.files.models import read_spec
    from DeepSegmentLib.files.models.places import bundled_models_folder
    from DeepSegmentLib.networks.runtime import Model
    from DeepSegmentLib.segmentation.outputs import Prediction, PredictSettings
    from DeepSegmentLib.service.run_report import Run, provenance

    run = Run(Prediction(_label_map(0)), Model(read_spec(bundled_models_folder() / "brain-mr"), None), "cpu")
    assert tuple(provenance(run, PredictSettings())) == PROVENANCE_WORDS


def test_local_geometry_of_results(scene, volume, target):
    assert local_geometry(volume).is_close(label_map_from_node(target, volume).geometry, tolerance_mm=1e-9)
