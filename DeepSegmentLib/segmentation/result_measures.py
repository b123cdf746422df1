"""A result in a few numbers: how unsure the network was of each segment, and what volume and segments look like."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from DeepSegmentLib.data.progress import check_stop
from DeepSegmentLib.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from DeepSegmentLib.data import Volume
    from DeepSegmentLib.networks.model_spec import ModelSpec

    from .outputs import Prediction

_TOP = 0.1
"""Share of the voxels, the most uncertain ones, that `Unsure.top_entropy` is the mean of."""
_TWO_TO_ONE = math.log2(3) - 2 / 3
"""Entropy of the probabilities 2/3 and 1/3, in parts of that of two equally likely answers."""
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_RANGE = (0.005, 0.995)
"""Quantiles of intensities that become 0 and 1, so that the look does not depend on a scanner's scale."""
_MOST_VOXELS = 1 << 20
"""About so many voxels, evenly spread, tell what a volume looks like; quantiles then err by about a thousandth."""


@dataclass(frozen=True)
class Unsure:
    """How unsure the network was of a segment, inside it and up to a voxel outside.

    Attributes:
        segment: Name.
        ml: Its volume; 0 where it was not found, and all else then too.
        entropy: Mean, 0 to 1.
        top_entropy: Mean of the most uncertain tenth.
        unsure_border: Share of the border, a voxel on either side, where the network was unsure: see `unsure_from`.
    """

    segment: str
    ml: float
    entropy: float = 0.0
    top_entropy: float = 0.0
    unsure_border: float = 0.0


@dataclass(frozen=True)
class ResultMeasures:
    """A result in a few numbers.

    Attributes:
        segments: All segments of the model, in its order.
        entropy: Mean over what was found and a voxel around it, 0 to 1; 0 where nothing was.
        top_entropy: Mean of the most uncertain tenth of that.
        look: Numbers that tell volumes apart: spacing, extent, intensities.
        shape: Numbers that tell results apart: size and brightness of each segment.
    """

    segments: tuple[Unsure, ...]
    entropy: float
    top_entropy: float
    look: tuple[float, ...]
    shape: tuple[float, ...]

    @property
    def found(self) -> tuple[Unsure, ...]:
        """The segments that have voxels."""
        return tuple(each for each in self.segments if each.ml > 0)


def unsure_from(spec: ModelSpec) -> float:
    """The entropy, in the scale of a model's map, from which a voxel counts as unsure.

    Of two possible answers, one is then less than twice as likely as the other: some such voxels lie along every
    border, all of a border where the network only guesses. Entropies are in parts of the largest that there can be,
    which grows with the number of classes.
    """
    classes = max(len(part.segments) for part in spec.parts) + 1
    most_of_two = 1 / (classes - 1) if spec.output == "regions" else math.log(2) / math.log(classes)
    return most_of_two * _TWO_TO_ONE


def measure_result(volume: Volume, prediction: Prediction, *, unsure: float) -> ResultMeasures:
    """Measure a result.

    Beside the arrays that are given it needs a byte a voxel, and some ten for each voxel of what is found; never an
    array of all classes.

    Args:
        volume: What was segmented.
        prediction: With the map of uncertainty.
        unsure: Entropy from which a voxel counts as unsure, see `unsure_from`.

    Raises:
        InvalidInputError: The prediction has no map of uncertainty.
    """
    if prediction.uncertainty is None:
        raise InvalidInputError("the prediction has no map of uncertainty; ask for it (PredictSettings.uncertainty)")
    entropy, label_map = prediction.uncertainty.voxels[0], prediction.label_map
    bright, volumes = _Brightness(volume), label_map.volumes_ml()
    found = [ndimage.find_objects(layer) for layer in label_map.layers]
    around = np.zeros(volume.geometry.shape, bool)
    segments: list[Unsure] = []
    shape: list[float] = []
    for segment in label_map.segments:
        check_stop()
        blocks, ml = found[segment.layer], volumes[segment.name]
        block = blocks[segment.value - 1] if segment.value <= len(blocks) else None
        if block is None:
            segments.append(Unsure(segment.name, 0.0))
            shape += [0.0, 0.0]
            continue
        place = _wider(block, around.shape)
        mask = label_map.layers[segment.layer][place] == segment.value
        near, border = _surroundings(mask)
        around[place] |= near
        segments.append(_unsure(segment.name, ml, entropy[place][near], entropy[place][border] >= unsure))
        shape += [math.log1p(1000 * ml), bright.mean(place, mask)]
    mean, top = _mean_and_top(entropy[around])
    return ResultMeasures(tuple(segments), mean, top, _look(volume, bright), tuple(shape))


def _unsure(name: str, ml: float, entropies: NDArray[Any], on_border: NDArray[np.bool_]) -> Unsure:
    """Of entropies, and whether the voxels on the border are unsure; what fills the volume has no border."""
    share = float(on_border.mean()) if on_border.size else 0.0
    return Unsure(name, float(ml), *_mean_and_top(entropies), share)


def _mean_and_top(entropies: NDArray[Any]) -> tuple[float, float]:
    if not entropies.size:
        return 0.0, 0.0
    count = max(1, round(_TOP * entropies.size))
    top = np.partition(entropies, entropies.size - count)[entropies.size - count :]
    return float(entropies.mean(dtype=np.float64)), float(top.mean(dtype=np.float64))


def _wider(block: tuple[slice, ...], shape: Iterable[int]) -> tuple[slice, ...]:
    """A block and a voxel around it, as far as the volume goes."""
    return tuple(slice(max(0, s.start - 1), min(n, s.stop + 1)) for s, n in zip(block, shape, strict=True))


def _surroundings(mask: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The mask with a voxel around it (6 neighbours), and the voxels on either side of its border.

    The end of the volume is no border of the segment.
    """
    near = ndimage.binary_dilation(mask)
    return near, near & ~ndimage.binary_erosion(mask, border_value=1)


class _Brightness:
    """Intensities of the first channel in parts of their range."""

    def __init__(self, volume: Volume) -> None:
        self._voxels = volume.voxels[0]
        step = max(1, math.ceil((self._voxels.size / _MOST_VOXELS) ** (1 / 3)))
        self.sample = np.asarray(self._voxels[::step, ::step, ::step], np.float32)
        low, high = np.quantile(self.sample, _RANGE)
        self._low, self._width = float(low), float(high - low) or 1.0

    def scaled(self, values: NDArray[Any]) -> NDArray[Any]:
        return np.clip((values - self._low) / self._width, 0, 1)

    def mean(self, place: tuple[slice, ...], mask: NDArray[np.bool_]) -> float:
        return float(self.scaled(np.asarray(self._voxels[place][mask], np.float32)).mean(dtype=np.float64))


def _look(volume: Volume, bright: _Brightness) -> tuple[float, ...]:
    """Spacing and extent, smallest first, in logarithms, and quantiles of intensities.

    Sorted, because the axes of a file may have any order.
    """
    spacing = np.asarray(volume.geometry.spacing_mm)
    extent = spacing * volume.geometry.shape
    lengths = np.log(np.concatenate([np.sort(spacing), np.sort(extent)]))
    return tuple(map(float, [*lengths, *np.quantile(bright.scaled(bright.sample), _QUANTILES)]))
