"""Results in saved scenes (.mrml, .mrb) and segmentation files: everything comes back, also to other programs."""

import numpy as np
import pytest
import SimpleITK as sitk

slicer = pytest.importorskip("slicer", reason="needs slicer-core")

from host.headless import make_application
from nodes import add_linear_transform, add_volume, add_warp, points_of

from DeepSegmentLib.data import Box, Code, Geometry, LabelMap, Segment, Terminology
from DeepSegmentLib.files.segmentations.labelmaps import read_provenance
from DeepSegmentLib.files.segmentations.seg_nrrd import read_seg_nrrd
from DeepSegmentLib.hosts.mrml.segmentations.nodes import label_map_from_node, provenance_of
from DeepSegmentLib.hosts.mrml.segmentations.segments import (
    find_by_name,
    is_protected,
    segment_ids,
    set_locked,
)
from DeepSegmentLib.hosts.mrml.segmentations.writing import MergePolicy, write_label_map

_c, _s = np.cos(0.3), np.sin(0.3)
OBLIQUE = Geometry(
    (6, 7, 8),
    [[0, -0.7 * _s, -1.2 * _c, 31.25], [0, 0.7 * _c, -1.2 * _s, -7.5], [2.5, 0, 0, 1e-3 / 3], [0, 0, 0, 1]],
)
LIVER = Terminology(Code("SCT", "123037004", "Anatomical Structure"), Code("SCT", "10200004", "Liver"))
SEGMENTS = (Segment("A", 1, (255, 0, 0), LIVER), Segment("größe ≥ 3 mm", 2, (0, 255, 1)), Segment("C", 7, (9, 9, 255)))
PROVENANCE = {
    "model": "brain-mr",
    "model_version": "0.1.0",
    "parameters": '{"overlap": 0.5, "names": ["a;b", "c:d", "<é>"], "other": "x|y"}',
    "created": "2026-01-02T03:04:05Z",
}


def _label_map(seed, geometry=OBLIQUE):
    layers = np.random.default_rng(seed).choice(np.array([0, 0, 1, 2, 7], np.uint8), size=(1, *geometry.shape))
    return LabelMap(layers, geometry, SEGMENTS)


@pytest.fixture
def volume(scene):
    return add_volume(scene, OBLIQUE, name="head")


@pytest.fixture
def node(scene, volume):
    """A segmentation that was written twice: it has a backup beside it, and one of its segments is locked."""
    node = write_label_map(scene, _label_map(0), volume).node
    set_locked(node.GetSegmentation().GetSegment(find_by_name(node, "C")), True)
    options = {"policy": MergePolicy.UPDATE, "provenance": PROVENANCE}
    write_label_map(scene, _label_map(1), volume, target=node, **options)
    return node


def _save_with_scene(scene, folder):
    """Write every storable node into the folder, as saving a scene does."""
    for n in range(scene.GetNumberOfNodesByClass("vtkMRMLStorableNode")):
        node = scene.GetNthNodeByClass(n, "vtkMRMLStorableNode")
        if node.GetSaveWithScene() and not node.IsA("vtkMRMLColorNode"):
            node.AddDefaultStorageNode()
            storage = node.GetStorageNode()
            storage.SetFileName(str(folder / f"{node.GetName()}{_extension(node, storage)}"))
            assert storage.WriteData(node)
    scene.SetURL(str(folder / "scene.mrml"))
    assert scene.Commit()


def _extension(node, storage):
    return ".seg.nrrd" if node.IsA("vtkMRMLSegmentationNode") else "." + storage.GetDefaultWriteFileExtension()


def _opened(tmp_path, scene, kind):
    """The scene as another application finds it."""
    fresh = make_application().scene
    if kind == "mrml":
        _save_with_scene(scene, tmp_path)
        fresh.SetURL(str(tmp_path / "scene.mrml"))
        assert fresh.Connect()
        return fresh
    scene.SetRootDirectory(str(tmp_path))
    assert scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    _let_read_bundles(fresh, tmp_path)
    assert fresh.ReadFromMRB(str(tmp_path / "scene.mrb"), True)
    return fresh


def _let_read_bundles(scene, folder):
    """The desktop gives its scene a place to unpack to."""
    (folder / "cache").mkdir()
    cache, manager = slicer.vtkCacheManager(), slicer.vtkDataIOManager()
    cache.SetRemoteCacheDirectory(str(folder / "cache"))
    manager.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(manager)


@pytest.mark.parametrize("kind", ["mrml", "mrb"])
@pytest.mark.parametrize("transform", ["none", "linear", "warp"])
def test_a_scene_gives_everything_back(scene, volume, node, tmp_path, kind, transform):
    if transform != "none":
        above = add_warp(scene) if transform == "warp" else add_linear_transform(scene, np.diag([1.0, -1, 1, 1]))
        volume.SetAndObserveTransformNodeID(above.GetID())
        node.SetAndObserveTransformNodeID(above.GetID())
    fresh = _opened(tmp_path, scene, kind)
    again, head = fresh.GetFirstNodeByName(node.GetName()), fresh.GetFirstNodeByName("head")
    assert provenance_of(again) == PROVENANCE
    assert segment_ids(again) == segment_ids(node)
    for segment_id in segment_ids(node):
        before, after = (each.GetSegmentation().GetSegment(segment_id) for each in (node, again))
        assert after.GetName() == before.GetName()
        assert is_protected(after) == is_protected(before)
        assert points_of(again, segment_id) == points_of(node, segment_id)
        visible = [each.GetDisplayNode().GetSegmentVisibility(segment_id) for each in (node, again)]
        assert visible == [True] * 2
    back, expected = label_map_from_node(again, head), label_map_from_node(node, volume)
    for before, after in zip(expected.segments, back.segments, strict=True):
        assert (after.color, after.terminology) == (before.color, before.terminology)
        assert np.allclose(_centers(back, after), _centers(expected, before), rtol=0, atol=1e-3)
    assert again.GetTransformNodeID() == head.GetTransformNodeID()
    assert bool(again.GetTransformNodeID()) == (transform != "none")


def _centers(label_map, segment):
    """RAS positions of a segment's voxels, sorted: Slicer may turn the axes of volumes that it reads."""
    return _sorted(label_map.geometry.index_to_ras(np.argwhere(label_map.mask(segment))))


def _written(node, path):
    storage = slicer.vtkMRMLSegmentationStorageNode()
    node.GetScene().AddNode(storage)
    storage.SetFileName(str(path))
    assert storage.WriteData(node)
    return storage


def test_locks_and_backups_are_not_read_as_provenance(node, tmp_path):
    set_locked(node.GetSegmentation().GetNthSegment(0), True)
    storage = _written(node, tmp_path / "result.seg.nrrd")
    words = {key: value for key, value in PROVENANCE.items() if "|" not in value}
    assert read_provenance(tmp_path / "result.seg.nrrd") == words
    fresh = slicer.vtkMRMLSegmentationNode()
    node.GetScene().AddNode(fresh)
    assert storage.ReadData(fresh)
    assert provenance_of(fresh) == words
    assert is_protected(fresh.GetSegmentation().GetNthSegment(0))


def test_simpleitk_finds_the_voxels_where_the_volume_has_them(scene, volume, node, tmp_path):
    _written(node, tmp_path / "result.seg.nrrd")
    image = sitk.ReadImage(str(tmp_path / "result.seg.nrrd"))
    ours = label_map_from_node(node, volume)
    for component, place in _layers_of(image):
        layer = sitk.VectorIndexSelectionCast(image, component) if component is not None else image
        for name, value in place.items():
            index = np.argwhere(sitk.GetArrayFromImage(layer) == value)[:, ::-1].tolist()
            lps = np.array([layer.TransformIndexToPhysicalPoint(each) for each in index]).reshape(-1, 3)
            assert np.allclose(_sorted(lps * (-1, -1, 1)), _centers(ours, ours.segment(name)), rtol=0, atol=1e-6)


def _layers_of(image):
    """Component of the file's vectors (None for one layer) with the values of the segments in it."""
    found = {}
    for key in image.GetMetaDataKeys():
        if key.endswith("_Name"):
            number = key.removesuffix("_Name")
            layer = int(image.GetMetaData(f"{number}_Layer"))
            found.setdefault(layer, {})[image.GetMetaData(key)] = int(image.GetMetaData(f"{number}_LabelValue"))
    several = image.GetNumberOfComponentsPerPixel() > 1
    assert sum(map(len, found.values())) == 3
    return [(layer if several else None, names) for layer, names in found.items()]


def _sorted(points):
    order = np.lexsort(np.round(points, 2).T)
    return points[order]


def test_segments_on_several_lattices_are_saved_together(scene, volume, tmp_path):
    """A finer segment, one that reaches outside, one of the result: one file, each voxel in its place."""
    fine = OBLIQUE.crop(Box((-2, -2, -2), (9, 9, 9))).resampled((1.25, 0.35, 0.6))
    labels = np.zeros((1, *fine.shape), np.uint8)
    labels[0, 3:9, 5:12, 4:13] = 1
    node = write_label_map(scene, LabelMap(labels, fine, SEGMENTS[:1]), add_volume(scene, fine)).node
    write_label_map(scene, _label_map(0), volume, policy=MergePolicy.EMPTY, target=node)
    sizes = {name: _volume_mm3(node, name) for name in segment_ids(node)}
    _written(node, tmp_path / "result.seg.nrrd")
    read = read_seg_nrrd(tmp_path / "result.seg.nrrd")
    for segment_id, size in sizes.items():
        segment = read.segment(node.GetSegmentation().GetSegment(segment_id).GetName())
        assert read.mask(segment).sum() * read.geometry.voxel_volume_mm3 == pytest.approx(size, rel=1e-6)


def _volume_mm3(node, segment_id):
    spacing = node.GetBinaryLabelmapInternalRepresentation(segment_id).GetSpacing()
    return len(points_of(node, segment_id)) * np.prod(spacing)
