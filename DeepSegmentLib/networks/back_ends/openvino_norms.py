"""Instance norms in OpenVINO's graphs that lose no digits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

_EDGES = (8, 6, 4, 2, 3, 5, 7)
"""Of the blocks that are averaged before the whole is, longest first where it divides an axis."""
_FEW_VOXELS = 4096
"""So many are averaged at once without losing digits."""


def with_exact_norms(model: Any) -> None:
    """Take instance norms by averages of blocks: OpenVINO's own adds up all voxels in a row, and loses digits."""
    for node in model.get_ordered_ops():
        if node.get_type_name() == "MVN":
            source = node.input(0).get_source_output()
            shape = [int(n) for n in source.get_shape()]
            if len(shape) in (4, 5):
                node.output(0).replace(_norm(source, shape[2:], node.get_attributes()["eps"]).output(0))


def negative(source: Any) -> Any:
    """Its negative, by a product: OpenVINO rewrites differences, and forgets what was said of their precision."""
    from openvino import opset8 as ops

    return ops.multiply(source, np.float32(-1))


def _norm(source: Any, extent: Sequence[int], eps: float) -> Any:
    from openvino import opset8 as ops

    below = negative(_mean(source, extent))
    far = ops.add(source, below)
    variance = _mean(ops.multiply(far, far), extent)
    scale = ops.power(ops.add(variance, np.float32(eps)), np.float32(-0.5))
    # Not `far`, which would have to be kept; a few of the last digits where the mean is far above the deviation.
    return ops.add(ops.multiply(source, scale), ops.multiply(below, scale))


def _mean(source: Any, extent: Sequence[int]) -> Any:
    from openvino import opset8 as ops

    if math.prod(extent) > _FEW_VOXELS:
        edges = [next((edge for edge in _EDGES if n % edge == 0), 1) for n in extent]
        nothing = [0] * len(extent)
        source = ops.avg_pool(source, edges, nothing, nothing, edges, exclude_pad=False)
    return ops.reduce_mean(source, np.arange(2, 2 + len(extent)), keep_dims=True)
