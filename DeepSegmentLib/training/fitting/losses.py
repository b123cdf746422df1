"""What training minimises."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def soft_dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """One minus the mean soft Dice of the classes that occur in the batch, background left out.

    Args:
        logits: (batch, class, ...).
        target: Class of each voxel (batch, ...), int64; 0 is background.

    Returns:
        A number in [0, 1]; 0 when no class but background occurs.

    References:
        Drozdzal et al., DLMIA 2016; batch Dice as in Isensee et al., nnU-Net, Nat Methods 2021.
    """
    probabilities = logits.softmax(dim=1)
    truth = functional.one_hot(target, logits.shape[1]).movedim(-1, 1).to(probabilities.dtype)
    axes = [0, *range(2, logits.ndim)]
    overlap = (probabilities * truth).sum(axes)
    total = probabilities.sum(axes) + truth.sum(axes)
    occurs = truth.sum(axes) > 0
    occurs[0] = False
    dice = (2 * overlap[occurs] + 1e-5) / (total[occurs] + 1e-5)
    return (1 - dice).sum() / max(1, int(occurs.sum()))


def balanced_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy whose classes weigh as one over the square root of their voxels in the batch.

    Plain cross-entropy hardly notices a structure of a thousandth of the voxels, and soft Dice gives it no gradient
    while its probability is near 0: with either, small structures are found late or never.

    Args:
        logits: (batch, class, ...).
        target: Class of each voxel (batch, ...), int64.
    """
    voxels = torch.bincount(target.reshape(-1), minlength=logits.shape[1])
    return functional.cross_entropy(logits, target, weight=voxels.clamp(min=1).to(logits.dtype).rsqrt())


def dice_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Soft Dice loss plus balanced cross-entropy."""
    return soft_dice_loss(logits, target) + balanced_cross_entropy(logits, target)


def deeply_supervised(outputs: list[Tensor], target: Tensor) -> Tensor:
    """Mean of `dice_cross_entropy` over resolutions, each half as heavy as the next finer one.

    Args:
        outputs: Logits of each resolution, finest first.
        target: Class of each voxel (batch, ...) at the finest resolution.

    References:
        Isensee et al., nnU-Net, Nat Methods 2021 (weights of deep supervision).
    """
    total, weights = outputs[0].new_zeros(()), 0.0
    for level, logits in enumerate(outputs):
        size = logits.shape[2:]
        labels = functional.interpolate(target[:, None].float(), size=size, mode="nearest-exact")[:, 0].long()
        total = total + dice_cross_entropy(logits, labels) * 0.5**level
        weights += 0.5**level
    return total / weights
