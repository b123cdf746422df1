"""The panel's section Correct: points placed by real clicks, undo, locks, the way to the Segment Editor."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials", exc_type=ImportError)

import slicer
import vtk
from host.case import BITE, GRID, LEAK, OUTSIDE, SHAPE, add_case, ball, masks, open_effect, same
from host.widgets.mouse import Mouse, place_of

from DeepSegmentLib.hosts.mrml.segmentations.label_images import labels_of
from DeepSegmentLib.hosts.mrml.segmentations.segments import is_protected, set_locked


@pytest.fixture
def nodes(host, module):
    volume, segmentation = add_case(slicer.mrmlScene)
    widget, _panel = module
    widget.panel.ui.volumeSelector.setCurrentNode(volume)
    widget.panel.ui.correctSection.collapsed = False
    widget.panel.ui.correctSelector.setCurrentNode(segmentation)
    host.show_volume(volume)
    host.process_events()
    return volume, segmentation


@pytest.fixture
def ui(module, nodes):
    return module[0].panel.ui


@pytest.fixture
def segmentation(nodes):
    return nodes[1]


def click(host, index, name="Red"):
    view = host.open_views()[name]
    view.node.JumpSliceByCentering(*GRID.index_to_ras(index))
    Mouse(host, view).click(*place_of(view.node, GRID.index_to_ras(index)))
    host.process_events(0.1)


def test_nothing_can_be_corrected_without_a_segment(host, module):
    ui = module[0].panel.ui
    ui.correctSection.collapsed = False
    for button in (ui.correctAddButton, ui.correctRemoveButton, ui.correctUndoButton, ui.correctEditorButton):
        assert not button.enabled


@pytest.mark.parametrize("name", ["Red", "Green", "Yellow"])
def test_points_correct_at_once(host, ui, segmentation, name):
    before = masks(segmentation)
    host.click(ui.correctAddButton)
    click(host, BITE, name)
    added = masks(segmentation)
    assert added["organ"][BITE]
    assert (before["organ"] <= added["organ"]).all()
    host.click(ui.correctRemoveButton)
    assert not ui.correctAddButton.checked
    click(host, LEAK, name)
    after = masks(segmentation)
    assert not after["organ"][LEAK]
    assert (after["organ"] <= added["organ"]).all()
    assert np.array_equal(before["neighbor"], after["neighbor"])
    assert "voxels changed in organ" in ui.correctStatusLabel.text


def test_points_do_not_stay_in_the_scene(host, ui, segmentation):
    host.click(ui.correctAddButton)
    click(host, BITE)
    click(host, (20, 22, 16))
    (node,) = slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")
    assert node.GetNumberOfDefinedControlPoints() == 0
    host.click(ui.correctAddButton)
    assert slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode") == []
    before = masks(segmentation)
    click(host, LEAK)
    assert same(before, masks(segmentation))


def test_leaving_place_mode_elsewhere_releases_the_button(host, ui):
    host.click(ui.correctAddButton)
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    interaction.SetCurrentInteractionMode(interaction.ViewTransform)
    host.process_events(0.02)
    assert not ui.correctAddButton.checked


def test_leaving_the_module_ends_place_mode(host, module, ui):
    host.click(ui.correctAddButton)
    module[0].exit()
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform
    assert not ui.correctAddButton.checked


def test_undo_and_redo_are_exact(host, ui, segmentation):
    states = [masks(segmentation)]
    for button, index in ((ui.correctAddButton, BITE), (ui.correctRemoveButton, LEAK)):
        host.click(button)
        click(host, index)
        states.append(masks(segmentation))
    for state in reversed(states[:-1]):
        host.click(ui.correctUndoButton)
        assert same(masks(segmentation), state)
    assert not ui.correctUndoButton.enabled
    for state in states[1:]:
        host.click(ui.correctRedoButton)
        assert same(masks(segmentation), state)
    assert not ui.correctRedoButton.enabled


def test_undo_leaves_what_others_painted_since(host, ui, segmentation):
    """A brush elsewhere is kept; one over the correction makes it impossible to take back, and that is said."""
    from DeepSegmentLib.data import Box
    from DeepSegmentLib.hosts.mrml.correction.blocks import write_labels
    from DeepSegmentLib.hosts.mrml.segmentations.layers import image_of

    before = masks(segmentation)
    host.click(ui.correctAddButton)
    click(host, BITE)
    image = image_of(segmentation, "organ")
    write_labels(image, Box((2, 2, 2), (4, 4, 4)), np.ones((2, 2, 2), np.uint8), Box.of_shape(GRID.shape))
    host.click(ui.correctUndoButton)
    undone = masks(segmentation)
    assert undone["organ"][2:4, 2:4, 2:4].all()
    assert undone["organ"].sum() == before["organ"].sum() + 8
    host.click(ui.correctRedoButton)
    k, j, i = BITE
    write_labels(image, Box(BITE, (k + 1, j + 1, i + 1)), np.zeros((1, 1, 1), np.uint8), Box.of_shape(GRID.shape))
    painted = masks(segmentation)
    host.click(ui.correctUndoButton)
    assert same(painted, masks(segmentation))
    assert "another tool" in ui.correctStatusLabel.text


def test_a_locked_segment_stays_and_the_reason_is_said(host, ui, segmentation):
    set_locked(segmentation.GetSegmentation().GetSegment("organ"), locked=True)
    before = masks(segmentation)
    host.click(ui.correctAddButton)
    click(host, BITE)
    assert same(before, masks(segmentation))
    assert "locked" in ui.correctStatusLabel.text


def test_a_finished_segment_no_longer_changes(host, ui, segmentation):
    segment = segmentation.GetSegmentation().GetSegment("organ")
    host.click(ui.correctFinishedButton)
    assert is_protected(segment)
    before = masks(segmentation)
    host.click(ui.correctAddButton)
    click(host, BITE)
    assert same(before, masks(segmentation))
    host.click(ui.correctFinishedButton)
    assert not is_protected(segment)
    click(host, BITE)
    assert not same(before, masks(segmentation))


def test_neighbors_are_kept_unless_overwriting_is_asked_for(host, ui, segmentation):
    before = masks(segmentation)
    ui.correctRadiusSlider.value = 3  # all neighbor
    host.click(ui.correctAddButton)
    click(host, (20, 20, 30))
    assert same(before, masks(segmentation))
    ui.correctOverwriteCheckBox.checked = True
    click(host, (20, 20, 30))
    assert masks(segmentation)["neighbor"].sum() < before["neighbor"].sum()


def test_radius_and_aggressiveness_are_parameters_of_the_scene(host, module, ui, segmentation):
    ui.correctRadiusSlider.value = 3
    ui.correctAggressivenessSlider.value = 0.9
    assert module[0].panel.parameters.correctRadius == 3
    before = masks(segmentation)
    host.click(ui.correctAddButton)
    click(host, BITE)
    changed = np.argwhere(before["organ"] != masks(segmentation)["organ"])
    assert len(changed)
    assert np.linalg.norm((changed - BITE) * GRID.spacing_mm, axis=1).max() <= 3


def test_the_segment_editor_goes_on_with_the_same_segment(host, ui, nodes):
    volume, segmentation = nodes
    host.complete_startup()
    host.open_segment_editor(segmentation, volume)
    ui.correctSelector.setCurrentSegmentID("neighbor")
    host.click(ui.correctEditorButton)
    editor = slicer.modules.SegmentEditorWidget.editor
    assert slicer.util.moduleSelector().selectedModule == "SegmentEditor"
    assert editor.currentSegmentID() == "neighbor"
    assert editor.activeEffect().name == "DeepSegment Fix"


def test_the_segment_editor_can_undo_a_correction_of_the_panel(host, ui, nodes):
    volume, segmentation = nodes
    editor = host.open_segment_editor(segmentation, volume)
    before = masks(segmentation)
    host.click(ui.correctAddButton)
    click(host, BITE)
    assert not same(before, masks(segmentation))
    editor.undo()
    assert same(before, masks(segmentation))


def test_closing_the_scene_forgets_everything(host, module, ui):
    host.click(ui.correctAddButton)
    click(host, BITE)
    slicer.mrmlScene.Clear(0)
    host.process_events(0.1)
    assert not ui.correctUndoButton.enabled
    assert not ui.correctAddButton.enabled


def test_suspicious_places_are_shown_until_there_is_none(host, ui, module, segmentation):
    """The worst comes first, none comes twice; one that was changed may come again."""
    view, shown = host.open_views()["Red"], []
    for _n in range(20):
        host.click(ui.correctNextButton)
        if "Nothing else" in ui.correctStatusLabel.text:
            break
        to_ras = view.node.GetSliceToRAS()
        shown.append(tuple(round(to_ras.GetElement(row, 3), 1) for row in range(3)))
        assert "more place" in ui.correctStatusLabel.text
    assert 1 <= len(shown) == len(set(shown)) < 20
    errors = GRID.index_to_ras([BITE, LEAK])
    assert np.linalg.norm(np.array(shown[0]) - errors, axis=1).min() < 12


def test_an_export_says_that_masks_were_corrected(host, ui, nodes):
    from DeepSegmentGui.sections.export import caseOf

    assert "corrections" not in caseOf(nodes, "a", "nifti").provenance
    for button, index in ((ui.correctAddButton, BITE), (ui.correctRemoveButton, LEAK)):
        host.click(button)
        click(host, index)
    assert caseOf(nodes, "a", "nifti").provenance["corrections"] == "2"


# Boxes, lassos, prompts


def choose(ui, tool):
    ui.correctToolComboBox.setCurrentIndex(ui.correctToolComboBox.findData(tool))


def place(host, index, name="Red"):
    """Where a voxel is in a view that shows its slice."""
    view = host.open_views()[name]
    view.node.JumpSliceByCentering(*GRID.index_to_ras(index))
    return view, place_of(view.node, GRID.index_to_ras(index))


def test_a_box_is_placed_by_two_corners(host, ui, segmentation):
    before = masks(segmentation)
    choose(ui, "box")
    host.click(ui.correctAddButton)
    assert "opposite corners" in ui.correctStatusLabel.text
    view, (x, y) = place(host, BITE)
    mouse = Mouse(host, view)
    mouse.click(x - 30, y - 30)
    host.process_events(0.1)
    assert same(before, masks(segmentation))
    mouse.click(x + 30, y + 30)
    host.process_events(0.1)
    assert masks(segmentation)["organ"][BITE]
    assert "box" in ui.correctPromptList.item(0).text()
    (node,) = slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")
    assert node.GetNumberOfDefinedControlPoints() == 0


def test_corners_on_two_slices_give_the_box_its_depth():
    from DeepSegmentGui.sections.correct import _promptOf

    from DeepSegmentLib.correction.settings import CorrectionSettings

    settings = CorrectionSettings(radius_mm=7)
    flat = _promptOf("box", np.array([(0.0, 10, 5), (20, -4, 5)]), "organ", True, settings)
    assert flat.corners_ras.tolist() == [[0, -4, -2], [20, 10, 12]]
    deep = _promptOf("box", np.array([(0.0, 10, 5), (20, -4, 9)]), "organ", True, settings)
    assert deep.corners_ras.tolist() == [[0, -4, 5], [20, 10, 9]]


def test_a_lasso_ends_with_a_double_click_and_the_next_can_be_drawn(host, ui, segmentation):
    choose(ui, "lasso")
    for count, (button, index, inside) in enumerate(
        ((ui.correctAddButton, BITE, True), (ui.correctRemoveButton, LEAK, False)), start=1
    ):
        host.click(button)
        view, (x, y) = place(host, index)
        mouse = Mouse(host, view)
        for dx, dy in ((-20, -20), (20, -20), (20, 20)):
            mouse.click(x + dx, y + dy)
        mouse.double_click(x - 20, y + 20)
        host.process_events(0.1)
        assert masks(segmentation)["organ"][index] is np.bool_(inside)
        assert ui.correctPromptList.count == count
        assert button.checked
    assert len(slicer.util.getNodesByClass("vtkMRMLMarkupsClosedCurveNode")) == 1


def test_a_lasso_that_is_given_up_changes_nothing(host, ui, segmentation):
    before = masks(segmentation)
    choose(ui, "lasso")
    host.click(ui.correctAddButton)
    view, (x, y) = place(host, BITE)
    for dx, dy in ((-20, -20), (20, -20), (20, 20)):
        Mouse(host, view).click(x + dx, y + dy)
    host.process_events(0.7)  # longer than a double click takes
    interaction = slicer.app.applicationLogic().GetInteractionNode()
    interaction.SetCurrentInteractionMode(interaction.ViewTransform)
    host.process_events(0.05)
    assert same(before, masks(segmentation))
    assert not ui.correctAddButton.checked


def test_a_prompt_in_the_middle_is_taken_back_and_comes_back(host, ui, segmentation):
    host.click(ui.correctAddButton)
    click(host, BITE)
    host.click(ui.correctRemoveButton)
    click(host, LEAK)
    both = masks(segmentation)
    ui.correctPromptList.setCurrentRow(0)
    host.click(ui.correctTakeBackButton)
    without = masks(segmentation)
    assert not without["organ"][BITE]
    assert not without["organ"][LEAK]
    assert ui.correctPromptList.count == 1
    host.click(ui.correctUndoButton)
    assert same(both, masks(segmentation))
    assert ui.correctPromptList.count == 2
    host.click(ui.correctRedoButton)
    assert same(without, masks(segmentation))


def test_a_locked_segment_keeps_its_prompts(host, ui, segmentation):
    host.click(ui.correctAddButton)
    click(host, BITE)
    before = masks(segmentation)
    set_locked(segmentation.GetSegmentation().GetSegment("organ"), locked=True)
    ui.correctPromptList.setCurrentRow(0)
    host.click(ui.correctTakeBackButton)
    assert same(before, masks(segmentation))
    assert "unlock" in ui.correctStatusLabel.text


# Places to look at


def markers():
    return [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")
        if node.GetAttribute("DeepSegmentPlaceMarker")
    ]


def test_a_suspicious_place_is_marked_until_the_user_acts(host, module, ui, segmentation):
    view = host.open_views()["Green"]
    before = view.pixels()
    host.click(ui.correctNextButton)
    (marker,) = markers()
    assert not marker.GetSaveWithScene()
    assert marker.GetNthControlPointLabel(0).startswith("organ: ")
    assert ui.correctStatusLabel.text.startswith("organ: something may be ")
    assert (view.pixels() != before).any()
    host.click(ui.correctNextButton)
    assert len(markers()) <= 1  # that of the first place is gone
    host.click(ui.correctAddButton)
    click(host, BITE)
    assert markers() == []
    host.click(ui.correctNextButton)
    module[0].exit()
    assert markers() == []


def test_marker_and_radius_go_along_to_the_effect_and_back(host, module, ui, nodes):
    volume, segmentation = nodes
    host.complete_startup()
    editor = host.open_segment_editor(segmentation, volume)
    host.click(ui.correctNextButton)
    radius = module[0].panel.parameters.correctRadius
    assert radius != 10
    host.click(ui.correctEditorButton)
    assert len(markers()) == 1
    options = editor.activeEffect().self().options
    assert options.settings.radius_mm == radius
    assert options.radius.value == pytest.approx(radius, abs=0.05)
    options.radius.value = 7.5
    assert ui.correctRadiusSlider.value == 7.5
    ui.correctRadiusSlider.value = 22
    assert options.radius.value == 22
    editor.setActiveEffectByName("")
    assert markers() == []


def test_a_marker_is_seen_in_a_turned_view(host, ui):
    from DeepSegmentGui.correction.review_marker import hidePlace, showPlace

    view = host.open_views()["Yellow"]
    turn, matrix = vtk.vtkTransform(), view.node.GetSliceToRAS()
    turn.RotateX(25)
    turn.RotateZ(35)
    matrix.Multiply4x4(matrix, turn.GetMatrix(), matrix)
    view.node.UpdateMatrices()
    ras = GRID.index_to_ras(BITE)
    showPlace(slicer.mrmlScene, ras, "organ?")
    shown = view.pixels().astype(int)
    hidePlace(slicer.mrmlScene)
    changed = np.argwhere(np.abs(shown - view.pixels()).max(axis=2) > 50)
    middle = np.array([shown.shape[0], shown.shape[1]]) / 2
    assert len(changed) > 30
    assert np.abs(changed - middle).max(axis=1).min() < 10


def test_each_word_stands_once_in_the_section(ui):
    """The selector of Slicer has a label "Segment:" of its own; Undo says of what."""
    import xml.etree.ElementTree as ET

    from conftest import REPOSITORY

    root = ET.parse(REPOSITORY / "DeepSegment" / "Resources" / "UI" / "DeepSegment.ui").getroot()
    texts = [text.text for text in root.iter("string")]
    assert "Segment:" not in texts
    assert "Undo" not in texts
    assert ui.correctUndoButton.text != ui.undoButton.text


# Mixed with what others do


@pytest.fixture
def editor(host, ui, nodes):
    """The Segment Editor module, which edits the same segmentation."""
    editor = open_effect(host, nodes)
    host.process_events(0.05)
    return editor


def paint(editor, mask, *, erase=False):
    """What the effect Paint does with the voxels of a mask (k, j, i)."""
    effect = editor.activeEffect()
    editor.saveStateForUndo()
    image = effect.defaultModifierLabelmap()
    labels_of(image)[:] = mask
    image.GetPointData().GetScalars().Modified()
    image.Modified()
    mode = effect.ModificationModeRemove if erase else effect.ModificationModeAdd
    effect.modifySelectedSegmentByLabelmap(image, mode)


def test_undo_goes_on_when_a_new_segment_has_joined_the_others(host, ui, segmentation, editor):
    before = masks(segmentation)
    click(host, BITE)
    segmentation.GetSegmentation().AddEmptySegment("new", "new")
    editor.setCurrentSegmentID("new")
    click(host, OUTSIDE)
    worked = masks(segmentation)
    assert worked["new"].any()
    host.click(ui.correctUndoButton)
    host.click(ui.correctUndoButton)
    assert same({**before, "new": np.zeros(SHAPE, bool)}, masks(segmentation))
    host.click(ui.correctRedoButton)
    host.click(ui.correctRedoButton)
    assert same(worked, masks(segmentation))


def test_a_removed_segment_takes_its_prompts_along_and_no_others(host, ui, segmentation, editor, capfd):
    before = masks(segmentation)
    click(host, BITE)
    editor.setCurrentSegmentID("neighbor")
    click(host, (20, 20, 44))
    assert ui.correctPromptList.count == 2
    segmentation.GetSegmentation().RemoveSegment("neighbor")
    editor.setCurrentSegmentID("organ")
    host.process_events(1.2)
    assert ui.correctPromptList.count == 1
    ui.correctPromptList.setCurrentRow(0)
    host.click(ui.correctTakeBackButton)
    assert np.array_equal(before["organ"], masks(segmentation)["organ"])
    assert "ERR" not in capfd.readouterr().err


def test_a_prompt_that_the_editor_took_back_a_moment_ago(host, ui, segmentation, editor):
    """The list still shows it."""
    before = masks(segmentation)
    click(host, BITE)
    editor.undo()
    ui.correctPromptList.setCurrentRow(0)
    host.click(ui.correctTakeBackButton)
    assert same(before, masks(segmentation))
    assert "other tools" in ui.correctStatusLabel.text
    assert ui.correctPromptList.count == 0


def test_prompts_that_others_made_untrue_leave_the_list_by_themselves(host, ui, segmentation, editor):
    click(host, BITE)
    click(host, LEAK)
    paint(editor, ball(BITE, 2), erase=True)
    host.process_events(1.2)
    assert ui.correctPromptList.count == 1
