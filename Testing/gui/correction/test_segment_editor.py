"""A scripted effect in the stand-in Segment Editor: real events of real views, the real editing logic."""

import sys

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials", exc_type=ImportError)

import slicer
from host.widgets.mouse import Mouse, place_of

from DeepSegmentLib.hosts.mrml.geometry import local_geometry
from DeepSegmentLib.hosts.mrml.segmentations.segments import mask_of

DOT = '''
"""Puts one voxel where the user clicks."""

import qt
import slicer
import vtk
from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect


class DotEffect(AbstractScriptedSegmentEditorEffect):
    def __init__(self, scriptedEffect):
        scriptedEffect.name = "Dot"
        scriptedEffect.title = "Dot"
        scriptedEffect.perSegment = True
        scriptedEffect.requireSegments = True
        AbstractScriptedSegmentEditorEffect.__init__(self, scriptedEffect)
        self.log = []

    def clone(self):
        import qSlicerSegmentationsEditorEffectsPythonQt as effects

        made = effects.qSlicerSegmentEditorScriptedEffect(None)
        made.setPythonSource(__file__.replace("\\\\", "/"))
        return made

    def helpText(self):
        return "Puts a dot"

    def setupOptionsFrame(self):
        self.sizeBox = qt.QSpinBox()
        self.scriptedEffect.addLabeledOptionsWidget("Size:", self.sizeBox)
        self.sizeBox.connect("valueChanged(int)", self.updateMRMLFromGUI)

    def setMRMLDefaults(self):
        self.scriptedEffect.setParameterDefault("Size", 1)

    def updateGUIFromMRML(self):
        self.sizeBox.value = self.scriptedEffect.integerParameter("Size")

    def updateMRMLFromGUI(self):
        self.scriptedEffect.setParameter("Size", self.sizeBox.value)

    def activate(self):
        self.log.append("activate")

    def deactivate(self):
        self.log.append("deactivate")

    def processInteractionEvents(self, interactor, event, viewWidget):
        if event == vtk.vtkCommand.KeyPressEvent:
            raise RuntimeError("no keys")
        if event != vtk.vtkCommand.LeftButtonPressEvent or viewWidget.className() != "qMRMLSliceWidget":
            return False
        if interactor.GetShiftKey():
            return None
        self.scriptedEffect.saveStateForUndo()
        image = self.scriptedEffect.defaultModifierLabelmap()
        ijk = self.xyToIjk(interactor.GetEventPosition(), viewWidget, image)
        image.GetPointData().GetScalars().Fill(0)
        image.SetScalarComponentFromDouble(*ijk, 0, 1)
        image.Modified()
        self.log.append(tuple(ijk))
        mode = self.scriptedEffect.ModificationModeAdd
        self.scriptedEffect.modifySelectedSegmentByLabelmap(image, mode)
        return True
'''


@pytest.fixture
def volume(host):
    """An oblique volume of 12 x 14 x 10 voxels."""
    voxels = np.random.default_rng(0).normal(size=(10, 14, 12)).astype(np.float32)
    turn = np.array([[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.diag([2.0, 1.5, 3.0])
    return slicer.util.addVolumeFromArray(voxels, ijkToRAS=matrix)


@pytest.fixture
def segmentation(volume):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.GetSegmentation().AddEmptySegment("a", "A")
    node.GetSegmentation().AddEmptySegment("b", "B")
    return node


@pytest.fixture
def editor(host, tmp_path, segmentation, volume):
    """The editor with the effect registered, as a module's start does."""
    folder = tmp_path / "DotEffectLib"
    folder.mkdir()
    path = folder / "DotEffect.py"
    path.write_text(DOT)
    effect = slicer.qSlicerSegmentEditorScriptedEffect(None)
    effect.setPythonSource(path.as_posix())
    effect.self().register()
    yield host.open_segment_editor(segmentation, volume)
    del sys.modules["DotEffectLib"], slicer.DotEffectLib


def dots(node, volume, segment):
    return int(mask_of(node, segment, local_geometry(volume)).sum())


def test_an_effect_is_cloned_into_the_editor(editor):
    assert "Dot" in editor.availableEffectNames()
    assert editor.activeEffect() is None
    assert editor.effectByName("Dot").helpText() == "Puts a dot"


def test_an_effect_is_activated_by_the_button_and_shows_its_options(host, editor):
    editor.setActiveEffectByName("Dot")
    effect = editor.activeEffect()
    assert effect.name == "Dot"
    assert effect.self().log == ["activate"]
    assert effect.active()
    editor.setActiveEffectByName("")
    assert effect.self().log == ["activate", "deactivate"]
    assert editor.activeEffect() is None


def test_an_effect_that_needs_segments_is_not_activated_without(editor, segmentation):
    segmentation.GetSegmentation().RemoveAllSegments()
    editor.setActiveEffectByName("Dot")
    assert editor.activeEffect() is None


def test_parameters_are_attributes_of_the_node(editor):
    editor.setActiveEffectByName("Dot")
    effect, node = editor.activeEffect(), editor.mrmlSegmentEditorNode()
    assert node.GetAttribute("Dot.Size") == "1"
    effect.self().sizeBox.value = 7
    assert node.GetAttribute("Dot.Size") == "7"
    effect.setParameter("Size", 3)
    assert effect.self().sizeBox.value == 3
    effect.setParameter("Scale", 1 / 3)
    assert effect.parameter("Scale") == "0.333333"
    assert effect.doubleParameter("Scale") == pytest.approx(1 / 3, rel=1e-5)
    assert not effect.parameterDefined("Nothing")
    with pytest.raises(ValueError, match="no parameter 'Nothing'"):
        effect.parameter("Nothing")


@pytest.mark.parametrize("name", ["Red", "Green", "Yellow"])
def test_a_click_reaches_the_voxel_under_it(host, editor, segmentation, volume, name):
    """The voxel is known from the slice node's matrix and the volume's, not from the effect's own conversion."""
    editor.setActiveEffectByName("Dot")
    view = host.open_views()[name]
    to_ras = local_geometry(volume).affine
    expected = (4, 8, 5)
    ras = to_ras @ (*expected, 1)
    view.node.JumpSliceByCentering(*ras[:3])
    Mouse(host, view).click(*place_of(view.node, ras[:3]))
    assert editor.activeEffect().self().log[-1] == expected[::-1]
    assert mask_of(segmentation, "a", local_geometry(volume))[expected]


def test_edits_go_to_the_selected_segment_and_are_undone(host, editor, segmentation, volume):
    editor.setActiveEffectByName("Dot")
    mouse = Mouse(host, host.open_views()["Red"])
    mouse.click(200, 245)
    editor.setCurrentSegmentID("b")
    mouse.click(220, 245)
    assert (dots(segmentation, volume, "a"), dots(segmentation, volume, "b")) == (1, 1)
    editor.undo()
    assert (dots(segmentation, volume, "a"), dots(segmentation, volume, "b")) == (1, 0)
    editor.undo()
    assert dots(segmentation, volume, "a") == 0
    editor.redo()
    assert dots(segmentation, volume, "a") == 1


def test_masking_holds(host, editor, segmentation, volume):
    node = editor.mrmlSegmentEditorNode()
    node.SetMaskMode(slicer.vtkMRMLSegmentationNode.EditAllowedInsideVisibleSegments)
    editor.setActiveEffectByName("Dot")
    Mouse(host, host.open_views()["Red"]).click(200, 245)
    assert dots(segmentation, volume, "a") == 0


def test_an_event_that_the_effect_takes_reaches_nobody_else(host, editor):
    editor.setActiveEffectByName("Dot")
    view, seen = host.open_views()["Red"], []
    view.interactor.AddObserver("LeftButtonPressEvent", lambda *_: seen.append("press"), 0.5)
    view.interactor.AddObserver("MouseMoveEvent", lambda *_: seen.append("move"), 0.5)
    mouse = Mouse(host, view)
    mouse.click(200, 245)
    assert seen == ["move"]
    editor.setActiveEffectByName("")
    mouse.click(200, 245)
    assert seen == ["move", "move", "press"]


def test_other_mouse_modes_end_the_effect(editor):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLInteractionNode")
    editor.setInteractionNode(node)
    editor.setActiveEffectByName("Dot")
    node.SetCurrentInteractionMode(node.Place)
    assert editor.activeEffect() is None


def test_errors_in_an_effect_are_not_swallowed(host, editor, capsys):
    editor.setActiveEffectByName("Dot")
    mouse = Mouse(host, host.open_views()["Red"])
    with pytest.raises(RuntimeError, match="no keys"):
        mouse.key("a")
    mouse.hold(shift=True)
    with pytest.raises(TypeError, match="must give a bool"):
        mouse.click(200, 245)
    assert "no keys" in capsys.readouterr().err


def test_a_hidden_segment_is_shown_when_confirmed(editor, segmentation):
    editor.setActiveEffectByName("Dot")
    effect, display = editor.activeEffect(), segmentation.GetDisplayNode()
    assert effect.confirmCurrentSegmentVisible() == effect.ConfirmedWithoutDialog
    display.SetSegmentVisibility("a", False)
    assert effect.confirmCurrentSegmentVisible() == effect.ConfirmedWithDialog
    assert display.GetSegmentVisibility("a")


def test_an_effect_finds_views_and_draws_in_them(host, editor):
    import vtk

    editor.setActiveEffectByName("Dot")
    effect, widget = editor.activeEffect(), slicer.app.layoutManager().sliceWidget("Green")
    assert effect.viewNode(widget) is host.open_views()["Green"].node
    actor = vtk.vtkActor2D()
    effect.addActor2D(widget, actor)
    assert effect.renderer(widget).HasViewProp(actor)
    effect.removeActor2D(widget, actor)
    assert not effect.renderer(widget).HasViewProp(actor)
    assert effect.sliceSpacing(widget) > 0


def test_places_convert_both_ways(editor):
    widget = slicer.app.layoutManager().sliceWidget("Red")
    editor.setActiveEffectByName("Dot")
    effect = editor.activeEffect().self()
    ras = effect.xyToRas((150, 220), widget)
    back = effect.rasToXy(ras, widget)
    assert np.abs(np.subtract(back, (150, 220))).max() <= 1


def test_the_source_of_an_effect_takes_the_place_of_a_module_named_as_its_folder(host, editor, tmp_path):
    """A file in a package would replace the package: effects live in folders of their own."""
    assert slicer.DotEffectLib.scriptedEffect.name == "Dot"
    assert sys.modules["DotEffectLib"].__file__.endswith("DotEffect.py")
    effect = slicer.qSlicerSegmentEditorScriptedEffect(None)
    with pytest.raises(ValueError, match=r"\.py"):
        effect.setPythonSource(str(tmp_path / "DotEffect.txt"))


def test_the_stand_in_offers_slicer_s_names_only(editor):
    effect = editor.effectByName("Dot")
    with pytest.raises(AttributeError, match=r"no qSlicerSegmentEditorScriptedEffect\.processInteractionEvents"):
        effect.processInteractionEvents(None, 0, None)
    with pytest.raises(AttributeError, match="no property"):
        effect.mine = 1
    with pytest.raises(AttributeError, match="type bool"):
        effect.perSegment = "yes"
    with pytest.raises(AttributeError, match="no qMRMLSegmentEditorWidget"):
        editor.nonsense()
