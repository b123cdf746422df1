"""From the inferer and the transforms after a network to tiles, kinds of output and clean-ups."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from DeepSegmentLib.errors import ModelError
from DeepSegmentLib.networks.stage_spec import Tiling

from .preprocessing import known_transform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .configuration import Component

_SIGMA_SCALE = 0.125
_THRESHOLD = 0.5
_NEIGHBOURS = {None: 26, 1: 6, 2: 18, 3: 26}
"""Of a voxel, by over how many axes at once a step goes; all, where MONAI is not told."""

_IMPORTANCE = {"constant": "uniform", "gaussian": "gaussian"}

_BRATS = "$lambda x: torch.where(x[[2]] > 0, 4, torch.where(x[[0]] > 0, 1, torch.where(x[[1]] > 0, 2, 0)))"
"""How the zoo's BraTS bundle flattens its regions; known by heart, not run."""


@dataclass(frozen=True)
class Windows:
    """How the network is moved over the volume.

    Attributes:
        shape: Of a patch, along the axes that the network sees; empty for the whole volume at once.
        plane_axis: The axis (0 to 2: i, j, k) whose planes a 2D network sees; None for 3D.
        tiling: Where patches lie.
    """

    shape: tuple[int, ...]
    plane_axis: int | None
    tiling: Tiling


def windows_of(inferer: Component) -> Windows:
    """What an inferer does.

    Raises:
        ModelError: It is not supported, or in a way that is not; the message names it.
    """
    if inferer.name == "SimpleInferer":
        return Windows((), None, Tiling(0.5, "at_border", "gaussian"))
    if inferer.name not in ("SlidingWindowInferer", "SlidingWindowInfererAdapt", "SliceInferer"):
        raise ModelError(f"{inferer.configuration.where}: the inferer {inferer.target[:120]!r} is not supported")
    inferer.refuse_others(
        "roi_size", "sw_batch_size", "overlap", "mode", "sigma_scale", "padding_mode", "cval", "sw_device", "device",
        "progress", "cache_roi_weight_map", "cpu_thresh", "buffer_steps", "buffer_dim", "with_coord", "spatial_dim",
    )  # fmt: skip
    for argument, default in (("sigma_scale", _SIGMA_SCALE), ("cval", 0.0), ("with_coord", False)):
        if inferer.get(argument, default=default) != default:
            raise inferer.refused(argument)
    plane_axis = inferer.get("spatial_dim", default=0) if inferer.name == "SliceInferer" else None
    if plane_axis not in (None, 0, 1, 2):
        raise inferer.refused("spatial_dim")
    return Windows(_roi(inferer), plane_axis, _tiling(inferer))


def _roi(inferer: Component) -> tuple[int, ...]:
    value = inferer.get("roi_size")
    edges = tuple(value) if isinstance(value, (list, tuple)) else (value,) * 3
    if any(type(edge) is not int or edge < 1 for edge in edges):
        raise inferer.refused("roi_size")
    return edges


def _tiling(inferer: Component) -> Tiling:
    overlap = inferer.get("overlap", default=0.25)
    overlaps = {*overlap} if isinstance(overlap, (list, tuple)) else {overlap}
    importance = _IMPORTANCE.get(str(inferer.get("mode", default="constant")).lower())
    if len(overlaps) != 1 or not isinstance(next(iter(overlaps)), (int, float)):
        raise inferer.refused("overlap")
    if importance is None:
        raise inferer.refused("mode")
    return Tiling(float(overlaps.pop()), "at_border", importance)  # type: ignore[arg-type]


@dataclass(frozen=True)
class LabelCleanup:
    """A clean-up of labels.

    Attributes:
        what: Which one, as a field of `Cleanup`.
        labels: Of which labels; (0,) for all.
        neighbours: See `Cleanup`.
        together: Whether the labels are taken together, otherwise each by itself.
    """

    what: Literal["keep_largest", "fill_holes"]
    labels: tuple[int, ...]
    neighbours: int
    together: bool = False


@dataclass(frozen=True)
class Finish:
    """What becomes of the logits.

    Attributes:
        regions: Whether each channel is a region by itself, found by the sigmoid.
        logits_order: Of the interpolation on the way back to the volume's grid.
        back: What is interpolated: "logits" or "probabilities".
        active: Whether there are probabilities already.
        discrete: Whether labels are there already.
        cleanups: In their order.
        order: The channels of regions, those that win last.
        values: Their labels; empty where they are numbered.
    """

    regions: bool = False
    logits_order: int = 0
    back: Literal["logits", "probabilities"] = "logits"
    active: bool = False
    discrete: bool = False
    cleanups: tuple[LabelCleanup, ...] = ()
    order: tuple[int, ...] = ()
    values: tuple[int, ...] = ()


def finish_of(transforms: Iterable[Component]) -> Finish:
    """What the transforms after a network do.

    Raises:
        ModelError: One of them is not supported; the message names it.
    """
    done = Finish()
    for transform in transforms:
        done = TRANSFORMS[known_transform(transform, TRANSFORMS)](done, transform)
    return done


def _activate(done: Finish, at: Component) -> Finish:
    if at.get("other") is not None or (at.get("sigmoid", default=False) and at.get("softmax", default=False)):
        raise at.refused("other")
    return replace(done, regions=bool(at.get("sigmoid", default=done.regions)), active=True)


def _discretize(done: Finish, at: Component) -> Finish:
    threshold = at.get("threshold")
    if at.get("rounding") is not None or threshold not in (None, False, True, _THRESHOLD):
        raise at.refused("rounding" if at.get("rounding") is not None else "threshold")
    if bool(at.get("argmax", default=False)) == done.regions:
        raise at.refused("argmax")
    return replace(done, discrete=True)


def _invert(done: Finish, at: Component) -> Finish:
    nearest = at.get("nearest_interp", default=True)
    interpolates = not (done.discrete or nearest)
    return replace(done, logits_order=int(interpolates), back="probabilities" if done.active else "logits")


def _keep_largest(done: Finish, at: Component) -> Finish:
    if at.get("num_components", default=1) != 1:
        raise at.refused("num_components")
    independent = bool(at.get("independent", default=True))
    cleanup = LabelCleanup("keep_largest", _labels(at), _neighbours(at), together=not independent)
    return replace(done, cleanups=(*done.cleanups, cleanup))


def _fill(done: Finish, at: Component) -> Finish:
    return replace(done, cleanups=(*done.cleanups, LabelCleanup("fill_holes", _labels(at), _neighbours(at))))


def _neighbours(at: Component) -> int:
    connectivity = at.get("connectivity")
    if connectivity not in _NEIGHBOURS:
        raise at.refused("connectivity")
    return _NEIGHBOURS[connectivity]


def _labels(at: Component) -> tuple[int, ...]:
    value = at.get("applied_labels")
    labels = [0] if value is None else value if isinstance(value, list) else [value]
    if any(type(label) is not int for label in labels):
        raise at.refused("applied_labels")
    return tuple(labels)


def _flatten(done: Finish, at: Component) -> Finish:
    if at.written.get("func") != _BRATS:
        raise at.refused("func")
    return replace(done, order=(1, 0, 2), values=(2, 1, 4))


def _nothing(done: Finish, _: Any) -> Finish:
    return done


TRANSFORMS: dict[str, Callable[[Finish, Component], Finish]] = {
    "Activations": _activate,
    "AsDiscrete": _discretize,
    "Invert": _invert,
    "KeepLargestConnectedComponent": _keep_largest,
    "FillHoles": _fill,
    "Lambda": _flatten,
    **dict.fromkeys(
        ("EnsureType", "SaveImage", "CastToType", "ToTensor", "ToDevice", "Identity", "SelectItems", "DeleteItems"),
        _nothing,
    ),
}
"""By the names that MONAI has for them, without the ending of transforms of dictionaries."""
