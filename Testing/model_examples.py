"""Small networks and model specs for tests."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from hypothesis import strategies as st

from DeepSegmentLib.data import Code, Segment, Terminology
from DeepSegmentLib.imaging.intensity import Normalization
from DeepSegmentLib.networks.expectations import Expectations, SegmentExpectation
from DeepSegmentLib.networks.model_spec import Channel, Cleanup, Focus, ModelSpec, Part
from DeepSegmentLib.networks.stage_spec import Resampling, StageSpec, Tiling, WeightsFile
from DeepSegmentLib.networks.unet_spec import UNetSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

TINY_UNET = UNetSpec(
    in_channels=1,
    out_channels=3,
    features=(3, 4),
    kernel_sizes=((3, 3, 3), (3, 3, 3)),
    strides=((1, 1, 1), (2, 2, 2)),
    encoder_blocks=(1, 1),
    decoder_blocks=(1,),
)

THALAMUS = Terminology(
    Code("SCT", "123037004", "Anatomical Structure"),
    Code("SCT", "42695009", "Thalamus"),
    Code("SCT", "7771000", "Left"),
)


LEFT_AND_RIGHT = Expectations(
    cases=3,
    ml=(20.0, 30.0),
    extent_mm=((40.0, 60.0), (20.0, 30.0), (20.0, 30.0)),
    coarsest_mm=4.0,
    segments=(
        SegmentExpectation("left", (10.0, 15.0), ((-20.0, -15.0), (-1.0, 1.0), (-1.0, 1.0)), 1),
        SegmentExpectation("right", (10.0, 15.0), ((15.0, 20.0), (-1.0, 1.0), (-1.0, 1.0)), 1),
    ),
)
"""Of `model_spec`: two balls of about 28 mm, side by side."""


STAGE_FIELDS = frozenset(field.name for field in fields(StageSpec))


def model_spec(**changes: Any) -> ModelSpec:
    """A model of one MR channel and two segments; fields of its stage, such as `patch_shape`, may be given, too."""
    words: dict[str, Any] = {
        "name": "tiny-brain",
        "version": "1.0",
        "description": "Two structures.",
        "license": "CC0-1.0",
        "channels": (Channel("T1w", "MR"),),
        "segments": (Segment("left", 1, terminology=THALAMUS), Segment("right", 2, (1, 2, 3))),
    }
    words |= {name: value for name, value in changes.items() if name not in STAGE_FIELDS}
    stage = stage_spec(len(words["channels"]), **{key: value for key, value in changes.items() if key in STAGE_FIELDS})
    parts = (Part(tuple(segment.name for segment in words["segments"]), (stage,)),)
    return ModelSpec(**({"parts": parts} | words))


def stage_spec(channels: int = 1, **changes: Any) -> StageSpec:
    """A stage of 1 mm voxels in RAS."""
    normalizations = (Normalization("zscore"),) * channels
    standard = StageSpec((8, 8, 8), TINY_UNET, normalizations, spacing_mm=(1.0, 1.0, 1.0))
    return replace(standard, **changes)


def changed_stages(spec: ModelSpec, **changes: Any) -> ModelSpec:
    """The model with fields of all its stages changed."""
    parts = (replace(part, stages=tuple(replace(stage, **changes) for stage in part.stages)) for part in spec.parts)
    return replace(spec, parts=tuple(parts))


def changed_stage(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A spec as JSON with keys of its first stage changed."""
    first, *others = document["parts"]
    stage, *later = first["stages"]
    return {**document, "parts": [{**first, "stages": [{**stage, **changes}, *later]}, *others]}


def stage_of(document: dict[str, Any]) -> dict[str, Any]:
    """The first stage of a spec as JSON."""
    stage: dict[str, Any] = document["parts"][0]["stages"][0]
    return stage


@st.composite
def unet_specs(draw: st.DrawFn, *, dimensions: int | None = None, **fixed: Any) -> UNetSpec:
    """U-Nets of all kinds, small enough to run in milliseconds; `fixed` fields are as given."""
    axes = dimensions or draw(st.sampled_from([2, 3]))
    stages = draw(st.integers(2, 3))
    few = st.integers(1, 2)
    kernel = st.tuples(*[st.sampled_from([1, 3])] * axes)
    stride = st.tuples(*[few] * axes)
    fields = {
        "in_channels": draw(few),
        "out_channels": draw(st.integers(1, 3)),
        "features": draw(st.tuples(*[st.integers(2, 5)] * stages)),
        "kernel_sizes": draw(st.tuples(*[kernel] * stages)),
        "strides": ((1,) * axes, *draw(st.tuples(*[stride] * (stages - 1)))),
        "encoder_blocks": draw(st.tuples(*[few] * stages)),
        "decoder_blocks": draw(st.tuples(*[few] * (stages - 1))),
        "encoder": draw(st.sampled_from(["plain", "residual"])),
        "norm": draw(st.sampled_from(["instance", "batch", "group"])),
        "norm_epsilon": draw(st.sampled_from([1e-5, 1e-3])),
        "leak": draw(st.sampled_from([0.01, 0.0, 0.2])),
        "attention": draw(st.booleans()),
        "deep_supervision": draw(st.booleans()),
    }
    fields |= fixed
    if fields["encoder"] == "residual":
        bottleneck = st.tuples(*[few] * stages)
        own = {"stem_features": draw(st.integers(0, 3)), "bottleneck_features": draw(st.just(()) | bottleneck)}
        fields = own | fields
    return UNetSpec(**fields)


def normalizations() -> st.SearchStrategy[Normalization]:
    """Rules of all kinds."""
    low, high = st.floats(0, 40), st.floats(50, 100)
    kinds = st.sampled_from(["none", "zscore", "window", "sigmoid", "percentile"])
    over = st.sampled_from(["all", "nonzero", "filled_nonzero"])
    return st.builds(Normalization, kinds, low, high, st.floats(-1e3, 1e3), st.floats(0.1, 1e3), over, st.booleans())


def tilings() -> st.SearchStrategy[Tiling]:
    """Tiles of all kinds."""
    importance = st.sampled_from(["gaussian", "truncated_gaussian", "uniform"])
    return st.builds(Tiling, st.floats(0, 0.95), st.sampled_from(["spread", "at_border"]), importance)


@st.composite
def resamplings(draw: st.DrawFn) -> Resampling:
    """Rules of all kinds."""
    order = st.integers(0, 5)
    volume, logits, thick, thick_logits = (draw(order) for _ in range(4))
    antialias = volume == 1 and draw(st.booleans())
    extent = draw(st.booleans())
    return Resampling(
        volume_order=volume,
        logits_order=logits,
        antialias=antialias,
        keep_extent=extent,
        keep_corners=extent and draw(st.booleans()),
        thick_axis_from=draw(st.none() | st.floats(1, 5)),
        thick_volume_order=thick,
        thick_logits_order=thick_logits,
    )


def terminologies() -> st.SearchStrategy[Terminology]:
    """Codes of any text."""
    code = st.builds(Code, st.text(max_size=4), st.text(max_size=4), st.text(max_size=4))
    return st.builds(Terminology, code, code, st.none() | code)


@st.composite
def segment_tables(draw: st.DrawFn) -> tuple[Segment, ...]:
    """One to four segments with distinct names and values."""
    names = draw(st.lists(st.text(max_size=5), min_size=1, max_size=4, unique=True))
    values = draw(st.lists(st.integers(1, 65535), min_size=len(names), max_size=len(names), unique=True))
    part = st.integers(0, 255)
    colors = st.tuples(part, part, part)
    codes = st.none() | terminologies()
    return tuple(Segment(name, value, draw(colors), draw(codes)) for name, value in zip(names, values, strict=True))


@st.composite
def model_specs(draw: st.DrawFn) -> ModelSpec:
    """Models of all kinds."""
    segments = draw(segment_tables())
    output = draw(st.sampled_from(["labels", "regions"]))
    network = draw(unet_specs(out_channels=len(segments) + (output == "labels")))
    names = draw(st.lists(st.text(max_size=4), unique=True, min_size=network.in_channels, max_size=network.in_channels))
    cleaned = draw(st.lists(st.sampled_from([segment.name for segment in segments]), unique=True))
    length, neighbours = st.floats(0.1, 10), st.sampled_from([6, 18, 26])
    k = st.just(1) if network.dimensions == 2 else st.integers(1, 99)
    digest = draw(st.sampled_from(["", "0f" * 32]))
    word = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._+-]{0,8}[A-Za-z0-9])?", fullmatch=True)
    return model_spec(
        name="m" + draw(word),
        version="1" + draw(word),
        description=draw(st.text(max_size=9)),
        channels=tuple(Channel(name, "MR") for name in names),
        normalizations=tuple(draw(normalizations()) for _ in names),
        segments=segments,
        spacing_mm=draw(st.none() | st.tuples(*[length | st.none()] * 3)),
        orientation=draw(st.sampled_from(["RAS", "LPI", "SAL", None])),
        patch_shape=draw(st.tuples(k, st.integers(1, 99), st.integers(1, 99))),
        network=network,
        output=output,
        mirror_axes=draw(st.sampled_from([(), (2,), (0, 1, 2)])),
        cleanups=tuple(
            Cleanup(name, draw(st.booleans()), draw(length), draw(st.booleans()), neighbours=draw(neighbours))
            for name in cleaned
        ),
        focus=draw(st.none() | st.builds(Focus, st.just("organ"), st.just(("liver", "spleen")), st.floats(0, 99))),
        provenance=draw(st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2)),
        weights=tuple(WeightsFile(f"weights-{n}.safetensors", digest) for n in range(draw(st.integers(1, 2)))),
        tiling=draw(tilings()),
        resampling=draw(resamplings()),
        crop=draw(st.sampled_from(["content", "nonzero", "none"])),
        normalize=draw(st.sampled_from(["before", "after"])),
        axes=draw(st.permutations((0, 1, 2)).map(tuple)),
    )


def random_patches(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Standard normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


class ArrayNetwork:
    """A function of arrays, batch of patches in, logits out, as a network on the CPU."""

    device, head = torch.device("cpu"), None

    def __init__(self, function: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> None:
        self._function = function

    def __call__(self, patches: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(self._function(patches.numpy()), dtype=np.float32))
