"""The contract of corrections: only what may change does, prompts stay true, undo and redo are exact."""

import numpy as np
import pytest
from contract import SEGMENTS, allowed, held, random_prompt, random_scene, random_settings
from hypothesis import given, settings
from hypothesis import strategies as st

from DeepSegmentLib.data import Box, Geometry, LabelMap, LabelUpdate, Point, Segment, Volume
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.refinement.session import RefinementSession
from DeepSegmentLib.refinement.settings import RefineSettings
from DeepSegmentLib.refinement.strokes import marked_voxels

seeds = st.integers(0, 2**32 - 1)


def interact(scene, rng):
    """One random correction; prompt, settings, labels before and after, update."""
    session = scene.session
    prompt, chosen = random_prompt(rng, session.volume.geometry), random_settings(rng)
    before, earlier = session.labels.layers, [old for old in session.prompts if old.segment == prompt.segment]
    seen = session.preview(prompt, chosen)
    assert np.array_equal(session.labels.layers, before)
    update = session.apply(prompt, chosen)
    after = session.labels.layers
    may = allowed(scene, prompt, chosen, before, earlier)
    part = (seen.layer, *seen.box.to_slices())
    assert not (seen.changed & ~may[part]).any(), "the preview shows a change that may not be"
    return prompt, before, after, may, update


@given(seeds)
@settings(max_examples=60)
def test_nothing_else_changes(seed):
    rng = np.random.default_rng(seed)
    scene = random_scene(rng)
    for _ in range(4):
        _, before, after, may, update = interact(scene, rng)
        assert not ((before != after) & ~may).any()
        again = before.copy()
        again[(update.layer, *update.box.to_slices())] = update.after
        assert np.array_equal(again, after)


@given(seeds)
@settings(max_examples=40)
def test_prompts_stay_true(seed):
    rng = np.random.default_rng(seed)
    scene = random_scene(rng)
    geometry, true = scene.session.volume.geometry, []
    for _ in range(5):
        prompt, _, after, may, _ = interact(scene, rng)
        for old, stroke in true:
            if old.segment == prompt.segment:
                value = next(segment for segment in SEGMENTS if segment.name == old.segment)
                now = after[(value.layer, *stroke.T)] == value.value
                assert (now == old.positive).all()
        segment = next(segment for segment in SEGMENTS if segment.name == prompt.segment)
        stroke = marked_voxels(prompt, geometry).stroke
        opposite = [s for old, s in true if old.segment == prompt.segment and old.positive != prompt.positive]
        blocked = {tuple(voxel) for voxels in opposite for voxel in voxels}
        for voxel in stroke:
            if may[(segment.layer, *voxel)] and tuple(voxel) not in blocked:
                assert (after[(segment.layer, *voxel)] == segment.value) == prompt.positive
        true += [(prompt, held([prompt], after, geometry)[0])]


@given(seeds, st.integers(1, 6))
@settings(max_examples=40)
def test_undo_and_redo_are_exact(seed, count):
    rng = np.random.default_rng(seed)
    scene = random_scene(rng)
    states = [scene.session.labels.layers]
    for _ in range(count):
        interact(scene, rng)
        states.append(scene.session.labels.layers)
    for state in reversed(states[:-1]):
        assert scene.session.undo() is not None
        assert np.array_equal(scene.session.labels.layers, state)
    assert scene.session.undo() is None
    assert scene.session.prompts == ()
    for state in states[1:]:
        assert scene.session.redo() is not None
        assert np.array_equal(scene.session.labels.layers, state)
    assert scene.session.redo() is None


@given(seeds, st.permutations((0, 1, 2)), st.lists(st.booleans(), min_size=3, max_size=3))
@settings(max_examples=30)
def test_the_order_and_sense_of_axes_do_not_matter(seed, order, flips):
    rng = np.random.default_rng(seed)
    scene = random_scene(rng, (14, 15, 16))
    session = scene.session
    labels = session.labels
    flip = tuple(slice(None, None, -1) if flipped else slice(None) for flipped in flips)

    def turned(array):
        return array.transpose(order)[flip]

    where = np.moveaxis(np.indices((14, 15, 16)), 0, -1)
    corners = [turned(where[..., axis])[tuple(np.eye(4, 3, -1, dtype=int).T)] for axis in range(3)]
    index = np.stack(corners, axis=1)  # of the turned array's origin and its three neighbors
    ras = session.volume.geometry.index_to_ras(index)
    affine = np.eye(4)
    affine[:3, 3] = ras[0]
    affine[:3, :3] = (ras[1:] - ras[0]).T
    geometry = Geometry(turned(scene.editable).shape, affine)
    other = RefinementSession(
        Volume(turned(session.volume.voxels[0])[None], geometry),
        LabelMap(np.stack([turned(layer) for layer in labels.layers]), geometry, SEGMENTS),
        locked=["locked"],
        editable=turned(scene.editable),
        intensity_range=scene.intensity_range,
    )
    voxel = rng.integers(0, (14, 15, 16))
    prompt = Point("a", bool(rng.random() < 0.5), session.volume.geometry.index_to_ras(voxel))
    chosen = RefineSettings(radius_mm=float(rng.uniform(3, 12)))
    session.apply(prompt, chosen)
    other.apply(prompt, chosen)
    ours, theirs = turned(session.labels.layers[0]), other.labels.layers[0]
    assert (ours != theirs).mean() <= 0.002  # rounding may tip a voxel whose gain is nearly zero


def ball_scene(radius=7, contrast=100.0):
    """A bright ball with a bite."""
    grid = Geometry.from_spacing((40, 40, 40), (1, 1, 1))
    z, y, x = np.ogrid[:40, :40, :40]
    truth = (z - 20) ** 2 + (y - 20) ** 2 + (x - 20) ** 2 < radius**2
    bite = (z - 20) ** 2 + (y - 20) ** 2 + (x - 27) ** 2 < 25
    image = truth * contrast + np.random.default_rng(0).normal(0, 5, truth.shape)
    start = (truth & ~bite).astype(np.uint8)[None]
    return Volume(image[None].astype(np.float32), grid), LabelMap(start, grid, (Segment("ball", 1),)), truth


def point(session, voxel, positive=True, name="ball"):
    return Point(name, positive, session.volume.geometry.index_to_ras(voxel))


class TestUse:
    def test_a_click_fills_the_bite(self):
        volume, labels, truth = ball_scene()
        session = RefinementSession(volume, labels)
        session.apply(point(session, (20, 20, 25)), RefineSettings(8))
        assert (session.labels.layers[0] != truth).sum() < 0.1 * (labels.layers[0] != truth).sum()

    def test_growing_from_one_click(self):
        volume, labels, truth = ball_scene()
        empty = LabelMap(np.zeros_like(labels.layers), labels.geometry, labels.segments)
        session = RefinementSession(volume, empty)
        session.apply(point(session, (20, 20, 20)), RefineSettings(12, mode="grow"))
        assert (session.labels.layers[0] != truth).sum() < 0.1 * truth.sum()

    def test_aggressiveness_never_takes_back(self):
        volume, labels, _ = ball_scene()
        sizes = []
        for eagerness in (0.0, 0.25, 0.5, 0.75, 1.0):
            session = RefinementSession(volume, labels)
            update = session.apply(point(session, (20, 20, 25)), RefineSettings(9, eagerness))
            sizes.append(int(update.changed.sum()))
        assert sizes == sorted(sizes)

    def test_intensity_units_do_not_matter(self):
        volume, labels, _ = ball_scene()
        results = []
        for scale, offset in ((1, 0), (3.5, -1000)):
            session = RefinementSession(
                Volume(volume.voxels * np.float32(scale) + np.float32(offset), labels.geometry), labels
            )
            session.apply(point(session, (20, 20, 25)), RefineSettings(8))
            results.append(session.labels.layers)
        assert (results[0] != results[1]).sum() <= 2

    def test_far_away_does_not_matter(self):
        volume, labels, _ = ball_scene()
        changed = volume.voxels.copy()
        changed[:, :3] = 1e6
        results = []
        for voxels in (volume.voxels, changed):
            session = RefinementSession(Volume(voxels, labels.geometry), labels)
            session.apply(point(session, (20, 20, 25)), RefineSettings(8))
            results.append(session.labels.layers)
        assert np.array_equal(*results)

    def test_the_suggested_radius_reaches_over_the_error(self):
        volume, labels, truth = ball_scene()
        network = truth.astype(np.float32) * 0.9
        for probabilities in (None, {"ball": network}):
            session = RefinementSession(volume, labels, probabilities=probabilities)
            assert 6 <= session.suggest_radius(point(session, (20, 20, 25))) <= 20

    @pytest.mark.parametrize("value", [0, 1])
    def test_constant_images_and_full_or_empty_segments(self, value):
        grid = Geometry.from_spacing((9, 9, 9), (1, 1, 1))
        labels = LabelMap(np.full((1, 9, 9, 9), value, np.uint8), grid, (Segment("ball", 1),))
        session = RefinementSession(Volume(np.zeros((1, 9, 9, 9), np.uint8), grid), labels)
        for positive in (True, False):
            session.apply(point(session, (4, 4, 4), positive), RefineSettings(3))
            assert session.labels.layers[0, 4, 4, 4] == (1 if session.prompts[0].positive else 0) or positive

    def test_one_voxel(self):
        grid = Geometry.from_spacing((1, 1, 1), (1, 1, 1))
        labels = LabelMap(np.zeros((1, 1, 1, 1), np.uint8), grid, (Segment("ball", 1),))
        session = RefinementSession(Volume(np.ones((1, 1, 1, 1), np.int16), grid), labels)
        session.apply(point(session, (0, 0, 0)))
        assert session.labels.layers.item() == 1

    def test_very_wide_radii_are_solved_coarsely_under_the_same_contract(self):
        rng = np.random.default_rng(1)
        scene = random_scene(rng, (70, 72, 74))
        session = scene.session
        prompt = Point("a", True, session.volume.geometry.index_to_ras((35, 36, 37)))
        chosen = RefineSettings(radius_mm=35 * min(session.volume.geometry.spacing_mm))
        before = session.labels.layers
        session.apply(prompt, chosen)
        assert not ((session.labels.layers != before) & ~allowed(scene, prompt, chosen, before, [])).any()

    def test_edits_of_others_are_part_of_the_history(self):
        volume, labels, _ = ball_scene()
        session = RefinementSession(volume, labels)
        box = Box((0, 0, 0), (2, 2, 2))
        session.edit(LabelUpdate(box, np.zeros((2, 2, 2), np.uint8), np.ones((2, 2, 2), np.uint8)))
        assert session.labels.layers[0, :2, :2, :2].all()
        session.undo()
        assert np.array_equal(session.labels.layers, labels.layers)


class TestErrors:
    def test_a_locked_segment(self):
        volume, labels, _ = ball_scene()
        session = RefinementSession(volume, labels, locked=["ball"])
        with pytest.raises(InvalidInputError, match="'ball' is locked"):
            session.apply(point(session, (20, 20, 20)))

    def test_an_unknown_segment(self):
        volume, labels, _ = ball_scene()
        session = RefinementSession(volume, labels)
        with pytest.raises(InvalidInputError, match="no segment named 'bal'; there are: ball"):
            session.apply(point(session, (20, 20, 20), name="bal"))

    def test_another_grid(self):
        volume, labels, _ = ball_scene()
        shifted = Volume(volume.voxels, Geometry.from_spacing((40, 40, 40), (1, 1, 2)))
        with pytest.raises(InvalidInputError, match="resample"):
            RefinementSession(shifted, labels)

    def test_a_mask_of_another_shape(self):
        volume, labels, _ = ball_scene()
        with pytest.raises(InvalidInputError, match="editable: expected shape"):
            RefinementSession(volume, labels, editable=np.ones((2, 2, 2), bool))

    def test_an_edit_of_labels_that_changed(self):
        volume, labels, _ = ball_scene()
        session = RefinementSession(volume, labels)
        ones = np.ones((2, 2, 2), np.uint8)
        with pytest.raises(InvalidInputError, match="make it anew"):
            session.edit(LabelUpdate(Box((0, 0, 0), (2, 2, 2)), ones, ones * 2))

    @pytest.mark.parametrize("wrong", [{"radius_mm": 0}, {"radius_mm": np.inf}, {"aggressiveness": 2}, {"mode": "x"}])
    def test_settings(self, wrong):
        with pytest.raises(InvalidInputError):
            RefineSettings(**wrong)
