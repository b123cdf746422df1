"""Slicer's own storage node reads our `.seg.nrrd`, and we read what it writes (PyPI package slicer-core)."""

import numpy as np
import pytest

from DeepSegmentLib.data import Code, Geometry, LabelMap, Segment, Terminology
from DeepSegmentLib.files.segmentations.seg_nrrd import read_seg_nrrd, write_seg_nrrd

pytest.importorskip("slicer_core")
slicer = pytest.importorskip("slicer")

ANATOMY = Code("SCT", "123037004", "Anatomical Structure")
ENTRY = (
    "Segmentation category and type - 3D Slicer General Anatomy list~SCT^123037004^Anatomical Structure~"
    "SCT^119406000^Thalamus~SCT^24028007^Right~Anatomic codes - DICOM master list~^^~^^"
)


@pytest.fixture(params=[1, 2], ids=["one layer", "two layers"])
def label_map(request):
    """Segments on an oblique, anisotropic grid; one of them empty, one with an odd name."""
    turn = np.array([[np.cos(0.3), -np.sin(0.3), 0], [np.sin(0.3), np.cos(0.3), 0], [0, 0, -1]])
    affine = np.eye(4)
    affine[:3, :3] = turn * (3.0, 1.0, 0.5)
    affine[:3, 3] = (12, -7, 30)
    layers = np.zeros((request.param, 6, 7, 8), np.uint8)
    layers[0, 1:3, 2:5, 3:7] = 1
    layers[0, 4, 1:3, 2:4] = 9
    layers[-1, 2:4, 3:6, 2:5] = 5
    terminology = Terminology(ANATOMY, Code("SCT", "119406000", "Thalamus"), Code("SCT", "24028007", "Right"))
    segments = (
        Segment("Thalamus, right", 1, (122, 101, 38), terminology),
        Segment("größe ≥ 3 mm", 9, (255, 0, 1)),
        Segment("empty", 7, (1, 2, 3)),
        Segment("over", 5, (9, 99, 199), layer=request.param - 1),
    )
    return LabelMap(layers, Geometry((6, 7, 8), affine), segments)


@pytest.fixture
def node():
    """A segmentation node in a scene, with its storage node."""
    scene = slicer.vtkMRMLScene()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage = scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    node.SetAndObserveStorageNodeID(storage.GetID())
    yield node
    scene.Clear(1)


def _mask_in_ras(node, segment_id):
    """RAS positions of a segment's voxels, by VTK's own matrices."""
    from vtk import vtkMatrix4x4
    from vtk.util.numpy_support import vtk_to_numpy

    image = slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation(segment_id, image)
    i0, i1, j0, j1, k0, k1 = image.GetExtent()
    if i1 < i0:
        return np.zeros((0, 3))
    voxels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(k1 - k0 + 1, j1 - j0 + 1, i1 - i0 + 1)
    matrix = vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    affine = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
    ijk = np.argwhere(voxels)[:, ::-1] + (i0, j0, k0)
    return ijk @ affine[:3, :3].T + affine[:3, 3]


def _terminology_entry(segment):
    from vtk import reference

    text = reference("")
    assert segment.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), text)
    return str(text)


def _sorted(points):
    return np.array(sorted(map(tuple, np.round(points, 3).tolist()))).reshape(-1, 3)


def test_slicer_reads_what_we_write(tmp_path, label_map, node):
    path = tmp_path / "a.seg.nrrd"
    write_seg_nrrd(label_map, path, {"model": "brain-mr"})
    node.GetStorageNode().SetFileName(str(path))
    assert node.GetStorageNode().ReadData(node) == 1
    segmentation = node.GetSegmentation()
    assert segmentation.GetNumberOfSegments() == len(label_map.segments)
    for n, segment in enumerate(label_map.segments):
        theirs = segmentation.GetNthSegment(n)
        assert theirs.GetName() == segment.name
        assert np.allclose(theirs.GetColor(), np.array(segment.color) / 255, atol=1e-5)
        ours = label_map.geometry.index_to_ras(np.argwhere(label_map.mask(segment)).reshape(-1, 3))
        assert np.allclose(_sorted(_mask_in_ras(node, segmentation.GetNthSegmentID(n))), _sorted(ours), atol=2e-3)
    assert _terminology_entry(segmentation.GetNthSegment(0)) == ENTRY


def test_we_read_what_slicer_writes(tmp_path, label_map, node):
    first, again = tmp_path / "a.seg.nrrd", tmp_path / "b.seg.nrrd"
    write_seg_nrrd(label_map, first)
    node.GetStorageNode().SetFileName(str(first))
    node.GetStorageNode().ReadData(node)
    node.GetStorageNode().SetFileName(str(again))
    assert node.GetStorageNode().WriteData(node) == 1
    read = read_seg_nrrd(again)
    for segment in label_map.segments:
        theirs = read.segment(segment.name)
        assert theirs.color == segment.color
        assert theirs.terminology == segment.terminology or segment.terminology is None
        ours = label_map.geometry.index_to_ras(np.argwhere(label_map.mask(segment)).reshape(-1, 3))
        found = read.geometry.index_to_ras(np.argwhere(read.mask(theirs)).reshape(-1, 3))
        assert np.allclose(_sorted(found), _sorted(ours), atol=2e-3)
