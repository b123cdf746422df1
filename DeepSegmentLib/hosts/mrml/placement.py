"""Where nodes stand in the subject hierarchy."""

from __future__ import annotations

from typing import Any


def place_beside(scene: Any, node: Any, neighbor: Any) -> None:
    """Put a node into the folder, study or patient that another one stands in; nothing in a scene without hierarchy."""
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    if hierarchy is None:
        return
    item, beside = hierarchy.GetItemByDataNode(node), hierarchy.GetItemByDataNode(neighbor)
    if item and beside:
        hierarchy.SetItemParent(item, hierarchy.GetItemParent(beside))
