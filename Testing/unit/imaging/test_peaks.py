"""Laws of block means and peaks."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from strategies import shapes

from DeepSegmentLib.imaging.peaks import block_centers, block_means, highest_peaks, suppress


@given(shapes(), st.tuples(*[st.integers(1, 9)] * 3), st.integers(0, 99))
def test_block_means_are_the_means_of_the_blocks(shape, blocks, seed):
    voxels = np.random.default_rng(seed).random(shape)
    means = block_means(voxels, blocks)
    for index in np.ndindex(means.shape):
        part = tuple(slice(n * b, (n + 1) * b) for n, b in zip(index, blocks, strict=True))
        assert np.isclose(means[index], voxels[part].mean(), atol=1e-5)
        places = np.argwhere(np.ones_like(voxels[part])) + [span.start for span in part]
        assert np.allclose(block_centers(np.array(index), blocks, shape)[0], places.mean(axis=0))
    assert means.shape == tuple(-(-n // b) for n, b in zip(shape, blocks, strict=True))


def test_truth_values_have_shares():
    assert block_means(np.eye(4, dtype=bool)[None], (1, 2, 2)).tolist() == [[[0.5, 0.0], [0.0, 0.5]]]


@given(shapes(), st.integers(0, 99), st.floats(0.1, 9), st.integers(0, 9))
def test_peaks_fall_keep_apart_and_leave_nothing_higher_out(shape, seed, distance_mm, count):
    scores, spacing = np.random.default_rng(seed).random(shape, dtype=np.float32), np.array([2.0, 1.0, 0.5])
    peaks, heights = highest_peaks(scores, spacing, count=count, distance_mm=distance_mm, least=0.3)
    assert len(peaks) <= count
    assert (heights >= 0.3).all()
    assert (np.diff(heights) <= 0).all()
    assert np.array_equal(scores[tuple(peaks.T)].astype(float), heights)
    apart = np.linalg.norm((peaks[:, None] - peaks[None]) * spacing, axis=-1) + 1e9 * np.eye(len(peaks))
    assert not len(peaks) or apart.min() >= distance_mm
    if len(peaks) < count:
        far = np.ones(shape, dtype=bool)
        places = np.argwhere(far)
        for peak in peaks:
            far[tuple(places[np.linalg.norm((places - peak) * spacing, axis=1) < distance_mm].T)] = False
        assert not (far & (scores >= 0.3)).any()


@given(shapes(), st.tuples(*[st.floats(-9, 15)] * 3), st.floats(0, 9))
def test_a_suppressed_ball_is_a_ball_wherever_it_is(shape, center, distance_mm):
    scores, spacing = np.ones(shape, dtype=np.float32), np.array([2.0, 1.0, 0.5])
    suppress(scores, np.array(center), spacing, distance_mm)
    away = np.linalg.norm((np.argwhere(np.ones(shape)) - center) * spacing, axis=1)
    clear = np.abs(away - distance_mm) > 1e-6
    assert np.array_equal(scores.ravel()[clear] < 0, away[clear] < distance_mm)
