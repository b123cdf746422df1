"""Convolutions in float32 from products of bfloat16."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from model_examples import random_patches

from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.back_ends.body import Body
from DeepSegmentLib.networks.back_ends.machine import has_matrix_units, openvino_has_bfloat16
from DeepSegmentLib.networks.back_ends.openvino_graph import openvino_graph
from DeepSegmentLib.networks.back_ends.openvino_products import parts
from DeepSegmentLib.networks.unet_spec import UNetSpec

pytest.importorskip("openvino")
needs_bfloat16 = pytest.mark.skipif("not openvino_has_bfloat16()", reason="this processor has no bfloat16")


def body_of(**changes: object) -> Body:
    """A U-Net wide enough for its convolutions to be taken apart, with a skip connection that is joined."""
    standard = {
        "in_channels": 2,
        "out_channels": 3,
        "features": (16, 24, 32),
        "kernel_sizes": ((3, 3, 3),) * 3,
        "strides": ((1, 1, 1), (2, 2, 2), (2, 2, 2)),
        "encoder_blocks": (2, 2, 2),
        "decoder_blocks": (2, 2),
    }
    torch.manual_seed(0)
    return Body(UNet(UNetSpec(**standard | changes)), headless=True).eval()


def error(body: Body, x: torch.Tensor, arithmetic: str) -> float:
    """Root mean square of what differs from float64, of that of the features."""
    with torch.inference_mode():
        found = openvino_graph(body, x, arithmetic, torch.zeros(1, 2, 8, 8, 8))(x).double()
        exact = body.double()(x.double())
        body.float()
    return float((found - exact).square().mean().sqrt() / exact.square().mean().sqrt())


numbers = st.floats(-(2.0**60), 2.0**60, width=32, allow_subnormal=False)


@given(arrays.arrays(np.float32, (2, 3), elements=numbers))
def test_two_parts_keep_sixteen_digits(array: np.ndarray) -> None:
    rounded, rest = parts(array)
    assert np.all(np.abs(rounded.astype(float) + rest - array) <= np.abs(array) * 2.0**-16 + 2.0**-126)
    for part in (rounded, rest):
        assert np.array_equal(torch.from_numpy(part).bfloat16().float().numpy(), part)


@needs_bfloat16
@pytest.mark.parametrize("changes", [{}, {"encoder": "residual"}, {"attention": True}], ids=str)
def test_products_of_parts_are_a_hundred_times_as_exact_as_bfloat16(changes: dict[str, object]) -> None:
    body, x = body_of(**changes), torch.from_numpy(random_patches(1, 2, 24, 32, 16))
    rough, near = error(body, x, "bfloat16"), error(body, x, "bfloat16x3")
    assert near < 1e-4
    assert near < rough / 100


@needs_bfloat16
def test_products_at_the_finest_level_alone_lie_between() -> None:
    body, x = body_of(), torch.from_numpy(random_patches(1, 2, 24, 32, 16))
    rough, near, exact = (error(body, x, each) for each in ("bfloat16", "bfloat16x3-finest", "bfloat16x3"))
    assert exact < near / 10
    assert near < rough / 1.5


@needs_bfloat16
def test_channels_far_from_0_keep_their_digits() -> None:
    body, x = body_of(), torch.from_numpy(random_patches(1, 2, 24, 32, 16)) + 30
    assert error(body, x, "bfloat16x3") < 5e-4


@needs_bfloat16
def test_a_2d_network_is_taken_apart_too() -> None:
    body = body_of(kernel_sizes=((3, 3),) * 3, strides=((1, 1), (2, 2), (2, 2)))
    x = torch.from_numpy(random_patches(2, 2, 40, 48))
    with torch.inference_mode():
        found, expected = openvino_graph(body, x, "bfloat16x3", torch.zeros(1, 2, 8, 8))(x), body(x)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


def test_who_has_matrix_units_has_bfloat16() -> None:
    assert openvino_has_bfloat16() or not has_matrix_units()
