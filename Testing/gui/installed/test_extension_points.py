"""What the module adds to Slicer when it starts: right-click action, sample data, terminology."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials", exc_type=ImportError)

import slicer
import vtk

PLUGIN = """
from SubjectHierarchyPlugins import AbstractScriptedSubjectHierarchyPlugin


class {name}(AbstractScriptedSubjectHierarchyPlugin):
    filePath = __file__

    def __init__(self, scriptedPlugin):
        scriptedPlugin.name = "Wrong"
        AbstractScriptedSubjectHierarchyPlugin.__init__(self, scriptedPlugin)

    def canOwnSubjectHierarchyItem(self, itemID):
        return 0

    def roleForPlugin(self):
        return None
"""


@pytest.fixture
def started(host, module):
    """The loaded module after the end of the application's start."""
    host.complete_startup()
    return module


def image():
    return slicer.util.addVolumeFromArray(np.zeros((4, 5, 6), np.float32))


def test_a_volume_offers_to_be_segmented(host, started):
    volume = image()
    (action,) = host.open_context_menu(volume)
    assert action.text == "Segment with DeepSegment"


def test_the_action_opens_the_module_with_the_volume(host, started):
    first, second = image(), image()
    (action,) = host.open_context_menu(second)
    action.trigger()
    host.process_events()
    assert slicer.util.moduleSelector().selectedModule == "DeepSegment"
    assert started[0].panel.ui.volumeSelector.currentNode() is second is not first


@pytest.mark.parametrize("kind", ["vtkMRMLLabelMapVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLModelNode"])
def test_other_items_do_not(host, started, kind):
    image()
    assert host.open_context_menu(slicer.mrmlScene.AddNewNodeByClass(kind)) == []


def test_maps_of_uncertainty_do_not(host, started):
    from DeepSegmentLib.hosts.mrml.volumes import volume_from_nodes, write_volume_node

    volume = image()
    assert host.open_context_menu(write_volume_node(slicer.mrmlScene, volume_from_nodes([volume]), volume, "map")) == []


def test_the_action_is_hidden_again(host, started):
    volume, model = image(), slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode")
    assert len(host.open_context_menu(volume)) == 1
    assert host.open_context_menu(model) == []


def test_the_plugin_owns_nothing(started):
    plugin = slicer.qSlicerSubjectHierarchyPluginHandler.instance().pluginByName("DeepSegment")
    assert plugin.canOwnSubjectHierarchyItem(1) == 0.0
    assert plugin.roleForPlugin() == "N/A"
    assert slicer.DeepSegmentSubjectHierarchyPlugin is plugin.self()


def test_the_action_survives_a_reload(host, started):
    started[0].onReload()
    (action,) = host.open_context_menu(image())
    action.trigger()
    host.process_events()


def test_sample_data_has_a_checksum_and_a_picture(started):
    from SampleData import SampleDataLogic

    ours = [source for (category, _name), source in SampleDataLogic.sources.items() if category == "DeepSegment"]
    assert ours
    for source in ours:
        assert source["uris"].startswith("https://")
        assert source["checksums"].startswith("SHA256:")
        assert Path(source["thumbnailFileName"]).is_file()


def test_the_terminology_is_loaded(host, started):
    loaded = vtk.vtkStringArray()
    host.application.logics["Terminologies"].GetLoadedTerminologyNames(loaded)
    assert any("DeepSegment" in loaded.GetValue(n) for n in range(loaded.GetNumberOfValues()))


def test_answers_that_slicer_ignores_are_refused(host, tmp_path):
    path = tmp_path / "WrongSubjectHierarchyPlugin.py"
    path.write_text(PLUGIN.format(name="WrongSubjectHierarchyPlugin"))
    plugin = slicer.qSlicerSubjectHierarchyScriptedPlugin(None)
    assert plugin.setPythonSource(str(path))
    with pytest.raises(TypeError, match="float"):
        plugin.canOwnSubjectHierarchyItem(1)
    with pytest.raises(TypeError, match="text"):
        plugin.roleForPlugin()


def test_a_file_must_have_the_class_that_it_is_named_after(host, tmp_path):
    path = tmp_path / "NamelessSubjectHierarchyPlugin.py"
    path.write_text(PLUGIN.format(name="Other"))
    with pytest.raises(AttributeError, match="NamelessSubjectHierarchyPlugin"):
        slicer.qSlicerSubjectHierarchyScriptedPlugin(None).setPythonSource(str(path))
