"""What a network learns from volumes without labels: the confident answers of its teacher.

The teacher is the moving average of the weights that are trained (Mean Teacher); when a training begins, that is the
model that it begins from. It sees a patch with its intensities as they are, the student the same patch with intensities
that were changed: both should find the same (FixMatch). A sure answer is a label like any other; of other voxels
nothing is known.

References:
    Tarvainen and Valpola, Mean teachers are better role models, NeurIPS 2017.
    Sohn et al., FixMatch: simplifying semi-supervised learning with consistency and confidence, NeurIPS 2020.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from .settings import UnlabelledSettings


def confident_labels(logits: Tensor, threshold: float, output: str = "labels") -> tuple[Tensor, Tensor]:
    """The teacher's labels, and where it is sure enough of them to be believed.

    Args:
        logits: (batch, channel, k, j, i).
        threshold: Least probability of the answer, 0.5 to 1.
        output: Of the model: of "labels" the largest class is the answer, of "regions" yes or no for each channel; a
            voxel is believed where all of these are sure.

    Returns:
        Labels (batch, layer, k, j, i), int64, as those of `Patch`. Whether each voxel counts (batch, k, j, i), bool.
    """
    if output == "regions":
        inside = logits.detach().sigmoid()
        return (inside > 0.5).long(), torch.maximum(inside, 1 - inside).amin(dim=1) >= threshold
    largest, labels = logits.detach().softmax(dim=1).max(dim=1, keepdim=True)
    return labels, largest[:, 0] >= threshold


@dataclass(frozen=True)
class PseudoLabels:
    """How a student learns from the answers of its teacher.

    Attributes:
        settings: Threshold, weight, ramp-up.
        loss: Of logits and labels, see `PartialLoss`. One in which small structures weigh more would not do: a network
            that was taught by it finds too much of them, and would teach itself to find more still.
        output: "labels" or "regions", as of the model.
        total: Sums values over all processes that train together.
    """

    settings: UnlabelledSettings
    loss: Callable[[list[Tensor], Tensor, Tensor, Tensor], Tensor]
    output: str = "labels"
    total: Callable[[Tensor], Tensor] = lambda values: values

    def __call__(self, outputs: list[Tensor], teacher: Tensor, inside: Tensor) -> Tensor:
        """The loss without its weight: the mean over the voxels that count, times their share.

        A few confident voxels weigh little, as in FixMatch, equation 4. The teacher gets no gradient.

        Args:
            outputs: Logits of the student (batch, channel, k, j, i) at each resolution, finest first.
            teacher: Logits of the teacher at the finest resolution.
            inside: Which voxels are of the volume, not beyond it (batch, k, j, i), bool.
        """
        labels, sure = confident_labels(teacher, self.settings.threshold, self.output)
        counts = sure & inside
        known = torch.ones(len(labels), 2, teacher.shape[1] + 1, device=teacher.device)
        known[:, 1, -1] = 0  # the row of voxels that do not count
        tally = torch.stack([counts.sum(), torch.full_like(counts.sum(), counts.numel())]).float()
        share: Tensor = torch.div(*self.total(tally))
        return self.loss(outputs, labels, (~counts).long(), known) * share
