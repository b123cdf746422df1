"""The Swin transformer in 2D and 3D: attention among the tokens of a window, which every second block shifts.

Reads from top to bottom: windows, attention, block, merging, stage, transformer. Tokens lie in channels-last tensors
(batch, ..., features) here; what goes in and comes out is channels-first.

References:
    Liu et al., Swin Transformer: Hierarchical Vision Transformer using Shifted Windows, ICCV 2021. Hatamizadeh et al.,
    Swin UNETR, BrainLes 2021. He et al., SwinUNETR-V2, MICCAI 2023.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from DeepSegmentLib.networks.monai_specs.layers import INSTANCE, LEAKY_RELU

from .layers import CONV, ResidualBlock, edges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from DeepSegmentLib.networks.monai_specs import SwinUNETRSpec
    from DeepSegmentLib.networks.monai_specs.layers import Size

_FORBIDDEN = -100.0
"""Added to the attention between tokens that only the shift made neighbours."""

_PUBLISHED = ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 0), (0, 0, 1), (1, 1, 1))
_ALL_2D = ((0, 0), (1, 0), (0, 1), (1, 1))
_ALL = ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1))


def to_windows(x: Tensor, window: Size) -> Tensor:
    """(batch, ..., features), a multiple of the window along each axis, to (windows, tokens, features)."""
    counts = [n // edge for n, edge in zip(x.shape[1:-1], window, strict=True)]
    split = x.reshape(len(x), *(n for pair in zip(counts, window, strict=True) for n in pair), x.shape[-1])
    axes = len(window)
    order = (0, *range(1, 2 * axes, 2), *range(2, 2 * axes + 1, 2), 2 * axes + 1)
    return split.permute(order).reshape(-1, math.prod(window), x.shape[-1])


def from_windows(windows: Tensor, window: Size, shape: Sequence[int]) -> Tensor:
    """The inverse of `to_windows`, for tokens of the shape (batch, ...)."""
    batch, *extent = shape
    counts = [n // edge for n, edge in zip(extent, window, strict=True)]
    split = windows.reshape(batch, *counts, *window, windows.shape[-1])
    axes = len(window)
    pairs = [axis for n in range(axes) for axis in (1 + n, 1 + axes + n)]
    return split.permute(0, *pairs, 2 * axes + 1).reshape(*shape, windows.shape[-1])


@lru_cache(maxsize=8)
def relative_places(window: Size) -> Tensor:
    """For each two tokens of a window the number of their relative place, (tokens, tokens)."""
    places = torch.cartesian_prod(*(torch.arange(edge, device="cpu") for edge in window))
    offsets = places[:, None] - places[None] + torch.tensor(window, device="cpu") - 1
    number = torch.zeros(offsets.shape[:2], dtype=torch.int64, device="cpu")
    for axis, edge in enumerate(window):
        number = number * (2 * edge - 1) + offsets[..., axis]
    return number


def shift_mask(extent: Sequence[int], window: Size, shift: Size, device: torch.device) -> Tensor:
    """What is added to the attention in shifted windows, (windows, tokens, tokens): 0 between real neighbours."""
    region = torch.zeros(1, *extent, 1, device=device)
    for axis, (edge, step) in enumerate(zip(window, shift, strict=True), start=1):
        if step:
            n = extent[axis - 1]
            along = torch.zeros(n, device=device)
            along[n - edge : n - step], along[n - step :] = 1, 2
            region = 3 * region + along.reshape([-1 if a == axis else 1 for a in range(region.ndim)])
    groups = to_windows(region, window).squeeze(-1)
    return torch.where(groups[:, None] == groups[:, :, None], 0.0, _FORBIDDEN)


class WindowAttention(nn.Module):
    """Attention of several heads, with a learnt bias for each relative place in the window."""

    def __init__(self, spec: SwinUNETRSpec, features: int, heads: int) -> None:
        super().__init__()
        self.window, self.heads = spec.window, heads
        self.bias = nn.Parameter(torch.zeros(math.prod(2 * edge - 1 for edge in spec.window), heads))
        self.qkv = nn.Linear(features, 3 * features, bias=spec.qkv_bias)
        self.out = nn.Linear(features, features)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(windows, tokens, features) of the same shape; `mask` is (windows of one image, tokens, tokens)."""
        windows, tokens, features = x.shape
        qkv = self.qkv(x).reshape(windows, tokens, 3, self.heads, features // self.heads)
        queries, keys, values = qkv.permute(2, 0, 3, 1, 4)
        # Windows that a small image cut down use the places of the first tokens of a whole one, as the published
        # network does: its weights have learnt that.
        places = relative_places(self.window)[:tokens, :tokens].to(x.device)
        bias = self.bias[places].permute(2, 0, 1)[None]
        if mask is not None:
            bias = (bias + mask[:, None]).repeat(windows // len(mask), 1, 1, 1)
        mixed = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=bias.to(queries.dtype))
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(windows, tokens, features))
        return out


class SwinBlock(nn.Module):
    """Attention within windows, then a perceptron of one hidden layer; each after a norm and added to its input."""

    def __init__(self, spec: SwinUNETRSpec, features: int, heads: int, *, shifted: bool) -> None:
        super().__init__()
        self.window, self.shifted = spec.window, shifted
        self.norm1 = nn.LayerNorm(features)
        self.attention = WindowAttention(spec, features, heads)
        self.norm2 = nn.LayerNorm(features)
        hidden = int(features * spec.mlp_ratio)
        self.mlp = nn.Sequential(nn.Linear(features, hidden), nn.GELU(), nn.Linear(hidden, features))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, ..., features) of the same shape."""
        x = x + self._attend(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out

    def _attend(self, x: Tensor) -> Tensor:
        extent = x.shape[1:-1]
        window = tuple(min(n, edge) for n, edge in zip(extent, self.window, strict=True))
        shift = tuple(
            edge // 2 if self.shifted and n > edge else 0 for n, edge in zip(extent, self.window, strict=True)
        )
        missing = [-n % edge for n, edge in zip(extent, window, strict=True)]
        x = functional.pad(x, [0, 0, *(edge for n in reversed(missing) for edge in (0, n))])
        axes = tuple(range(1, 1 + len(extent)))
        mask = shift_mask(x.shape[1:-1], window, shift, x.device) if any(shift) else None
        windows = to_windows(torch.roll(x, [-n for n in shift], axes), window)
        x = torch.roll(from_windows(self.attention(windows, mask), window, x.shape[:-1]), shift, axes)
        for axis, n in zip(axes, extent, strict=True):
            x = x.narrow(axis, 0, n)
        return x


def merged_places(spec: SwinUNETRSpec) -> tuple[Size, ...]:
    """Which of the neighbours, by their places among two along each axis, become one token, in their order."""
    if spec.dimensions == 2:
        return _ALL_2D
    if spec.merging == "v2":
        return tuple(product((0, 1), repeat=3))
    return _PUBLISHED if spec.merging == "published" else _ALL


class Merging(nn.Module):
    """Joins neighbours two by two along each axis into one token of twice the features."""

    def __init__(self, spec: SwinUNETRSpec, features: int) -> None:
        super().__init__()
        self.places = merged_places(spec)
        self.norm = nn.LayerNorm(len(self.places) * features)
        self.narrow = nn.Linear(len(self.places) * features, 2 * features, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, ..., features), even along each axis, to (batch, half of each, 2 * features)."""
        parts = [x[(slice(None), *(slice(start, None, 2) for start in place))] for place in self.places]
        out: Tensor = self.narrow(self.norm(torch.cat(parts, dim=-1)))
        return out


def _convolutions(features: int, dimensions: int) -> ResidualBlock:
    three, one = edges(3, dimensions), edges(1, dimensions)
    return ResidualBlock(features, features, kernel=three, stride=one, norms=INSTANCE, act=LEAKY_RELU)


class Stage(nn.Module):
    """Blocks, plain and shifted by turns, then the merging; SwinUNETR-V2 begins with convolutions."""

    def __init__(self, spec: SwinUNETRSpec, stage: int) -> None:
        super().__init__()
        features = spec.features << stage
        self.convs = _convolutions(features, spec.dimensions) if spec.convolutions else nn.Identity()
        self.blocks = nn.Sequential(
            *(SwinBlock(spec, features, spec.heads[stage], shifted=n % 2 == 1) for n in range(spec.depths[stage]))
        )
        self.merging = Merging(spec, features)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, features, ...) to (batch, 2 * features, half of each)."""
        tokens = self.blocks(self.convs(x).movedim(1, -1))
        out: Tensor = self.merging(tokens).movedim(-1, 1)
        return out.contiguous()


class SwinTransformer(nn.Module):
    """Tokens of two voxels along each axis, and four stages."""

    def __init__(self, spec: SwinUNETRSpec) -> None:
        super().__init__()
        two = edges(2, spec.dimensions)
        self.normalize = spec.normalize
        self.embed = CONV[spec.dimensions](spec.in_channels, spec.features, two, two)  # type: ignore[arg-type]
        self.embed_norm = nn.LayerNorm(spec.features) if spec.patch_norm else nn.Identity()
        self.stages = nn.ModuleList(Stage(spec, stage) for stage in range(len(spec.depths)))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(batch, in_channels, ...) to five feature maps, finest first, at half of its resolution and less."""
        x = self.embed_norm(self.embed(x).movedim(1, -1)).movedim(-1, 1)
        maps = [x]
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return [self._normalized(each) for each in maps]

    def _normalized(self, x: Tensor) -> Tensor:
        if not self.normalize:
            return x
        return functional.layer_norm(x.movedim(1, -1), [x.shape[1]]).movedim(-1, 1).contiguous()
