"""What a network may learn from volumes without labels: the confident answers of its teacher.

The teacher is the moving average of the weights that are trained (Mean Teacher), or the model that training started
from. It sees a patch as it is, the student the same patch changed; see the augmentation of patches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from DeepSegmentLib.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def confident_labels(probabilities: Tensor, threshold: float | Sequence[float]) -> tuple[Tensor, Tensor]:
    """The teacher's labels, and where it is sure enough of them to be believed.

    Args:
        probabilities: (batch, class, ...) after softmax.
        threshold: Least probability of the answer, from 0 to 1; one for all classes, or one for each.

    Returns:
        Labels (batch, ...), int64: the largest class, the first of several. Whether each counts (batch, ...), bool.

    Raises:
        InvalidInputError: A threshold is out of range, or there are not as many as classes.

    References:
        Sohn et al., FixMatch: simplifying semi-supervised learning with consistency and confidence, NeurIPS 2020.
    """
    largest, labels = probabilities.detach().max(dim=1)
    return labels, largest >= _thresholds(threshold, probabilities)[labels]


def _thresholds(threshold: float | Sequence[float], probabilities: Tensor) -> Tensor:
    classes = probabilities.shape[1]
    values = [float(threshold)] * classes if isinstance(threshold, int | float) else [float(each) for each in threshold]
    if len(values) != classes:
        raise InvalidInputError(f"there must be a threshold for each of the {classes} classes, got {len(values)}")
    if not all(0 <= value <= 1 for value in values):
        raise InvalidInputError(f"thresholds must be from 0 to 1, got {threshold}")
    return torch.tensor(values, dtype=probabilities.dtype, device=probabilities.device)


def fitting_thresholds(counts: Tensor, threshold: float) -> tuple[float, ...]:
    """Thresholds for each class: lower for those that the teacher is seldom sure of, so that they are learned too.

    Of a class that it is sure of in a share b of the most voxels of any class, the threshold is
    `threshold` b / (2 - b). A class of which nothing is sure yet would get 0; it keeps a half of the threshold instead,
    since in a volume a rare class is small and need not be a badly learned one. That floor is ours.

    Args:
        counts: In how many voxels each class was the confident answer so far (class).
        threshold: The largest that any class gets, from 0 to 1.

    Raises:
        InvalidInputError: The threshold is out of range, or a count is negative.

    References:
        Zhang et al., FlexMatch: boosting semi-supervised learning with curriculum pseudo labeling, NeurIPS 2021,
        section 3.3 (the convex mapping).
    """
    if not 0 <= threshold <= 1:
        raise InvalidInputError(f"the threshold must be from 0 to 1, got {threshold}")
    if counts.numel() and counts.min() < 0:
        raise InvalidInputError(f"counts must be 0 or more, got {int(counts.min())}")
    learned = counts.double() / counts.max().clamp(min=1)
    return tuple((threshold * (learned / (2 - learned)).clamp(min=0.5)).tolist())


def consistency_loss(student_logits: Tensor, teacher_logits: Tensor, counts: Tensor) -> Tensor:
    """How much the student's probabilities differ from the teacher's, where that counts: the mean squared difference.

    The teacher gets no gradient.

    Args:
        student_logits: (batch, class, ...).
        teacher_logits: Likewise.
        counts: Where it counts (batch, ...), bool, such as `confident_labels` gives.

    Returns:
        A number in [0, 2], the sum over classes; 0 where nothing counts, with a gradient of 0.

    References:
        Tarvainen and Valpola, Mean teachers are better role models, NeurIPS 2017.
    """
    student, teacher = student_logits.softmax(dim=1), teacher_logits.detach().softmax(dim=1)
    return _mean_where((student - teacher).square().sum(dim=1), counts)


def pseudo_label_loss(student_logits: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
    """Cross-entropy of the student against labels of the teacher, where they count.

    It is divided by all voxels and not by those that count, so that few confident ones weigh little.

    Args:
        student_logits: (batch, class, ...).
        labels: (batch, ...), int64.
        counts: (batch, ...), bool; both as `confident_labels` gives them.

    References:
        Sohn et al., FixMatch, NeurIPS 2020, equation 4.
    """
    each = functional.cross_entropy(student_logits, labels, reduction="none")
    return torch.where(counts, each, torch.zeros_like(each)).mean()


def _mean_where(values: Tensor, counts: Tensor) -> Tensor:
    # A product with 0 would keep an infinite value as NaN.
    return torch.where(counts, values, torch.zeros_like(values)).sum() / counts.sum().clamp(min=1)
