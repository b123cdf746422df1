"""4D volumes and tables on real MRML."""

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="needs slicer-core")

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.hosts.mrml.geometry import image_to_world
from DeepSegmentLib.hosts.mrml.segmentations.nodes import label_map_from_node
from DeepSegmentLib.hosts.mrml.sequences import frame_count, frame_node, new_segmentation_sequence, write_frame
from DeepSegmentLib.hosts.mrml.tables import write_table
from DeepSegmentLib.hosts.mrml.volumes import volume_from_nodes, write_volume_node

GEOMETRY = Geometry.from_spacing((4, 5, 6), (3.0, 1.0, 2.0))


@pytest.fixture
def sequence(scene):
    """Three frames whose voxels are 0, 1 and 2, with a browser."""
    node = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "movie")
    node.SetIndexName("time")
    node.SetIndexUnit("s")
    for n in range(3):
        frame = slicer.vtkMRMLScalarVolumeNode()
        frame.SetIJKToRASMatrix(image_to_world(GEOMETRY))
        frame.SetAndObserveImageData(_image(n))
        node.SetDataNodeAtValue(frame, str(0.5 * n))
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    browser.AddSynchronizedSequenceNodeID(node.GetID())
    return node


def _image(value):
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    image = vtk.vtkImageData()
    image.SetDimensions(6, 5, 4)
    image.GetPointData().SetScalars(numpy_to_vtk(np.full(120, value, np.int16), deep=True))
    return image


def test_frames_come_one_by_one(sequence):
    assert frame_count(sequence) == 3
    for n in range(3):
        volume = volume_from_nodes([frame_node(sequence, n)])
        assert volume.geometry.is_close(GEOMETRY, tolerance_mm=1e-9)
        assert (volume.voxels == n).all()
    with pytest.raises(InvalidInputError, match="no frame 3"):
        frame_node(sequence, 3)


def test_results_play_with_the_volume(scene, sequence):
    target = new_segmentation_sequence(scene, sequence, "movie segmentation")
    segments = (Segment("A", 1), Segment("B", 1, layer=1))
    for n in range(3):
        layers = np.zeros((2, *GEOMETRY.shape), np.uint8)
        layers[0, : n + 1] = 1
        layers[1, :, : n + 1] = 1
        label_map = LabelMap(layers, GEOMETRY, segments)
        write_frame(scene, target, sequence, n, label_map=label_map, provenance={"model": "m"})
    assert target.GetNumberOfDataNodes() == 3
    for n in range(3):
        node = target.GetNthDataNode(n)
        assert target.GetNthIndexValue(n) == sequence.GetNthIndexValue(n)
        back = label_map_from_node(node, frame_node(sequence, n))
        assert back.mask(back.segment("A")).sum() == 30 * (n + 1)
        assert back.mask(back.segment("B")).sum() == 24 * (n + 1)
        assert node.GetAttribute("DeepSegment.model") == "m"
    browser = scene.GetFirstNodeByClass("vtkMRMLSequenceBrowserNode")
    assert browser.IsSynchronizedSequenceNodeID(target.GetID(), True)


def test_maps_lie_on_their_volume(scene, sequence):
    volume_node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "head")
    volume_node.SetIJKToRASMatrix(image_to_world(GEOMETRY))
    volume_node.SetAndObserveImageData(_image(7))
    voxels = np.random.default_rng(0).random((1, *GEOMETRY.shape), dtype=np.float32)
    node = write_volume_node(scene, Volume(voxels, GEOMETRY), volume_node, "uncertainty")
    back = volume_from_nodes([node])
    assert back.geometry.is_close(GEOMETRY, tolerance_mm=1e-9)
    assert np.array_equal(back.voxels, voxels)
    with pytest.raises(InvalidInputError, match="shape"):
        write_volume_node(scene, Volume(voxels[:, :2], GEOMETRY.crop(_box())), volume_node, "half")


def _box():
    from DeepSegmentLib.data import Box

    return Box((0, 0, 0), (2, 5, 6))


def test_rows_become_typed_columns(scene):
    rows = [
        {"segment": "A", "voxels": 3, "volume [ml]": 0.5},
        {"segment": "B", "voxels": 0, "volume [ml]": 2},
    ]
    node = write_table(scene, "measures", rows)
    table = node.GetTable()
    assert table.GetNumberOfRows() == 2
    assert [table.GetColumnName(n) for n in range(3)] == ["segment", "voxels", "volume [ml]"]
    assert table.GetColumn(0).GetValue(1) == "B"
    assert [table.GetColumn(2).GetValue(n) for n in range(2)] == [0.5, 2.0]
    assert node.GetColumnUnitLabel("volume [ml]") == "ml"
    assert write_table(scene, "measures", [], node) is node
    assert node.GetTable().GetNumberOfColumns() == 0
