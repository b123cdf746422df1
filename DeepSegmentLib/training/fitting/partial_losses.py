"""What training from cases minimises, where not everything is known of them.

A voxel says something only about the classes that somebody looked for there. Of labels, the probabilities of all other
classes are added to the background's before anything is compared (marginal loss): whatever the network finds of a class
that nobody drew costs nothing and earns nothing. Of regions, channels that are not known are left out.

References:
    Shi et al., Marginal loss and exclusion loss for partially supervised multi-organ segmentation, Medical Image
    Analysis 2021. Dice: Drozdzal et al., DLMIA 2016. Focal: Lin et al., ICCV 2017. Deep supervision: Isensee et al.,
    nnU-Net, Nat Methods 2021.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .processes import summed
from .settings import LossSettings

_SMOOTH = 1e-5
_NEVER = -1e4  # a logit whose probability is 0 and whose gradient is a number


@dataclass(frozen=True)
class PartialLoss:
    """The loss of a training from cases: of logits at several resolutions, and of a batch of `Patch` without its image.

    Attributes:
        settings: What is minimised.
        output: "labels" or "regions", as of the model.
    """

    settings: LossSettings
    output: str = "labels"

    def __call__(self, outputs: list[Tensor], labels: Tensor, regions: Tensor, known: Tensor) -> Tensor:
        """Mean over the resolutions, each half as heavy as the next finer one.

        Args:
            outputs: Logits (batch, channel, k, j, i) of each resolution, finest first.
            labels: (batch, layer, k, j, i), see `Patch`.
            regions: (batch, k, j, i).
            known: (batch, row, channels + 1).
        """
        total, weights = outputs[0].new_zeros(()), 0.0
        for level, logits in enumerate(outputs):
            size = logits.shape[2:]
            truth = _shrunk(labels, size), _shrunk(regions[:, None], size)[:, 0]
            total = total + self.at_one_resolution(logits, *truth, known) * 0.5**level
            weights += 0.5**level
        return total / weights

    def at_one_resolution(self, logits: Tensor, labels: Tensor, regions: Tensor, known: Tensor) -> Tensor:
        """As called, for one resolution."""
        classes, weight = what_is_known(regions, known, logits.shape[1])
        if not self.settings.marginal:
            classes = None
        if self.output == "regions":
            return _of_regions(logits, labels.to(logits.dtype), classes, weight, self.settings)
        return _of_labels(logits, labels[:, 0], classes, weight, self.settings)


def deeply_supervised(outputs: list[Tensor], target: Tensor) -> Tensor:
    """The loss where everything is known.

    Args:
        outputs: Logits (batch, class, k, j, i) of each resolution, finest first.
        target: Class of each voxel (batch, k, j, i), int64, at the finest resolution; 0 is background.
    """
    everything = outputs[0].new_ones((len(target), 1, outputs[0].shape[1] + 1))
    return PartialLoss(LossSettings())(outputs, target[:, None], torch.zeros_like(target), everything)


def what_is_known(regions: Tensor, known: Tensor, channels: int) -> tuple[Tensor | None, Tensor]:
    """What the rows of a batch say of each voxel.

    Args:
        regions: Rows (batch, k, j, i).
        known: (batch, row, channels + 1).
        channels: Of the network.

    Returns:
        Which channels are known (batch, channel, k, j, i), None where all are, everywhere that counts; and how much
        each voxel counts (batch, k, j, i).
    """
    batch = torch.arange(len(regions), device=regions.device).reshape(-1, 1, 1, 1)
    weight = known[..., channels][batch, regions]
    counts = known[..., channels] > 0
    if bool((known[..., :channels][counts] > 0).all()):
        return None, weight
    return (known[..., :channels] > 0)[batch, regions].movedim(-1, 1), weight


def marginal_logits(logits: Tensor, classes: Tensor) -> Tensor:
    """Logits whose softmax has the probabilities of unknown classes in that of the background.

    Args:
        logits: (batch, class, ...); class 0 is the background.
        classes: Which are known, bool of the same shape; class 0 is.
    """
    unknown = ~classes
    unknown[:, 0] = False
    together = logits.masked_fill(classes, _NEVER)
    together = torch.cat((logits[:, :1], together[:, 1:]), dim=1).logsumexp(dim=1, keepdim=True)
    return torch.cat((together, logits[:, 1:].masked_fill(unknown[:, 1:], _NEVER)), dim=1)


def _of_labels(
    logits: Tensor, labels: Tensor, classes: Tensor | None, weight: Tensor, settings: LossSettings
) -> Tensor:
    if classes is not None:
        labels = labels * classes.gather(1, labels[:, None])[:, 0]  # at a border, resampled another way than the rows
        logits = marginal_logits(logits, classes)
    log_probabilities = logits.log_softmax(dim=1)
    loss = logits.new_zeros(())
    if settings.cross_entropy:
        loss = loss + settings.cross_entropy * _cross_entropy(log_probabilities, labels, weight, settings)
    if settings.dice:
        truth = functional.one_hot(labels, logits.shape[1]).movedim(-1, 1)[:, 1:].to(logits.dtype)
        loss = loss + settings.dice * _dice(log_probabilities[:, 1:].exp(), truth, weight, settings)
    return loss


def _cross_entropy(log_probabilities: Tensor, labels: Tensor, weight: Tensor, settings: LossSettings) -> Tensor:
    right = log_probabilities.gather(1, labels[:, None])[:, 0]
    if settings.balance:
        counts = torch.bincount(labels.reshape(-1), minlength=log_probabilities.shape[1])
        weight = weight * summed(counts).clamp(min=1).to(right.dtype).pow(-settings.balance)[labels]
    if settings.focal:
        right = right * (1 - right.exp()) ** settings.focal
    return -_mean(right, weight)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean over all voxels of the batch, those of other processes too; 0 where none counts."""
    sums = summed(torch.stack(((values * weight).sum(), weight.sum())))
    return sums[0] / sums[1].clamp(min=_SMOOTH * _SMOOTH)


def _dice(probabilities: Tensor, truth: Tensor, weight: Tensor, settings: LossSettings) -> Tensor:
    """One minus the mean soft Dice of the channels that occur; of unknown ones both sides are 0."""
    axes = [0, *range(2, truth.ndim)] if settings.batch_dice else [*range(2, truth.ndim)]
    counted = truth * weight[:, None]
    sums = torch.stack(
        ((probabilities * counted).sum(axes), (probabilities * weight[:, None]).sum(axes), counted.sum(axes))
    )
    overlap, found, there = summed(sums) if settings.batch_dice else sums
    dice = (2 * overlap + _SMOOTH) / (found + there + _SMOOTH)
    occurs = there > 0
    lost = torch.stack((((1 - dice) * occurs).sum(), occurs.sum().to(dice.dtype)))
    lost = lost if settings.batch_dice else summed(lost)
    return lost[0] / lost[1].clamp(min=1)


def _of_regions(
    logits: Tensor, truth: Tensor, classes: Tensor | None, weight: Tensor, settings: LossSettings
) -> Tensor:
    counts = weight[:, None].expand_as(logits)
    if classes is not None:
        counts = counts * classes
    loss = logits.new_zeros(())
    if settings.cross_entropy:
        each = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        if settings.focal:
            each = each * (1 - (-each).exp()) ** settings.focal
        loss = loss + settings.cross_entropy * _mean(each, counts)
    if settings.dice:
        inside = torch.ones_like(weight)
        masked = logits.sigmoid() * counts, truth * counts
        loss = loss + settings.dice * _dice(*masked, inside, settings)
    return loss


def _shrunk(labels: Tensor, size: torch.Size) -> Tensor:
    """Labels (batch, layer, k, j, i) at a coarser resolution: those of the nearest voxels."""
    if labels.shape[2:] == size:
        return labels
    places = [
        ((torch.arange(n, device=labels.device) + 0.5) * (whole / n)).long()
        for n, whole in zip(size, labels.shape[2:], strict=True)
    ]
    k, j, i = places
    return labels[:, :, k[:, None, None], j[:, None], i]
