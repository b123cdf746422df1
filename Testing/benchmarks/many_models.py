"""A catalogue of many models of real size: each with 117 coded segments in five parts, as TotalSegmentator's largest."""

import json

from DeepSegmentLib.data import Code, Segment, Terminology
from DeepSegmentLib.imaging.intensity import Normalization
from DeepSegmentLib.networks.model_json import spec_to_json
from DeepSegmentLib.networks.model_spec import Channel, ModelSpec, Part
from DeepSegmentLib.networks.stage_spec import StageSpec, WeightsFile
from DeepSegmentLib.networks.unet_spec import UNetSpec

SEGMENTS = 117
PARTS = ((0, 24), (24, 50), (50, 68), (68, 91), (91, 117))


def write_many(folder, count):
    """Write the specs of so many models, with weights that are links to nothing large: listing reads none of them."""
    for n in range(count):
        place = folder / f"model-{n}"
        place.mkdir(parents=True)
        spec = large_spec(place.name)
        (place / "model.json").write_text(json.dumps(spec_to_json(spec), indent=2))
        for file in spec.weights:
            (place / file.file).write_bytes(b"")


def large_spec(name):
    """A spec of 117 segments, five parts and one network each."""
    segments = tuple(_segment(n) for n in range(SEGMENTS))
    return ModelSpec(
        name=name,
        version="2.0.0",
        description="Whole body, 117 structures.",
        license="Apache-2.0",
        channels=(Channel("CT", "CT"),),
        segments=segments,
        parts=tuple(_part(n, [each.name for each in segments[a:b]]) for n, (a, b) in enumerate(PARTS)),
        citation="Somebody et al., a paper, 2023",
        provenance={"kind": "TotalSegmentator model", "origin": "five files"},
    )


def _segment(n):
    code = Terminology(
        Code("SCT", "123037004", "Anatomical Structure"),
        Code("SCT", str(10_000_000 + n), f"Structure {n}"),
        Code("SCT", "7771000", "Left") if n % 2 else None,
    )
    return Segment(f"structure_{n}", n + 1, (n, 255 - n, 128), code)


def _part(n, names):
    network = UNetSpec(
        in_channels=1,
        out_channels=len(names) + 1,
        features=(32, 64, 128, 256, 320, 320),
        kernel_sizes=((3, 3, 3),) * 6,
        strides=((1, 1, 1), *((2, 2, 2),) * 5),
        encoder_blocks=(2,) * 6,
        decoder_blocks=(2,) * 5,
    )
    weights = WeightsFile("weights.safetensors" if n == 0 else f"weights-{n + 1}.safetensors", "0f" * 32)
    return Part(tuple(names), (StageSpec((128, 128, 128), network, (Normalization("window"),), (weights,)),))
