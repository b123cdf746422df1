"""From the transforms before a network to what a stage is told: grid, crop, intensities."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import InvalidInputError, ModelError
from DeepSegmentLib.imaging.intensity import LARGEST_INTENSITY, Normalization

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .configuration import Component

_ORDERS = {"bilinear": 1, "nearest": 0}
_COMPARISON = re.compile(r"\$\s*lambda (\w+): (\w+) > (-?\d{1,9}(?:\.\d{1,9})?)\s*")

_UNCHANGED = Normalization("none")

# What says where or how to compute, and does not change the result.
_WITHOUT_MEANING = (
    "keys",
    "allow_missing_keys",
    "dtype",
    "lazy",
    "device",
    "track_meta",
    "meta_keys",
    "meta_key_postfix",
)


@dataclass(frozen=True)
class Preparation:
    """What the transforms do, in the order that a stage does it: orient, crop, then grid and intensities.

    Attributes:
        keys: Names of the inputs, one for each channel.
        joined: The name under which they go on.
        orientation: Where the axes (i, j, k) point; None where they stay.
        spacing_mm: (i, j, k); None where it stays.
        tolerance: Fraction of its spacing that an axis may differ by and stay.
        order: Of the interpolation.
        keep_extent: Whether the grid covers just what the volume covers.
        crop_above: What is more than this counts, and its box is kept; None for no crop.
        crop_margin: Voxels round that box.
        intensity: How channels are brought to the network's scale.
        resampled_first: Whether that happens on the network's grid.
        pad_to: The least extent (i, j, k) that the network gets.
    """

    keys: tuple[str, ...] = ()
    joined: str = ""
    orientation: str | None = None
    spacing_mm: tuple[float, float, float] | None = None
    tolerance: float = 0.0
    order: int = 1
    keep_extent: bool = False
    crop_above: float | None = None
    crop_margin: int = 0
    intensity: Normalization = _UNCHANGED
    resampled_first: bool = False
    pad_to: tuple[int, ...] = ()


def preparation_of(transforms: Iterable[Component]) -> Preparation:
    """What the transforms before a network do.

    Raises:
        ModelError: One of them is not supported, or not in this place; the message names it.
    """
    done = Preparation()
    for transform in transforms:
        step = TRANSFORMS[known_transform(transform, TRANSFORMS)]
        try:
            done = step(done, transform) if _concerns(done, transform) else done
        except (InvalidInputError, TypeError, ValueError, OverflowError) as error:
            raise ModelError(f"{transform.configuration.where}: {transform.name}: {error}") from error
    return done


def known_transform(transform: Component, table: Iterable[str]) -> str:
    """Its name without the ending of transforms of dictionaries.

    Raises:
        ModelError: The table has none of this name.
    """
    base = re.sub(r"(Dict|[dD])$", "", transform.name)
    if base not in table:
        raise ModelError(
            f"{transform.configuration.where}: the transform {transform.target[:120]!r} is not supported; it may "
            "change the result"
        )
    return base


def _concerns(done: Preparation, transform: Component) -> bool:
    """Whether a transform is one of the volume's, all channels of it."""
    keys = {*_listed(transform.get("keys", default=[]))}
    wanted = {done.joined} if done.joined else {*done.keys}
    if wanted and keys and not keys & wanted:
        return False
    if wanted - keys and keys:
        raise ModelError(f"{transform.configuration.where}: {transform.name} treats some channels only")
    return True


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _load(done: Preparation, at: Component) -> Preparation:
    return replace(done, keys=tuple(str(key) for key in _listed(at.get("keys"))))


def _join(done: Preparation, at: Component) -> Preparation:
    at.refuse_others(*_WITHOUT_MEANING, "name", "dim")
    return replace(done, keys=tuple(str(key) for key in _listed(at.get("keys"))), joined=str(at.get("name")))


def _nothing(done: Preparation, _: Component) -> Preparation:
    return done


def _orient(done: Preparation, at: Component) -> Preparation:
    at.refuse_others(*_WITHOUT_MEANING, "axcodes", "as_closest_canonical", "labels")
    if at.get("labels") is not None:
        raise at.refused("labels")
    if done.spacing_mm is not None and len({*done.spacing_mm}) > 1:
        raise ModelError(f"{at.configuration.where}: {at.name} after Spacingd with different spacings is not supported")
    codes = "RAS" if at.get("as_closest_canonical", default=False) else str(at.get("axcodes"))
    return replace(done, orientation=codes)


def _space(done: Preparation, at: Component) -> Preparation:
    at.refuse_others(
        *_WITHOUT_MEANING, "pixdim", "mode", "padding_mode", "align_corners", "diagonal", "scale_extent",
        "recompute_affine", "min_pixdim", "max_pixdim", "ensure_same_shape",
    )  # fmt: skip
    mode = {*_listed(at.get("mode", default="bilinear"))}
    order = _ORDERS.get(next(iter(mode))) if len(mode) == 1 else None
    if order is None:
        raise at.refused("mode")
    if at.get("diagonal", default=False):
        raise at.refused("diagonal")
    spacing = _three(at, "pixdim")
    return replace(
        done,
        spacing_mm=spacing,
        order=order,
        tolerance=_tolerance(at, spacing),
        keep_extent=bool(at.get("scale_extent", default=False)),
    )


def _three(at: Component, argument: str) -> tuple[float, float, float]:
    values = _listed(at.get(argument))
    if len(values) not in (1, 3) or any(type(value) not in (int, float) or value <= 0 for value in values):
        raise at.refused(argument)
    i, j, k = (float(value) for value in (values * 3 if len(values) == 1 else values))
    return i, j, k


def _tolerance(at: Component, spacing: tuple[float, float, float]) -> float:
    """How far the least and largest spacings that stay are from the wanted; the same fraction along all axes."""
    if at.get("min_pixdim") is None and at.get("max_pixdim") is None:
        return 0.0
    least, most = _three(at, "min_pixdim"), _three(at, "max_pixdim")
    ratios = [abs(edge / step - 1) for edges in (least, most) for edge, step in zip(edges, spacing, strict=True)]
    if max(ratios) - min(ratios) > 1e-6:
        raise at.refused("min_pixdim")
    return round(sum(ratios) / len(ratios), 6)


def _crop(done: Preparation, at: Component) -> Preparation:
    at.refuse_others(
        *_WITHOUT_MEANING, "source_key", "select_fn", "margin", "allow_smaller", "k_divisible", "mode",
        "channel_indices", "start_coord_key", "end_coord_key",
    )  # fmt: skip
    margin = {*_listed(at.get("margin", default=0))}
    for argument, wrong in (
        ("margin", len(margin) > 1 or type(next(iter(margin))) is not int),
        # Without it, newer versions of MONAI fill up with zeros what the margin has beyond the volume.
        ("allow_smaller", margin != {0} and not at.get("allow_smaller", default=False)),
        ("k_divisible", {*_listed(at.get("k_divisible", default=1))} != {1}),
        ("channel_indices", at.get("channel_indices") is not None),
        ("source_key", at.get("source_key") not in (done.joined, *done.keys)),
    ):
        if wrong:
            raise at.refused(argument)
    return replace(done, crop_above=_threshold(done.intensity, at), crop_margin=margin.pop())


def _threshold(intensity: Normalization, at: Component) -> float:
    """The intensity in the volume above which a voxel is foreground."""
    above = 0.0
    if "select_fn" in at.written:
        match = _COMPARISON.fullmatch(str(at.written["select_fn"]))
        if not match or match[1] != match[2]:
            raise at.refused("select_fn")
        above = float(match[3])
    if intensity.of_volume or intensity.kind == "sigmoid":
        raise ModelError(f"{at.configuration.where}: {at.name} after intensities scaled by themselves is not supported")
    return above * intensity.std + intensity.mean if intensity.kind == "window" else above


def _pad(done: Preparation, at: Component) -> Preparation:
    at.refuse_others(*_WITHOUT_MEANING, "spatial_size", "method", "mode", "value", "constant_values")
    return replace(done, pad_to=tuple(int(edge) for edge in _listed(at.get("spatial_size"))))


def _scaled(step: Callable[[Component], Normalization]) -> Callable[[Preparation, Component], Preparation]:
    """A step that scales intensities, joined with what was done to them before."""

    def then(done: Preparation, at: Component) -> Preparation:
        joined = _joined(done.intensity, step(at), at)
        return replace(done, intensity=joined, resampled_first=done.spacing_mm is not None)

    return then


def _joined(first: Normalization, second: Normalization, at: Component) -> Normalization:
    """One rule that does what two do in a row.

    Scaling by the volume's own numbers undoes any shift and factor before it; after a z-score of the voxels that are
    not 0 this holds but for voxels that are exactly 0.
    """
    shifts_only = first.kind == "zscore" or (
        first.kind == "percentile" and (not first.clip or (first.low, first.high) == (0, 100))
    )
    if first.kind == "none":
        return second
    if second.of_volume and second.over == "all" and (shifts_only or (first.kind == "window" and not first.clip)):
        return second
    raise ModelError(
        f"{at.configuration.where}: {at.name} after another transform of intensities is not supported in this "
        "combination"
    )


def _range(at: Component) -> Normalization:
    at.refuse_others(*_WITHOUT_MEANING, "a_min", "a_max", "b_min", "b_max", "clip")
    a_min, a_max = float(at.get("a_min")), float(at.get("a_max"))
    b_min, b_max = (at.get(argument) for argument in ("b_min", "b_max"))
    if b_min is None or b_max is None or not b_max > b_min or not a_max > a_min:
        raise at.refused("b_min")
    std = (a_max - a_min) / (b_max - b_min)
    if at.get("clip", default=False):
        return Normalization("window", a_min, a_max, a_min - b_min * std, std)
    return Normalization("window", -LARGEST_INTENSITY, LARGEST_INTENSITY, a_min - b_min * std, std, clip=False)


def _standardize(at: Component) -> Normalization:
    at.refuse_others(*_WITHOUT_MEANING, "subtrahend", "divisor", "nonzero", "channel_wise")
    nonzero = _truth(at, "nonzero")
    subtrahend, divisor = at.get("subtrahend"), at.get("divisor")
    if subtrahend is None and divisor is None:
        return Normalization("zscore", over="nonzero" if nonzero else "all")
    if nonzero or type(subtrahend) not in (int, float) or type(divisor) not in (int, float):
        raise at.refused("subtrahend")
    return Normalization("window", -LARGEST_INTENSITY, LARGEST_INTENSITY, subtrahend, divisor, clip=False)


def _truth(at: Component, argument: str) -> bool:
    """A yes or no; some bundles write it as text, which Python takes for yes."""
    return bool(at.get(argument, default=False))


def _to_range(at: Component) -> Normalization:
    at.refuse_others(*_WITHOUT_MEANING, "minv", "maxv", "factor", "channel_wise")
    low, high = at.get("minv", default=0.0), at.get("maxv", default=1.0)
    if at.get("factor") is not None or low is None or high is None or not high > low:
        raise at.refused("factor" if at.get("factor") is not None else "minv")
    return _from_percentiles(0, 100, low, high)


def _percentiles(at: Component) -> Normalization:
    at.refuse_others(*_WITHOUT_MEANING, "lower", "upper", "b_min", "b_max", "clip", "relative", "channel_wise")
    low, high = at.get("b_min"), at.get("b_max")
    if at.get("relative", default=False) or low is None or high is None or not high > low:
        raise at.refused("relative" if at.get("relative", default=False) else "b_min")
    rule = _from_percentiles(at.get("lower"), at.get("upper"), low, high)
    return replace(rule, clip=bool(at.get("clip", default=False)))


def _from_percentiles(lower: float, upper: float, low: float, high: float) -> Normalization:
    std = 1 / (high - low)
    return Normalization("percentile", lower, upper, -low * std if low else 0.0, std)


TRANSFORMS: dict[str, Callable[[Preparation, Component], Preparation]] = {
    "LoadImage": _load,
    "ConcatItems": _join,
    "Orientation": _orient,
    "Spacing": _space,
    "CropForeground": _crop,
    "SpatialPad": _pad,
    "ScaleIntensityRange": _scaled(_range),
    "NormalizeIntensity": _scaled(_standardize),
    "ScaleIntensity": _scaled(_to_range),
    "ScaleIntensityRangePercentiles": _scaled(_percentiles),
    **dict.fromkeys(
        ("EnsureChannelFirst", "AddChannel", "EnsureType", "CastToType", "ToTensor", "ToDevice", "Identity",
         "SelectItems", "DeleteItems", "SimulateDelay"),
        _nothing,
    ),
}  # fmt: skip
"""By the names that MONAI has for them, without the ending of transforms of dictionaries."""

_JOINT = ("NormalizeIntensity", "ScaleIntensity", "ScaleIntensityRangePercentiles")


def treats_channels_together(transforms: Iterable[Component]) -> str:
    """The first transform that takes its numbers from all channels at once; empty where there is none."""
    for transform in transforms:
        together = not _truth(transform, "channel_wise") and transform.get("subtrahend") is None
        if re.sub(r"(Dict|[dD])$", "", transform.name) in _JOINT and together:
            return transform.name
    return ""
