"""What a prompt asks for: masks that agree, and no prompt overlooked."""

import numpy as np
import pytest
from correction_worlds import MAKERS, random_geometry, random_prompt, random_settings, random_world
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.correction.rules.constraints import look, near_block
from DeepSegmentLib.correction.rules.marked_voxels import marked_voxels
from DeepSegmentLib.correction.session import LabelCanvas
from DeepSegmentLib.correction.settings import CorrectionSettings
from DeepSegmentLib.data import Box, BoxPrompt, Geometry, Lasso, Point, Volume
from DeepSegmentLib.data.geometry import as_index
from DeepSegmentLib.errors import InvalidInputError

seeds = st.integers(0, 2**32 - 1)


def _canvas(geometry, labels=None, voxels=None):
    image = np.zeros((1, *geometry.shape), np.float32) if voxels is None else voxels
    mask = np.zeros(geometry.shape, np.uint8) if labels is None else labels
    return LabelCanvas(Volume(image, geometry), mask, 1)


def _row(length=40):
    return Geometry.from_spacing((1, 1, length), (1, 1, 1))


def _click(i, positive=True):
    return Point("a", positive, (i, 0, 0))


@given(seed=seeds)
def test_the_masks_of_a_task_agree(seed):
    rng = np.random.default_rng(seed)
    world = random_world(rng)
    canvas = LabelCanvas(world.volume, world.labels.layers[0], 1, (2,), world.options.get("editable"))
    earlier = [random_prompt(rng, world, "scribble", name="first").prompt for _ in range(3)]
    asked = random_prompt(rng, world, str(rng.choice(list(MAKERS))), name="first")
    if not (asked.sure.any() or (asked.region is not None and len(_region(asked, world)))):
        return
    found = look(canvas, asked.prompt, random_settings(rng, world.geometry), earlier)
    domain = found.domain
    sides = np.sum([domain.free, domain.must, domain.target], axis=0, dtype=int)
    assert sides.max() <= 1, "a voxel is on two sides"
    assert domain.source.any()
    assert not ((domain.free | domain.must) & (domain.against | ~canvas.editable(found.box))).any()
    assert (domain.distance_mm[domain.source] == 0).all()
    assert np.array_equal(found.before, canvas.segment(found.box))
    assert np.array_equal(domain.channels, canvas.intensities(found.box))
    if found.cleared is None:
        assert np.array_equal(domain.target, found.before == found.side)
    else:
        assert found.side
        assert not (found.cleared & ~canvas.editable(found.box)).any()
        assert np.array_equal(domain.target, found.before & ~found.cleared)


def _region(asked, world):
    try:
        return marked_voxels(asked.prompt, world.geometry).region
    except InvalidInputError:
        return []


def _box_of(voxel):
    return Box(as_index(voxel), as_index(voxel + 1))


@given(seed=seeds, kind=st.sampled_from(sorted(MAKERS)), positive=st.booleans())
def test_no_prompt_that_marks_a_voxel_of_a_block_is_overlooked(seed, kind, positive):
    rng = np.random.default_rng(seed)
    geometry = random_geometry(rng)
    prompt = MAKERS[kind](rng, geometry, "a", positive).prompt
    try:
        stroke = marked_voxels(prompt, geometry).stroke
    except InvalidInputError:
        return
    assert all(near_block([prompt], geometry, _box_of(voxel)) for voxel in stroke[:: len(stroke) // 50 + 1])


def test_a_flat_lasso_across_thick_slices_is_not_overlooked():
    # Voxels of 10 mm count as cut by a plane at 45 degrees up to 3.9 mm from it.
    geometry = Geometry.from_spacing((5, 30, 30), (10, 1, 1))
    middle, along = geometry.index_to_ras((2, 15, 15)), np.array([0, 1, -1]) / np.sqrt(2)
    outline = [middle + x * np.array([1, 0, 0]) + 2.2 * y * along for x, y in ((-5, -1), (5, -1), (5, 1), (-5, 1))]
    lasso = Lasso("a", True, np.array(outline), 0.0)
    stroke = marked_voxels(lasso, geometry).stroke
    assert np.abs(stroke[:, 1] - 15).max() == 3
    assert all(near_block([lasso], geometry, _box_of(voxel)) for voxel in stroke)


def test_a_far_prompt_is_passed_over():
    geometry = _row()
    near, far = _click(7), _click(30)
    assert near_block([far, near, far], geometry, Box((0, 0, 5), (1, 1, 10))) == [near]
    assert near_block([], geometry, Box((0, 0, 5), (1, 1, 10))) == []


def test_a_thin_box_across_the_grid_has_a_core():
    # Of the voxels along (2, -1) only two have their centers in the box, and its middle is in neither.
    tilt = np.arctan2(1, 2)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]]
    geometry = Geometry((8, 8, 3), affine)
    ends = geometry.index_to_ras(np.array([(2, 4, 1), (4, 3, 1)]))
    box = BoxPrompt("a", True, [ends.min(axis=0) - 0.01, ends.max(axis=0) + 0.01])
    assert marked_voxels(box, geometry).region.tolist() == [[2, 4, 1], [4, 3, 1]]
    for mode in ("fix", "grow"):
        assert look(_canvas(geometry), box, CorrectionSettings(mode=mode)).domain.source.any()


def test_a_bent_lasso_has_a_core():
    # A U from above, in a plane that just misses the grid: it reaches in with its depth.
    geometry = Geometry.from_spacing((3, 12, 12), (1, 1, 1))
    corners = [(0, 0), (0, 10), (2, 10), (2, 2), (9, 2), (9, 10), (11, 10), (11, 0)]
    lasso = Lasso("a", True, np.array([(x + 0.3, y + 0.3, 3.2) for x, y in corners]), 1.5)
    marks = marked_voxels(lasso, geometry)
    assert not len(marks.stroke)
    source = look(_canvas(geometry), lasso, CorrectionSettings()).domain.source
    assert source.any()


def test_only_what_the_prompt_reaches_and_asks_for_may_change():
    labels = np.zeros((1, 1, 40), np.uint8)
    labels[..., 20:] = 1
    found = look(_canvas(_row(), labels), _click(18), CorrectionSettings(radius_mm=5), [_click(16, positive=False)])
    names = np.array(["-"] * 40, dtype=object)
    for name in ("free", "must", "target", "against"):
        names[found.box.to_slices()[2]][getattr(found.domain, name)[0, 0]] = name
    assert names[13:24].tolist() == ["free"] * 3 + ["against", "free", "must", "free"] + ["target"] * 4
    assert names[:13].tolist() == ["-"] * 13


def test_growing_decides_anew_around_all_positive_prompts():
    labels = np.zeros((1, 1, 40), np.uint8)
    labels[..., 8:20] = 1
    settings = CorrectionSettings(radius_mm=2, mode="grow")
    found = look(_canvas(_row(), labels), _click(25), settings, [_click(10), _click(11, positive=False)])
    cleared = np.flatnonzero(found.cleared[0, 0]) + found.box.start[2]
    assert cleared.tolist() == [8, 9, 10, 11, 12, 23, 24, 25, 26, 27]
    assert (np.flatnonzero(found.domain.must[0, 0]) + found.box.start[2]).tolist() == [10, 25]
    assert (np.flatnonzero(found.domain.against[0, 0]) + found.box.start[2]).tolist() == [11]


def test_growing_without_a_positive_prompt_is_fixing():
    labels = np.ones((1, 1, 40), np.uint8)
    found = look(_canvas(_row(), labels), _click(20, positive=False), CorrectionSettings(mode="grow"))
    assert not found.side
    assert found.cleared is None


@pytest.mark.parametrize(("first", "changes"), [(True, True), (False, False)])
def test_where_prompts_contradict_the_oldest_holds_when_growing(first, changes):
    earlier = [_click(20, positive=first), _click(20, positive=not first), _click(22)]
    domain = look(_canvas(_row()), _click(23), CorrectionSettings(radius_mm=3, mode="grow"), earlier).domain
    place = 20 - look(_canvas(_row()), _click(23), CorrectionSettings(radius_mm=3, mode="grow"), earlier).box.start[2]
    assert domain.must[0, 0, place] == changes
    assert domain.against[0, 0, place] != changes


def test_growing_stays_in_a_box_and_takes_back_far_from_it():
    labels = np.ones((1, 1, 40), np.uint8)
    box = BoxPrompt("a", True, [(10, 0, 0), (20, 0, 0)])
    settings = CorrectionSettings(radius_mm=30, mode="grow")
    alone = look(_canvas(_row(), labels), box, settings)
    assert (np.flatnonzero(alone.cleared[0, 0]) + alone.box.start[2]).tolist() == list(range(10, 21))
    later = look(_canvas(_row(), labels), _click(35, positive=False), settings, [box])
    assert (np.flatnonzero(later.cleared[0, 0]) + later.box.start[2]).tolist() == [*range(10, 21), 35]
    with_click = look(_canvas(_row(), labels), _click(35), CorrectionSettings(radius_mm=2, mode="grow"), [box])
    cleared = np.flatnonzero(with_click.cleared[0, 0]) + with_click.box.start[2]
    assert cleared.tolist() == [*range(10, 21), *range(33, 38)]


def test_a_networks_chance_is_turned_to_the_prompts_side():
    chance = np.linspace(0, 1, 40, dtype=np.float32)[None, None]
    canvas = LabelCanvas(Volume(chance[None], _row()), np.ones((1, 1, 40), np.uint8), 1, network=chance)
    found = look(canvas, _click(20, positive=False), CorrectionSettings(radius_mm=3))
    part = chance[found.box.to_slices()]
    assert np.array_equal(found.domain.probability, 1 - part)
    assert np.array_equal(look(canvas, _click(20), CorrectionSettings(radius_mm=3)).domain.probability, part)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_refuses_intensities_that_are_none(value):
    voxels = np.zeros((1, 1, 1, 40), np.float32)
    voxels[..., 22] = value
    for mode in ("fix", "grow"):
        with pytest.raises(InvalidInputError, match=r"NaN or infinite voxels in Box.*replace them first"):
            look(_canvas(_row(), voxels=voxels), _click(20), CorrectionSettings(radius_mm=3, mode=mode))
        assert (
            look(_canvas(_row(), voxels=voxels), _click(5), CorrectionSettings(radius_mm=3, mode=mode)).before.any()
            == 0
        )


@pytest.mark.parametrize("value", [np.nan, -0.5, 1.5, 255])
def test_refuses_probabilities_that_are_none(value):
    chance = np.full((1, 1, 40), 0.5, np.float32)
    chance[..., 22] = value
    canvas = LabelCanvas(Volume(np.zeros_like(chance)[None], _row()), np.zeros((1, 1, 40), np.uint8), 1, network=chance)
    for mode in ("fix", "grow"):
        with pytest.raises(InvalidInputError, match=r"probabilities in Box.*between 0 and 1"):
            look(canvas, _click(20), CorrectionSettings(radius_mm=3, mode=mode))
