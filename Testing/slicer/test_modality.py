"""A volume node that came from DICOM says of which modality it is."""

import pytest
import slicer
from nodes import add_volume

from DeepSegmentLib.data import Geometry
from DeepSegmentLib.hosts.mrml.volumes import volume_from_nodes

GRID = Geometry.from_spacing((3, 4, 5), (1, 1, 1))


@pytest.mark.parametrize("modality", ["CT", ""])
def test_the_subject_hierarchy_tells(scene, modality):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    node = add_volume(scene, GRID)
    key = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
    if modality:
        item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
        hierarchy.SetItemAttribute(item, key, modality)
    assert volume_from_nodes([node]).modality == modality
    assert volume_from_nodes([node, add_volume(scene, GRID)]).modality == ""
