"""The grid of an nnU-Net configuration: spacing, patch, axes, orientation, resampling.

References:
    nnU-Net 2.8 `DefaultPreprocessor`, `resample_data_or_seg_to_shape`, `resample_torch_fornnunet`, `imageio`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.networks.stage_spec import Resampling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from DeepSegmentLib.data import Index
    from DeepSegmentLib.files.models.importers.foreign_json import Entries
    from DeepSegmentLib.networks.stage_spec import Spacing

_THICK_FROM = 3.0
"""nnU-Net's ANISO_THRESHOLD."""

ORIENTATIONS = {
    "SimpleITKIO": None,
    "SimpleITKIOWithReorient": "RAS",
    "NibabelIO": None,
    "NibabelIOWithReorient": "RAS",
    "NaturalImage2DIO": None,
    "Tiff3DIO": None,
}
"""How nnU-Net's readers give volumes to the network: as stored, or turned."""

_SPLINE, _LINEAR, _NONE = "resample_data_or_seg_to_shape", "resample_torch_fornnunet", "no_resampling_hack"
_TORCH_ORDERS = {"linear": 1, "nearest-exact": 0}
_IGNORED = frozenset({"is_seg", "num_threads", "device", "memefficient_seg_resampling"})


@dataclass(frozen=True)
class _Rule:
    """One of the plans' resampling functions with its arguments."""

    function: str
    order: int = 1
    thick_order: int = 0
    thick_from: float | None = None


def orientation_of(plans: Entries) -> str | None:
    """How volumes are turned before anything else.

    Raises:
        ModelError: The plans name a reader that is unknown.
    """
    reader = plans.text("image_reader_writer", "SimpleITKIO")
    if reader not in ORIENTATIONS:
        plans.refuse(
            "image_reader_writer",
            f"is {reader!r}, and nobody here knows how it turns volumes; known: " + ", ".join(ORIENTATIONS),
        )
    return ORIENTATIONS[reader]


def axes_of(plans: Entries) -> tuple[int, int, int]:
    """Which axis of the volume each axis of the network is."""
    forward = plans.wholes("transpose_forward")
    backward = plans.wholes("transpose_backward")
    if not sorted(forward) == sorted(backward) == [0, 1, 2] or [forward[axis] for axis in backward] != [0, 1, 2]:
        plans.refuse("transpose_forward", f"and transpose_backward must undo each other, got {forward} and {backward}")
    return forward[0], forward[1], forward[2]


def patch_of(configuration: Entries) -> Index:
    """The patch; of one plane for a 2D network."""
    patch = configuration.wholes("patch_size")
    if len(patch) not in (2, 3) or min(patch) < 1:
        configuration.refuse("patch_size", f"must have two or three lengths of at least 1, got {list(patch)}")
    k, j, i = (1, *patch)[-3:]
    return k, j, i


def spacing_of(configuration: Entries) -> Spacing | None:
    """The spacing; that across the planes of a 2D network stays what it is, and all where nothing is resampled."""
    spacing = configuration.numbers("spacing")
    if len(spacing) != len(configuration.listed("patch_size")) or min(spacing, default=0.0) <= 0:
        configuration.refuse("spacing", f"must have a length above 0 for each axis of the patch, got {list(spacing)}")
    if _rule(configuration, "data").function == _NONE:
        return None
    k, j, i = (None, *spacing)[-3:]
    return k, j, i


def resampling_of(configuration: Entries, *, from_earlier_stage: bool) -> Resampling:
    """How volumes get to the network's grid, and logits back.

    Raises:
        ModelError: A function or an argument of it is unknown, or those of volumes and logits do not go together.
    """
    data, logits = _rule(configuration, "data"), _rule(configuration, "probabilities")
    if (data.function == _NONE) != (logits.function == _NONE) or data.thick_from != logits.thick_from:
        configuration.refuse(
            "resampling_fn_probabilities", "and resampling_fn_data must both resample, and treat the same thick axis"
        )
    if from_earlier_stage and data.function != _NONE:
        _check_labels(configuration, data)
    try:
        return Resampling(
            volume_order=data.order,
            logits_order=logits.order,
            antialias=False,
            keep_extent=True,
            thick_axis_from=data.thick_from,
            thick_volume_order=data.thick_order,
            thick_logits_order=logits.thick_order,
        )
    except InvalidInputError as error:
        configuration.refuse("resampling_fn_data_kwargs", f"and those of probabilities cannot be followed: {error}")


def _check_labels(configuration: Entries, data: _Rule) -> None:
    """The labels of an earlier stage are resampled linearly in planes, by the nearest across them."""
    labels = _rule(configuration, "seg")
    if (labels.order, labels.thick_order, labels.thick_from) != (1, 0, data.thick_from):
        configuration.refuse(
            "resampling_fn_seg_kwargs", "must have order 1 and order_z 0, as nnU-Net's own planners write for a cascade"
        )


def _rule(configuration: Entries, what: str) -> _Rule:
    function = configuration.text(f"resampling_fn_{what}")
    key = f"resampling_fn_{what}_kwargs"
    kwargs = configuration.within(key) if key in configuration else type(configuration)(configuration.path, {})
    if function == _SPLINE:
        _check_known(kwargs, frozenset({"order", "order_z"}))
        return _Rule(function, kwargs.whole("order", 3), kwargs.whole("order_z", 0), _thick_from(kwargs, default=False))
    if function == _LINEAR:
        _check_known(kwargs, frozenset({"mode", "aniso_axis_mode"}))
        return _Rule(
            function,
            _mode(kwargs, "mode", "linear", known=("linear",)),
            _mode(kwargs, "aniso_axis_mode", "nearest-exact"),
            _thick_from(kwargs, default=None),
        )
    if function == _NONE:
        return _Rule(function)
    known = f"{_SPLINE}, {_LINEAR}, {_NONE}"
    return configuration.refuse(f"resampling_fn_{what}", f"is {function!r}, which is unknown here; known: {known}")


def _check_known(kwargs: Entries, own: frozenset[str]) -> None:
    known = own | _IGNORED | {"force_separate_z", "separate_z_anisotropy_threshold"}
    strangers = [key for key in kwargs.values if key not in known]
    if strangers:
        kwargs.refuse(strangers[0], f"is an argument of resampling that is unknown here; known: {sorted(known)}")


def _thick_from(kwargs: Entries, *, default: bool | None) -> float | None:
    """From which ratio of spacings on planes are treated by themselves; None for never."""
    forced = kwargs.values.get("force_separate_z", default)
    if forced is True:
        kwargs.refuse("force_separate_z", "is true, which cannot be followed; null and false can")
    return kwargs.number("separate_z_anisotropy_threshold", _THICK_FROM) if forced is None else None


def _mode(kwargs: Entries, key: str, default: str, known: Sequence[str] = tuple(_TORCH_ORDERS)) -> int:
    """The order of a mode; nnU-Net takes another `mode` than "linear" for planes by themselves only."""
    mode = kwargs.text(key, default)
    if mode not in known:
        kwargs.refuse(key, f"is {mode!r}, which cannot be followed here; known: {', '.join(known)}")
    return _TORCH_ORDERS[mode]
