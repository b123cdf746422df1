"""The guided network as a model folder: written after training, loaded as the guide of corrections.

It is no segmentation model, so it is not in the catalogue; its folder has the same three files.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from DeepSegmentLib.data import Segment
from DeepSegmentLib.errors import ModelError
from DeepSegmentLib.files.models import load_model, save_model
from DeepSegmentLib.imaging.intensity import Normalization
from DeepSegmentLib.networks.spec import Channel, ModelSpec
from DeepSegmentLib.refinement.guided import CHANNELS, LEAST_EXTENT, advice

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from DeepSegmentLib.networks.unet import UNet
    from DeepSegmentLib.refinement.guided import Guide

_CARD = """# guide

Adds to the log-odds of a correction, from what is known around the prompt. Not a segmentation model: it is asked by the
refinement engine, which alone decides what may change.

- Input: {channels} maps on a cubic lattice around the prompt, eight points to the edit radius.
- Output: log-odds to add, for the side that the prompt asks for.
- Trained with `scripts/train_guided.py` on drawn scenes, mistakes and prompts.
{provenance}
"""


def save_guide(folder: Path, network: UNet, provenance: Mapping[str, str]) -> ModelSpec:
    """Write the model folder of a trained network.

    Args:
        folder: Must not exist yet.
        network: As `training.guided.guide_network` describes it.
        provenance: What it was trained on, and how long.

    Raises:
        InvalidInputError: The folder exists, or a weight is not finite.
        ModelError: The folder cannot be written.
    """
    unchanged = Normalization("none")
    spec = ModelSpec(
        name="guide",
        version="0.1.0",
        description="Guides corrections: what to add to the log-odds around a prompt.",
        license="Apache-2.0",
        channels=tuple(Channel(name, "OT", unchanged) for name in CHANNELS),
        segments=(Segment("Wanted side", 1),),
        spacing_mm=None,
        orientation="RAS",
        patch_shape=(LEAST_EXTENT,) * 3,
        network=network.spec,
        output="regions",
        provenance=provenance,
    )
    lines = "\n".join(f"- {key}: {value}" for key, value in provenance.items())
    return save_model(folder, spec, network, card=_CARD.format(channels=len(CHANNELS), provenance=lines), half=True)


def load_guide(folder: Path, device: str = "cpu") -> Guide:
    """Read and verify a guide.

    Args:
        folder: As `save_guide` wrote it.
        device: See `networks.runtime.choose_device`.

    Raises:
        ChecksumError: The weights have another SHA-256.
        ModelError: The folder cannot be read, or is not a guide for this version's evidence.
        ResourceError: The device is not there.
        MissingPackageError: torch is not installed.
    """
    model = load_model(folder, device)
    names = tuple(channel.name for channel in model.spec.channels)
    if names != CHANNELS or model.spec.network.out_channels != 1:
        raise ModelError(
            f"{folder} is no guide for this version: it takes {', '.join(names)}, but corrections give "
            f"{', '.join(CHANNELS)}; train it again with scripts/train_guided.py"
        )
    return partial(advice, model.network)
