"""Confident answers of a teacher, and what of them is learned: what a case with such labels would teach, no more."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from DeepSegmentLib.training.fitting.partial_losses import LossSettings, PartialLoss
from DeepSegmentLib.training.unlabelled.pseudo_labels import PseudoLabels, confident_labels
from DeepSegmentLib.training.unlabelled.settings import UnlabelledSettings

seeds = st.integers(0, 10_000)
outputs = st.sampled_from(["labels", "regions"])
SHAPE = (2, 3, 4, 5)


def _logits(seed, classes=4):
    return 3 * torch.randn(2, classes, *SHAPE[1:], generator=torch.Generator().manual_seed(seed))


def _learning(threshold=0.8, output="labels", loss=None):
    loss = loss or PartialLoss(LossSettings(), output)
    return PseudoLabels(UnlabelledSettings(threshold=threshold), loss, output)


@given(seeds, st.floats(0.5, 1), st.floats(0.5, 1), outputs)
def test_a_stricter_teacher_is_believed_in_fewer_voxels_and_says_the_same(seed, one, other, output):
    strict, strict_counts = confident_labels(_logits(seed), max(one, other), output)
    lax, lax_counts = confident_labels(_logits(seed), min(one, other), output)
    assert torch.equal(strict, lax)
    assert (lax_counts | ~strict_counts).all()
    assert strict.dtype == torch.int64
    assert lax_counts.shape == SHAPE


@given(seeds, st.floats(0.5, 1))
def test_two_classes_and_one_region_are_the_same_question(seed, threshold):
    """The softmax of 0 and x has the sigmoid of x."""
    (region,) = _logits(seed, 1).unbind(1)
    labels, sure = confident_labels(torch.stack((torch.zeros_like(region), region), 1).double(), threshold)
    same, also_sure = confident_labels(region[:, None].double(), threshold, "regions")
    assert torch.equal(labels, same)
    assert torch.equal(sure, also_sure)


def test_all_regions_of_a_voxel_must_be_sure():
    logits = torch.tensor([[9.0, 9.0, 0.1], [9.0, 0.1, -9.0]]).reshape(1, 2, 3, 1, 1)
    labels, sure = confident_labels(logits, 0.9, "regions")
    assert sure.flatten().tolist() == [True, False, False]
    assert labels[0, :, 0].flatten().tolist() == [1, 1]


@given(seeds, outputs)
def test_the_student_alone_is_moved_and_where_it_counts_alone(seed, output):
    student, teacher = _logits(seed).requires_grad_(), _logits(seed + 1).requires_grad_()
    inside = torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed)) < 0.7
    _, sure = confident_labels(teacher, 0.8, output)
    _learning(output=output)([student], teacher, inside).backward()
    assert teacher.grad is None
    moved = student.grad.abs().sum(dim=1) > 0
    assert torch.equal(moved, sure & inside)


@given(seeds)
def test_plain_cross_entropy_is_that_of_fixmatch(seed):
    """Equation 4: summed where the teacher is sure, divided by all voxels."""
    student, teacher = _logits(seed), _logits(seed + 1)
    loss = PartialLoss(LossSettings(dice=0, balance=0))
    found = _learning(0.9, loss=loss)([student], teacher, torch.ones(SHAPE, dtype=torch.bool))
    sure = teacher.softmax(1).amax(1) >= 0.9
    each = functional.cross_entropy(student, teacher.argmax(1), reduction="none")
    assert found.item() == pytest.approx((each * sure).mean().item(), rel=1e-5)


@pytest.mark.parametrize("output", ["labels", "regions"])
def test_nothing_is_learned_where_nothing_counts(output):
    student = _logits(0).requires_grad_()
    value = _learning(output=output)([student], _logits(1), torch.zeros(SHAPE, dtype=torch.bool))
    value.backward()
    assert value.item() == 0
    assert not student.grad.any()


def test_a_student_comes_to_agree_with_its_teacher():
    teacher, student = _logits(3), torch.zeros(2, 4, 3, 4, 5, requires_grad=True)
    labels, sure = confident_labels(teacher, 0.8)
    assert 0 < sure.float().mean() < 1
    for _ in range(30):
        loss = _learning()([student], teacher, torch.ones(SHAPE, dtype=torch.bool))
        (slope,) = torch.autograd.grad(loss, student)
        student = (student - 20 * slope).detach().requires_grad_()
    assert torch.equal(student.argmax(dim=1)[sure], labels[:, 0][sure])
    assert not student.movedim(1, -1)[~sure].any()
