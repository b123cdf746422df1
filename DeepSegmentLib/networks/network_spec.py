"""All architectures that a stage may have, as data. In JSON their key `architecture` tells them apart."""

from __future__ import annotations

from .graph_spec import GraphSpec
from .monai_specs import MonaiSpec
from .unet_spec import UNetSpec

NetworkSpec = UNetSpec | MonaiSpec | GraphSpec
"""Each has `in_channels`, `out_channels`, `dimensions` (2 or 3), `divisor` (what each axis must be a multiple of), and,
but for `UNetSpec`, `costs`, a `MeasuredCosts`; `fixed_shape` where only one extent works."""
