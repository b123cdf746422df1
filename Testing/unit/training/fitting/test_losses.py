"""Losses: known values, and agreement with MONAI's definition written out in NumPy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.training.fitting.losses import deeply_supervised, dice_cross_entropy, soft_dice_loss


def _certain(target, classes):
    return torch.nn.functional.one_hot(target, classes).movedim(-1, 1).float() * 50


@given(seed=st.integers(0, 1000), classes=st.integers(2, 5))
def test_a_perfect_answer_costs_nothing(seed, classes):
    target = torch.from_numpy(np.random.default_rng(seed).integers(0, classes, (2, 4, 5, 6)))
    assert float(dice_cross_entropy(_certain(target, classes), target)) == pytest.approx(0, abs=1e-4)


@given(seed=st.integers(0, 1000))
def test_soft_dice_is_the_formula(seed):
    rng = np.random.default_rng(seed)
    logits, target = rng.normal(size=(2, 3, 4, 4, 4)), rng.integers(0, 3, (2, 4, 4, 4))
    powers = np.exp(logits)
    p = powers / powers.sum(1, keepdims=True)
    dice = [2 * (p[:, c] * (target == c)).sum() / (p[:, c].sum() + (target == c).sum()) for c in (1, 2)]
    loss = float(soft_dice_loss(torch.from_numpy(logits), torch.from_numpy(target)))
    assert loss == pytest.approx(1 - np.mean(dice), abs=1e-4)


def test_absent_classes_do_not_count():
    target = torch.zeros(1, 2, 2, 2, dtype=torch.int64)
    assert float(soft_dice_loss(torch.randn(1, 4, 2, 2, 2), target)) == 0


def test_supervision_of_one_resolution_is_the_plain_loss():
    torch.manual_seed(0)
    logits, target = torch.randn(1, 3, 4, 4, 4), torch.randint(0, 3, (1, 4, 4, 4))
    assert float(deeply_supervised([logits], target)) == pytest.approx(float(dice_cross_entropy(logits, target)))


def test_coarser_resolutions_weigh_half():
    target = torch.zeros(1, 4, 4, 4, dtype=torch.int64)
    target[:, :2] = 1
    fine, wrong = _certain(target, 2), _certain(1 - target, 2)[..., ::2, ::2, ::2]
    worst = float(dice_cross_entropy(wrong, target[:, ::2, ::2, ::2]))
    assert float(deeply_supervised([fine, wrong], target)) == pytest.approx(worst / 3, rel=1e-3)
