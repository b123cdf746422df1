"""What a prediction gives, and the arrays it is written into plane by plane."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.data import LabelMap, Volume
from DeepSegmentLib.data.geometry import FARTHEST_MM
from DeepSegmentLib.data.progress import unwatched
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.imaging.arrays_on_disk import zeros_on_disk
from DeepSegmentLib.imaging.probabilities import entropy, largest_channel, sigmoid, softmax

from .postprocess import clean_up

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from DeepSegmentLib.data import Box, Geometry
    from DeepSegmentLib.networks.model_spec import ModelSpec


MOST_OVERLAP = 0.95
"""Above this share tiles become thousands and the result no better."""


@dataclass(frozen=True, eq=False)
class PredictSettings:
    """What to predict and how thoroughly.

    Attributes:
        overlap: Least shared fraction of neighbouring tiles, from 0 to `MOST_OVERLAP`.
        mirror: Whether to average over mirror images along the axes the model allows (test-time augmentation).
        region_ras: Two opposite corners (2, 3) in RAS mm; only voxels inside get labels. None for everywhere.
        probabilities: Names of the segments whose probability maps are wanted.
        uncertainty: Whether the entropy map is wanted.
        clean_up: Whether the model's post-processing is applied.
        any_spacing: Whether the volume's spacing is right although hardly any scan has it, see `service.preflight`.
        maps_folder: Where maps of probability and uncertainty grow in files without a name, so that memory does not
            bound how many there are; None for memory.
    """

    overlap: float = 0.5
    mirror: bool = False
    region_ras: NDArray[np.float64] | None = None
    probabilities: tuple[str, ...] = ()
    uncertainty: bool = False
    clean_up: bool = True
    any_spacing: bool = False
    maps_folder: Path | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.overlap <= MOST_OVERLAP:
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
        tiles: Tiles that were run.
    """

    label_map: LabelMap
    probabilities: dict[str, Volume] = field(default_factory=dict)
    uncertainty: Volume | None = None
    tiles: int = 0


class Outputs:
    """The arrays that planes are written into, seen in the network's orientation."""

    def __init__(self, geometry: Geometry, spec: ModelSpec, settings: PredictSettings, inside: Box | None) -> None:
        self._geometry, self._spec, self._inside = geometry, spec, inside
        self._cleanups = spec.cleanups if settings.clean_up else ()
        self._channels = {name: _channel_of(spec, name) for name in settings.probabilities}
        layers = len(spec.segments) if spec.output == "regions" else 1
        kind = np.uint8 if max(segment.value for segment in spec.segments) < 256 else np.uint16
        self._labels = np.zeros((layers, *geometry.shape), dtype=kind)
        self._maps = {name: _map(geometry, settings) for name in settings.probabilities}
        self._entropy = _map(geometry, settings) if settings.uncertainty else None
        values = [segment.value for segment in spec.segments]
        self._values = np.array(values if spec.output == "regions" else [0, *values], dtype=kind)

    def _place(self, array: NDArray[Any], k: int, box: Box) -> NDArray[Any]:
        """The plane k of the box in an output array (k, j, i), as a writable view in the network's orientation."""
        plane = (box.start[0] + k, *box.to_slices()[1:])
        return np.asarray(self._geometry.view(array, self._spec.orientation)[plane])

    def write(self, k: int, box: Box, logits: NDArray[np.float32]) -> None:
        """Turn one plane of logits (class, j, i) into labels and maps."""
        if not np.isfinite(logits).all():
            raise InvalidInputError(f"model {self._spec.name} gave NaN or infinite logits for this volume")
        if self._spec.output == "regions":
            for layer, value, region in zip(self._labels, self._values, logits, strict=True):
                self._place(layer, k, box)[...] = np.where(region > 0, value, 0)
        else:
            self._place(self._labels[0], k, box)[...] = self._values[largest_channel(logits)]
        if self._maps or self._entropy is not None:
            self._write_maps(k, box, logits)

    def _write_maps(self, k: int, box: Box, logits: NDArray[np.float32]) -> None:
        regions = self._spec.output == "regions"
        probabilities = sigmoid(logits) if regions else softmax(logits)
        for name, array in self._maps.items():
            self._place(array, k, box)[...] = probabilities[self._channels[name]]
        if self._entropy is not None:
            self._place(self._entropy, k, box)[...] = entropy(probabilities, exclusive=not regions)

    def finish(self, name: str, tiles: int, on_step: Callable[[], None] = unwatched) -> Prediction:
        """Apply the region of interest and the model's post-processing; `on_step` is called in between."""
        if self._inside is not None:
            for array in (*self._labels, *self._maps.values()):
                self._clear_outside(array, self._inside)
        segments = self._spec.output_segments
        labels = clean_up(LabelMap(self._labels, self._geometry, segments), self._cleanups, on_step)
        maps = {key: Volume(array[None], self._geometry, f"{name} {key}".strip()) for key, array in self._maps.items()}
        uncertain = (
            None if self._entropy is None else Volume(self._entropy[None], self._geometry, f"{name} entropy".strip())
        )
        return Prediction(labels, maps, uncertain, tiles)

    def _clear_outside(self, array: NDArray[Any], box: Box) -> None:
        view = self._geometry.view(array, self._spec.orientation)
        kept = view[box.to_slices()].copy()
        view[...] = 0
        view[box.to_slices()] = kept


def _map(geometry: Geometry, settings: PredictSettings) -> NDArray[np.float32]:
    folder = settings.maps_folder
    return np.zeros(geometry.shape, np.float32) if folder is None else zeros_on_disk(folder, geometry.shape)


def _channel_of(spec: ModelSpec, name: str) -> int:
    for n, segment in enumerate(spec.segments):
        if segment.name == name:
            return n if spec.output == "regions" else n + 1
    known = ", ".join(segment.name for segment in spec.segments)
    raise InvalidInputError(f"model {spec.name} has no segment {name!r}; it has: {known}")
