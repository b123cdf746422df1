"""The grid that slices make: even, straight or leaning, or a refusal that says what is wrong.

The place of a slice is its Image Position (Patient), never its thickness or number.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.data import Geometry
from DeepSegmentLib.errors import VolumeFileError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from .headers import Slice

# Positions may be this part of a voxel off the even, straight grid.
_ALONG, _ACROSS = 0.1, 0.25
_ROUNDING_MM = 0.101  # scanners round positions to 0.1 mm at worst, and both ends of a distance are rounded
_SAME = 1e-3  # of directions (no unit), pixel sizes and positions (mm)
_LARGEST_MM = 1e6  # of positions: 1 km
_STEEPEST = 60.0  # degrees; gantries tilt by 30


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices in the order of their places, and where they lie.

    Attributes:
        slices: From the first along the normal of the slices.
        geometry: The grid of their pixels, each slice moved in its plane to lie straight above the first.
        lean_mm: By how much each slice lies further along rows and columns than the one before; 0 where they lie
            straight.
    """

    slices: tuple[Slice, ...]
    geometry: Geometry
    lean_mm: tuple[float, float]

    @property
    def tilt_degrees(self) -> float:
        """Between the normal of the slices and the way from one to the next."""
        return float(np.degrees(np.arctan2(np.hypot(*self.lean_mm), self.geometry.spacing_mm[0])))


def stack_slices(slices: Sequence[Slice], folder: Path) -> Stack:
    """Bring slices into the order of their places.

    Raises:
        VolumeFileError: Some are no plain slices with a place, or together they make no regular grid.
    """
    _check_alike(slices, folder)
    axes = slices[0].axes.reshape(2, 3)
    normal = np.cross(*axes)
    places = np.array([each.position for each in slices]) @ normal
    order = np.argsort(places, kind="stable")
    ordered = tuple(slices[n] for n in order)
    gap = _gap(places[order], ordered, folder)
    lean = _lean(ordered, axes, normal, folder)
    columns, rows = ordered[0].image.size
    between_rows, between_columns = ordered[0].pixel_mm
    geometry = Geometry.from_itk(
        (len(ordered), rows, columns),
        spacing=(between_columns, between_rows, gap),
        origin=ordered[0].position.tolist(),
        direction=np.column_stack([*axes, normal]),
    )
    return Stack(ordered, geometry, lean)


def _check_alike(slices: Sequence[Slice], folder: Path) -> None:
    for each in slices:
        _check_slice(each)
    sizes = Counter(each.image.size for each in slices)
    if len(sizes) > 1:
        listed = ", ".join(f"{n} of {size[0]}x{size[1]}" for size, n in sizes.most_common(5))
        raise VolumeFileError(f"{folder}: slices of one series have several sizes ({listed}); remove the odd ones")
    axes = np.array([each.axes for each in slices])
    turned = np.flatnonzero(np.abs(axes - axes[0]).max(axis=1) > _SAME)
    if turned.size:
        raise VolumeFileError(f"{folder}: {_name(slices[turned[0]])} is turned against the other slices; remove it")
    pixels = np.array([each.pixel_mm for each in slices])
    other = np.flatnonzero(np.abs(pixels - pixels[0]).max(axis=1) > _SAME)
    if other.size:
        raise VolumeFileError(f"{folder}: {_name(slices[other[0]])} has another pixel spacing than the other slices")
    if len({each.rescaled for each in slices}) > 1:
        bare = min(slices, key=lambda each: each.rescaled)
        raise VolumeFileError(
            f"{folder}: {_name(bare)} lacks the rescale slope or intercept of other slices; remove it"
        )
    if len(slices) < 2:
        raise VolumeFileError(f"{folder} holds a single slice; a volume has at least two")


def _check_slice(each: Slice) -> None:
    """Refuse what is no plain slice with a place."""
    path = each.image.path
    kind = each.image.photometric or ("MONOCHROME2" if each.image.samples == 1 else f"{each.image.samples} samples")
    if each.image.samples != 1 or not kind.startswith("MONOCHROME"):
        raise VolumeFileError(f"{path} is a color image ({kind}); only gray values can be segmented")
    if each.image.table:
        raise VolumeFileError(f"{path} gives its units by a table (Modality LUT), which is not read; convert it first")
    if len(each.position) != 3 or len(each.axes) != 6 or np.abs(each.position).max() > _LARGEST_MM:
        raise VolumeFileError(f"{path} does not say where it lies: Image Position or Orientation is missing")
    if len(each.pixel_mm) != 2 or min(each.pixel_mm) <= 0:
        raise VolumeFileError(f"{path} has the pixel spacing {each.pixel_mm.tolist()}; it must be two lengths above 0")
    axes = each.axes.reshape(2, 3)
    if np.abs(axes).max() > 2 or np.abs(axes @ axes.T - np.eye(2)).max() > _SAME:
        raise VolumeFileError(f"{path} has directions that are not at right angles: {each.axes.tolist()}")


def _gap(places: NDArray[np.float64], slices: Sequence[Slice], folder: Path) -> float:
    """Distance of neighbouring slices along the normal, which must be the same for all."""
    gaps = np.diff(places)
    twice = np.flatnonzero(gaps < _SAME)
    if twice.size:
        different = int((gaps >= _SAME).sum()) + 1
        names = " and ".join(_name(each) for each in slices[twice[0] : twice[0] + 2])
        raise VolumeFileError(
            f"{folder}: two slices lie at {places[twice[0]]:.2f} mm ({len(places)} slices at {different} places): "
            f"{names}; remove the doubled ones, or split a sequence into volumes"
        )
    step = float(places[-1] - places[0]) / (len(places) - 1)
    tolerance = max(_ALONG * step, min(_ROUNDING_MM, 0.4 * step))
    if np.abs(places - places[0] - step * np.arange(len(places))).max() > tolerance:
        usual = float(np.median(gaps))
        order = np.argsort(-np.abs(gaps - usual))[:5]
        between = "; ".join(f"{places[n]:.2f} to {places[n + 1]:.2f} mm" for n in sorted(order) if gaps[n] != usual)
        raise VolumeFileError(
            f"{folder}: slices are missing or unevenly spaced: usually {usual:.2f} mm apart, but not at {between}"
        )
    return step


def _lean(
    slices: Sequence[Slice], axes: NDArray[np.float64], normal: NDArray[np.float64], folder: Path
) -> tuple[float, float]:
    """By how much slices lie further along rows and columns from one to the next, where that is the same for all."""
    across = np.array([each.position - slices[0].position for each in slices]) @ axes.T
    tolerance = _ACROSS * slices[0].pixel_mm.min()
    if np.linalg.norm(across, axis=1).max() <= tolerance:
        return 0.0, 0.0
    steps = np.arange(len(slices))
    lean = steps @ across / (steps @ steps)  # least squares through the first slice
    off = np.linalg.norm(across - np.outer(steps, lean), axis=1)
    if off.max() > max(tolerance, _ROUNDING_MM):
        worst = slices[int(off.argmax())]
        raise VolumeFileError(
            f"{folder}: {_name(worst)} lies {off.max():.2f} mm beside the line of the other slices; the series is no "
            "regular volume"
        )
    gap = float((slices[-1].position - slices[0].position) @ normal) / (len(slices) - 1)
    if np.hypot(*lean) > np.tan(np.radians(_STEEPEST)) * gap:
        raise VolumeFileError(f"{folder}: the slices lean by more than {_STEEPEST:g} degrees; that is no gantry tilt")
    return float(lean[0]), float(lean[1])


def _name(each: Slice) -> str:
    frame = f" frame {each.frame + 1}" if each.image.frames > 1 else ""
    return f"{each.image.path.name}{frame}"
