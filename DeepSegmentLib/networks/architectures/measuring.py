"""What a network costs, found by a forward pass on torch's meta device: nothing is computed, no memory is taken."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from DeepSegmentLib.networks.measured_costs import MeasuredCosts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_OPERATIONS_OF_A_MULTIPLICATION = 2
"""torch counts the addition that follows, too."""

_CONVOLUTIONS = (torch.ops.aten.convolution.default, torch.ops.aten._convolution.default)


def measure_costs(module: nn.Module, in_channels: int, extent: Sequence[int], *, device: str = "meta") -> MeasuredCosts:
    """Let a module run on one patch without numbers.

    Args:
        module: On this device; its `forward` takes (batch, in_channels, ...).
        in_channels: Of the patch.
        extent: Of the patch along the axes that the module sees.
        device: "meta", unless the module insists on another.
    """
    patch = torch.empty(1, in_channels, *extent, device=device)
    features = _LiveFeatures()
    with torch.no_grad(), FlopCounterMode(display=False) as counter, features:
        module.eval()(patch)
    voxels = math.prod(extent)
    return MeasuredCosts(
        weights=sum(weight.numel() for weight in module.parameters()),
        operations_per_voxel=counter.get_total_flops() / _OPERATIONS_OF_A_MULTIPLICATION / voxels,
        features_per_voxel=features.most / voxels,
    )


class _LiveFeatures(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows which results of a module's layers are still held while it runs.

    A convolution holds copies of its input and its output laid out anew, so these count while it runs.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = 0
        self._live: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self, func: Callable[..., Any], _: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self._live = {key: entry for key, entry in self._live.items() if not _is_gone(entry[0])}
        for tensor in _tensors(result):
            storage = tensor.untyped_storage()
            self._live[storage._cdata] = (_reference(storage), storage.nbytes() // tensor.element_size())
        laid_out = args[0].numel() + result.numel() if func in _CONVOLUTIONS else 0
        self.most = max(self.most, laid_out + sum(count for _, count in self._live.values()))
        return result


def _reference(storage: Any) -> StorageWeakRef:
    return StorageWeakRef(storage)  # type: ignore[no-untyped-call]


def _is_gone(reference: StorageWeakRef) -> bool:
    return bool(reference.expired())  # type: ignore[no-untyped-call]


def _tensors(result: Any) -> Iterator[Tensor]:
    for each in result if isinstance(result, (tuple, list)) else (result,):
        if isinstance(each, Tensor):
            yield each
