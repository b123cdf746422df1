"""Volume nodes to `Volume`, and maps back to volume nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.data import Volume
from DeepSegmentLib.errors import InvalidInputError

from .geometry import local_geometry, world_geometry
from .scene_folders import place_beside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


_MAP = "DeepSegment.map"
"""Attribute of the volume nodes that are maps; saved with the scene."""

_LEAST_SHOWN = 0.2
"""Maps of 0 to 1 are see-through below."""


def volume_from_nodes(nodes: Sequence[Any]) -> Volume:
    """One or more volume nodes as the channels of a volume.

    One node is not copied: its voxels are shared with the scene until the node gets other ones.

    Args:
        nodes: vtkMRMLScalarVolumeNode or vtkMRMLVectorVolumeNode (a channel for each component), on one grid and
            under one transform.

    Returns:
        Voxels (channel, k, j, i) in the scene's space (see `world_geometry`).

    Raises:
        InvalidInputError: A node is missing or empty, or the grids differ.
    """
    if not nodes or any(node is None for node in nodes):
        raise InvalidInputError("a volume is missing; choose one for each channel")
    geometry = world_geometry(nodes[0])
    for node in nodes[1:]:
        if not world_geometry(node).is_close(geometry) or _warp_of(node) != _warp_of(nodes[0]):
            raise InvalidInputError(
                f"volume {node.GetName()!r} is not on the grid of {nodes[0].GetName()!r}; "
                "resample it onto that grid first (module Resample Scalar/Vector/DWI Volume)"
            )
    channels = [voxels_of(node) for node in nodes]
    voxels = channels[0] if len(channels) == 1 else np.concatenate(channels)
    modalities = {modality_of(node) for node in nodes}
    modality = modalities.pop() if len(modalities) == 1 else ""
    return Volume(voxels, geometry, str(nodes[0].GetName()), modality=modality)


def modality_of(node: Any) -> str:
    """The DICOM modality of a volume node, as the subject hierarchy has it; empty where it was not read from DICOM."""
    import slicer

    # Not GetSubjectHierarchyNode, which adds one to a scene that has none: asking changes nothing.
    hierarchy = node.GetScene().GetFirstNodeByClass("vtkMRMLSubjectHierarchyNode") if node.GetScene() else None
    if hierarchy is None:
        return ""
    item = hierarchy.GetItemByDataNode(node)
    key = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
    return str(hierarchy.GetItemAttribute(item, key)) if item else ""


def _warp_of(node: Any) -> str | None:
    """ID of the non-linear transform that a node is under."""
    transform = node.GetParentTransformNode()
    return None if transform is None or transform.IsTransformToWorldLinear() else str(transform.GetID())


def local_volume(node: Any) -> Volume:
    """A volume node in its own space, whatever its parent transform; its voxels are shared."""
    return Volume(voxels_of(node), local_geometry(node), str(node.GetName()))


def voxels_of(node: Any) -> NDArray[Any]:
    """Voxels (channel, k, j, i) of a volume node, shared with it."""
    from vtk.util.numpy_support import vtk_to_numpy

    shape = local_geometry(node).shape
    scalars = node.GetImageData().GetPointData().GetScalars()
    if scalars is None:
        raise InvalidInputError(f"volume {node.GetName()!r} has no voxels; load it again or choose another one")
    flat = np.asarray(vtk_to_numpy(scalars))
    return np.moveaxis(flat.reshape(*shape, -1), -1, 0)


def region_of(roi: Any, volume_node: Any) -> NDArray[np.float64]:
    """Two opposite corners (2, 3) of the block around a region, in the space of `volume_from_nodes`, in RAS mm.

    Args:
        roi: vtkMRMLMarkupsROINode; of a turned one, the block around it.
        volume_node: The volume to segment.

    Raises:
        InvalidInputError: The region is empty.
    """
    bounds = [0.0] * 6
    roi.GetRASBounds(bounds)
    low, high = np.array(bounds[::2]), np.array(bounds[1::2])
    if not (high > low).all():
        raise InvalidInputError(f"region {roi.GetName()!r} is empty; draw it anew")
    transform = volume_node.GetParentTransformNode()
    if transform is None or transform.IsTransformToWorldLinear():
        return np.array([low, high])
    return _box_in_node(transform, low, high)


def _box_in_node(transform: Any, low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    """The block around a block of the scene, seen from under a non-linear transform; the block's surface is sampled."""
    import vtk

    from_world = vtk.vtkGeneralTransform()
    transform.GetTransformFromWorld(from_world)
    steps = np.stack(np.meshgrid(*[np.linspace(a, b, 9) for a, b in zip(low, high, strict=True)]), -1).reshape(-1, 3)
    points = np.array([from_world.TransformPoint(point) for point in steps.tolist()])
    return np.array([points.min(axis=0), points.max(axis=0)])


def write_volume_node(scene: Any, volume: Volume, like: Any, name: str, *, color: str = "", node: Any = None) -> Any:
    """A scalar volume node with the first channel of a map, such as the uncertainty; see `is_map`.

    Args:
        scene: Where it goes.
        volume: On the grid of `like`, such as a probability or uncertainty map.
        like: The volume node it was made of: gives grid, transform and place in the subject hierarchy.
        name: Of the node.
        color: ID of a colour node of the scene; empty for grey.
        node: One from an earlier call, of the same `like`, to be written anew; None for a new one.

    Raises:
        InvalidInputError: The volume is not on the grid of `like`.
    """
    import slicer
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    geometry = local_geometry(like)
    if volume.geometry.shape != geometry.shape:
        raise InvalidInputError(f"{name!r} has shape {volume.geometry.shape}, {like.GetName()!r} has {geometry.shape}")
    k, j, i = geometry.shape
    image = vtk.vtkImageData()
    image.SetDimensions(i, j, k)
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(volume.voxels[0]).ravel(), deep=True))
    if node is not None:
        node.SetAndObserveImageData(image)
        return node
    node = slicer.vtkMRMLScalarVolumeNode()
    node.SetName(scene.GenerateUniqueName(name))
    node.SetAttribute(_MAP, "yes")  # before it is in the scene, where selectors look at it at once
    scene.AddNode(node)
    matrix = vtk.vtkMatrix4x4()
    like.GetIJKToRASMatrix(matrix)
    node.SetIJKToRASMatrix(matrix)
    node.SetAndObserveTransformNodeID(like.GetTransformNodeID())
    node.CreateDefaultDisplayNodes()
    _show_as_map(node, color)
    node.SetAndObserveImageData(image)  # last: else Slicer looks for a window in all voxels
    place_beside(scene, node, like)
    return node


def is_map(node: Any) -> bool:
    """Whether a volume node is a map that was made here, and no scan to segment."""
    return node.GetAttribute(_MAP) is not None


def _show_as_map(node: Any, color: str) -> None:
    """Window 0 to 1, zero see-through."""
    display = node.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevel(1.0, 0.5)
    if color:
        display.SetAndObserveColorNodeID(color)
    display.SetLowerThreshold(_LEAST_SHOWN)
    display.ApplyThresholdOn()


def in_scene(points_ras: NDArray[np.float64], volume_node: Any) -> NDArray[np.float64]:
    """Points (n, 3) in the space of `volume_from_nodes` moved to the scene's space.

    They differ only under a non-linear parent transform.
    """
    import vtk

    transform = volume_node.GetParentTransformNode()
    if transform is None or transform.IsTransformToWorldLinear():
        return points_ras
    general = vtk.vtkGeneralTransform()
    transform.GetTransformToWorld(general)
    return np.array([general.TransformPoint(point) for point in np.asarray(points_ras).tolist()]).reshape(-1, 3)
