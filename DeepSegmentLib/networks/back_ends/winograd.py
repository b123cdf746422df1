"""Convolutions of volumes with half of the multiplications, for float32 with channels last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TypeGuard

_GROUP = 4
"""Planes of the result that are computed together, from six planes of what is given."""

_AT_ONCE_BYTES = 2**20
"""About what one of the arrays takes that are multiplied together: a dozen of them stay in the processor's cache."""

_ENOUGH_CHANNELS = 16
"""With fewer, the sums take as long as the multiplications that they save."""

_KERNELS = (
    (1 / 4, 0.0, 0.0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0.0, 0.0, 1.0),
)
"""G of F(4, 3), interpolated at 0, 1, -1, 2, -2 and infinity."""


def is_winograd(layer: nn.Module) -> TypeGuard[nn.Conv3d]:
    """Whether a `WinogradConv3d` can take a layer's place, and is likely to be faster."""
    return (
        isinstance(layer, nn.Conv3d)
        and layer.kernel_size[0] == 3
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
        and all(2 * pad == edge - 1 for pad, edge in zip(layer.padding, layer.kernel_size, strict=True))
        and set(layer.stride) == set(layer.dilation) == {1}
        and layer.groups == 1
        and min(layer.in_channels, layer.out_channels) >= _ENOUGH_CHANNELS
    )


class WinogradConv3d(nn.Module):
    """A convolution whose kernel is three planes deep, by the minimal filtering F(4, 3) along the first axis.

    Four planes of the result take six convolutions of planes instead of twelve; what comes to that are sums of whole
    planes. The other axes stay as they are: there, torch's convolution of planes works at the processor's ceiling.

    It rounds more than a plain sum does: of random numbers by up to 9e-6 of the largest result.

    Source: A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, section 4.1.
    """

    def __init__(self, convolution: nn.Conv3d) -> None:
        """Take the place of a convolution for which `is_winograd` holds, float32."""
        super().__init__()
        kernels = torch.tensor(_KERNELS, dtype=torch.float64)
        weights = torch.einsum("pk, oikyx -> poiyx", kernels, convolution.weight.detach().double()).float()
        self.kernels = [each.contiguous(memory_format=torch.channels_last) for each in weights]
        self.bias = convolution.bias
        self.padding = convolution.padding[1:]

    def forward(self, x: Tensor) -> Tensor:
        """Of patches (batch, channel, k, j, i), float32, what the convolution gives, with channels last."""
        x = x.contiguous(memory_format=torch.channels_last_3d)
        shape = len(x), len(self.kernels[0]), *x.shape[2:]
        result = torch.empty(shape, memory_format=torch.channels_last_3d)
        for given, made in zip(x.movedim(2, 1), result.movedim(2, 1), strict=True):
            together = _GROUP * max(1, _AT_ONCE_BYTES // given[0].nbytes)
            for first in range(0, len(given), together):
                self._fill(made[first : first + together], given, first)
        if self.bias is not None:
            result += self.bias.view(-1, 1, 1, 1)
        return result

    def _fill(self, made: Tensor, given: Tensor, first: int) -> None:
        """Write the planes (plane, channel, j, i) of a result from the first one on."""
        groups = -(-len(made) // _GROUP)
        whole = made if len(made) == _GROUP * groups else made.new_empty((_GROUP * groups, *made.shape[1:]))
        around = _between(given, first - 1, first + _GROUP * groups + 1)
        differences = _differences([around[n::_GROUP][:groups] for n in range(6)])
        _add_up([self._product(*pair) for pair in zip(differences, self.kernels, strict=True)], whole)
        if whole is not made:
            made.copy_(whole[: len(made)])

    def _product(self, planes: Tensor, kernel: Tensor) -> Tensor:
        return functional.conv2d(planes, kernel, padding=self.padding)


def _between(planes: Tensor, first: int, end: int) -> Tensor:
    """Planes of a volume, and zeros where there are none."""
    before, after = max(-first, 0), max(end - len(planes), 0)
    inside = planes[max(first, 0) : end]
    if not before and not after:
        return inside
    rows = inside.movedim(1, -1)
    return functional.pad(rows, (0, 0) * 3 + (before, after)).movedim(-1, 1)


def _differences(given: Sequence[Tensor]) -> Iterator[Tensor]:
    """Of each of six planes, what is multiplied, one after the other (B transposed, in the article's words)."""
    d0, d1, d2, d3, d4, d5 = given
    even, odd = d4 - d2, d3 - d1
    yield torch.add(even, d0 - d2, alpha=4)
    outer, inner = torch.sub(d4, d2, alpha=4), torch.sub(d3, d1, alpha=4)
    yield outer + inner
    yield outer.sub_(inner)
    yield torch.add(even, odd, alpha=2)
    yield even.sub_(odd, alpha=2)
    yield (d5 - d3).sub_(odd, alpha=4)


def _add_up(products: Sequence[Tensor], whole: Tensor) -> None:
    """Write all planes of a result, from six products, which are written over (A transposed)."""
    m0, m1, m2, m3, m4, m5 = products
    near, near_odd, far, far_odd = m1 + m2, m1.sub_(m2), m3 + m4, m3.sub_(m4)
    torch.add(m0.add_(near), far, out=whole[0::_GROUP])
    torch.add(near_odd, far_odd, alpha=2, out=whole[1::_GROUP])
    torch.add(near, far, alpha=4, out=whole[2::_GROUP])
    torch.add(m5.add_(near_odd), far_odd, alpha=8, out=whole[3::_GROUP])
