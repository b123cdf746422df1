"""Instance normalisation that is quick for the channels-last layout on a CPU, in training.

torch's own goes through batch norm of a reshaped tensor: it copies to channels first and back, in both directions. Here
the way forward is group norm with a group for each channel, which keeps the layout, and the way back that of batch
norm, sample by sample (group norm's own is slow for so many groups). The result is the same up to rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from torch.autograd.function import FunctionCtx

_LAYOUT = {4: torch.channels_last, 5: torch.channels_last_3d}


class _InstanceNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
        batch, channels = x.shape[:2]
        voxels = x[0, 0].numel()
        out, mean, scale = torch.ops.aten.native_group_norm(x, weight, bias, batch, channels, voxels, channels, epsilon)
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.epsilon = epsilon
        return out  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale = ctx.saved_tensors  # type: ignore[attr-defined]
        gradient = gradients[0].contiguous(memory_format=_LAYOUT[x.ndim])
        mean, scale = (each.float().view(len(x), -1) for each in (mean, scale))
        parts = [
            torch.ops.aten.native_batch_norm_backward(
                gradient[n : n + 1],
                x[n : n + 1],
                weight,
                None,
                None,
                mean[n],
                scale[n],
                True,
                ctx.epsilon,  # type: ignore[attr-defined]
                [True, True, True],
            )
            for n in range(len(x))
        ]
        back = parts[0][0] if len(parts) == 1 else torch.cat([part[0] for part in parts])
        return back, sum(part[1] for part in parts), sum(part[2] for part in parts), None


def instance_norm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """Instance normalisation (batch, channel, ...) with scale and shift; two or more voxels a channel."""
    out: Tensor = _InstanceNorm.apply(x, weight, bias, epsilon)  # type: ignore[no-untyped-call]
    return out


class ChannelsLastNorm(nn.Module):
    """In the place of an affine `nn.InstanceNorm2d` or `3d`, with its own parameters, under their names."""

    def __init__(self, norm: nn.modules.instancenorm._InstanceNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        """The same shape and layout."""
        return instance_norm(x, self.weight, self.bias, self.eps)


def with_quick_norms(network: nn.Module) -> nn.Module:
    """The same network, whose affine instance norms are exchanged in place; names and values of weights stay."""
    for name, child in network.named_children():
        if isinstance(child, nn.InstanceNorm2d | nn.InstanceNorm3d) and child.affine and not child.track_running_stats:
            setattr(network, name, ChannelsLastNorm(child))
        else:
            with_quick_norms(child)
    return network
