"""Convolutions with half of the multiplications."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import shapes
from torch import nn
from torch.nn import functional

from DeepSegmentLib.data import Index
from DeepSegmentLib.networks.back_ends import winograd
from DeepSegmentLib.networks.back_ends.winograd import WinogradConv3d, is_winograd

ODD = st.sampled_from([1, 3, 5])


def convolution(channels: int = 16, made: int = 16, edges: Index = (3, 3, 3), **options: object) -> nn.Conv3d:
    torch.manual_seed(channels + made)
    padding = tuple(edge // 2 for edge in edges)
    return nn.Conv3d(channels, made, edges, **{"padding": padding, **options}).requires_grad_(False)  # type: ignore[arg-type]


@given(
    shapes(11), st.tuples(ODD, ODD), st.integers(1, 2), st.integers(1, 5), st.integers(1, 5), st.booleans(), st.data()
)
def test_it_is_the_convolution(
    shape: Index, edges: tuple[int, int], batch: int, channels: int, made: int, bias: bool, data: st.DataObject
) -> None:
    layer = convolution(channels, made, (3, *edges), bias=bias)
    x = torch.randn(batch, channels, *shape)
    if data.draw(st.booleans(), label="channels last"):
        x = x.contiguous(memory_format=torch.channels_last_3d)
    before = x.clone()
    expected = functional.conv3d(x.double(), layer.weight.double(), padding=layer.padding)
    expected += 0 if layer.bias is None else layer.bias.double().view(-1, 1, 1, 1)
    found = WinogradConv3d(layer)(x)
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(found.double(), expected, atol=5e-5, rtol=0)
    assert torch.equal(x, before)


@pytest.mark.parametrize("depth", [1, 4, 7, 8, 9, 30])
def test_it_is_the_same_in_chunks(depth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = convolution(), torch.randn(1, 16, depth, 6, 5)
    whole = WinogradConv3d(layer)(x)
    monkeypatch.setattr(winograd, "_AT_ONCE_BYTES", 2 * x[0, :, 0].nbytes)
    torch.testing.assert_close(WinogradConv3d(layer)(x), whole, atol=1e-5, rtol=0)


def test_its_rounding_is_what_the_docstring_says() -> None:
    layer, x = convolution(64, 32, bias=False), torch.randn(1, 64, 24, 24, 24)
    expected = functional.conv3d(x.double(), layer.weight.double(), padding=1)
    error = (WinogradConv3d(layer)(x) - expected).abs().max() / expected.abs().max()
    assert float(error) < 9e-6


@pytest.mark.parametrize(
    "layer",
    [
        convolution(stride=2),
        convolution(stride=(1, 2, 2)),
        convolution(dilation=2, padding=2),
        convolution(groups=2),
        convolution(padding=0),
        convolution(padding="same"),
        convolution(padding_mode="reflect"),
        convolution(edges=(1, 3, 3)),
        convolution(channels=1),
        convolution(made=8),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.ConvTranspose3d(16, 16, 3, padding=1),
    ],
    ids=str,
)
def test_other_layers_stay_as_they_are(layer: nn.Module) -> None:
    assert is_winograd(convolution())
    assert not is_winograd(layer)
