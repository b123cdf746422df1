"""The input channels of an nnU-Net model and how their intensities are normalised."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.safe_names import plain
from DeepSegmentLib.imaging.intensity import Normalization
from DeepSegmentLib.networks.model_spec import Channel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from DeepSegmentLib.files.models.importers.foreign_json import Entries

_MOST_CHANNELS = 1000
_SMALLEST_STD = 1e-8
"""nnU-Net divides by no less."""

# Words of channel names, which are free text but for "CT" and the names of nnU-Net's normalisations.
_MODALITIES = {
    "CT": re.compile(r"\b(ct|cta|cbct|ncct)\b"),
    "PT": re.compile(r"\b(pet|pt|fdg|suv)\b"),
    "MR": re.compile(r"\b(mr|mri|mra|t1\w*|t2\w*|flair|adc|dwi|pd|dixon|tof|swi|dce|hbv|cine\w*|bssfp|lge)\b|\bt[12]"),
    "US": re.compile(r"\b(us|ultrasound)\b"),
}


def channels_of(dataset: Entries) -> tuple[Channel, ...]:
    """The channels that `dataset.json` names; the modality is a guess from the name, empty where there is none.

    Raises:
        ModelError: They are not named, or not numbered from 0.
    """
    key = "modality" if "modality" in dataset and "channel_names" not in dataset else "channel_names"
    names = dataset.within(key)
    count = len(names.values)
    if not 1 <= count <= _MOST_CHANNELS or set(names.values) != {str(n) for n in range(count)}:
        dataset.refuse(key, f"must be numbered from 0, got {dict(names.values)!r}")
    shown: list[str] = []
    for n in range(count):
        name = plain(names.text(str(n))).strip()[:100] or "channel"
        shown.append(f"{name} ({n + 1})" if name in shown else name)
    return tuple(Channel(name, _modality(name)) for name in shown)


def _modality(name: str) -> str:
    words = name.lower().replace("_", " ").replace("-", " ")
    return next((modality for modality, pattern in _MODALITIES.items() if pattern.search(words)), "")


def normalizations_of(configuration: Entries, plans: Entries, count: int) -> tuple[Normalization, ...]:
    """How each channel is normalised.

    Args:
        configuration: Has `normalization_schemes` and `use_mask_for_norm`.
        plans: Have the intensities of the training data.
        count: Of channels.

    Raises:
        ModelError: A scheme is unknown, or there is not one for each channel; the message names it.
    """
    schemes = configuration.listed("normalization_schemes")
    masked = configuration.listed("use_mask_for_norm")
    if len(schemes) != count or len(masked) != count:
        configuration.refuse(
            "normalization_schemes", f"and use_mask_for_norm must have one entry for each of {count} channels"
        )
    return tuple(_normalization(configuration, plans, n) for n in range(count))


def _normalization(configuration: Entries, plans: Entries, n: int) -> Normalization:
    scheme, masked = (configuration.values[key][n] for key in ("normalization_schemes", "use_mask_for_norm"))
    if scheme == "CTNormalization":
        return _window(plans, n)
    if scheme == "ZScoreNormalization":
        return Normalization("zscore", over="filled_nonzero" if masked else "all")
    known = {
        "NoNormalization": Normalization("none"),
        "RescaleTo01Normalization": Normalization("percentile", low=0.0, high=100.0),
        "RGBTo01Normalization": Normalization("window", low=0.0, high=255.0, std=255.0),
    }
    if scheme not in known:
        configuration.refuse(
            "normalization_schemes",
            f"has {scheme!r}, which is unknown here; known: CTNormalization, ZScoreNormalization, {', '.join(known)}",
        )
    return known[scheme]


def _window(plans: Entries, n: int) -> Normalization:
    """CT: the numbers of the training data."""
    key = "foreground_intensity_properties_per_channel"
    older = "foreground_intensity_properties_by_modality"
    numbers = plans.within(older if key not in plans and older in plans else key).within(str(n))
    names = ("percentile_00_5", "percentile_99_5", "mean", "std")
    low, high, mean, std = (numbers.number(name) for name in names)
    try:
        return Normalization("window", low=low, high=high, mean=mean, std=max(std, _SMALLEST_STD))
    except InvalidInputError as error:
        numbers.refuse("std", f"and {', '.join(names[:3])} make no normalisation: {error}")


def names_of_channels(channels: tuple[Channel, ...]) -> Mapping[str, str]:
    """The channels by number, as `dataset.json` has them."""
    return {str(n): channel.name for n, channel in enumerate(channels)}
