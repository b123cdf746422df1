"""Nodes for tests: volumes on any grid, under any transform."""

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from DeepSegmentLib.hosts.mrml.geometry import image_to_world, to_matrix


def add_volume(scene, geometry, voxels=None, name="volume"):
    """A scalar volume node on a grid; its voxels count from 0 unless given."""
    if voxels is None:
        voxels = np.arange(np.prod(geometry.shape), dtype=np.float32).reshape(geometry.shape)
    image = vtk.vtkImageData()
    image.SetDimensions(*geometry.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(voxels).ravel(), deep=True))
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetIJKToRASMatrix(image_to_world(geometry))
    node.SetAndObserveImageData(image)
    node.CreateDefaultDisplayNodes()
    return node


def add_linear_transform(scene, matrix):
    """A linear transform node with a 4x4 matrix to its parent."""
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "linear")
    node.SetMatrixTransformToParent(to_matrix(matrix))
    return node


def add_warp(scene, seed=0):
    """A thin-plate spline that moves points by some millimetres."""
    rng = np.random.default_rng(seed)
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for point in rng.uniform(-60, 60, (8, 3)):
        source.InsertNextPoint(*point)
        target.InsertNextPoint(*(point + rng.uniform(-6, 6, 3)))
    spline = vtk.vtkThinPlateSplineTransform()
    spline.SetSourceLandmarks(source)
    spline.SetTargetLandmarks(target)
    spline.SetBasisToR()
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode", "warp")
    node.SetAndObserveTransformToParent(spline)
    return node


def world_centers(node, segment_id):
    """RAS positions in the scene of the voxels of a segment, through Slicer's own transforms."""
    image = node.GetBinaryLabelmapInternalRepresentation(segment_id)
    value = node.GetSegmentation().GetSegment(segment_id).GetLabelValue()
    extent, matrix = image.GetExtent(), vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    to_world = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(node.GetParentTransformNode(), None, to_world)
    points = []
    for k in range(extent[4], extent[5] + 1):
        for j in range(extent[2], extent[3] + 1):
            for i in range(extent[0], extent[1] + 1):
                if image.GetScalarComponentAsDouble(i, j, k, 0) == value:
                    local = matrix.MultiplyPoint((i, j, k, 1))[:3]
                    points.append(to_world.TransformPoint(local))
    return np.array(points)


def points_of(node, segment_id):
    """Positions in the node's space of the voxels of a segment, through VTK alone; rounded to micrometers."""
    image = slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation(segment_id, image)
    if image.IsEmpty():
        return set()
    matrix, extent = vtk.vtkMatrix4x4(), image.GetExtent()
    image.GetImageToWorldMatrix(matrix)
    labels = vtk_to_numpy(image.GetPointData().GetScalars())
    shape = [extent[2 * n + 1] - extent[2 * n] + 1 for n in (2, 1, 0)]
    index = np.argwhere(labels.reshape(shape))[:, ::-1] + extent[::2]
    affine = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
    return {tuple(point) for point in np.round(index @ affine[:3, :3].T + affine[:3, 3], 3).tolist()}


def stray_labels(node):
    """Labels in the images of a segmentation that belong to no segment."""
    segmentation = node.GetSegmentation()
    owned, found = set(), set()
    for n in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(n)
        image = segment.GetRepresentation("Binary labelmap")
        owned.add((image, segment.GetLabelValue()))
        if not image.IsEmpty():
            found |= {(image, int(value)) for value in np.unique(vtk_to_numpy(image.GetPointData().GetScalars()))}
    return {(image, value) for image, value in found - owned if value}


def surface_bounds(node):
    """Number of points and bounds of the surface of each segment."""
    segmentation = node.GetSegmentation()
    surfaces = [
        segmentation.GetNthSegment(n).GetRepresentation("Closed surface")
        for n in range(segmentation.GetNumberOfSegments())
    ]
    return [(surface.GetNumberOfPoints(), surface.GetBounds()) for surface in surfaces]
