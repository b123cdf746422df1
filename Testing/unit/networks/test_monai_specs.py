"""Specs of MONAI's networks: JSON and back, and hostile ones that cost nothing."""

import time
from dataclasses import replace

import numpy as np
import pytest
from foreign_models.monai_networks import Pair, pairs

from DeepSegmentLib.data.dataclass_json import from_json, to_json
from DeepSegmentLib.errors import InvalidInputError, ModelError
from DeepSegmentLib.networks import runtime
from DeepSegmentLib.networks.monai_specs import (
    Activation,
    BasicUNetSpec,
    DynUNetSpec,
    MonaiUNetSpec,
    Norm,
    SegResNetDSSpec,
    SegResNetSpec,
    SwinUNETRSpec,
    UNETRSpec,
)
from DeepSegmentLib.networks.network_spec import NetworkSpec

CUBE = (3, 3, 3)
UNET = MonaiUNetSpec(1, 2, 3, (4, 8), ((2, 2, 2),), CUBE, CUBE)
DYN = DynUNetSpec(1, 2, 3, (4, 8, 8), (CUBE,) * 3, ((1, 1, 1), (2, 2, 2), (2, 2, 2)))


@pytest.mark.parametrize("pair", pairs(), ids=lambda pair: pair.name)
def test_json_and_back_is_identity(pair: Pair) -> None:
    assert from_json(NetworkSpec, to_json(pair.spec), "network") == pair.spec


@pytest.mark.parametrize("pair", pairs(), ids=lambda pair: pair.name)
def test_patches_of_the_example_are_multiples_of_the_divisor(pair: Pair) -> None:
    assert pair.spec.dimensions == len(pair.shape) - 2
    assert all(n % step == 0 for n, step in zip(pair.shape[2:], pair.spec.divisor, strict=True))


@pytest.mark.parametrize(
    ("spec", "changes", "message"),
    [
        (UNET, {"dimensions": 4}, "dimensions of a network must be from 2 to 3"),
        (UNET, {"channels": (4,) * 99}, "strides must have 98"),
        (UNET, {"channels": (4,) * 20, "strides": ((1, 1, 1),) * 19}, "levels"),
        (UNET, {"channels": (4, 1 << 40)}, "channels"),
        (UNET, {"strides": ((33, 1, 1),)}, "strides"),
        (UNET, {"kernel_size": (2, 3, 3)}, "odd"),
        (UNET, {"kernel_size": (99, 3, 3)}, "kernel sizes"),
        (UNET, {"residual_units": 1 << 30}, "residual units"),
        (UNET, {"norm": Norm("group", affine=True, groups=3)}, "3 groups"),
        (DYN, {"strides": ((2, 2, 2),) * 3}, "first level"),
        (DYN, {"strides": ((1, 1, 1), (5, 1, 1), (1, 1, 1))}, "gaps"),
        (DYN, {"residual": True, "strides": ((1, 1, 1), (4, 1, 1), (1, 1, 1))}, "residual blocks"),
        (BasicUNetSpec(1, 2), {"features": (1,) * 6}, "features"),
        (BasicUNetSpec(1, 2), {"features": (4,) * 5}, "features must have 6"),
        (BasicUNetSpec(1, 2), {"upsample": "magic"}, "deconv or linear"),
        (SegResNetSpec(1, 2), {"blocks_down": (1 << 20, 1, 1, 1)}, "blocks"),
        (SegResNetSpec(1, 2), {"features": 1 << 20}, "features"),
        (SegResNetSpec(1, 2), {"blocks_up": (1,)}, "blocks_up must have 3"),
        (SegResNetDSSpec(1, 2, ((2, 2, 2),) * 4), {"strides": (CUBE,) * 4}, "strides"),
        (SwinUNETRSpec(1, 2), {"window": (64, 64, 64)}, "window"),
        (SwinUNETRSpec(1, 2), {"heads": (5, 6, 12, 24)}, "divide"),
        (SwinUNETRSpec(1, 2), {"depths": (2, 2, 2)}, "depths must have 4"),
        (SwinUNETRSpec(1, 2), {"mlp_ratio": 1e9}, "mlp_ratio"),
        (SwinUNETRSpec(1, 2), {"merging": "odd"}, "merging"),
        (UNETRSpec(1, 2, (96, 96, 96)), {"image_shape": (96, 96, 100)}, "multiples of 16"),
        (UNETRSpec(1, 2, (96, 96, 96)), {"image_shape": (1 << 20, 96, 96)}, "image extents"),
        (UNETRSpec(1, 2, (96, 96, 96)), {"heads": 7}, "multiples"),
    ],
)
def test_what_cannot_be_is_refused(spec: NetworkSpec, changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        replace(spec, **changes)


@pytest.mark.parametrize(
    "spec",
    [
        MonaiUNetSpec(65536, 65536, 3, (65536,) * 16, ((1, 1, 1),) * 15, (31,) * 3, (31,) * 3, 64),
        SegResNetSpec(1, 1, 3, 2, (64,) * 11, (64,) * 10, norm=Norm()),
        SwinUNETRSpec(1, 1, 3, 4096, (64,) * 4, (1,) * 4, (12, 12, 12), 64.0),
        UNETRSpec(1, 1, (1024,) * 3, 8192, 65536, 65536, 1),
    ],
    ids=lambda spec: spec.architecture,
)
def test_a_huge_spec_costs_nothing_before_its_weights_are_looked_at(spec: NetworkSpec) -> None:
    begin = time.process_time()
    with pytest.raises(ModelError):
        runtime.check_weights(spec, {"head.weight": np.zeros(1, np.float32)})
    assert time.process_time() - begin < 10


@pytest.mark.parametrize("kind", [Norm, Activation])
def test_unknown_layers_are_refused(kind: type) -> None:
    with pytest.raises(InvalidInputError, match="unknown"):
        kind("strange")
    with pytest.raises(InvalidInputError, match="groups"):
        Norm("group")
