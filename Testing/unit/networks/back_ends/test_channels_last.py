"""Torch with channels last, and a norm of our own for it."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_examples import random_patches, unet_specs
from strategies import shapes
from torch import Tensor, nn
from torch.nn import functional

from DeepSegmentLib.data import Index
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.back_ends.body import Body, drop_idle_biases
from DeepSegmentLib.networks.back_ends.channels_last import BlockMean, RowNorm, channels_last, moments
from DeepSegmentLib.networks.unet_spec import UNetSpec

DTYPES = st.sampled_from([torch.float32, torch.bfloat16])


def body_of(spec: UNetSpec) -> Body:
    torch.manual_seed(0)
    return Body(UNet(spec), headless=True).eval()


def array(*shape: int, mean: float, dtype: torch.dtype = torch.float32) -> Tensor:
    made = torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))) + mean
    return made.to(dtype, memory_format=torch.channels_last_3d if len(shape) == 5 else torch.channels_last)


@given(st.integers(1, 20_000), st.integers(1, 9), st.floats(-1000, 1000), DTYPES)
def test_moments_are_those_of_float64(voxels: int, channels: int, mean: float, dtype: torch.dtype) -> None:
    rows = array(1, channels, voxels, 1, mean=mean, dtype=dtype)[0, :, :, 0].T.contiguous()
    rows[voxels // 2 :, 0] += 5  # two halves that differ
    found, variance = moments(rows)
    exact = rows.double()
    torch.testing.assert_close(found, exact.mean(0), atol=2e-6, rtol=1e-7)
    torch.testing.assert_close(variance, exact.var(0, unbiased=False), atol=1e-5, rtol=1e-5)


@given(shapes(9), st.integers(1, 3), st.floats(-1000, 1000), st.sampled_from([1.0, 0.0, 0.01]), st.booleans())
def test_the_norm_is_that_of_float64(shape: Index, batch: int, mean: float, leak: float, instance: bool) -> None:
    norm = nn.InstanceNorm3d(6, affine=True) if instance else nn.GroupNorm(2, 6)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = array(batch, 6, *shape, mean=mean)
    before = x.clone()
    with torch.no_grad():
        found = RowNorm(norm, leak=leak)(x)
        exact = functional.group_norm(
            x.double(), 6 if instance else 2, norm.weight.double(), norm.bias.double(), norm.eps
        )
    few = shape[0] * shape[1] * shape[2] == 1  # one voxel has no spread: its rounding is all that there is
    torch.testing.assert_close(
        found.double(), functional.leaky_relu(exact, leak), atol=0.05 if few else 2e-4, rtol=1e-4
    )
    assert torch.equal(x, before)


def test_the_norm_writes_over_what_it_may() -> None:
    norm = nn.InstanceNorm2d(3)
    x = array(2, 3, 5, 7, mean=4)
    expected = norm(x)
    found = RowNorm(norm, in_place=True)(x)
    assert found.data_ptr() == x.data_ptr()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@given(unet_specs(), shapes(3), st.integers(1, 2))
@settings(max_examples=15)
def test_float32_gives_the_features_of_torch(spec: UNetSpec, times: Index, batch: int) -> None:
    extent = [2 * step * n for step, n in zip(spec.divisor, times[: spec.dimensions], strict=True)]
    body, x = body_of(spec), torch.from_numpy(random_patches(batch, spec.in_channels, *extent))
    with torch.inference_mode():
        found, expected = channels_last(body, torch.float32)(x), body(x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("encoder", ["plain", "residual"])
@pytest.mark.parametrize("norm", ["instance", "batch", "group"])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_bfloat16_is_near(encoder: str, norm: str, dimensions: int) -> None:
    spec = example(encoder=encoder, norm=norm, dimensions=dimensions)
    body, x = body_of(spec), torch.from_numpy(random_patches(1, 1, *[24] * dimensions))
    with torch.inference_mode():
        found, expected = channels_last(body, torch.bfloat16)(x), body(x)
    assert found.dtype == torch.float32
    assert float((found - expected).square().mean().sqrt()) < 0.05 * float(expected.square().mean().sqrt())


def example(*, encoder: str = "plain", norm: str = "instance", dimensions: int = 3) -> UNetSpec:
    """A U-Net that is large enough for its norms to mean something."""
    return UNetSpec(
        in_channels=1,
        out_channels=3,
        features=(8, 16),
        kernel_sizes=((3,) * dimensions,) * 2,
        strides=((1,) * dimensions, (2,) * dimensions),
        encoder_blocks=(2, 2),
        decoder_blocks=(2,),
        encoder=encoder,
        norm=norm,
    )


def test_the_network_itself_is_left_as_it_was() -> None:
    body = body_of(example())
    layers, weights = str(body), copy.deepcopy(body.state_dict())
    with torch.inference_mode():
        channels_last(body, torch.bfloat16)(torch.zeros(1, 1, 8, 8, 8))
    assert str(body) == layers
    for name, weight in body.state_dict().items():
        assert torch.equal(weight, weights[name]), name


def test_biases_before_an_instance_norm_change_nothing() -> None:
    body, x = body_of(example()), torch.from_numpy(random_patches(1, 1, 16, 16, 16))
    with torch.inference_mode():
        expected = body(x)
        count = len(list(body.parameters()))
        drop_idle_biases(body)
        assert len(list(body.parameters())) < count
        torch.testing.assert_close(body(x), expected, atol=1e-5, rtol=1e-4)


@given(st.integers(1, 3), st.tuples(*[st.integers(1, 3)] * 3), shapes(9, 3), DTYPES)
def test_pools_are_those_of_torch(channels: int, edges: Index, shape: Index, dtype: torch.dtype) -> None:
    x = array(2, channels, *shape, mean=3, dtype=dtype)
    expected = functional.avg_pool3d(x.float().contiguous(), edges, edges)
    found = BlockMean(edges)(x)
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected.to(dtype).float(), atol=1e-6, rtol=0.01)


def test_a_large_offset_is_no_noise() -> None:
    """What torch's own group norm gets wrong with channels last."""
    x = array(1, 4, 40, 40, 40, mean=1000)
    exact = functional.instance_norm(x.double())
    found = RowNorm(nn.InstanceNorm3d(4))(x)
    np.testing.assert_allclose(found.double().numpy(), exact.numpy(), atol=1e-4)
