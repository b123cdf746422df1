"""Torch with channels side by side in memory, as the CPU's convolutions like them best."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .body import CONVOLUTIONS, drop_idle_biases, is_own_norm, sharing_copy
from .winograd import WinogradConv3d, is_winograd

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    _Norm = nn.InstanceNorm2d | nn.InstanceNorm3d | nn.GroupNorm

_ROWS_COUNTED = 8192
_ROWS_WRITTEN = 4096
"""Voxels at once: with 32 channels in float32 a megabyte or less, which stays in the processor's cache."""

_SUMS = 64
"""Side by side in a chunk: the longer a sum in float32, the more digits it loses."""

_NORMS = (nn.InstanceNorm2d, nn.InstanceNorm3d, nn.GroupNorm)
_LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}


def channels_last(body: nn.Module, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """What computes a body with channels last, in float32 or bfloat16; float32 in, float32 with channels last out."""
    module = sharing_copy(body)
    drop_idle_biases(module)
    _replace_layers(module)
    if dtype == torch.float32:
        _replace_convolutions(module)
    _convert(module, dtype)

    def run(x: Tensor) -> Tensor:
        given = x.to(dtype, memory_format=_LAYOUTS[x.ndim])
        result: Tensor = module(given)
        return result.float()

    return run


class BlockMean(nn.Module):
    """Average pooling of volumes whose kernel is its stride, which torch has in no other type than float32."""

    def __init__(self, edges: Sequence[int]) -> None:
        """Take the extent of a block."""
        super().__init__()
        self.edges = tuple(edges)

    def forward(self, x: Tensor) -> Tensor:
        """The mean of each block; what is left over at the far sides is left out."""
        wholes = [n // edge * edge for n, edge in zip(x.shape[2:], self.edges, strict=True)]
        total = torch.zeros(())
        for first in product(*(range(edge) for edge in self.edges)):
            places = zip(first, wholes, self.edges, strict=True)
            index: tuple[Any, ...] = (..., *(slice(n, whole, edge) for n, whole, edge in places))
            total = total + x[index].float()
        return total.div_(math.prod(self.edges)).to(x.dtype)


class RowNorm(nn.Module):
    """Instance or group norm of channels-last arrays, and the leaky ReLU after it.

    Torch's own copies the array for the one, and loses digits for the other where the mean is far above the standard
    deviation. This one has float32's accuracy, whatever the array holds.
    """

    def __init__(self, norm: _Norm, *, leak: float = 1.0, in_place: bool = False) -> None:
        """Take the place of a norm.

        Args:
            norm: One of torch's, with float32 weights.
            leak: Slope below 0 of the ReLU that follows; 1 where none does.
            in_place: Whether what comes in may be written over.
        """
        super().__init__()
        self.groups = norm.num_groups if isinstance(norm, nn.GroupNorm) else 0
        self.eps = norm.eps
        self.weight: nn.Parameter | None = norm.weight
        self.bias: nn.Parameter | None = norm.bias
        self.leak, self.in_place = leak, in_place

    def forward(self, x: Tensor) -> Tensor:
        """The same shape and type."""
        x = x.contiguous(memory_format=_LAYOUTS[x.ndim])
        out = x if self.in_place else torch.empty_like(x)
        for rows, target in zip(_rows(x), _rows(out), strict=True):
            self._normalize(rows, target)
        return out

    def _normalize(self, rows: Tensor, target: Tensor) -> None:
        mean, variance = _in_groups(*moments(rows), self.groups)
        scale = (variance + self.eps).rsqrt()
        if self.weight is not None:
            scale = scale * self.weight
        shift = torch.zeros_like(scale) if self.bias is None else self.bias.double()
        if rows.dtype != torch.float32:  # its digits are fewer than what this loses where the mean is large
            mean, shift = torch.zeros_like(mean), shift - mean * scale
        mean, scale, shift = mean.float(), scale.float(), shift.float()
        for chunk, part in zip(torch.split(rows, _ROWS_WRITTEN), torch.split(target, _ROWS_WRITTEN), strict=True):
            exact = part if chunk.dtype == torch.float32 else torch.empty(chunk.shape)
            torch.addcmul(shift, torch.sub(chunk, mean, out=exact), scale, out=exact)
            if self.leak != 1.0:
                functional.leaky_relu_(exact, self.leak)
            if exact is not part:
                part.copy_(exact)


def _rows(x: Tensor) -> Tensor:
    """A channels-last array as (batch, voxel, channel), in the same memory."""
    return x.movedim(1, -1).view(len(x), -1, x.shape[1])


def moments(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (channel), float64, of rows (voxel, channel) of any float type.

    Sums are taken about the mean of some of the rows, so that nothing is lost where it is far from 0.
    """
    about = rows[:: -(-len(rows) // _ROWS_COUNTED)].float().mean(0)
    sums, squares = [], []
    for chunk in torch.split(rows, _ROWS_COUNTED):
        rest = torch.sub(chunk.float(), about)
        sums += _partial_sums(rest)
        squares += _partial_sums(rest.square_())
    first = torch.cat(sums).double().sum(0) / len(rows)
    second = torch.cat(squares).double().sum(0) / len(rows)
    return about + first, (second - first.square()).clamp_(min=0)


def _partial_sums(rows: Tensor) -> list[Tensor]:
    """Rows that add up to the same as these, fewer: as a product of matrices, which is the fastest sum here."""
    count, channels = len(rows) // _SUMS, rows.shape[1]
    folded = rows[: count * _SUMS].view(count, _SUMS * channels)
    sums = (torch.ones(1, count) @ folded).view(_SUMS, channels)
    return [sums, rows[count * _SUMS :].clone()]  # what comes in is squared in place later


def _in_groups(mean: Tensor, variance: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Moments of all channels of a group, for each of its channels; no groups: as they are."""
    if not groups:
        return mean, variance
    means, variances = mean.view(groups, -1), variance.view(groups, -1)
    common = means.mean(1, keepdim=True)
    whole = (variances + (means - common).square()).mean(1, keepdim=True)
    return common.expand_as(means).reshape(-1), whole.expand_as(means).reshape(-1)


def _replace_layers(module: nn.Module) -> None:
    for parent in list(module.modules()):
        names = [name for name, _ in parent.named_children()]
        for n, name in enumerate(names):
            layer = getattr(parent, name)
            if isinstance(layer, _NORMS) and (isinstance(layer, nn.GroupNorm) or is_own_norm(layer)):
                _replace_norm(parent, names, n)
            elif isinstance(layer, nn.AvgPool3d) and layer.kernel_size == layer.stride and not layer.padding:
                setattr(parent, name, BlockMean(_three(layer.kernel_size)))


def _replace_convolutions(module: nn.Module) -> None:
    for parent in list(module.modules()):
        for name, layer in list(parent.named_children()):
            if is_winograd(layer):
                setattr(parent, name, WinogradConv3d(layer))


def _replace_norm(parent: nn.Module, names: list[str], n: int) -> None:
    """Put our norm in the place of one; in a row of layers also in that of the leaky ReLU behind it."""
    norm = getattr(parent, names[n])
    in_row = isinstance(parent, nn.Sequential)
    after = getattr(parent, names[n + 1]) if in_row and n + 1 < len(names) else None
    fresh = in_row and n > 0 and isinstance(getattr(parent, names[n - 1]), CONVOLUTIONS)
    leaky = isinstance(after, nn.LeakyReLU)
    slope = after.negative_slope if isinstance(after, nn.LeakyReLU) else 1.0
    setattr(parent, names[n], RowNorm(norm, leak=slope, in_place=fresh))
    if leaky:
        setattr(parent, names[n + 1], nn.Identity())


def _three(size: int | tuple[int, ...]) -> tuple[int, ...]:
    return (size,) * 3 if isinstance(size, int) else size


def _convert(module: nn.Module, dtype: torch.dtype) -> None:
    """Weights of layers in their type and layout; those of norms by channel stay float32, as torch takes them too."""
    for layer in module.modules():
        if isinstance(layer, (RowNorm, nn.BatchNorm2d, nn.BatchNorm3d)):
            continue
        for name, weight in layer.named_parameters(recurse=False):
            setattr(layer, name, nn.Parameter(_converted(weight.detach(), dtype), requires_grad=False))
        for name, buffer in layer.named_buffers(recurse=False):
            if buffer.is_floating_point():
                setattr(layer, name, buffer.to(dtype))


def _converted(weight: Tensor, dtype: torch.dtype) -> Tensor:
    return weight.to(dtype, memory_format=_LAYOUTS.get(weight.ndim, torch.preserve_format))
