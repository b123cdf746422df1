"""Where nodes stand: in the scene and in its subject hierarchy."""

from __future__ import annotations

from typing import Any

from DeepSegmentLib.errors import InvalidInputError


def place_beside(scene: Any, node: Any, neighbor: Any) -> None:
    """Put a node into the folder, study or patient that another one stands in; nothing in a scene without hierarchy."""
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    if hierarchy is None:
        return
    item, beside = hierarchy.GetItemByDataNode(node), hierarchy.GetItemByDataNode(neighbor)
    if item and beside:
        hierarchy.SetItemParent(item, hierarchy.GetItemParent(beside))


def check_present(scene: Any, node: Any) -> None:
    """Raises InvalidInputError where a node is not, or no longer, in the scene."""
    if not scene.IsNodePresent(node):
        raise InvalidInputError(f"{node.GetName()!r} was removed from the scene; choose another node and run again")
