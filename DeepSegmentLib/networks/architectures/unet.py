"""The U-Net family: plain or residual encoder, 2D or 3D, any depth.

Reads from top to bottom: blocks, encoder, decoder, network. Topology as in nnU-Net v2 (package
dynamic-network-architectures: PlainConvUNet, ResidualEncoderUNet), so that its weights fit.

References:
    Çiçek et al., 3D U-Net, MICCAI 2016. Isensee et al., nnU-Net, Nat Methods 2021; nnU-Net Revisited, MICCAI 2024.
    He et al., Bag of Tricks, CVPR 2019 (residual block "D"). Oktay et al., Attention U-Net, MIDL 2018.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from .with_head import WithHead

if TYPE_CHECKING:
    from DeepSegmentLib.networks.unet_spec import Size, UNetSpec

_CONV = {2: nn.Conv2d, 3: nn.Conv3d}
_UP_CONV = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_POOL = {2: nn.AvgPool2d, 3: nn.AvgPool3d}
_INSTANCE_NORM = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
_BATCH_NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


def _norm(spec: UNetSpec, channels: int) -> nn.Module:
    if spec.norm == "instance":
        return _INSTANCE_NORM[spec.dimensions](channels, spec.norm_epsilon, affine=True)
    if spec.norm == "batch":
        return _BATCH_NORM[spec.dimensions](channels, spec.norm_epsilon)
    return nn.GroupNorm(8 if channels % 8 == 0 else channels, channels, spec.norm_epsilon)


def _relu(spec: UNetSpec) -> nn.Module:
    return nn.LeakyReLU(spec.leak, inplace=True)


class ConvBlock(nn.Sequential):
    """Convolution, norm and leaky ReLU; the ReLU can be left out."""

    def __init__(
        self, spec: UNetSpec, n_in: int, n_out: int, *, kernel: Size, stride: Size | int = 1, relu: bool = True
    ) -> None:
        padding = tuple(edge // 2 for edge in kernel)
        conv = _CONV[spec.dimensions](n_in, n_out, kernel, stride, padding)  # type: ignore[arg-type]
        super().__init__(conv, _norm(spec, n_out), *([_relu(spec)] if relu else []))


class Projection(nn.Sequential):
    """The short way round a residual block: pool where it strides, 1x1 convolution where channels change."""

    def __init__(self, spec: UNetSpec, n_in: int, n_out: int, stride: Size) -> None:
        layers: list[nn.Module] = []
        if max(stride) > 1:
            layers.append(_POOL[spec.dimensions](stride, stride))  # type: ignore[arg-type]
        if n_in != n_out:
            layers += [_CONV[spec.dimensions](n_in, n_out, 1, bias=False), _norm(spec, n_out)]
        super().__init__(*layers)


class ResidualBlock(nn.Module):
    """Two convolutions added to their input (He et al. 2019, block "D")."""

    def __init__(self, spec: UNetSpec, n_in: int, n_out: int, *, kernel: Size, stride: Size) -> None:
        super().__init__()
        self.conv1 = ConvBlock(spec, n_in, n_out, kernel=kernel, stride=stride)
        self.conv2 = ConvBlock(spec, n_out, n_out, kernel=kernel, relu=False)
        self.skip = Projection(spec, n_in, n_out, stride)
        self.relu = _relu(spec)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n_in, ...) to (batch, n_out, ...), smaller by the stride."""
        out: Tensor = self.relu(self.conv2(self.conv1(x)) + self.skip(x))
        return out


class BottleneckBlock(nn.Module):
    """As a residual block, but the wide kernel sees fewer channels, between two 1x1 convolutions (He et al. 2019)."""

    def __init__(self, spec: UNetSpec, n_in: int, n_out: int, *, within: int, kernel: Size, stride: Size) -> None:
        super().__init__()
        point = (1,) * spec.dimensions
        self.conv1 = ConvBlock(spec, n_in, within, kernel=point)
        self.conv2 = ConvBlock(spec, within, within, kernel=kernel, stride=stride)
        self.conv3 = ConvBlock(spec, within, n_out, kernel=point, relu=False)
        self.skip = Projection(spec, n_in, n_out, stride)
        self.relu = _relu(spec)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n_in, ...) to (batch, n_out, ...), smaller by the stride."""
        out: Tensor = self.relu(self.conv3(self.conv2(self.conv1(x))) + self.skip(x))
        return out


class AttentionGate(nn.Module):
    """Weighs a skip connection by what the coarser stage looks for (Oktay et al. 2018, equation 1)."""

    def __init__(self, spec: UNetSpec, channels: int) -> None:
        super().__init__()
        conv = _CONV[spec.dimensions]
        hidden = max(1, channels // 2)
        self.query = conv(channels, hidden, 1)
        self.key = conv(channels, hidden, 1, bias=False)
        self.score = conv(hidden, 1, 1)

    def forward(self, skip: Tensor, coarse: Tensor) -> Tensor:
        """`skip` times a weight in (0, 1); both have shape (batch, channels, ...)."""
        return skip * torch.sigmoid(self.score(torch.relu(self.query(coarse) + self.key(skip))))


def _plain_stage(spec: UNetSpec, n_in: int, stage: int) -> nn.Sequential:
    n_out, kernel = spec.features[stage], spec.kernel_sizes[stage]
    blocks = [ConvBlock(spec, n_in, n_out, kernel=kernel, stride=spec.strides[stage])]
    blocks += [ConvBlock(spec, n_out, n_out, kernel=kernel) for _ in range(spec.encoder_blocks[stage] - 1)]
    return nn.Sequential(*blocks)


def _residual_stage(spec: UNetSpec, n_in: int, stage: int) -> nn.Sequential:
    n_out, same = spec.features[stage], (1,) * spec.dimensions
    blocks = [_residual_block(spec, n_in, stage, spec.strides[stage])]
    blocks += [_residual_block(spec, n_out, stage, same) for _ in range(spec.encoder_blocks[stage] - 1)]
    return nn.Sequential(*blocks)


def _residual_block(spec: UNetSpec, n_in: int, stage: int, stride: Size) -> nn.Module:
    n_out, kernel = spec.features[stage], spec.kernel_sizes[stage]
    if not spec.bottleneck_features:
        return ResidualBlock(spec, n_in, n_out, kernel=kernel, stride=stride)
    return BottleneckBlock(spec, n_in, n_out, within=spec.bottleneck_features[stage], kernel=kernel, stride=stride)


class Encoder(nn.Module):
    """From the input to one feature map a stage."""

    def __init__(self, spec: UNetSpec) -> None:
        super().__init__()
        residual = spec.encoder == "residual"
        make_stage = _residual_stage if residual else _plain_stage
        self.stem: nn.Module = nn.Identity()
        if residual:
            self.stem = ConvBlock(spec, spec.in_channels, spec.stem, kernel=spec.kernel_sizes[0])
        inputs = (spec.stem, *spec.features[:-1])
        self.stages = nn.ModuleList(make_stage(spec, n_in, stage) for stage, n_in in enumerate(inputs))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(batch, in_channels, ...) to the feature maps, finest first."""
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class DecoderStage(nn.Module):
    """Up-sample, join with the skip connection, convolve; `head` turns the result into logits."""

    def __init__(self, spec: UNetSpec, stage: int) -> None:
        super().__init__()
        n_coarse, n_out = spec.features[stage + 1], spec.features[stage]
        stride, kernel = spec.strides[stage + 1], spec.kernel_sizes[stage]
        self.up = _UP_CONV[spec.dimensions](n_coarse, n_out, stride, stride)  # type: ignore[arg-type]
        self.gate = AttentionGate(spec, n_out) if spec.attention else None
        blocks = spec.decoder_blocks[len(spec.features) - 2 - stage]
        inputs = (2 * n_out, *[n_out] * (blocks - 1))
        self.convs = nn.Sequential(*(ConvBlock(spec, n_in, n_out, kernel=kernel) for n_in in inputs))
        self.head = _CONV[spec.dimensions](n_out, spec.out_channels, 1)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """Features (batch, n_out, ...) at the resolution of `skip`."""
        up = self.up(coarse)
        kept = skip if self.gate is None else self.gate(skip, up)
        out: Tensor = self.convs(torch.cat((up, kept), dim=1))
        return out


class UNet(WithHead):
    """Encoder and decoder joined by skip connections.

    `forward` gives logits (batch, out_channels, ...) of the input's size. In training mode with deep supervision,
    `forward_all` gives those of every decoder stage, finest first.
    """

    def __init__(self, spec: UNetSpec) -> None:
        super().__init__()
        self.spec = spec
        self.encoder = Encoder(spec)
        coarsest_first = reversed(range(len(spec.features) - 1))
        self.decoder = nn.ModuleList(DecoderStage(spec, stage) for stage in coarsest_first)

    def _decoder_stages(self) -> list[DecoderStage]:
        """Coarsest first."""
        return cast("list[DecoderStage]", list(self.decoder))

    def _decode(self, x: Tensor) -> list[Tensor]:
        *skips, x = self.encoder(x)
        maps = []
        for stage, skip in zip(self.decoder, reversed(skips), strict=True):
            x = stage(x, skip)
            maps.append(x)
        return maps

    def features(self, x: Tensor) -> Tensor:
        """The finest decoder features (batch, features[0], ...); each axis must be a multiple of `spec.divisor`."""
        return self._decode(x)[-1]

    def last_layer(self) -> nn.Module:
        """The head of the finest decoder stage."""
        return self._decoder_stages()[-1].head

    def forward_all(self, x: Tensor) -> list[Tensor]:
        """Logits of every decoder stage, finest first."""
        return [stage.head(out) for stage, out in zip(self._decoder_stages(), self._decode(x), strict=True)][::-1]
