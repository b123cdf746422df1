"""What a network that is being trained is worth on whole cases: the Dice of each segment, on the network's grid."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from DeepSegmentLib.segmentation.on_device.run_tiles import blended_planes
from DeepSegmentLib.segmentation.tiles import TileSettings, slab_axis

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from DeepSegmentLib.networks.model_spec import Part

    from .prepared_case import PreparedCase

_OVERLAP = 0.25


class _TrainedNetwork:
    """A network as it is trained, behind the seam of prediction."""

    head = None

    def __init__(self, module: nn.Module, precision: torch.dtype) -> None:
        self._module, self._precision = module, precision
        self.device = next(module.parameters()).device

    @torch.inference_mode()
    def __call__(self, patches: Tensor, /) -> Tensor:
        reduced = self._precision is not torch.float32
        with torch.autocast(self.device.type, self._precision) if reduced else nullcontext():
            if patches.ndim == 5:
                patches = patches.contiguous(memory_format=torch.channels_last_3d)
            logits: Tensor = self._module(patches)
        return logits.float()


def dice_of(
    network: nn.Module,
    cases: Sequence[PreparedCase],
    part: Part,
    output: str,
    precision: torch.dtype = torch.float32,
    *,
    on_answer: Callable[[PreparedCase, NDArray[Any]], None] = lambda _case, _answer: None,
) -> tuple[Mapping[str, float], tuple[float, ...]]:
    """Try a network out.

    Args:
        network: In evaluation mode.
        cases: Prepared for the last stage of the part.
        part: Whose segments the network finds.
        output: "labels" or "regions", as of the model.
        precision: Of the network's layers.
        on_answer: Is shown each case with what the network finds: channel numbers (1, k, j, i), or a layer of 0 and 1
            for each region.

    Returns:
        Mean Dice of each segment over the cases that have it, and mean Dice of each case over its segments. What is not
        known does not count; a segment that no case has is left out, a case without any counts as 1.
    """
    seam = _TrainedNetwork(network, precision)
    settings = TileSettings.of(part.stages[-1], _OVERLAP, mirror=False)
    found = []
    for case in cases:
        answer = _answer(seam, case, settings, output)
        on_answer(case, answer)
        found.append(_dice_of_case(answer, case, output))
    table = np.array(found).reshape(len(cases), len(part.segments))
    told = ~np.isnan(table)
    by_segment = {name: float(table[told[:, n], n].mean()) for n, name in enumerate(part.segments) if told[:, n].any()}
    return by_segment, tuple(float(row[ok].mean()) if ok.any() else 1.0 for row, ok in zip(table, told, strict=True))


def _answer(network: Any, case: PreparedCase, settings: TileSettings, output: str) -> NDArray[Any]:
    """Channel numbers (1, k, j, i), or a layer of 0 and 1 for each region."""
    layers = len(case.places) if output == "regions" else 1
    answer = np.zeros((layers, *case.shape), np.uint16)
    axis = slab_axis(case.shape, settings)
    voxels = np.asarray(case.image, np.float32)
    for index, plane in blended_planes(voxels, network, settings, lambda _, __: None):
        labels = (plane > 0) if output == "regions" else plane.argmax(dim=0, keepdim=True)
        np.moveaxis(answer, axis + 1, 1)[:, index] = labels.cpu().numpy()
    return answer


def _dice_of_case(answer: NDArray[Any], case: PreparedCase, output: str) -> list[float]:
    regions, truth = np.asarray(case.regions), np.asarray(case.labels)
    first = 0 if output == "regions" else 1
    return [
        _dice(
            answer[channel] if output == "regions" else answer[0] == channel,
            truth[channel] if output == "regions" else truth[0] == channel,
            np.array([row.classes[channel] and row.weight == 1 for row in case.known])[regions],
        )
        for channel in range(first, len(case.places))
    ]


def _dice(found: NDArray[Any], truth: NDArray[Any], counts: NDArray[np.bool_]) -> float:
    """NaN where the truth has no voxel that counts."""
    there = int(np.count_nonzero(truth * counts))
    both = int(np.count_nonzero(found * truth * counts))
    return 2 * both / (int(np.count_nonzero(found * counts)) + there) if there else float("nan")
