"""Confident answers of a teacher, and how a student learns from them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.training.pseudo_labels import (
    confident_labels,
    consistency_loss,
    fitting_thresholds,
    pseudo_label_loss,
)

seeds = st.integers(0, 10_000)


def _logits(seed, classes=4):
    return 3 * torch.randn(2, classes, 3, 4, 5, generator=torch.Generator().manual_seed(seed))


@given(seeds, st.floats(0, 1), st.floats(0, 1))
def test_a_stricter_teacher_is_believed_in_fewer_voxels_and_says_the_same(seed, one, other):
    probabilities = _logits(seed).softmax(dim=1)
    strict, strict_counts = confident_labels(probabilities, max(one, other))
    lax, lax_counts = confident_labels(probabilities, min(one, other))
    assert torch.equal(strict, lax)
    assert torch.equal(strict, probabilities.argmax(dim=1))
    assert (lax_counts | ~strict_counts).all()


@given(seeds, st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4))
def test_each_class_has_a_threshold_of_its_own(seed, thresholds):
    probabilities = _logits(seed).softmax(dim=1)
    labels, counts = confident_labels(probabilities, thresholds)
    for n, threshold in enumerate(thresholds):
        of_class = labels == n
        assert torch.equal(counts[of_class], probabilities[:, n][of_class] >= threshold)


@given(seeds)
def test_a_threshold_of_nothing_believes_all(seed):
    labels, counts = confident_labels(_logits(seed).softmax(dim=1), 0.0)
    assert counts.all()
    assert (labels.dtype, counts.dtype) == (torch.int64, torch.bool)
    assert labels.shape == counts.shape == (2, 3, 4, 5)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, [0.5, 0.5], [0.5, 0.5, 0.5, 2.0], float("nan")])
def test_thresholds_that_make_no_sense_are_refused(threshold):
    with pytest.raises(InvalidInputError, match="threshold"):
        confident_labels(_logits(0).softmax(dim=1), threshold)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=6), st.floats(0, 1))
def test_a_class_that_is_known_better_is_judged_no_less_strictly(counts, threshold):
    fitted = fitting_thresholds(torch.tensor(counts), threshold)
    assert [a <= b for a, b in zip(fitted, sorted(fitted), strict=True)]
    by_count = [fitted[n] for n in sorted(range(len(counts)), key=counts.__getitem__)]
    assert by_count == sorted(by_count)
    assert all(threshold / 2 <= each + 1e-12 and each <= threshold + 1e-12 for each in fitted)


def test_fitting_thresholds_are_those_of_flexmatch_above_their_floor():
    # 0.9 * b / (2 - b) of b = 1, 0.8 and 0.1, the last below half of 0.9
    assert fitting_thresholds(torch.tensor([100, 80, 10]), 0.9) == pytest.approx((0.9, 0.6, 0.45))


@pytest.mark.parametrize(("counts", "threshold"), [([-1, 2], 0.9), ([1, 2], 1.5)])
def test_counts_and_thresholds_out_of_range_are_refused(counts, threshold):
    with pytest.raises(InvalidInputError):
        fitting_thresholds(torch.tensor(counts), threshold)


@given(seeds, seeds)
def test_the_student_alone_is_moved_and_where_it_counts_alone(seed, other):
    student, teacher = _logits(seed).requires_grad_(), _logits(other).requires_grad_()
    counts = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(seed)) < 0.5
    loss = consistency_loss(student, teacher, counts)
    loss.backward()
    assert teacher.grad is None
    assert 0 <= loss.item() <= 2
    moved = student.grad.abs().sum(dim=1) > 0
    assert not moved[~counts].any()
    if seed != other:
        assert moved[counts].any()


@given(seeds)
def test_two_of_one_mind_are_consistent(seed):
    logits = _logits(seed)
    counts = torch.ones(2, 3, 4, 5, dtype=torch.bool)
    assert consistency_loss(logits, logits, counts) == 0
    assert consistency_loss(logits + 5, logits, counts).item() == pytest.approx(0, abs=1e-10)


def test_consistency_is_the_mean_squared_difference():
    student, teacher = _logits(1), _logits(2)
    counts = torch.ones(2, 3, 4, 5, dtype=torch.bool)
    known = functional.mse_loss(student.softmax(1), teacher.softmax(1)) * 4
    assert consistency_loss(student, teacher, counts).item() == pytest.approx(known.item(), rel=1e-5)


@pytest.mark.parametrize("loss", [consistency_loss, pseudo_label_loss])
def test_nothing_is_learned_where_nothing_counts(loss):
    student = _logits(0).requires_grad_()
    target = _logits(1) if loss is consistency_loss else _logits(1).argmax(dim=1)
    value = loss(student, target, torch.zeros(2, 3, 4, 5, dtype=torch.bool))
    value.backward()
    assert value.item() == 0
    assert not student.grad.any()


def test_what_is_not_a_number_where_nothing_counts_is_not_learned():
    student = _logits(0)
    student[0, :, 0, 0, 0] = torch.inf
    counts = torch.ones(2, 3, 4, 5, dtype=torch.bool)
    counts[0, 0, 0, 0] = False
    assert torch.isfinite(consistency_loss(student, _logits(1), counts))


@given(seeds)
def test_pseudo_labels_that_all_count_are_labels(seed):
    student, labels = _logits(seed), _logits(seed + 1).argmax(dim=1)
    everywhere = torch.ones_like(labels, dtype=torch.bool)
    known = functional.cross_entropy(student, labels).item()
    assert pseudo_label_loss(student, labels, everywhere).item() == pytest.approx(known, rel=1e-5)


def test_a_student_comes_to_agree_with_its_teacher():
    teacher, student = _logits(3), torch.zeros(2, 4, 3, 4, 5, requires_grad=True)
    labels, counts = confident_labels(teacher.softmax(dim=1), 0.8)
    assert 0 < counts.float().mean() < 1
    for _ in range(20):
        loss = pseudo_label_loss(student, labels, counts) + consistency_loss(student, teacher, counts)
        (slope,) = torch.autograd.grad(loss, student)
        student = (student - 50 * slope).detach().requires_grad_()
    assert torch.equal(student.argmax(dim=1)[counts], labels[counts])
    assert not student.movedim(1, -1)[~counts].any()
