"""What a prediction gives, and the arrays it is written into plane by plane. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from DeepSegmentLib.data import LabelMap, Volume
from DeepSegmentLib.data.geometry import FARTHEST_MM
from DeepSegmentLib.data.progress import unwatched
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.imaging.arrays_on_disk import zeros_on_disk

from .postprocess import clean_up
from .prepare import region_box

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from DeepSegmentLib.data import Box, Geometry
    from DeepSegmentLib.networks.model_spec import ModelSpec, Part
    from DeepSegmentLib.networks.stage_spec import StageSpec

    from .on_device.class_scores import PlaneOfLabels, PlaneOfScores


MOST_OVERLAP = 0.95
"""Above this share tiles become thousands and the result no better."""


@dataclass(frozen=True, eq=False)
class PredictSettings:
    """What to predict and how thoroughly.

    Attributes:
        overlap: Least shared fraction of neighbouring tiles, from 0 to `MOST_OVERLAP`; None for what each network of
            the model says.
        mirror: Whether to average over mirror images along the axes the model allows (test-time augmentation).
        region_ras: Two opposite corners (2, 3) in RAS mm; only voxels inside get labels. None for everywhere.
        probabilities: Names of the segments whose probability maps are wanted.
        uncertainty: Whether the entropy map is wanted.
        clean_up: Whether the model's post-processing is applied.
        any_spacing: Whether the volume's spacing is right although hardly any scan has it, see `service.preflight`.
        subset: Names of the segments that are wanted; parts of the model that find none of them, and none whose
            probabilities are wanted, are not run. None for all.
        maps_folder: Where maps of probability and uncertainty grow in files without a name, so that memory does not
            bound how many there are; None for memory.
    """

    overlap: float | None = None
    mirror: bool = False
    region_ras: NDArray[np.float64] | None = None
    probabilities: tuple[str, ...] = ()
    uncertainty: bool = False
    clean_up: bool = True
    any_spacing: bool = False
    subset: tuple[str, ...] | None = None
    maps_folder: Path | None = None

    def __post_init__(self) -> None:
        if self.overlap is not None and not 0 <= self.overlap <= MOST_OVERLAP:
            raise InvalidInputError(f"overlap must be from 0 to {MOST_OVERLAP}, got {self.overlap}")
        region = self.region_ras
        if region is not None and not (np.shape(region) == (2, 3) and (np.abs(region) <= FARTHEST_MM).all()):
            raise InvalidInputError(
                f"the region must be two corners (R, A, S) within {FARTHEST_MM:g} mm of the origin, "
                f"got {np.asarray(region).tolist()}"
            )
        if region is not None:
            _check_extent(np.asarray(region))


def _check_extent(region: NDArray[Any]) -> None:
    flat = [f"{axis} ({place:g} mm)" for axis, place, other in zip("RAS", *region, strict=True) if place == other]
    if flat:
        raise InvalidInputError(
            f"the region has no extent: both corners have the same {', '.join(flat)}; give two opposite corners"
        )


@dataclass(frozen=True, eq=False)
class Prediction:
    """What came out, all on the grid of the input.

    Attributes:
        label_map: The segments.
        probabilities: Float32 volumes in [0, 1] by segment name.
        uncertainty: Entropy in [0, 1] (1: all classes equally likely), or None.
        tiles: Tiles that were blended.
        passes: Forward passes of networks for them, mirrored ones included; those of members of an ensemble are one.
            Of tiles that hold one value only one is passed, see `on_device.batches`.
        notes: What was done to need less memory, or for numbers too large for float16.
        seconds: How long each step took.
    """

    label_map: LabelMap
    probabilities: dict[str, Volume] = field(default_factory=dict)
    uncertainty: Volume | None = None
    tiles: int = 0
    passes: int = 0
    notes: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)


class Outputs:
    """The arrays that planes of logits are written into, part by part; of two parts, the later one's labels stay."""

    def __init__(self, geometry: Geometry, spec: ModelSpec, settings: PredictSettings) -> None:
        """Make them for a volume's grid."""
        self._geometry, self._spec, self._settings = geometry, spec, settings
        _check_names(spec, settings.probabilities)
        layers = len(spec.segments) if spec.output == "regions" else 1
        kind = np.uint8 if max(segment.value for segment in spec.segments) < 256 else np.uint16
        self._labels = np.zeros((layers, *geometry.shape), dtype=kind)
        self._maps = {name: _map(geometry, settings) for name in settings.probabilities}
        self._entropy = _map(geometry, settings) if settings.uncertainty else None
        self._written = False

    def writer(self, part: Part, box: Box) -> Callable[[tuple[int, int], PlaneOfLabels], None]:
        """What takes the planes of a part, with their axis and index in a box of the volume as its stage sees it.

        They must be `PlaneOfScores` where `needs_scores` says so.
        """
        write = partial(self._write, part, box, merge=self._written)
        self._written = True
        return write

    def _write(self, part: Part, box: Box, index: tuple[int, int], plane: PlaneOfLabels, *, merge: bool) -> None:
        """Turn one plane into labels and maps."""
        place = partial(plane_of, self._geometry, part.stages[-1], box, index)
        if self._spec.output == "regions":
            self._write_regions(part, cast("PlaneOfScores", plane), place)
        else:
            labels = self._values(part)[plane.largest()]
            np.copyto(place(self._labels[0]), labels, where=(labels > 0) if merge else True)
        if self._maps or self._entropy is not None:
            self._write_maps(part, cast("PlaneOfScores", plane), place)

    def _values(self, part: Part) -> NDArray[Any]:
        values = {segment.name: segment.value for segment in self._spec.segments}
        return np.array([0, *(values[name] for name in part.segments)], dtype=self._labels.dtype)

    def _write_regions(self, part: Part, plane: PlaneOfScores, place: Callable[[Any], NDArray[Any]]) -> None:
        regions = plane.regions()
        for n, segment in enumerate(self._spec.segments):
            if segment.name in part.segments:
                place(self._labels[n])[...] = np.where(regions[part.segments.index(segment.name)], segment.value, 0)

    def _write_maps(self, part: Part, plane: PlaneOfScores, place: Callable[[Any], NDArray[Any]]) -> None:
        for n, name in enumerate(part.segments, start=0 if self._spec.output == "regions" else 1):
            if name in self._maps:
                place(self._maps[name])[...] = plane.probability(n)
        if self._entropy is not None:
            certain = place(self._entropy)
            certain[...] = np.maximum(certain, plane.entropy())

    def finish(self, name: str, tiles: int, passes: int, on_step: Callable[[], None] = unwatched) -> Prediction:
        """Apply the region of interest and the model's post-processing; `on_step` is called in between."""
        if self._settings.region_ras is not None:
            inside = region_box(self._geometry, self._settings.region_ras)
            for array in (*self._labels, *self._maps.values()):
                _clear_outside(array, inside)
        segments, cleanups = self._spec.output_segments, self._spec.cleanups if self._settings.clean_up else ()
        labels = clean_up(LabelMap(self._labels, self._geometry, segments), cleanups, on_step)
        maps = {key: Volume(array[None], self._geometry, f"{name} {key}".strip()) for key, array in self._maps.items()}
        uncertain = (
            None if self._entropy is None else Volume(self._entropy[None], self._geometry, f"{name} entropy".strip())
        )
        return Prediction(labels, maps, uncertain, tiles, passes)


def needs_scores(spec: ModelSpec, settings: PredictSettings) -> bool:
    """Whether labels alone are not enough for what a prediction gives."""
    return spec.output == "regions" or bool(settings.probabilities) or settings.uncertainty


def plane_of(
    geometry: Geometry, stage: StageSpec, box: Box, plane: tuple[int, int], array: NDArray[Any]
) -> NDArray[Any]:
    """A plane of a box in an array (k, j, i) on the volume's grid, as a writable view with the stage's axes.

    Args:
        geometry: The volume's grid.
        stage: Whose axes they are.
        box: In the volume as the stage sees it.
        plane: The axis (0 to 2) that it lies across, and its index along that axis of the box.
        array: What to look at.
    """
    axis, n = plane
    part = geometry.view(array, stage.orientation_of(geometry.orientation))[box.to_slices()]
    return np.asarray(np.moveaxis(part, axis, 0)[n])


def _clear_outside(array: NDArray[Any], box: Box) -> None:
    kept = array[box.to_slices()].copy()
    array[...] = 0
    array[box.to_slices()] = kept


def _map(geometry: Geometry, settings: PredictSettings) -> NDArray[np.float32]:
    folder = settings.maps_folder
    return np.zeros(geometry.shape, np.float32) if folder is None else zeros_on_disk(folder, geometry.shape)


def _check_names(spec: ModelSpec, names: tuple[str, ...]) -> None:
    known = [segment.name for segment in spec.segments]
    for name in names:
        if name not in known:
            raise InvalidInputError(f"model {spec.name} has no segment {name!r}; it has: {', '.join(known)}")
