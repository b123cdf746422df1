"""The contract of corrections, judged without the engine; undo, redo, edits; clear refusals."""

from itertools import pairwise

import numpy as np
import pytest
from correction_worlds import KINDS, Referee, World, holders, interact, random_prompt, random_settings, random_world
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import label_maps, updates

from DeepSegmentLib.correction.canvas import Canvas
from DeepSegmentLib.correction.session import CorrectionSession, LabelCanvas
from DeepSegmentLib.correction.settings import CorrectionSettings
from DeepSegmentLib.data import Box, BoxPrompt, Geometry, LabelMap, LabelUpdate, Point, Scribble, Segment, Volume
from DeepSegmentLib.errors import InvalidInputError

seeds = st.integers(0, 2**32 - 1)
GRID = Geometry.from_spacing((9, 10, 11), (1.5, 1, 1))
MIDDLE = GRID.index_to_ras((4, 5, 5))


def _image(geometry=GRID, seed=0, dtype=np.float32):
    cube = np.zeros((1, *geometry.shape))
    cube[:, 2:7, 3:8, 3:8] = 100
    return Volume((cube + np.random.default_rng(seed).normal(50, 5, cube.shape)).astype(dtype), geometry)


def _labels(geometry=GRID, fill=0):
    segments = (Segment("a", 1), Segment("b", 2), Segment("c", 1, layer=1))
    return LabelMap(np.full((2, *geometry.shape), fill, np.uint8), geometry, segments)


def _click(segment="a", place=MIDDLE, positive=True):
    return Point(segment, positive, place)


@settings(max_examples=30)
@given(seed=seeds)
@example(seed=0)
def test_every_correction_keeps_the_contract(seed):
    rng = np.random.default_rng(seed)
    world = random_world(rng)
    if not world.free_names:
        return
    session, referee = world.session(), Referee(world)
    taken = (interact(rng, session, referee, preview=bool(rng.random() < 0.5)) for _ in range(10))
    depths = [world.labels.layers, *(session.labels.layers for done in taken if done)]
    assert session.prompts == tuple(asked.prompt for asked in referee.asked)
    for _ in range(2):
        for layers in depths[-2::-1]:
            session.undo()
            assert np.array_equal(session.labels.layers, layers)
        assert session.undo() is None
        assert session.prompts == ()
        for layers in depths[1:]:
            session.redo()
            assert np.array_equal(session.labels.layers, layers)
        assert session.redo() is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["fix", "grow"])
def test_blocks_that_are_made_coarser_keep_the_contract(kind, mode):
    rng = np.random.default_rng([ord(kind[0]), len(mode)])
    affine = np.eye(4)
    affine[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0] * [1.0, 0.8, 0.9]
    world = random_world(rng, geometry=Geometry((40, 50, 45), affine))
    world = World(world.volume, world.labels, {})
    session, referee = world.session(), Referee(world)
    for positive in (True, False):
        asked = random_prompt(rng, world, kind, positive=positive, name="first")
        settled = CorrectionSettings(radius_mm=30, mode=mode, overwrite=positive)
        referee.judge(asked, settled, session.preview(asked.prompt, settled), session.labels.layers)
        before = session.labels.layers
        referee.judge(asked, settled, session.apply(asked.prompt, settled), before)
        referee.asked.append(asked)


@given(seed=seeds)
def test_a_new_prompt_after_undo_ends_redo(seed):
    rng = np.random.default_rng(seed)
    world = World(_image(), _labels())
    session = world.session()
    for _ in range(3):
        session.apply(random_prompt(rng, world, "point").prompt, random_settings(rng, GRID))
    session.undo()
    session.undo()
    session.apply(random_prompt(rng, world, "scribble").prompt)
    assert session.redo() is None
    assert len(session.prompts) == 2


@given(data=st.data(), labels=label_maps())
def test_edits_made_by_other_means_are_undone_and_redone(data, labels):
    session = CorrectionSession(Volume(np.zeros((1, *labels.geometry.shape)), labels.geometry), labels)
    states = [labels.layers]
    for _ in range(3):
        session.edit(data.draw(updates(session.labels)))
        states.append(session.labels.layers)
    assert session.prompts == ()
    for state in states[-2::-1]:
        update = session.undo()
        assert np.array_equal(session.labels.layers, state)
        assert np.array_equal(update.after, state[(update.layer, *update.box.to_slices())])
    for state in states[1:]:
        session.redo()
        assert np.array_equal(session.labels.layers, state)


def test_an_edit_between_prompts_is_kept_by_the_next():
    session = CorrectionSession(_image(), _labels())
    session.apply(_click(), CorrectionSettings(radius_mm=3))
    before = session.labels.layers[0]
    session.edit(LabelUpdate(Box.of_shape(GRID.shape), before, np.where(before == 1, 2, 0).astype(np.uint8)))
    update = session.apply(_click(positive=True), CorrectionSettings(radius_mm=3))
    assert not update.changed.any()
    assert session.labels.layers[0, 4, 5, 5] == 2


def test_the_callers_labels_are_not_touched_and_copies_are_copies():
    labels = _labels()
    session = CorrectionSession(_image(), labels)
    handed_out = session.labels
    session.apply(_click())
    assert not labels.layers.any()
    assert not handed_out.layers.any()
    assert session.labels.layers.any()
    assert session.labels.segments == labels.segments == session.segments


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_foreign_value_belongs_to_nobody(overwrite):
    session = CorrectionSession(_image(), _labels(fill=7))
    session.apply(_click(), CorrectionSettings(radius_mm=3, overwrite=overwrite))
    assert session.labels.layers[0, 4, 5, 5] == 1


def test_locked_segments_are_not_given_away():
    labels = LabelMap(np.full((2, *GRID.shape), 2, np.uint8), GRID, _labels().segments)
    for locked, changes in (((), True), (("b",), False)):
        session = CorrectionSession(_image(), labels, locked=locked)
        update = session.apply(_click(), CorrectionSettings(radius_mm=3, overwrite=True))
        assert update.changed.any() == changes


def test_history_takes_bytes_that_can_be_counted():
    session = CorrectionSession(_image(), _labels())
    sizes = [session.history_bytes]
    for place in ((4, 5, 5), (1, 1, 1), (7, 8, 8)):
        session.apply(_click(place=GRID.index_to_ras(place)))
        sizes.append(session.history_bytes)
    assert sizes[0] == 0
    assert all(a < b for a, b in pairwise(sizes))
    session.undo()
    assert session.history_bytes == sizes[-1]


def test_the_radius_is_suggested_for_the_segments_network():
    chance = np.zeros(GRID.shape, np.float32)
    chance[2:7, 3:8, 3:8] = 1
    session = CorrectionSession(_image(), _labels(), probabilities={"a": chance})
    assert session.suggest_radius(_click("a")) > 0
    with pytest.raises(InvalidInputError, match="no segment named 'd'; there are: a, b, c"):
        session.suggest_radius(_click("d"))


@given(seed=seeds)
def test_a_labelmap_is_a_canvas(seed):
    rng = np.random.default_rng(seed)
    world = random_world(rng)
    canvas: Canvas = LabelCanvas(
        world.volume, world.labels.layers[0], 1, (2,), world.options.get("editable"),
        world.options.get("intensity_range"), rng.random(world.geometry.shape),
    )  # fmt: skip
    box = Box.of_shape(world.geometry.shape)
    assert canvas.geometry is world.geometry
    assert np.array_equal(canvas.intensities(box), world.volume.voxels.astype(np.float32))
    assert np.array_equal(canvas.segment(box), world.labels.layers[0] == 1)
    assert np.array_equal(canvas.editable(box), world.permitted() & (world.labels.layers[0] != 2))
    assert canvas.probability(box).dtype == np.float32


def test_refuses_an_unknown_or_locked_segment():
    session = CorrectionSession(_image(), _labels(), locked=("b",))
    for ask in (session.preview, session.apply):
        with pytest.raises(InvalidInputError, match="no segment named 'liver'; there are: a, b, c"):
            ask(_click("liver"))
        with pytest.raises(InvalidInputError, match="segment 'b' is locked; unlock it to correct it"):
            ask(_click("b"))
    nothing = CorrectionSession(_image(), LabelMap(np.zeros((1, *GRID.shape), np.uint8), GRID))
    with pytest.raises(InvalidInputError, match="there are: none"):
        nothing.apply(_click())


@pytest.mark.parametrize("mode", ["fix", "grow"])
def test_refuses_a_prompt_outside_and_stays_as_it_was(mode):
    session = CorrectionSession(_image(), _labels())
    session.apply(_click())
    session.undo()
    for ask in (session.preview, session.apply):
        with pytest.raises(InvalidInputError, match=r"the point around RAS \[500.0, 0.0, 0.0\] mm marks no voxel"):
            ask(_click(place=(500, 0, 0)), CorrectionSettings(mode=mode))
    assert session.redo() is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"locked": ("liver",)}, "no segment named 'liver'"),
        ({"probabilities": {"liver": np.zeros(GRID.shape)}}, "no segment named 'liver'"),
        ({"probabilities": {"a": np.zeros((1, 2, 3))}}, r"a: expected shape \(9, 10, 11\), got \(1, 2, 3\)"),
        ({"editable": np.ones((9, 10), bool)}, r"editable: expected shape \(9, 10, 11\), got \(9, 10\)"),
        ({"editable": np.ones(GRID.shape, np.uint8)}, "editable: expected booleans, got uint8; compare it with 0"),
        ({"intensity_range": (5, 4)}, r"intensity range must go from low to high, got \(5, 4\)"),
        ({"intensity_range": (np.nan, 4)}, "intensity range must go from low to high, got"),
    ],
)
def test_refuses_options_that_do_not_fit(options, message):
    with pytest.raises(InvalidInputError, match=message):
        CorrectionSession(_image(), _labels(), **options)


def test_refuses_a_volume_on_another_grid():
    smaller = Geometry.from_spacing((9, 10, 10), (1.5, 1, 1))
    moved = Geometry(GRID.shape, np.eye(4) @ GRID.affine + np.eye(4, k=3))
    for grid in (smaller, moved):
        with pytest.raises(InvalidInputError, match=r"resample one to the other's grid"):
            CorrectionSession(_image(), _labels(grid))


def test_refuses_an_edit_that_does_not_fit():
    session = CorrectionSession(_image(), _labels())
    block = np.zeros((1, 1, 1), np.uint8)
    one = Box((0, 0, 0), (1, 1, 1))
    for update in (
        LabelUpdate(one, block, block, 2),
        LabelUpdate(one, block.astype(np.uint16), block.astype(np.uint16) + 300),
        LabelUpdate(Box((-1, -1, -1), (0, 0, 0)), block, block + 1),
        LabelUpdate(Box((9, 0, 0), (10, 1, 1)), block, block + 1),
    ):
        with pytest.raises(InvalidInputError, match=r"the edit of layer .* does not fit the 2 layers of shape"):
            session.edit(update)
    with pytest.raises(InvalidInputError, match="changed since this edit was made; make it anew"):
        session.edit(LabelUpdate(one, block + 1, block))
    assert session.undo() is None


def test_refuses_nan_where_the_prompt_looks():
    voxels = np.array(_image().voxels)
    voxels[0, 4, 5, 6] = np.nan
    session = CorrectionSession(Volume(voxels, GRID), _labels())
    for ask in (session.preview, session.apply, session.suggest_radius):
        with pytest.raises(InvalidInputError, match="NaN or infinite voxels"):
            ask(_click())


@pytest.mark.parametrize("mode", ["fix", "grow"])
@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("fill", [0, 1])
def test_constant_images_and_empty_and_full_segments(mode, positive, fill):
    flat = Volume(np.full((1, *GRID.shape), 3, np.int16), GRID)
    session = CorrectionSession(flat, _labels(fill=fill))
    prompts = (_click(positive=positive), Scribble("a", positive, [MIDDLE, MIDDLE + 3], 1.0),
               BoxPrompt("a", positive, [MIDDLE - 3, MIDDLE + 3]))  # fmt: skip
    for prompt in prompts:
        session.apply(prompt, CorrectionSettings(mode=mode))
    assert session.labels.layers[0, 4, 5, 5] == positive


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 5), (2, 1, 1), (1, 6, 6)])
@pytest.mark.parametrize("mode", ["fix", "grow"])
def test_volumes_of_few_voxels(shape, mode):
    grid = Geometry.from_spacing(shape, (1, 2, 3))
    session = CorrectionSession(Volume(np.arange(np.prod(shape), dtype=float).reshape(1, *shape), grid), _labels(grid))
    for positive in (True, False, True):
        session = CorrectionSession(session.volume, session.labels)
        session.apply(_click(place=(0, 0, 0), positive=positive), CorrectionSettings(mode=mode))
        assert session.labels.layers[0, 0, 0, 0] == positive


def test_nothing_changes_where_nothing_may():
    for options in ({"editable": np.zeros(GRID.shape, bool)}, {"intensity_range": (1e6, 2e6)}):
        session = CorrectionSession(_image(), _labels(), **options)
        for mode in ("fix", "grow"):
            update = session.apply(_click(), CorrectionSettings(mode=mode))
            assert not update.changed.any()
        assert not session.labels.layers.any()
        assert session.suggest_radius(_click()) > 0


def test_the_oldest_of_prompts_that_contradict_holds():
    session = CorrectionSession(_image(), _labels())
    session.apply(_click(positive=False))
    for mode in ("fix", "grow"):
        session.apply(_click(positive=True), CorrectionSettings(mode=mode))
        assert session.labels.layers[0, 4, 5, 5] == 0
    session.undo()
    session.undo()
    session.undo()
    session.apply(_click(positive=True))
    assert session.labels.layers[0, 4, 5, 5] == 1


def test_the_referee_sees_who_holds_a_voxel():
    rng = np.random.default_rng(0)
    world = World(_image(), _labels())
    first, second = (random_prompt(rng, world, "scribble", positive, "a") for positive in (True, False))
    held = holders([first, second], GRID.shape)
    assert (held[first.sure] == 1).all()
    assert (held[second.sure & ~first.maybe] == -1).all()
    assert (held[~first.maybe & ~second.maybe] == 0).all()
