"""MONAI's UNETR: a vision transformer whose tokens, at four depths, a decoder of convolutions reads.

Reads from top to bottom: attention, transformer, way from tokens to features, network.

References:
    Hatamizadeh et al., UNETR: Transformers for 3D Medical Image Segmentation, WACV 2022. Dosovitskiy et al., An Image
    is Worth 16x16 Words: Transformers for Image Recognition at Scale, ICLR 2021.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from DeepSegmentLib.networks.monai_specs.layers import LEAKY_RELU
from DeepSegmentLib.networks.monai_specs.transformers import VIT_PATCH

from .layers import CONV, PlainBlock, ResidualBlock, UpBlock, conv, edges, up_conv
from .swin_transformer import to_windows
from .with_head import WithHead

if TYPE_CHECKING:
    from DeepSegmentLib.networks.monai_specs import UNETRSpec

_BLOCKS = 12
_READ_AFTER = (4, 7, 10)
"""Blocks whose tokens the decoder reads, beside those at the end."""


class Attention(nn.Module):
    """Attention of several heads among all tokens."""

    def __init__(self, spec: UNETRSpec) -> None:
        super().__init__()
        self.heads = spec.heads
        self.qkv = nn.Linear(spec.hidden, 3 * spec.hidden, bias=spec.qkv_bias)
        self.out = nn.Linear(spec.hidden, spec.hidden)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, tokens, hidden) of the same shape."""
        batch, tokens, hidden = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, hidden // self.heads)
        queries, keys, values = qkv.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(queries, keys, values)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, tokens, hidden))
        return out


class Block(nn.Module):
    """Attention, then a perceptron of one hidden layer; each after a norm and added to its input."""

    def __init__(self, spec: UNETRSpec) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(spec.hidden)
        self.attention = Attention(spec)
        self.norm2 = nn.LayerNorm(spec.hidden)
        self.mlp = nn.Sequential(nn.Linear(spec.hidden, spec.mlp), nn.GELU(), nn.Linear(spec.mlp, spec.hidden))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, tokens, hidden) of the same shape."""
        x = x + self.attention(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class VisionTransformer(nn.Module):
    """Patches become tokens, their places are added, and twelve blocks follow."""

    def __init__(self, spec: UNETRSpec) -> None:
        super().__init__()
        self.patch = edges(VIT_PATCH, spec.dimensions)
        if spec.tokens == "convolution":
            self.embed: nn.Module = CONV[spec.dimensions](spec.in_channels, spec.hidden, self.patch, self.patch)  # type: ignore[arg-type]
        else:
            self.embed = nn.Linear(spec.in_channels * math.prod(self.patch), spec.hidden)
        tokens = math.prod(n // VIT_PATCH for n in spec.image_shape)
        self.places = nn.Parameter(torch.zeros(1, tokens, spec.hidden))
        self.blocks = nn.ModuleList(Block(spec) for _ in range(_BLOCKS))
        self.norm = nn.LayerNorm(spec.hidden)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(batch, in_channels, ...) to the tokens (batch, tokens, hidden) at four depths."""
        tokens = self._tokens(x) + self.places
        read = []
        for n, block in enumerate(self.blocks, start=1):
            tokens = block(tokens)
            if n in _READ_AFTER:
                read.append(tokens)
        return [*read, self.norm(tokens)]

    def _tokens(self, x: Tensor) -> Tensor:
        if isinstance(self.embed, nn.Linear):
            rows = to_windows(x.movedim(1, -1), self.patch).flatten(1)
            embedded: Tensor = self.embed(rows)
            return embedded.reshape(len(x), -1, embedded.shape[-1])
        tokens: Tensor = self.embed(x).flatten(2).transpose(1, 2)
        return tokens


class TokensUp(nn.Module):
    """From tokens to features at a finer resolution: a transposed convolution for each halving, and blocks between."""

    def __init__(self, spec: UNETRSpec, n_out: int, steps: int) -> None:
        super().__init__()
        two = edges(2, spec.dimensions)
        self.first = up_conv(spec.hidden, n_out, stride=two)
        self.steps = nn.Sequential()
        for _ in range(steps):
            self.steps.append(nn.Sequential(up_conv(n_out, n_out, stride=two), *_blocks(spec, n_out)))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, hidden, ...) to (batch, n_out, ...), finer by two to the number of transposed convolutions."""
        out: Tensor = self.steps(self.first(x))
        return out


def _blocks(spec: UNETRSpec, channels: int) -> list[nn.Module]:
    return [_convolutions(spec, channels, channels)] if spec.convolve else []


def _convolutions(spec: UNETRSpec, n_in: int, n_out: int) -> nn.Module:
    block = ResidualBlock if spec.residual else PlainBlock
    three, one = edges(3, spec.dimensions), edges(1, spec.dimensions)
    return block(n_in, n_out, kernel=three, stride=one, norms=spec.norm, act=LEAKY_RELU)


class UNETR(WithHead):
    """Transformer, ways from its tokens to features, four steps up."""

    def __init__(self, spec: UNETRSpec) -> None:
        super().__init__()
        self.grid = tuple(n // VIT_PATCH for n in spec.image_shape)
        self.transformer = VisionTransformer(spec)
        n = spec.features
        self.side = _convolutions(spec, spec.in_channels, n)
        self.tokens_up = nn.ModuleList(TokensUp(spec, n << (3 - steps), steps) for steps in (2, 1, 0))
        three, two = edges(3, spec.dimensions), edges(2, spec.dimensions)
        sizes = ((2 * n, n), (4 * n, 2 * n), (8 * n, 4 * n), (spec.hidden, 8 * n))
        self.up = nn.ModuleList(
            UpBlock(*each, kernel=three, stride=two, norms=spec.norm, act=LEAKY_RELU, residual=spec.residual)
            for each in sizes
        )
        self.head = conv(n, spec.out_channels, kernel=edges(1, spec.dimensions), bias=True)

    def features(self, x: Tensor) -> Tensor:
        """What the head makes logits of: (batch, channels, ...) of an input of the spec's `image_shape`."""
        *read, last = (self._as_features(tokens) for tokens in self.transformer(x))
        skips = [self.side(x), *(way(each) for way, each in zip(self.tokens_up, read, strict=True))]
        x = last
        for step, skip in zip(reversed(self.up), reversed(skips), strict=True):
            x = step(x, skip)
        features: Tensor = x
        return features

    def _as_features(self, tokens: Tensor) -> Tensor:
        """(batch, tokens, hidden) to (batch, hidden, ...)."""
        return tokens.transpose(1, 2).reshape(len(tokens), tokens.shape[-1], *self.grid)
