"""Which volumes the panel offers and chooses by itself."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials", exc_type=ImportError)

import slicer
from nodes import add_volume

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.hosts.mrml.volumes import is_map, write_volume_node

GRID = Geometry.from_spacing((4, 5, 6), (1, 1, 1))


def add(name):
    return add_volume(slicer.mrmlScene, GRID, np.zeros(GRID.shape, np.int16), name)


def add_map(like):
    uncertainty = Volume(np.zeros((1, *GRID.shape), np.float32), GRID)
    return write_volume_node(slicer.mrmlScene, uncertainty, like, f"{like.GetName()} uncertainty")


def offered(selector):
    return [selector.nodeFromIndex(n).GetName() for n in range(selector.nodeCount())]


def test_a_new_volume_is_chosen_where_none_was(host, module):
    selector = module[0].panel.ui.volumeSelector
    assert selector.currentNode() is None
    first = add("first")
    host.process_events()
    assert selector.currentNode() is first
    add("second")
    host.process_events()
    assert selector.currentNode() is first
    assert offered(selector) == ["first", "second"]


def test_volumes_that_come_in_a_batch_are_chosen_when_it_ends(host, module):
    selector, scene = module[0].panel.ui.volumeSelector, slicer.mrmlScene
    scene.StartState(scene.BatchProcessState)
    first = add("first")
    host.process_events()
    assert selector.currentNode() is None
    scene.EndState(scene.BatchProcessState)
    host.process_events()
    assert selector.currentNode() is first


def test_what_cannot_be_segmented_is_not_chosen(host, module):
    hidden = slicer.vtkMRMLScalarVolumeNode()
    hidden.SetHideFromEditors(True)
    slicer.mrmlScene.AddNode(hidden)
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    host.process_events()
    assert module[0].panel.parameters.volume is None
    module[0].panel.ui.volumeSelector.setCurrentNode(empty)
    host.process_events()
    assert "no voxels" in module[0].panel.ui.preflightLabel.text


def test_maps_are_never_offered_also_after_saving_and_loading(host, module, tmp_path):
    ui = module[0].panel.ui
    node = add("scan")
    add_map(node)
    host.process_events()
    for selector in (ui.volumeSelector, ui.batchVolumesSelector):
        assert offered(selector) == ["scan"]
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    assert slicer.mrmlScene.Commit()
    slicer.mrmlScene.Clear(0)
    host.process_events()
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    assert slicer.mrmlScene.Connect()
    host.process_events()
    assert sum(is_map(node) for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")) == 1
    for selector in (ui.volumeSelector, ui.batchVolumesSelector):
        assert offered(selector) == ["scan"]


def test_ticks_of_the_batch_stay_when_a_volume_comes(host, module):
    selector = module[0].panel.ui.batchVolumesSelector
    node = add("scan")
    host.process_events()
    selector.check(node)
    add_map(node)
    add("other")
    host.process_events()
    assert [ticked.GetName() for ticked in selector.checkedNodes()] == ["scan"]
