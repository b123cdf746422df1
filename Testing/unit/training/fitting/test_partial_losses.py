"""Losses: known values, the formula written out in NumPy; and of partial truth: what nobody looked for has no say."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.training.fitting.partial_losses import PartialLoss, deeply_supervised, marginal_logits
from DeepSegmentLib.training.fitting.settings import LossSettings

SHAPE = (4, 5, 6)


def _batch(seed, channels=4, batch=2, rows=1):
    source = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, channels, *SHAPE, generator=source)
    labels = torch.randint(channels, (batch, 1, *SHAPE), generator=source)
    regions = torch.randint(rows, (batch, *SHAPE), generator=source)
    return logits, labels, regions, torch.ones(batch, rows, channels + 1)


seeds = st.integers(0, 10_000)
each_loss = pytest.mark.parametrize(
    "settings_", [LossSettings(), LossSettings(dice=0), LossSettings(cross_entropy=0), LossSettings(focal=2, balance=0)]
)


@given(seed=seeds, classes=st.integers(2, 5))
def test_a_perfect_answer_costs_nothing(seed, classes):
    target = torch.from_numpy(np.random.default_rng(seed).integers(0, classes, (2, *SHAPE)))
    certain = functional.one_hot(target, classes).movedim(-1, 1).float() * 50
    assert float(deeply_supervised([certain], target)) == pytest.approx(0, abs=1e-4)


@given(seeds)
def test_with_everything_known_it_is_the_formula(seed):
    logits, labels, *_ = _batch(seed)
    truth = labels[:, 0].numpy()
    powers = np.exp(logits.double().numpy())
    p = powers / powers.sum(1, keepdims=True)
    there = [c for c in range(1, 4) if (truth == c).any()]
    dice = [2 * (p[:, c] * (truth == c)).sum() / (p[:, c].sum() + (truth == c).sum()) for c in there]
    weight = (1 / np.sqrt(np.maximum(1, np.bincount(truth.ravel(), minlength=4))))[truth]
    entropy = -(np.log(np.take_along_axis(p, truth[:, None], 1)[:, 0]) * weight).sum() / weight.sum()
    assert float(deeply_supervised([logits], labels[:, 0])) == pytest.approx(1 - np.mean(dice) + entropy, abs=1e-4)


def test_absent_classes_do_not_count():
    target = torch.zeros(1, 2, 2, 2, dtype=torch.int64)
    logits = torch.randn(1, 4, 2, 2, 2)
    everything_known = torch.zeros_like(target), torch.ones(1, 1, 5)
    only_dice = PartialLoss(LossSettings(cross_entropy=0))
    assert float(only_dice([logits], target[:, None], *everything_known)) == 0


@given(seeds)
def test_plain_cross_entropy_is_that_of_torch(seed):
    logits, labels, regions, known = _batch(seed)
    found = PartialLoss(LossSettings(dice=0, balance=0)).at_one_resolution(logits, labels, regions, known)
    torch.testing.assert_close(found, functional.cross_entropy(logits, labels[:, 0]))


@given(seeds)
def test_merged_probabilities_sum_to_one_and_known_classes_keep_theirs(seed):
    logits, *_ = _batch(seed)
    classes = torch.rand(logits.shape, generator=torch.Generator().manual_seed(seed)) > 0.4
    classes[:, 0] = True
    merged, before = marginal_logits(logits, classes).softmax(1), logits.softmax(1)
    torch.testing.assert_close(merged.sum(1), torch.ones_like(merged[:, 0]))
    for channel in range(1, logits.shape[1]):
        there = classes[:, channel]
        torch.testing.assert_close(merged[:, channel][there], before[:, channel][there], rtol=1e-4, atol=1e-6)
        assert (merged[:, channel][~there] == 0).all()


@each_loss
@pytest.mark.parametrize("seed", range(3))
def test_an_unknown_class_may_be_found_anywhere_at_no_cost(settings_, seed):
    """Moving probability between the background and an unknown class changes nothing."""
    logits, labels, regions, known = _batch(seed)
    labels[labels == 2] = 0
    known[:, :, 2] = 0
    loss = PartialLoss(settings_)
    probabilities = logits.softmax(1)
    moved = probabilities.clone()
    both = probabilities[:, 0] + probabilities[:, 2]
    moved[:, 0], moved[:, 2] = 0.1 * both, 0.9 * both
    a = loss.at_one_resolution(probabilities.log(), labels, regions, known)
    b = loss.at_one_resolution(moved.log(), labels, regions, known)
    torch.testing.assert_close(a, b)
    plain = PartialLoss(LossSettings(marginal=False))
    assert plain.at_one_resolution(moved.log(), labels, regions, known) > plain.at_one_resolution(
        probabilities.log(), labels, regions, known
    )


@each_loss
@pytest.mark.parametrize("output", ["labels", "regions"])
@pytest.mark.parametrize("seed", range(3))
def test_voxels_of_no_weight_have_no_say(settings_, output, seed):
    logits, labels, regions, known = _batch(seed, rows=2)
    if output == "regions":
        labels = (torch.cat([labels] * 4, 1) == torch.arange(4)[None, :, None, None, None]).long()
    known[:, 1] = 0
    loss = PartialLoss(settings_, output)
    logits.requires_grad_()
    loss.at_one_resolution(logits, labels, regions, known).backward()
    nowhere = (regions == 1)[:, None].expand_as(logits)
    assert (logits.grad[nowhere] == 0).all()
    assert (logits.grad[~nowhere] != 0).any()


@each_loss
@pytest.mark.parametrize("seed", range(3))
def test_unknown_regions_get_no_gradient(settings_, seed):
    logits, labels, regions, known = _batch(seed)
    labels = (torch.cat([labels] * 4, 1) == torch.arange(4)[None, :, None, None, None]).long()
    known[:, :, 1] = 0
    logits.requires_grad_()
    PartialLoss(settings_, "regions").at_one_resolution(logits, labels, regions, known).backward()
    assert (logits.grad[:, 1] == 0).all()
    assert (logits.grad[:, 0] != 0).any()


def test_a_label_where_its_class_is_unknown_is_no_catastrophe():
    """Labels and rows are resampled in different ways, and may differ by a voxel at a border."""
    logits, labels, regions, known = _batch(0)
    known[:, :, 1] = 0
    found = PartialLoss(LossSettings()).at_one_resolution(logits, labels, regions, known)
    assert found < 20


@settings(max_examples=20)
@given(seeds, st.integers(1, 3))
def test_coarser_resolutions_count_half_each(seed, levels):
    logits, labels, regions, known = _batch(seed)
    outputs = [logits[..., ::1], *(functional.avg_pool3d(logits, 2**n) for n in range(1, levels))][:levels]
    loss = PartialLoss(LossSettings())
    parts = [loss([each], labels, regions, known) for each in outputs]
    weights = [0.5**n for n in range(levels)]
    expected = sum(w * part for w, part in zip(weights, parts, strict=True)) / sum(weights)
    torch.testing.assert_close(loss(outputs, labels, regions, known), expected)


def test_dice_of_samples_is_the_mean_of_each_alone():
    logits, labels, regions, known = _batch(5)
    loss = PartialLoss(LossSettings(cross_entropy=0, batch_dice=False))
    one_by_one = [
        loss.at_one_resolution(logits[n : n + 1], labels[n : n + 1], regions[n : n + 1], known[n : n + 1])
        for n in range(2)
    ]
    torch.testing.assert_close(loss.at_one_resolution(logits, labels, regions, known), sum(one_by_one) / 2)


@pytest.mark.parametrize("wrong", [{"dice": 0, "cross_entropy": 0}, {"dice": -1}, {"balance": 2}, {"focal": -1}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(InvalidInputError):
        LossSettings(**wrong)
