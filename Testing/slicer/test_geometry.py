"""Volume nodes of any direction and transform, and results that lie on the anatomy."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from strategies import geometries

slicer = pytest.importorskip("slicer", reason="needs slicer-core")


from nodes import add_linear_transform, add_volume, add_warp, world_centers

from DeepSegmentLib.data import Geometry, LabelMap, Segment
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.hosts.mrml.geometry import image_to_world, local_geometry, to_array, world_geometry
from DeepSegmentLib.hosts.mrml.segmentations.nodes import label_map_from_node
from DeepSegmentLib.hosts.mrml.segmentations.writing import write_label_map
from DeepSegmentLib.hosts.mrml.volumes import in_scene, region_of, volume_from_nodes


def _rigid(seed):
    rng = np.random.default_rng(seed)
    axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    matrix = np.eye(4)
    matrix[:3, :3] = axes
    matrix[:3, 3] = rng.uniform(-50, 50, 3)
    return matrix


@given(geometries())
def test_a_grid_survives_the_way_through_a_node(geometry):
    scene = slicer.vtkMRMLScene()
    back = volume_from_nodes([add_volume(scene, geometry)])
    assert back.geometry.is_close(geometry, tolerance_mm=1e-6)
    assert np.array_equal(back.voxels.ravel(), np.arange(np.prod(geometry.shape)))


@given(geometries(), st.integers(0, 10**6))
def test_positions_are_those_of_simpleitk(geometry, seed):
    node = add_volume(slicer.vtkMRMLScene(), geometry)
    image = sitk.GetImageFromArray(np.zeros(geometry.shape, np.uint8))
    spacing, origin, direction = geometry.to_itk()
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(direction)
    k, j, i = np.random.default_rng(seed).integers(0, geometry.shape)
    lps = image.TransformIndexToPhysicalPoint((int(i), int(j), int(k)))
    ras = local_geometry(node).index_to_ras((k, j, i))
    assert np.allclose(ras, np.array(lps) * (-1, -1, 1), rtol=0, atol=1e-6)


def test_voxels_are_shared_with_the_scene(scene):
    node = add_volume(scene, Geometry.from_spacing((3, 4, 5), (1, 1, 1)))
    node.GetImageData().SetScalarComponentFromDouble(4, 3, 2, 0, -7)
    assert volume_from_nodes([node]).voxels[0, 2, 3, 4] == -7


@pytest.mark.parametrize("kind", ["none", "linear", "nested", "warp"])
@pytest.mark.parametrize("seed", range(4))
def test_results_lie_on_the_anatomy(scene, kind, seed):
    """A voxel of a segment is where the voxel of the volume that it was made of is, in the scene's space."""
    rng = np.random.default_rng(seed)
    geometry = Geometry((4, 5, 6), _rigid(seed) @ np.diag([3.0, 1.0, 2.0, 1.0]))
    node = add_volume(scene, geometry)
    if kind == "warp":
        node.SetAndObserveTransformNodeID(add_warp(scene, seed).GetID())
    elif kind != "none":
        transform = add_linear_transform(scene, _rigid(seed + 50))
        if kind == "nested":
            transform.SetAndObserveTransformNodeID(add_linear_transform(scene, _rigid(seed + 90)).GetID())
        node.SetAndObserveTransformNodeID(transform.GetID())
    volume = volume_from_nodes([node])
    labels = (rng.random((1, 4, 5, 6)) < 0.3).astype(np.uint8)
    written = write_label_map(scene, LabelMap(labels, volume.geometry, (Segment("A", 1),)), node)
    local = geometry.index_to_ras(np.argwhere(labels[0]))
    expected = []
    for point in local.tolist():
        world = [0.0, 0.0, 0.0]
        node.TransformPointToWorld(point, world)
        expected.append(world)
    assert np.allclose(world_centers(written.node, written.added[0]), expected, rtol=0, atol=1e-6)
    if kind != "warp":
        assert np.allclose(volume.geometry.index_to_ras(np.argwhere(labels[0])), expected, rtol=0, atol=1e-6)
    assert np.allclose(in_scene(volume.geometry.index_to_ras(np.argwhere(labels[0])), node), expected, atol=1e-6)
    back = label_map_from_node(written.node, node)
    assert np.array_equal(back.layers, labels)


def test_a_linear_transform_decides_which_way_the_patient_faces(scene):
    node = add_volume(scene, Geometry.from_spacing((4, 5, 6), (1, 1, 1)))
    turn = np.array([[-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    node.SetAndObserveTransformNodeID(add_linear_transform(scene, turn).GetID())
    assert local_geometry(node).orientation == "RAS"
    assert world_geometry(node).orientation == "LPS"


def test_a_vector_volume_gives_channels(scene):
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    voxels = np.random.default_rng(0).integers(0, 255, (2, 3, 4, 3), np.uint8)
    image = vtk.vtkImageData()
    image.SetDimensions(4, 3, 2)
    image.GetPointData().SetScalars(numpy_to_vtk(voxels.reshape(-1, 3), deep=True))
    node = scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "color")
    node.SetAndObserveImageData(image)
    assert np.array_equal(volume_from_nodes([node]).voxels, np.moveaxis(voxels, -1, 0))


def test_channels_must_share_a_grid(scene):
    geometry = Geometry.from_spacing((3, 4, 5), (1, 1, 1))
    first, second = add_volume(scene, geometry, name="t1"), add_volume(scene, geometry, name="t2")
    assert volume_from_nodes([first, second]).channels == 2
    other = add_volume(scene, Geometry.from_spacing((3, 4, 5), (1, 1, 1.5)), name="flair")
    with pytest.raises(InvalidInputError, match="'flair' is not on the grid of 't1'; resample"):
        volume_from_nodes([first, other])
    with pytest.raises(InvalidInputError, match="missing"):
        volume_from_nodes([first, None])


def test_an_empty_volume_is_refused(scene):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    with pytest.raises(InvalidInputError, match="'empty' has no voxels"):
        volume_from_nodes([node])


def test_a_region_is_the_block_around_the_roi(scene):
    roi = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "here")
    node = add_volume(scene, Geometry.from_spacing((3, 4, 5), (1, 1, 1)))
    roi.SetCenter(1.0, 2.0, 3.0)
    roi.SetSize(4.0, 6.0, 8.0)
    assert np.allclose(region_of(roi, node), [[-1, -1, -1], [3, 5, 7]], atol=1e-3)


def test_matrices_go_both_ways():
    geometry = Geometry((2, 3, 4), _rigid(3))
    assert np.allclose(to_array(image_to_world(geometry))[:, [2, 1, 0, 3]], geometry.affine)
