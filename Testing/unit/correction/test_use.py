"""Corrections as they are used: a ball with a bite, filled, grown and taken back."""

import numpy as np

from DeepSegmentLib.correction.session import CorrectionSession
from DeepSegmentLib.correction.settings import CorrectionSettings
from DeepSegmentLib.data import Geometry, LabelMap, Point, Segment, Volume


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


def test_a_click_fills_the_bite():
    volume, labels, truth = ball_scene()
    session = CorrectionSession(volume, labels)
    session.apply(point(session, (20, 20, 25)), CorrectionSettings(8))
    assert (session.labels.layers[0] != truth).sum() < 0.1 * (labels.layers[0] != truth).sum()


def test_growing_from_one_click():
    volume, labels, truth = ball_scene()
    empty = LabelMap(np.zeros_like(labels.layers), labels.geometry, labels.segments)
    session = CorrectionSession(volume, empty)
    session.apply(point(session, (20, 20, 20)), CorrectionSettings(12, mode="grow"))
    assert (session.labels.layers[0] != truth).sum() < 0.1 * truth.sum()


def test_the_suggested_radius_reaches_over_the_error():
    volume, labels, truth = ball_scene()
    network = truth.astype(np.float32) * 0.9
    for probabilities in (None, {"ball": network}):
        session = CorrectionSession(volume, labels, probabilities=probabilities)
        assert 6 <= session.suggest_radius(point(session, (20, 20, 25))) <= 20


def test_where_the_user_pointed_nothing_may_change_so_nothing_does():
    volume, labels, _ = ball_scene()
    editable = np.ones((40, 40, 40), bool)
    editable[20, 20, 25] = False
    session = CorrectionSession(volume, labels, editable=editable)
    assert not session.apply(point(session, (20, 20, 25)), CorrectionSettings(8)).changed.any()
    assert session.apply(point(session, (20, 20, 26)), CorrectionSettings(8)).changed.any()
