"""The topology as plain data: what is refused."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from model_examples import TINY_UNET, unet_specs

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.networks.unet_spec import UNetSpec


@given(unet_specs())
def test_divisor_is_the_product_of_the_strides(spec: UNetSpec) -> None:
    for axis, step in enumerate(spec.divisor):
        product = 1
        for stride in spec.strides:
            product *= stride[axis]
        assert step == product
    assert len(spec.divisor) == spec.dimensions


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": (3,)}, "at least two stages"),
        ({"features": (3, 4, 5)}, "kernel_sizes must have 3 entries for 3 stages, got 2"),
        ({"strides": ((1, 1, 1),)}, "strides must have 2 entries"),
        ({"encoder_blocks": (1,)}, "encoder_blocks must have 2 entries"),
        ({"decoder_blocks": (1, 1)}, "decoder_blocks must have 1 entries"),
        ({"kernel_sizes": ((3,), (3,))}, "kernels must be 2D or 3D"),
        ({"kernel_sizes": ((3, 3, 3), (3, 3))}, "same number of axes"),
        ({"kernel_sizes": ((3, 3, 3), (3, 2, 3))}, "kernel sizes must be odd"),
        ({"in_channels": 0}, "at least 1"),
        ({"features": (0, 4)}, "at least 1"),
        ({"encoder_blocks": (0, 1)}, "at least 1"),
        ({"strides": ((1, 1, 1), (0, 1, 1))}, "at least 1"),
        ({"strides": ((1, 2, 1), (2, 2, 2))}, "stride of the first stage must be 1"),
        ({"encoder": "dense"}, "unknown encoder 'dense'"),
        ({"norm": "layer"}, "norm 'layer'"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        replace(TINY_UNET, **changes)
