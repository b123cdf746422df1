"""Laws of drawn scenes, of mistaken masks, and of the annotator who corrects them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from DeepSegmentLib.data import Geometry, LabelMap, Volume
from DeepSegmentLib.data.prompts import Point
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap
from DeepSegmentLib.files.volumes import read_volume
from DeepSegmentLib.refinement.strokes import marked_voxels
from DeepSegmentLib.training.annotator import next_prompt
from DeepSegmentLib.training.mistakes import mistaken
from DeepSegmentLib.training.scenes import (
    EDGE,
    LARGEST_SHARE,
    Scene,
    cut_scene,
    draw_scene,
    largest_piece,
    smooth_noise,
)

seeds = st.integers(0, 2**31)


def _head():
    """Balls in balls, as a label map."""
    away = np.sqrt(((np.indices((60, 60, 60)) - 29.5) ** 2).sum(axis=0))
    labels = np.zeros((60, 60, 60), np.int16)
    for limit, value in ((28, 511), (22, 24), (18, 3), (10, 2)):
        labels[away < limit] = value
    return labels


@pytest.mark.parametrize("seed", range(6))
def test_a_scene_holds_a_structure(seed):
    scene = draw_scene([_head()], np.random.default_rng(seed))
    assert scene.image.shape == scene.truth.shape == scene.geometry.shape
    assert scene.image.dtype == np.float32
    assert np.isfinite(scene.image).all()
    assert 0 < scene.truth.mean() < LARGEST_SHARE
    extent = np.array(scene.geometry.shape) * scene.geometry.spacing_mm
    assert (np.abs(extent - EDGE) <= np.array(scene.geometry.spacing_mm)).all()


def test_a_structure_is_cut_with_its_surroundings(shared_data):
    labels = read_labelmap(shared_data / "mr" / "sub-mri_seg-vert_label-6_msk.nii.gz")
    volume = read_volume(shared_data / "mr" / "sub-mri_label-6_T2w.nii.gz")
    for seed in range(4):
        scene = cut_scene(volume, labels, np.random.default_rng(seed))
        assert scene.image.shape == scene.truth.shape == scene.geometry.shape
        place = volume.geometry.ras_to_index(scene.geometry.index_to_ras(np.argwhere(scene.truth)[:1]))
        assert labels.layers[0][tuple(np.rint(place[0]).astype(int))] > 0
        inside = scene.image[scene.truth]
        assert inside.std() > 0
        assert abs(np.corrcoef(inside, volume.voxels[0][_same_part(volume, scene)][scene.truth])[0, 1]) > 0.4


def _same_part(volume, scene):
    start = np.rint(volume.geometry.ras_to_index(scene.geometry.index_to_ras([[0, 0, 0]]))[0]).astype(int)
    return tuple(slice(a, a + n) for a, n in zip(start, scene.truth.shape, strict=True))


def test_a_volume_without_structures_is_refused():
    place = Geometry.from_spacing((4, 4, 4), (1, 1, 1))
    volume, labels = (
        Volume(np.zeros((1, 4, 4, 4), np.float32), place),
        LabelMap(np.zeros((1, 4, 4, 4), np.uint8), place),
    )
    with pytest.raises(InvalidInputError, match="no label has more than"):
        cut_scene(volume, labels, np.random.default_rng(0))


def test_the_same_seed_draws_the_same_scene():
    a, b, c = (draw_scene([], np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(a.image, b.image)
    assert np.array_equal(a.truth, b.truth)
    assert not np.array_equal(a.image, c.image)


@given(st.floats(0.3, 12), seeds)
@settings(max_examples=10)
def test_noise_is_standardized_and_as_smooth_as_asked(sigma, seed):
    noise = smooth_noise((40, 30, 50), sigma, np.random.default_rng(seed))
    assert noise.shape == (40, 30, 50)
    np.testing.assert_allclose([noise.mean(), noise.std()], [0, 1], atol=1e-3)
    # Blurred white noise has the correlation exp(-1 / (4 sigma^2)) between neighbors; a little less when resampled.
    neighbors = float(np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1])
    if sigma >= 1:
        assert neighbors == pytest.approx(np.exp(-1 / (4 * sigma**2)), abs=0.08)


@given(seeds)
@settings(max_examples=10)
def test_the_largest_piece_is_one_of_the_pieces(seed):
    mask = np.random.default_rng(seed).random((9, 9, 9)) < 0.25
    piece = largest_piece(mask)
    pieces, count = ndimage.label(mask)
    assert not (piece & ~mask).any()
    assert piece.sum() == max((int((pieces == n).sum()) for n in range(1, count + 1)), default=0)


def _ball_scene():
    away = np.sqrt(((np.indices((40, 40, 40)) - 19.5) ** 2).sum(axis=0))
    truth = away < 11
    noise = np.random.default_rng(0).normal(0, 5, truth.shape)
    return Scene((100.0 * truth + noise).astype(np.float32), truth, Geometry.from_spacing((40, 40, 40), (1, 1, 1)))


def test_mistakes_are_of_both_signs_and_of_any_size():
    scene = _ball_scene()
    missing, surplus, overlaps = [], [], []
    for seed in range(40):
        mask = mistaken(scene, np.random.default_rng(seed))
        assert mask.shape == scene.truth.shape
        assert mask.dtype == bool
        missing.append(int((scene.truth & ~mask).sum()))
        surplus.append(int((mask & ~scene.truth).sum()))
        overlaps.append(2 * (mask & scene.truth).sum() / (mask.sum() + scene.truth.sum()))
    assert np.median(missing) > 100
    assert np.median(surplus) > 20
    assert min(overlaps) < 0.3
    assert max(overlaps) > 0.9
    assert 0.7 < np.median(overlaps) < 0.97


@given(seeds)
def test_a_prompt_asks_for_what_is_wrong(seed):
    scene, rng = _ball_scene(), np.random.default_rng(seed)
    mask = mistaken(scene, rng)
    prompt, radius_mm = next_prompt(scene.truth, mask, scene.geometry, rng)
    marked = marked_voxels(prompt, scene.geometry).stroke
    assert 6 * 0.55 <= radius_mm <= 24
    wrong = scene.truth & ~mask if prompt.positive else mask & ~scene.truth
    # One prompt in ten is up to three slices off; every other begins in a wrong piece.
    near = ndimage.distance_transform_edt(~wrong)[tuple(marked.T)].min()
    assert near <= 3


def test_prompts_are_mostly_exact_clicks():
    scene = _ball_scene()
    prompts = []
    for seed in range(80):
        rng = np.random.default_rng(seed)
        mask = mistaken(scene, rng)
        prompt, _ = next_prompt(scene.truth, mask, scene.geometry, rng)
        wrong = (scene.truth & ~mask) if prompt.positive else (mask & ~scene.truth)
        stroke = marked_voxels(prompt, scene.geometry).stroke
        prompts.append((isinstance(prompt, Point), bool(wrong[tuple(stroke.T)].all())))
    clicks, exact = np.mean(prompts, axis=0)
    assert 0.55 < clicks < 0.85
    assert 0.8 < exact < 0.99


def test_nothing_is_asked_of_a_right_mask():
    scene = _ball_scene()
    assert next_prompt(scene.truth, scene.truth, scene.geometry, np.random.default_rng(0)) is None
    speck = scene.truth.copy()
    speck[20, 20, 20:22] = False
    assert next_prompt(scene.truth, speck, scene.geometry, np.random.default_rng(0)) is None
