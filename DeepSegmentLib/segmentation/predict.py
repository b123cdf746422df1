"""From a volume to a labelmap on the volume's own grid, in bounded memory.

Tiles are blended slab by slab; each finished plane is brought to the input grid and turned into labels at once. The
array of all classes over the whole volume never exists.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.data import Progress
from DeepSegmentLib.data.progress import silent
from DeepSegmentLib.imaging.memory import peak_memory_bytes
from DeepSegmentLib.imaging.resampling import along_axis, axis_positions, axis_weights

from .outputs import Outputs, Prediction, PredictSettings
from .prepare import Prepared, prepare, regions
from .tiles import TileSettings, blended_planes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from DeepSegmentLib.data import ProgressCallback, Volume
    from DeepSegmentLib.networks.model_spec import ModelSpec
    from DeepSegmentLib.networks.runtime import Network


def predict(
    volume: Volume,
    spec: ModelSpec,
    network: Network,
    *,
    settings: PredictSettings | None = None,
    on_progress: ProgressCallback = silent,
) -> Prediction:
    """Segment a volume.

    Args:
        volume: Finite voxels on any grid; as many channels as the model has.
        spec: What the model needs.
        network: Batch of patches in, logits out.
        settings: What to predict and how thoroughly.
        on_progress: Receives progress; may raise `Cancelled`.

    Raises:
        InvalidInputError: The volume does not fit the model, or a setting is out of range.
        Cancelled: Raised by `on_progress`.
    """
    settings = settings or PredictSettings()
    on_progress(Progress("prepare", 0.0))
    region, inside = regions(volume.geometry, spec, settings.region_ras)
    prepared = prepare(volume, spec, region=region, on_step=partial(on_progress, Progress("prepare", 0.0)))
    outputs = Outputs(volume.geometry, spec, settings, inside)
    tile_settings = TileSettings(spec.patch_shape, settings.overlap, spec.mirror_axes if settings.mirror else ())
    clock = _TileClock(on_progress)
    for k, logits in _planes_on_input(prepared, network, tile_settings, clock):
        outputs.write(k, prepared.box, logits)
        clock.report()
    cleaning = Progress("clean up", 0.97, memory_bytes=peak_memory_bytes())
    on_progress(cleaning)
    prediction = outputs.finish(volume.name, clock.tiles, partial(on_progress, cleaning))
    on_progress(Progress("done", 1.0, 0.0, peak_memory_bytes()))
    return prediction


class _TileClock:
    """Turns finished tiles into progress with an estimate of the time to go."""

    def __init__(self, on_progress: ProgressCallback) -> None:
        self._on_progress, self._start, self.tiles, self._total = on_progress, time.monotonic(), 0, 1

    def __call__(self, done: int, total: int) -> None:
        self.tiles, self._total = done, total
        self.report()

    def report(self) -> None:
        """Tell how far the tiles are."""
        done, total = self.tiles, self._total
        eta = (time.monotonic() - self._start) / done * (total - done)
        self._on_progress(Progress("predict", 0.02 + 0.93 * done / total, eta, peak_memory_bytes()))


def _planes_on_input(
    prepared: Prepared, network: Network, settings: TileSettings, clock: _TileClock
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Logits (class, j, i) of each plane k of the prepared box, on the oriented input grid."""
    source, target = prepared.volume.geometry, prepared.oriented.crop(prepared.box)
    positions = np.clip(axis_positions(source, target, 0), 0, source.shape[0] - 1)
    rows, columns = (axis_weights(axis_positions(source, target, axis), source.shape[axis]) for axis in (1, 2))
    held: dict[int, NDArray[np.float32]] = {}
    k = 0
    for last, logits in blended_planes(prepared.volume.voxels, network, settings, clock):
        held[last] = logits
        while k < len(positions) and np.ceil(positions[k]) <= last:
            plane = _between(held, float(positions[k]))
            yield k, along_axis(along_axis(plane, rows, 1), columns, 2)
            k += 1
        held = {last: logits}


def _between(planes: dict[int, NDArray[np.float32]], position: float) -> NDArray[np.float32]:
    """Linear interpolation between the two planes around a fractional index."""
    below = int(np.floor(position))
    weight = np.float32(position - below)
    return planes[below] if weight == 0 else (1 - weight) * planes[below] + weight * planes[below + 1]
