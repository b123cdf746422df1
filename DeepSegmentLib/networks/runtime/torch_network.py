"""A torch module behind the `Network` seam."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from DeepSegmentLib.data.progress import waited_for
from DeepSegmentLib.errors import InvalidInputError, ResourceError
from DeepSegmentLib.networks.architectures.with_head import WithHead
from DeepSegmentLib.networks.back_ends.body import Body
from DeepSegmentLib.networks.back_ends.choice import ChosenBackEnd
from DeepSegmentLib.networks.graph_spec import GraphSpec
from DeepSegmentLib.networks.unet_spec import UNetSpec

from .devices import is_out_of_memory
from .mixed_precision import MixedPrecision, precisions_of
from .network import Head
from .stops import stops_at_layers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from DeepSegmentLib.networks.back_ends.engine import Engine
    from DeepSegmentLib.networks.network_spec import NetworkSpec


class TorchNetwork:
    """A torch module on a device, behind the `Network` seam.

    Float32 throughout, except on CUDA, where all but the last layer runs in float16 while that suffices
    (`MixedPrecision`), and on the CPU what an engine chooses (`ChosenBackEnd`); the last layer is float32 everywhere.
    Patches whose extent the network's `divisor` does not divide are padded with zeros on the far side and the result
    cut back. A 2D network sees the planes (j, i) one by one.

    Attributes:
        device: Where it runs.
        head: The last layer, where that is a convolution of 1x1x1 and there are more classes than features; then
            features are given instead of logits.
    """

    def __init__(
        self, module: nn.Module, spec: NetworkSpec, device: torch.device, engine: Engine | None = None
    ) -> None:
        """Take a module over: it is moved to the device and put into evaluation mode.

        Args:
            module: Its `forward` gives logits (batch, out_channels, ...) of its input's extent.
            spec: What it was built from.
            device: Where it shall run.
            engine: How it is computed on the CPU; None for torch as it is. Graphs bring their own way.
        """
        self.module = module.to(device).eval()
        self.spec = spec
        self.device = device
        self._last = _head_of(self.module)
        self.head = self._last if self._last is not None and self._last.is_worth_waiting else None
        self._body = Body(self.module, headless=self._last is not None).eval()
        is_graph = isinstance(spec, GraphSpec)
        chooses = engine is not None and device.type == "cpu" and not is_graph
        self._chosen = ChosenBackEnd(self._body, engine, self._last, self._example) if engine and chooses else None
        precisions = (torch.float32,) if is_graph else precisions_of(device)
        self._mixed = MixedPrecision(self._body, device, precisions)

    @property
    def engine(self) -> str:
        """What computes it and in which precision, such as "openvino float32"; empty while that is not decided."""
        if isinstance(self.spec, GraphSpec):
            return self.spec.architecture
        return (self._chosen or self._mixed).name

    @property
    def note(self) -> str:
        """What it had to do otherwise since `begin_run`, for the user; empty for nothing."""
        return self._mixed.note

    def begin_run(self) -> None:
        """Forget what it had to do otherwise."""
        self._mixed.begin_run()

    def __call__(self, patches: Tensor, /) -> Tensor:
        """Features or logits (batch, channel, k, j, i) of patches (batch, channel, k, j, i).

        Raises:
            InvalidInputError: Patches of another type, or another number of axes or channels.
            ResourceError: Out of memory.
        """
        self._check(patches)
        try:
            return self._result(patches)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Outside the handler, whose traceback would still hold the tensors.
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        raise ResourceError(
            f"out of memory on {self.device} for {len(patches)} patch(es) of {tuple(patches.shape[2:])} voxels; "
            "use a smaller batch or patch, or the device cpu"
        )

    def _check(self, patches: Tensor) -> None:
        channels = self.spec.in_channels
        if patches.dtype != torch.float32 or patches.ndim != 5 or patches.shape[1] != channels or not patches.numel():
            raise InvalidInputError(
                f"patches must be float32 of shape (batch, {channels}, k, j, i), "
                f"got {str(patches.dtype).removeprefix('torch.')} of shape {tuple(patches.shape)}"
            )

    @torch.inference_mode()
    def _result(self, x: Tensor) -> Tensor:
        if self.spec.dimensions == 3:
            return self._forward(x)
        planes = self._forward(x.transpose(1, 2).flatten(0, 1))
        return planes.reshape(len(x), x.shape[2], *planes.shape[1:]).transpose(1, 2)

    def _forward(self, x: Tensor) -> Tensor:
        """Features or logits at the extent of `x`, padded on the way where needed."""
        extent = x.shape[2:]
        wanted = getattr(self.spec, "fixed_shape", None) or padded_extent(extent, self.spec.divisor)
        missing = [n - have for n, have in zip(wanted, extent, strict=True)]
        if min(missing) < 0:
            raise InvalidInputError(f"this network takes patches of {tuple(wanted)} voxels, got {tuple(extent)}")
        padded = functional.pad(x, [edge for n in reversed(missing) for edge in (0, n)]) if any(missing) else x
        inner: tuple[Any, ...] = (..., *(slice(n) for n in extent))
        features = self._features(padded)[inner]
        if self._last is None or self.head is not None:
            return features
        return torch.stack([self._last(each) for each in features])

    def _features(self, x: Tensor) -> Tensor:
        if self.device.type == "cpu":
            return waited_for(partial(self._features_of, x))
        return self._features_of(x)  # the device works on it by itself

    @torch.inference_mode()
    @stops_at_layers()
    def _features_of(self, x: Tensor) -> Tensor:
        return (self._chosen or self._mixed)(x)

    def _example(self, x: Tensor) -> Tensor:
        """What the network is traced with: a U-Net has the same layers for any extent, others may not."""
        if isinstance(self.spec, UNetSpec):
            return x.new_zeros(1, x.shape[1], *padded_extent(self.spec.divisor, self.spec.divisor))
        return x


def _head_of(module: nn.Module) -> Head | None:
    """The last layer of a network, where it only mixes channels; None for others, such as graphs."""
    layer = module.last_layer() if isinstance(module, WithHead) else None
    if not isinstance(layer, (nn.Conv2d, nn.Conv3d)) or not _is_pointwise(layer):
        return None
    weight = layer.weight.detach().flatten(1).float()
    return Head(weight, weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach().float())


def _is_pointwise(layer: nn.Conv2d | nn.Conv3d) -> bool:
    return max(*layer.kernel_size, *layer.stride, layer.groups) == 1 and not any(layer.padding)


def padded_extent(extent: Sequence[int], divisor: Sequence[int]) -> list[int]:
    """The smallest multiple of `divisor` that holds `extent` and leaves two voxels or more to the coarsest stage.

    Instance and group norm need a second voxel there to have a variance; torch refuses a single one.

    Example:
        >>> padded_extent((5, 16, 1), (4, 8, 1)), padded_extent((3, 8, 1), (4, 8, 1))
        ([8, 16, 1], [4, 8, 2])
    """
    padded = [-(-n // step) * step for n, step in zip(extent, divisor, strict=True)]
    if padded == list(divisor):
        padded[-1] *= 2
    return padded
