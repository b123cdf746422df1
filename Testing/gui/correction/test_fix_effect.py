"""The effect DeepSegment: Fix with real mouse events on real slice views."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials", exc_type=ImportError)

import slicer
import vtk
from host.case import BITE, GRID, LEAK, OUTSIDE, SHAPE, add_case, ball, case, masks, open_effect, same
from host.widgets.mouse import Mouse, place_of

from DeepSegmentLib.hosts.mrml.segmentations.segments import set_locked


@pytest.fixture
def nodes(host):
    return add_case(slicer.mrmlScene)


@pytest.fixture
def segmentation(nodes):
    return nodes[1]


@pytest.fixture
def editor(host, module, nodes):
    """The Segment Editor with the effect active."""
    editor = open_effect(host, nodes)
    assert editor.activeEffect() is not None
    return editor


@pytest.fixture
def options(editor):
    return editor.activeEffect().self().options


@pytest.fixture
def hand(host, editor):
    """A mouse over a view: takes places as voxels of the grid, and shows their slice first."""

    class Hand:
        def __init__(self, name):
            self.view = host.open_views()[name]
            self.mouse = Mouse(host, self.view)

        def place(self, index):
            self.view.node.JumpSliceByCentering(*GRID.index_to_ras(index))
            return place_of(self.view.node, GRID.index_to_ras(index))

        def click(self, index, *, control=False):
            self.mouse.hold(control=control)
            self.mouse.click(*self.place(index))
            self.mouse.hold()
            host.process_events(0.08)

        def rest(self, index, *, control=False):
            self.mouse.hold(control=control)
            self.mouse.move(*self.place(index))
            host.process_events(0.15)

    return Hand


def test_the_effect_is_registered_once_at_start(host, editor):
    assert list(editor.availableEffectNames()).count("DeepSegment Fix") == 1
    assert "Shift" in editor.activeEffect().helpText()


@pytest.mark.parametrize("name", ["Red", "Green", "Yellow"])
def test_a_click_fills_the_bite_and_nothing_else(hand, segmentation, name):
    before = masks(segmentation)
    hand(name).click(BITE)
    after = masks(segmentation)
    gained = after["organ"] & ~before["organ"]
    assert after["organ"][BITE]
    assert (gained & ball(BITE, 5)).sum() > 0.7 * (ball(BITE, 5) & ball((20, 20, 16), 11)).sum()
    assert (before["organ"] <= after["organ"]).all()
    far = np.linalg.norm((np.argwhere(gained) - BITE) * GRID.spacing_mm, axis=1).max()
    assert far <= 10.0
    assert np.array_equal(before["neighbor"], after["neighbor"])


def test_control_and_click_removes_the_leak(hand, segmentation):
    before = masks(segmentation)
    hand("Red").click(LEAK, control=True)
    after = masks(segmentation)
    assert not after["organ"][LEAK]
    assert (after["organ"] <= before["organ"]).all()
    assert np.array_equal(before["neighbor"], after["neighbor"])


def test_the_toggle_makes_clicks_negative_and_control_turns_them_round(hand, options, segmentation):
    options.negative.checked = True
    hand("Red").click(LEAK)
    assert not masks(segmentation)["organ"][LEAK]
    hand("Red").click(BITE, control=True)
    assert masks(segmentation)["organ"][BITE]


def test_an_oblique_slice_view_works_like_the_others(host, hand, segmentation):
    """The view is turned by two angles; place and voxel are compared through the slice node's own matrix."""
    right = hand("Yellow")
    turn = vtk.vtkTransform()
    turn.RotateX(25)
    turn.RotateZ(35)
    matrix = right.view.node.GetSliceToRAS()
    matrix.Multiply4x4(turn.GetMatrix(), matrix, matrix)
    right.view.node.UpdateMatrices()
    before = masks(segmentation)
    right.rest(BITE)
    right.click(BITE)
    after = masks(segmentation)
    assert after["organ"][BITE]
    assert (after["organ"] & ~before["organ"]).sum() > 50


def test_a_stroke_marks_what_it_crosses(host, hand, segmentation):
    right = hand("Red")
    line = [(20, 12, n) for n in range(13, 20)]
    right.place(BITE)
    right.mouse.drag([place_of(right.view.node, GRID.index_to_ras(index)) for index in line])
    host.process_events(0.1)
    assert all(masks(segmentation)["organ"][index] for index in line)


def test_escape_ends_a_stroke_without_change(host, hand, segmentation):
    before = masks(segmentation)
    right = hand("Red")
    right.mouse.move(*right.place(BITE))
    right.mouse.press()
    right.mouse.move(*place_of(right.view.node, GRID.index_to_ras((20, 14, 18))))
    right.mouse.key("Escape")
    right.mouse.release()
    host.process_events(0.1)
    assert same(before, masks(segmentation))


def test_wheel_and_keys_change_the_radius(hand, options):
    mouse = hand("Red").mouse
    mouse.move(200, 240)
    mouse.wheel(3)
    assert options.settings.radius_mm == 10
    mouse.hold(shift=True)
    mouse.wheel(2)
    assert options.settings.radius_mm == pytest.approx(12.1)
    mouse.wheel(-1)
    mouse.hold()
    assert options.settings.radius_mm == pytest.approx(11)
    mouse.key("plus")
    assert options.settings.radius_mm == pytest.approx(12.1)
    mouse.key("minus")
    assert options.radius.value == pytest.approx(11)
    for _n in range(60):
        mouse.key("minus")
    assert options.settings.radius_mm == 1


def test_shift_and_click_is_left_to_the_view(hand, segmentation):
    before = masks(segmentation)
    right = hand("Red")
    place = right.place(BITE)
    right.mouse.hold(shift=True)
    right.mouse.click(*place)
    assert same(before, masks(segmentation))


def pixels_that_differ(view, action):
    before = view.pixels().astype(int)
    action()
    return int((np.abs(view.pixels() - before).max(axis=2) > 20).sum())


def test_the_preview_is_shown_after_a_rest_and_changes_nothing(host, hand, editor, segmentation):
    before, right = masks(segmentation), hand("Red")
    right.place(BITE)
    assert pixels_that_differ(right.view, lambda: right.rest(BITE)) > 300
    pointer = editor.activeEffect().self().pointer
    (overlay,) = pointer._overlays.values()
    assert overlay.showsChange
    assert same(before, masks(segmentation))
    right.mouse.leave()
    assert not overlay.showsChange
    assert all(not actor.GetVisibility() for actor in overlay.actors)


def test_the_preview_is_near_what_a_click_does(hand, editor, segmentation):
    effect = editor.activeEffect().self()
    right = hand("Red")
    right.rest(BITE)
    correction, _canvas = effect.pointer._corrector().preview(
        effect.pointer.target(), effect.pointer._prompt(), effect.options.settings
    )
    before = masks(segmentation)["organ"]
    right.click(BITE)
    changed = before != masks(segmentation)["organ"]
    shown = np.zeros(SHAPE, bool)
    shown[correction.box.to_slices()] = correction.changed
    assert 2 * (shown & changed).sum() / (shown.sum() + changed.sum()) > 0.8


def test_a_change_is_seen_in_the_view(host, hand, segmentation):
    right = hand("Red")
    right.place(BITE)
    right.mouse.leave()

    def click():
        right.click(BITE)
        right.mouse.leave()

    assert pixels_that_differ(right.view, click) > 50


def test_undo_and_redo_of_the_editor_are_exact(hand, editor, segmentation):
    states = [masks(segmentation)]
    for index, control in ((BITE, False), (LEAK, True), (OUTSIDE, False)):
        hand("Red").click(index, control=control)
        states.append(masks(segmentation))
        assert not same(states[-1], states[-2])
    for state in reversed(states[:-1]):
        editor.undo()
        assert same(masks(segmentation), state)
    for state in states[1:]:
        editor.redo()
        assert same(masks(segmentation), state)


def test_a_locked_segment_stays_and_the_reason_is_said(hand, options, segmentation):
    set_locked(segmentation.GetSegmentation().GetSegment("organ"), locked=True)
    before = masks(segmentation)
    hand("Red").click(BITE)
    assert same(before, masks(segmentation))
    assert "locked" in options.status.text


def test_neighbors_are_kept_unless_overwriting_is_asked_for(hand, options, segmentation):
    before = masks(segmentation)
    options.setRadius(3)  # all neighbor
    hand("Red").click((20, 20, 30))
    assert same(before, masks(segmentation))
    assert "Other segments" in options.status.text
    options.overwrite.checked = True
    hand("Red").click((20, 20, 30))
    after = masks(segmentation)
    assert after["organ"][20, 20, 30]
    assert not (after["organ"] & after["neighbor"]).any()
    assert after["neighbor"].sum() < before["neighbor"].sum()


def test_masking_of_the_editor_holds(hand, editor, options, segmentation):
    node = editor.mrmlSegmentEditorNode()
    node.SetMaskMode(segmentation.EditAllowedInsideVisibleSegments)
    before = masks(segmentation)
    hand("Red").click(BITE)
    assert same(before, masks(segmentation))
    assert "editable area" in options.status.text
    node.SetMaskMode(segmentation.EditAllowedEverywhere)
    node.SetSourceVolumeIntensityMask(True)
    node.SetSourceVolumeIntensityMaskRange(80, 120)
    hand("Red").click(BITE)
    gained = masks(segmentation)["organ"] & ~before["organ"]
    assert gained.any()
    assert (case()[0][gained] >= 80).all()
    assert (case()[0][gained] <= 120).all()


def test_a_click_where_all_is_right_says_so(hand, options, segmentation):
    before = masks(segmentation)
    options.setRadius(3)
    hand("Red").click((20, 24, 16))
    assert same(before, masks(segmentation))
    assert "already" in options.status.text


def test_a_click_outside_the_volume_says_so(hand, options, segmentation):
    before = masks(segmentation)
    hand("Red").mouse.click(3, 3)
    assert same(before, masks(segmentation))
    assert "marks no voxel" in options.status.text
    hand("Red").rest(BITE)
    assert not options.status.text


def test_a_suggested_radius_follows_the_pointer_until_the_user_sets_one(hand, options):
    options.suggest.checked = True
    hand("Red").rest(BITE)
    suggested = options.settings.radius_mm
    assert suggested != 10
    assert options.radius.value == pytest.approx(suggested, abs=0.1)
    hand("Red").mouse.key("plus")
    assert not options.suggest.checked
    assert options.settings.radius_mm == pytest.approx(1.1 * suggested, rel=1e-4)


def test_options_are_kept_in_the_editor_s_node(editor, options):
    options.aggressiveness.value = 0.8
    options.mode.setCurrentIndex(1)
    options.overwrite.checked = True
    settings = options.settings
    assert (settings.aggressiveness, settings.mode, settings.overwrite) == (0.8, "grow", True)
    node = editor.mrmlSegmentEditorNode()
    assert node.GetAttribute("DeepSegment Fix.Mode") == "grow"
    editor.activeEffect().setParameter("Mode", "fix")
    assert options.mode.currentIndex == 0


def test_the_views_are_clean_after_another_effect_is_chosen(host, hand, editor):
    right = hand("Red")
    right.place(BITE)
    right.mouse.leave()
    clean = right.view.pixels()
    right.rest(BITE)
    assert (right.view.pixels() != clean).any()
    editor.setActiveEffectByName("")
    host.process_events(0.1)
    assert np.array_equal(right.view.pixels(), clean)


def test_surfaces_follow_after_a_while(host, hand, segmentation):
    segmentation.CreateClosedSurfaceRepresentation()
    surface = segmentation.GetSegmentation().GetSegment("organ").GetRepresentation("Closed surface")
    points = surface.GetNumberOfPoints()
    hand("Red").click(BITE)
    host.process_events(1.3)
    renewed = segmentation.GetSegmentation().GetSegment("organ").GetRepresentation("Closed surface")
    assert renewed.GetNumberOfPoints() != points
    assert segmentation.GetSegmentation().GetSegment("neighbor").GetRepresentation("Closed surface") is not None


def test_a_prompt_that_the_editor_s_undo_made_untrue_no_longer_binds(host, hand, editor, segmentation):
    hand("Red").click(LEAK, control=True)
    assert not masks(segmentation)["organ"][LEAK]
    editor.undo()
    host.process_events(1.2)
    hand("Red").click((20, 31, 13), control=True)
    editor.undo()
    host.process_events(1.2)
    k, j, i = LEAK
    before = masks(segmentation)
    hand("Red").click((k, j + 5, i))
    after = masks(segmentation)
    assert after["organ"].sum() > before["organ"].sum()
    corrector = editor.activeEffect().self().pointer._corrector()
    assert [step.prompt is None for step in corrector.steps(segmentation)] == [True, True, False]


# Tools, keys, prompts


def lasso(hand, index, radius=28):
    """Draw around a voxel; the mouse is still pressed."""
    x, y = hand.place(index)
    turns = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    places = [(x + radius * np.cos(turn), y + radius * np.sin(turn)) for turn in turns]
    hand.mouse.move(*places[0])
    hand.mouse.press()
    for place in places[1:]:
        hand.mouse.move(*place)


def drag_box(hand, index, reach=30):
    """Drag a rectangle around a voxel; the mouse is still pressed."""
    x, y = hand.place(index)
    hand.mouse.move(x - reach, y - reach)
    hand.mouse.press()
    hand.mouse.move(x + reach, y + reach)


def prompts_of(editor, segmentation):
    return [step.prompt for step in editor.activeEffect().self().pointer._corrector().steps(segmentation)]


@pytest.mark.parametrize("name", ["Red", "Green", "Yellow"])
def test_a_box_is_as_deep_as_the_radius_and_changes_nothing_outside(host, hand, editor, options, segmentation, name):
    right, before = hand(name), masks(segmentation)
    editor.activeEffect().setParameter("Tool", "box")
    drag_box(right, BITE)
    assert same(before, masks(segmentation))
    right.mouse.release()
    host.process_events(0.1)
    gained = masks(segmentation)["organ"] & ~before["organ"]
    assert gained[BITE]
    (prompt,) = prompts_of(editor, segmentation)
    low, high = prompt.corners_ras.min(axis=0), prompt.corners_ras.max(axis=0)
    places = GRID.index_to_ras(np.argwhere(gained))
    assert (places >= low - GRID.spacing_mm).all()
    assert (places <= high + GRID.spacing_mm).all()
    across = {"Red": 2, "Green": 1, "Yellow": 0}[name]
    assert (high - low)[across] == pytest.approx(2 * options.settings.radius_mm)


def test_control_makes_a_box_take_away(host, hand, editor, segmentation):
    right = hand("Red")
    editor.activeEffect().setParameter("Tool", "box")
    right.mouse.hold(control=True)
    drag_box(right, LEAK, reach=12)
    right.mouse.release()
    host.process_events(0.1)
    assert not masks(segmentation)["organ"][LEAK]


def test_what_is_inside_a_lasso_belongs(host, hand, editor, segmentation):
    right = hand("Red")
    editor.activeEffect().setParameter("Tool", "lasso")
    lasso(right, BITE)
    host.process_events(0.15)
    (overlay,) = editor.activeEffect().self().pointer._overlays.values()
    assert overlay.showsChange
    right.mouse.release()
    host.process_events(0.1)
    k, j, i = BITE
    assert masks(segmentation)["organ"][k, j - 1 : j + 2, i - 1 : i + 2].all()


def test_a_box_or_lasso_that_encloses_nothing_changes_nothing(host, hand, editor, segmentation):
    right, before = hand("Red"), masks(segmentation)
    for tool in ("box", "lasso"):
        editor.activeEffect().setParameter("Tool", tool)
        right.mouse.click(*right.place(BITE))
        host.process_events(0.15)
    assert same(before, masks(segmentation))


def test_keys_choose_sign_tool_and_radius_and_leave_the_others_alone(hand, editor, options):
    right = hand("Red")
    offset = right.view.node.GetSliceOffset()
    right.mouse.move(*right.place(BITE))
    right.mouse.key("s")
    assert options.isNegative
    assert options.negative.checked
    right.mouse.key("a")
    assert not options.isNegative
    for tool in ("box", "lasso", "point"):
        right.mouse.key("d")
        assert options.currentTool == tool
    offset, radius = right.view.node.GetSliceOffset(), options.settings.radius_mm
    right.mouse.hold(shift=True)
    right.mouse.key("Up")
    assert options.settings.radius_mm == pytest.approx(1.1 * radius)
    right.mouse.key("Down")
    right.mouse.hold()
    assert options.settings.radius_mm == pytest.approx(radius)
    assert right.view.node.GetSliceOffset() == offset
    right.mouse.key("Up")  # the slice view's own
    assert right.view.node.GetSliceOffset() != offset
    editor.setActiveEffectByName("")
    right.mouse.key("s")
    assert not options.isNegative


def test_help_tells_the_keys(editor):
    text = editor.activeEffect().helpText()
    assert all(f"<b>{key}</b>" in text for key in ("A", "S", "D", "Shift + up/down"))


def test_prompts_are_listed_and_any_can_be_taken_back(host, hand, editor, options, segmentation):
    start = masks(segmentation)
    for index, control in ((BITE, False), (LEAK, True), (OUTSIDE, False)):
        hand("Red").click(index, control=control)
    everything = masks(segmentation)
    texts = [options.prompts.list.item(n).text() for n in range(3)]
    assert [text.split()[1] for text in texts] == ["+", "\N{MINUS SIGN}", "+"]
    assert not options.prompts.button.enabled
    options.prompts.list.setCurrentRow(0)
    options.prompts.button.click()
    host.process_events(0.1)
    assert options.prompts.list.count == 2
    now = masks(segmentation)
    assert np.array_equal(now["organ"][BITE], start["organ"][BITE])
    assert not now["organ"][LEAK]
    editor.undo()
    assert same(everything, masks(segmentation))


# What is shown


def test_the_fill_is_dimmed_while_a_preview_shows_and_comes_back(host, hand, editor, segmentation):
    display, right = segmentation.GetDisplayNode(), hand("Red")
    fill = display.GetOpacity2DFill()

    def preview():
        right.rest(BITE)
        assert display.GetOpacity2DFill() == pytest.approx(0.25 * fill)

    for end in (
        right.mouse.leave,
        lambda: right.click(BITE),
        lambda: editor.setActiveEffectByName(""),
    ):
        preview()
        end()
        assert display.GetOpacity2DFill() == fill
        if end is not right.mouse.leave:
            editor.undo()
    editor.setActiveEffectByName("DeepSegment Fix")


def test_the_fill_comes_back_when_a_handler_fails_or_the_scene_is_saved(host, hand, editor, segmentation, monkeypatch):
    display, right = segmentation.GetDisplayNode(), hand("Red")
    fill, pointer = display.GetOpacity2DFill(), editor.activeEffect().self().pointer
    right.rest(BITE)
    slicer.mrmlScene.InvokeEvent(slicer.mrmlScene.StartSaveEvent)
    assert display.GetOpacity2DFill() == fill
    right.rest((20, 15, 16))
    assert display.GetOpacity2DFill() < fill
    monkeypatch.setattr(pointer, "_draw", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        right.mouse.move(*right.place(BITE))
    assert display.GetOpacity2DFill() == fill
    monkeypatch.undo()


def test_a_fill_that_the_user_changed_meanwhile_stays(host, hand, segmentation):
    display, right = segmentation.GetDisplayNode(), hand("Red")
    right.rest(BITE)
    display.SetOpacity2DFill(0.9)
    right.mouse.leave()
    assert display.GetOpacity2DFill() == 0.9


@pytest.mark.parametrize(("control", "index"), [(False, BITE), (True, LEAK)])
@pytest.mark.parametrize("levels", [(-5000, -4000), (0, 200), (5000, 6000)], ids=["white", "gray", "black"])
def test_a_preview_has_a_dark_and_a_light_edge_on_any_color(host, hand, nodes, segmentation, levels, control, index):
    """Beside each light pixel of the lines there are dark ones, whatever is below."""
    display = nodes[0].GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(*levels)
    segmentation.GetDisplayNode().SetVisibility(False)
    right = hand("Red")
    right.rest(index, control=control)
    pixels = right.view.pixels().astype(int).sum(axis=2)
    x, y = (round(n) for n in right.place(index))
    window = pixels[::-1][y - 60 : y + 60, x - 60 : x + 60]
    assert (window > 500).any()
    assert (window < 60).any()
    assert window.max() - window.min() > 450
    right.mouse.hold()


def test_additions_and_removals_differ_without_color(host, hand, editor):
    right = hand("Red")
    lines = []
    for index, control in ((BITE, False), (LEAK, True)):
        right.rest(index, control=control)
        (overlay,) = editor.activeEffect().self().pointer._overlays.values()
        dark, light = (actor.GetMapper().GetInput().GetNumberOfLines() for actor in overlay._border.actors)
        signs = overlay._sign.actors[0].GetMapper().GetInput().GetNumberOfLines()
        lines.append((light < dark, signs))
    right.mouse.hold()
    assert lines == [(False, 2), (True, 1)]


def test_a_preview_goes_with_the_segment_that_it_was_of(host, hand, editor, segmentation):
    """Q and W choose another segment while the pointer rests."""
    display, right = segmentation.GetDisplayNode(), hand("Red")
    fill = display.GetOpacity2DFill()
    right.rest(BITE)
    (overlay,) = editor.activeEffect().self().pointer._overlays.values()
    assert overlay.showsChange
    editor.setCurrentSegmentID("neighbor")
    assert not overlay.showsChange
    assert display.GetOpacity2DFill() == fill
    _volume, other = add_case(slicer.mrmlScene)
    right.rest((20, 15, 16))
    editor.setSegmentationNode(other)
    assert display.GetOpacity2DFill() == fill


def test_two_editors_dim_one_fill_once(host, hand, editor, nodes):
    volume, segmentation = nodes
    display, right = segmentation.GetDisplayNode(), hand("Red")
    fill = display.GetOpacity2DFill()
    second = host.open_segment_editor(segmentation, volume)
    second.setCurrentSegmentID("organ")
    second.setActiveEffectByName("DeepSegment Fix")
    right.rest(BITE)
    assert display.GetOpacity2DFill() == pytest.approx(0.25 * fill)
    right.mouse.leave()
    assert display.GetOpacity2DFill() == fill
