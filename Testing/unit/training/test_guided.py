"""Samples and loss of the guided network, and that our trainer learns from them."""

import numpy as np
import pytest
import torch

from DeepSegmentLib.data import Geometry
from DeepSegmentLib.networks.unet import UNet
from DeepSegmentLib.refinement.guided import CHANNELS, LEAST_EXTENT
from DeepSegmentLib.training import guided
from DeepSegmentLib.training.fit import TrainSettings, fit
from DeepSegmentLib.training.guided import GuidedSource, guide_network, guided_loss
from DeepSegmentLib.training.scenes import Scene


@pytest.fixture(scope="module")
def scene():
    """A ball, small enough to be quick."""
    away = np.sqrt(((np.indices((32, 32, 32)) - 15.5) ** 2).sum(axis=0))
    truth = away < 9
    image = 100.0 * truth + np.random.default_rng(0).normal(0, 20, truth.shape)
    return Scene(image.astype(np.float32), truth, Geometry.from_spacing(truth.shape, (1, 1, 1)))


@pytest.fixture(scope="module")
def block(scene):
    """The samples of one mask."""
    mask = scene.truth & (np.indices(scene.truth.shape)[0] < 18)
    return np.stack(list(guided._samples(scene, mask, np.random.default_rng(1))))


def test_a_sample_says_what_is_seen_and_what_is_to_learn(block):
    assert block.shape[1:] == (len(CHANNELS) + 3, *(LEAST_EXTENT,) * 3)
    assert block.dtype == np.float32
    free, wanted, before = block[:, len(CHANNELS) :].swapaxes(0, 1)
    assert ((free >= 0) & (free <= 1.001)).all()
    assert ((wanted >= 0) & (wanted <= free + 1e-5)).all()
    assert np.array_equal(before, block[:, CHANNELS.index("log_odds")])
    # The first prompt is into the missing cap, most of which is in reach.
    assert wanted[0].sum() > 200
    # Some of the domain is beyond the ball.
    assert (free[0] - wanted[0]).sum() > 200


def test_the_same_iteration_has_the_same_sample(scene):
    drawn = []

    def draw(rng):
        drawn.append(rng)
        return scene

    source = GuidedSource(draw, seed=4)
    image, target = source(5)
    assert image.shape == (len(CHANNELS), *(LEAST_EXTENT,) * 3)
    assert target.shape == (3, *(LEAST_EXTENT,) * 3)
    scenes = len(drawn)
    assert not torch.equal(source(6)[0], image)
    assert len(drawn) == scenes  # of the same block
    again, _ = GuidedSource(draw, seed=4)(5)
    other, _ = GuidedSource(draw, seed=5)(5)
    assert torch.equal(again, image)
    assert not torch.equal(other, image)


def test_a_turned_sample_has_the_same_voxels():
    sample = np.arange(5 * 64, dtype=np.float32).reshape(5, 4, 4, 4)
    seen = set()
    for seed in range(400):
        turned = guided._turned(sample, np.random.default_rng(seed))
        seen.add(turned.tobytes())
        # Channels move together.
        assert np.array_equal(turned[1:] - turned[:1], sample[1:] - sample[:1])
    assert len(seen) == 48


def _target(free, wanted, before):
    return torch.stack([torch.full((1, 4, 4, 4), float(value)) for value in (free, wanted, before)], dim=1)


def test_the_loss_is_that_of_the_sum():
    zeros, ones = torch.zeros(1, 1, 4, 4, 4), torch.ones(1, 1, 4, 4, 4)
    assert guided_loss([ones], _target(1, 1, 1.0)) == pytest.approx(float(guided_loss([zeros], _target(1, 1, 2.0))))
    right, wrong = guided_loss([5 * ones], _target(1, 1, 0)), guided_loss([-5 * ones], _target(1, 1, 0))
    assert right < 0.02
    assert wrong > 4


def test_what_cannot_change_does_not_count():
    target = _target(1, 1, 0.0)
    target[:, :2, 2:] = 0
    said = torch.zeros(1, 1, 4, 4, 4)
    loud = said.clone()
    loud[:, :, 2:] = 50
    assert guided_loss([said], target) == pytest.approx(float(guided_loss([loud], target)))


def test_the_trainer_learns_to_say_what_the_evidence_misses(block, tmp_path):
    """A network that can only overfit a handful of samples must do better on them than the evidence alone."""
    seen = torch.from_numpy(block)
    before = float(guided_loss([torch.zeros(len(seen), 1, *seen.shape[2:])], seen[:, len(CHANNELS) :]))

    def source(iteration):
        sample = seen[iteration % len(seen)]
        return sample[: len(CHANNELS)], sample[len(CHANNELS) :]

    torch.manual_seed(0)
    schedule = TrainSettings(iterations=12, batch_size=2, learning_rate=3e-3, warm_up=2, average=0.0, workers=0)
    network = fit(UNet(guide_network()), source, schedule, tmp_path / "state.pt", lambda step: None, loss=guided_loss)
    with torch.no_grad():
        after = float(guided_loss([network.train()(seen[:, : len(CHANNELS)])], seen[:, len(CHANNELS) :]))
    assert after < before
