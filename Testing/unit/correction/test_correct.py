"""Corrections do not depend on how the volume is stored, and do what a prompt says."""

from dataclasses import replace

import numpy as np
import pytest
from correction_worlds import KINDS, blobs, random_prompt, random_world
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import orientations

from DeepSegmentLib.correction.correct import Correction, correct, preview, suggest_radius
from DeepSegmentLib.correction.session import LabelCanvas
from DeepSegmentLib.correction.settings import CorrectionSettings
from DeepSegmentLib.data import Box, Geometry, Point, Scribble, Volume

seeds = st.integers(0, 2**32 - 1)
solvers = pytest.mark.parametrize("solve", [correct, preview])


def _ball(geometry, center, radius_mm):
    places = geometry.index_to_ras(np.indices(geometry.shape).reshape(3, -1).T)
    return (np.linalg.norm(places - geometry.index_to_ras(center), axis=1) <= radius_mm).reshape(geometry.shape)


def _canvas(seed, geometry, dtype=np.float32):
    """A bright ball with noise, of which the segment has a part and a little too much elsewhere."""
    rng = np.random.default_rng(seed)
    middle = (np.asarray(geometry.shape) - 1) / 2
    size = 0.35 * np.min(np.multiply(geometry.shape, geometry.spacing_mm))
    ball = _ball(geometry, middle, size)
    image = np.rint(100 * ball + rng.normal(60, 12, geometry.shape)).clip(0, 255)[None]
    mask = (ball & blobs(rng, geometry.shape, 0.6)) | blobs(rng, geometry.shape, 0.05)
    return LabelCanvas(Volume(image.astype(dtype), geometry), mask.astype(np.uint8), 1)


def _prompts(seed, geometry):
    """A few prompts at places that no rounding brings to another voxel."""
    rng = np.random.default_rng(seed)
    places = geometry.index_to_ras(rng.uniform(0, np.asarray(geometry.shape) - 1, (3, 3)))
    positive = bool(rng.integers(2))
    return [Point("a", positive, places[0]), Scribble("a", positive, places, 0.0), Point("a", not positive, places[2])]


def _whole(correction, canvas):
    """The mask of the whole volume after a correction."""
    mask = canvas.segment(Box.of_shape(canvas.geometry.shape)).copy()
    assert np.array_equal(mask[correction.box.to_slices()], correction.before)
    mask[correction.box.to_slices()] = correction.after
    return mask


def _stored_otherwise(canvas, orientation):
    """The same canvas, its arrays as views of turned ones."""
    there = canvas.geometry.orientation
    turned = _turned(canvas, orientation)
    labels = turned.geometry.view(np.ascontiguousarray(turned.labels), there)
    return replace(canvas, labels=labels)


def _turned(canvas, orientation):
    geometry = canvas.geometry
    return replace(
        canvas, volume=canvas.volume.oriented(orientation), labels=geometry.view(np.asarray(canvas.labels), orientation)
    )


@settings(max_examples=10)
@solvers
@given(seed=seeds, orientation=orientations())
def test_turning_the_array_turns_the_answer(solve, seed, orientation):
    geometry = Geometry.from_spacing((9, 10, 8), (1.5, 1, 1.2))
    canvas, settled = _canvas(seed, geometry), CorrectionSettings(radius_mm=3.7)
    other = _turned(canvas, orientation)
    for prompt in _prompts(seed, geometry):
        expected = geometry.view(_whole(solve(canvas, prompt, settled), canvas), orientation)
        assert np.array_equal(_whole(solve(other, prompt, settled), other), expected)


@settings(max_examples=10)
@solvers
@given(seed=seeds, orientation=orientations())
@example(seed=0, orientation="SAR")
def test_how_arrays_lie_in_memory_does_not_matter(solve, seed, orientation):
    geometry = Geometry.from_spacing((9, 10, 8), (1.5, 1, 1.2))
    canvas, settled = _canvas(seed, geometry), CorrectionSettings(radius_mm=3.7)
    other = _stored_otherwise(canvas, orientation)
    assert np.array_equal(other.labels, canvas.labels)
    for prompt in _prompts(seed, geometry):
        assert np.array_equal(solve(other, prompt, settled).after, solve(canvas, prompt, settled).after)


@settings(max_examples=10)
@solvers
@given(seed=seeds, scale=st.sampled_from([0.01, 0.5, 3, 1000]), offset=st.sampled_from([-1000, 0, 0.3, 500]))
def test_the_unit_of_intensity_does_not_matter(solve, seed, scale, offset):
    geometry = Geometry.from_spacing((9, 10, 8), (1.5, 1, 1.2))
    canvas, settled = _canvas(seed, geometry, np.float64), CorrectionSettings(radius_mm=3.7)
    other = replace(canvas, volume=Volume(scale * canvas.volume.voxels + offset, geometry))
    for prompt in _prompts(seed, geometry):
        found, expected = (solve(one, prompt, settled).after for one in (other, canvas))
        assert np.array_equal(found, expected)


@settings(max_examples=10)
@solvers
@given(seed=seeds)
def test_the_type_of_the_voxels_does_not_matter(solve, seed):
    geometry = Geometry.from_spacing((9, 10, 8), (1.5, 1, 1.2))
    for prompt in _prompts(seed, geometry):
        answers = [
            solve(_canvas(seed, geometry, dtype), prompt, CorrectionSettings(radius_mm=3.7)).after
            for dtype in (np.uint8, np.int16, np.float64)
        ]
        assert all(np.array_equal(answer, answers[0]) for answer in answers)


@solvers
@given(seed=seeds, factor=st.sampled_from([0.125, 4, 1024]))
def test_the_unit_of_length_does_not_matter(solve, seed, factor):
    geometry, larger = (Geometry.from_spacing((9, 10, 8), np.array((1.5, 1, 1.25)) * f) for f in (1, factor))
    canvas = _canvas(seed, geometry)
    other = replace(canvas, volume=Volume(canvas.volume.voxels, larger))
    for prompt in _prompts(seed, geometry)[:1]:
        found = solve(other, Point("a", prompt.positive, factor * prompt.point_ras), CorrectionSettings(3.7 * factor))
        assert np.array_equal(found.after, solve(canvas, prompt, CorrectionSettings(3.7)).after)


@settings(max_examples=10)
@solvers
@pytest.mark.parametrize("mode", ["fix", "grow"])
@given(seed=seeds, kind=st.sampled_from(KINDS))
def test_what_is_outside_the_block_does_not_matter(solve, mode, seed, kind):
    rng = np.random.default_rng(seed)
    world = random_world(rng, longest=16)
    asked = random_prompt(rng, world, kind, name="first")
    if not asked.sure.any():
        return
    canvas = LabelCanvas(world.volume, world.labels.layers[0], 1, (2,))
    settled = CorrectionSettings(radius_mm=float(2 * min(world.geometry.spacing_mm)), mode=mode)
    answer = solve(canvas, asked.prompt, settled)
    cropped = LabelCanvas(world.volume.crop(answer.box), world.labels.layers[(0, *answer.box.to_slices())], 1, (2,))
    alone = solve(cropped, asked.prompt, settled)
    assert alone.box == Box.of_shape(answer.box.shape)
    assert np.array_equal(alone.after, answer.after)
    other_voxels, other_labels = np.zeros_like(world.volume.voxels), np.full_like(world.labels.layers[0], 2)
    place = answer.box.to_slices()
    other_voxels[(slice(None), *place)], other_labels[place] = (
        world.volume.voxels[(slice(None), *place)],
        canvas.labels[place],
    )
    elsewhere = LabelCanvas(Volume(other_voxels, world.geometry), other_labels, 1, (2,))
    assert np.array_equal(solve(elsewhere, asked.prompt, settled).after, answer.after)


@settings(max_examples=10)
@given(seed=seeds, aggressiveness=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_more_aggressive_changes_all_that_less_does_and_maybe_more(seed, aggressiveness):
    geometry = Geometry.from_spacing((9, 10, 8), (1.5, 1, 1.2))
    low, high = sorted(aggressiveness)
    for prompt in _prompts(seed, geometry):
        canvas = _canvas(seed, geometry)
        less, more = (correct(canvas, prompt, CorrectionSettings(3.7, value)) for value in (low, high))
        assert not (less.changed & ~more.changed).any()


@settings(max_examples=10)
@given(seed=seeds)
def test_the_answer_does_not_depend_on_who_asks_or_how_often(seed):
    geometry = Geometry.from_spacing((9, 10, 8), (1.5, 1, 1.2))
    canvas = _canvas(seed, geometry)
    before = canvas.labels.copy()
    for prompt in _prompts(seed, geometry):
        answers = [correct(canvas, prompt, earlier=_prompts(seed + 1, geometry)).after for _ in range(2)]
        assert np.array_equal(*answers)
    assert np.array_equal(canvas.labels, before)


@solvers
def test_a_click_on_a_missing_ball_brings_a_good_part_of_it_and_little_else(solve):
    geometry = Geometry.from_spacing((24, 24, 24), (1, 1, 1))
    ball = _ball(geometry, (12, 12, 12), 6)
    image = 100 * ball + np.random.default_rng(0).normal(50, 5, geometry.shape)
    canvas = LabelCanvas(Volume(image[None].astype(np.float32), geometry), np.zeros(geometry.shape, np.uint8), 1)
    mask = _whole(solve(canvas, Point("a", True, geometry.index_to_ras((12, 12, 12))), CorrectionSettings(10)), canvas)
    assert (mask & ball).sum() > 0.3 * ball.sum()
    assert (mask & ball).sum() > 0.9 * mask.sum()


def test_wide_edits_are_solved_on_a_coarser_block():
    geometry = Geometry.from_spacing((70, 70, 70), (1, 1, 1))
    ball = _ball(geometry, (35, 35, 35), 18)
    image = 100 * ball + np.random.default_rng(0).normal(50, 5, geometry.shape)
    canvas = LabelCanvas(Volume(image[None].astype(np.float32), geometry), np.zeros(geometry.shape, np.uint8), 1)
    answer = correct(canvas, Point("a", True, geometry.index_to_ras((35, 35, 35))), CorrectionSettings(30))
    assert answer.box.size > 260_000
    assert answer.after[tuple(np.subtract((35, 35, 35), answer.box.start))]
    mask = _whole(answer, canvas)
    assert (mask & ball).sum() > 0.3 * ball.sum()
    assert (mask & ball).sum() > 0.9 * mask.sum()


def test_a_correction_knows_what_it_changes():
    before, after = np.array([[[False, True, True]]]), np.array([[[True, True, False]]])
    assert Correction(Box.of_shape((1, 1, 3)), before, after).changed.tolist() == [[[True, False, True]]]


@pytest.mark.parametrize("known", [True, False])
@given(seed=seeds, positive=st.booleans())
def test_a_suggested_radius_is_a_few_voxels_at_least_and_not_half_the_body(known, seed, positive):
    geometry = Geometry.from_spacing((9, 10, 8), (1.5, 1, 1.2))
    canvas = _canvas(seed, geometry)
    if known:
        canvas = replace(canvas, network=np.random.default_rng(seed).random(geometry.shape, dtype=np.float32))
    place = geometry.index_to_ras(np.random.default_rng(seed).integers(0, geometry.shape))
    step = float(np.prod(geometry.spacing_mm)) ** (1 / 3)
    assert 3 * step < suggest_radius(canvas, Point("a", positive, place)) < 40 * step


def test_a_larger_error_suggests_a_larger_radius():
    geometry = Geometry.from_spacing((40, 40, 40), (1, 1, 1))
    nothing = np.zeros(geometry.shape, np.uint8)
    image = Volume(np.zeros((1, *geometry.shape), np.float32), geometry)
    prompt = Point("a", True, geometry.index_to_ras((20, 20, 20)))
    radii = [
        suggest_radius(LabelCanvas(image, nothing, 1, network=_ball(geometry, (20, 20, 20), r)), prompt)
        for r in (1, 4, 8)
    ]
    assert radii == sorted(set(radii))
    right = LabelCanvas(
        image, _ball(geometry, (20, 20, 20), 8).astype(np.uint8), 1, network=_ball(geometry, (20,) * 3, 8)
    )
    assert suggest_radius(right, prompt) <= radii[0]
