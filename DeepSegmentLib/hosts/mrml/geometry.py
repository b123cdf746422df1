"""Where the voxels of nodes are: VTK's matrices, extents and parent transforms to `Geometry` and back.

VTK counts (i, j, k) and speaks RAS; only the order of the axes differs from ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.data import Geometry
from DeepSegmentLib.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_REVERSED = [2, 1, 0, 3]  # columns (i, j, k, 1) to (k, j, i, 1)


def local_geometry(node: Any) -> Geometry:
    """The voxel grid of a volume node in the node's own space, whatever its parent transform.

    Raises:
        InvalidInputError: The node has no voxels.
    """
    import vtk

    image = node.GetImageData()
    if image is None or min(image.GetDimensions()) < 1:
        raise InvalidInputError(f"volume {node.GetName()!r} has no voxels; load it again or choose another one")
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    i, j, k = image.GetDimensions()
    return Geometry((k, j, i), to_array(matrix)[:, _REVERSED])


def world_geometry(node: Any) -> Geometry:
    """The voxel grid in the scene's space under a linear parent transform; in the node's own space under others.

    A grid cannot follow a warp. Results are written on the node's own grid and under the same transform, so they lie
    on the anatomy either way; a linear transform is applied because it decides which way the patient faces.
    """
    geometry = local_geometry(node)
    transform = node.GetParentTransformNode()
    if transform is None or not transform.IsTransformToWorldLinear():
        return geometry
    return Geometry(geometry.shape, to_world(node) @ geometry.affine)


def to_world(node: Any) -> NDArray[np.float64]:
    """4x4 matrix from the node's own space to the scene's; the identity under a non-linear transform."""
    import vtk

    transform = node.GetParentTransformNode()
    if transform is None or not transform.IsTransformToWorldLinear():
        return np.eye(4)
    matrix = vtk.vtkMatrix4x4()
    transform.GetMatrixTransformToWorld(matrix)
    return to_array(matrix)


def to_array(matrix: Any) -> NDArray[np.float64]:
    """A vtkMatrix4x4 as an array."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def to_matrix(array: NDArray[np.float64]) -> Any:
    """A 4x4 array as a vtkMatrix4x4."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(np.asarray(array, dtype=np.float64).ravel().tolist())
    return matrix


def lattice_of(image: Any) -> NDArray[np.float64]:
    """4x4 matrix of a vtkOrientedImageData from index (k, j, i) to millimetres in its node's space."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return to_array(matrix)[:, _REVERSED]


def image_to_world(geometry: Geometry) -> Any:
    """The matrix that VTK images take: from (i, j, k) to RAS millimetres."""
    return to_matrix(geometry.affine[:, _REVERSED])


def check_same_transform(node: Any, volume_node: Any) -> None:
    """Raises InvalidInputError where two nodes do not move together."""
    if node.GetTransformNodeID() != volume_node.GetTransformNodeID():
        raise InvalidInputError(
            f"{node.GetName()!r} and {volume_node.GetName()!r} are under different transforms; "
            "put both under the same one (module Transforms)"
        )
