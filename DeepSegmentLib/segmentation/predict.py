"""From a volume to a labelmap on the volume's own grid, in bounded memory.

Tiles are blended slab by slab; each finished plane is brought to the input grid and turned into labels at once. The
array of all classes over the whole volume never exists. The parts of a model run one after the other.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from DeepSegmentLib.data import Progress
from DeepSegmentLib.data.progress import silent, watching
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.imaging.memory import peak_memory_bytes
from DeepSegmentLib.networks.runtime import TimedNetwork, begin_run, notes_of

from .earlier_stage import flattened_regions, with_earlier_labels
from .needs import is_needed, passes_of, tiles_of_stage
from .on_device.class_scores import PlaneOfLabels, PlaneOfScores, logits_of
from .on_device.planes_back import WayBack, as_probabilities, labels_back, planes_back
from .on_device.run_tiles import blended_planes
from .outputs import Outputs, Prediction, PredictSettings, needs_scores, plane_of
from .prepare import Prepared, check_volume, prepare, regions
from .tiles import slab_axis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from DeepSegmentLib.data import ProgressCallback, Volume
    from DeepSegmentLib.networks.model_spec import ModelSpec, Part
    from DeepSegmentLib.networks.runtime import Network
    from DeepSegmentLib.networks.stage_spec import StageSpec

    from .on_device.planes_back import Planes

_FIRST, _ALL_TILES = 0.02, 0.93
"""Where the tiles' share of the progress begins, and how large it is."""


def predict(
    volume: Volume,
    spec: ModelSpec,
    networks: Sequence[Network],
    *,
    settings: PredictSettings | None = None,
    on_progress: ProgressCallback = silent,
) -> Prediction:
    """Segment a volume.

    Args:
        volume: Finite voxels on any grid; as many channels as the model has.
        spec: What the model needs.
        networks: One for each of `spec.stages`: batch of patches in, logits out.
        settings: What to predict and how thoroughly.
        on_progress: Receives progress; may raise `Cancelled`.

    Returns:
        All segments of the model; those of parts that were not needed are empty.

    Raises:
        InvalidInputError: The volume does not fit the model, or a setting is out of range.
        Cancelled: Raised by `on_progress`.
    """
    settings = settings or PredictSettings()
    with watching(on_progress) as tell:
        run = _Run(volume, spec, settings, tell)
        of_stages = iter(zip(spec.stages, networks, strict=True))
        for part in spec.parts:
            stages = [next(of_stages) for _ in part.stages]
            if is_needed(part, settings):
                run.part(part, stages)
        return run.finish()


class _Run:
    """A volume on its way through the parts of a model."""

    def __init__(
        self, volume: Volume, spec: ModelSpec, settings: PredictSettings, on_progress: ProgressCallback
    ) -> None:
        on_progress(Progress("prepare", 0.0))
        check_volume(volume, spec)
        self._volume, self._spec, self._settings, self._on_progress = volume, spec, settings, on_progress
        stages = [stage for part in spec.parts if is_needed(part, settings) for stage in part.stages]
        self._clock = _Clock(on_progress, [passes_of(volume.geometry, stage, settings) for stage in stages])
        self._outputs = Outputs(volume.geometry, spec, settings)
        self._seconds = {"prepare": 0.0, "network": 0.0, "blend and label": 0.0}
        self._retreats: list[str] = []

    def part(self, part: Part, stages: Sequence[tuple[StageSpec, Network]]) -> None:
        """Find the segments of a part."""
        *earlier, (last, network) = stages
        labels: NDArray[Any] | None = None
        for stage, each in earlier:
            labels = self._labels(part, stage, each, labels)
        prepared = self._prepared(part, last, labels)
        write = self._outputs.writer(part, prepared.box)
        self._stage(prepared, last, network, write, scores=needs_scores(self._spec, self._settings))

    def _labels(
        self, part: Part, stage: StageSpec, network: Network, earlier: NDArray[Any] | None
    ) -> NDArray[np.uint16]:
        """Labels (k, j, i) of a stage on the volume's grid: the number of the channel they become for the next."""
        labels = np.zeros(self._volume.geometry.shape, dtype=np.uint16)
        prepared = self._prepared(part, stage, earlier)
        place = partial(plane_of, self._volume.geometry, stage, prepared.box)

        def write(index: tuple[int, int], plane: PlaneOfLabels) -> None:
            flat = (
                flattened_regions(self._spec, part, plane.regions())
                if isinstance(plane, PlaneOfScores) and not self._exclusive
                else plane.largest()
            )
            place(index, labels)[...] = flat

        self._stage(prepared, stage, network, write, scores=not self._exclusive)
        return labels

    @property
    def _exclusive(self) -> bool:
        return self._spec.output == "labels"

    def _prepared(self, part: Part, stage: StageSpec, earlier: NDArray[Any] | None) -> Prepared:
        step, start = self._clock.begin_stage(), time.monotonic()
        step()
        region, _ = regions(self._volume.geometry, stage, self._settings.region_ras)
        prepared = prepare(self._volume, stage, region=region, on_step=step)
        if earlier is not None:
            count = len(part.segments)
            prepared = with_earlier_labels(prepared, self._volume, stage, earlier, count=count, on_step=step)
        self._seconds["prepare"] += time.monotonic() - start
        return prepared

    def _stage(
        self,
        prepared: Prepared,
        stage: StageSpec,
        network: Network,
        write: Callable[[tuple[int, int], PlaneOfLabels], None],
        *,
        scores: bool,
    ) -> None:
        """Run a stage's tiles and write its planes, as labels or as scores of all classes."""
        begin_run(network)
        tiles, timed, start = tiles_of_stage(stage, self._settings), TimedNetwork(network), time.monotonic()
        running = blended_planes(prepared.volume.voxels, timed, tiles, self._clock, self._retreat)
        grid = prepared.volume.geometry
        axis = slab_axis(grid.shape, tiles)
        way = WayBack(grid, prepared.oriented.crop(prepared.box), stage, axis)
        with closing(running) as blended:
            for n, plane in self._planes(self._checked(blended), network, way, scores=scores):
                write((axis, n), plane)
                self._clock.report()
        self._seconds["network"] += timed.seconds
        self._seconds["blend and label"] += time.monotonic() - start - timed.seconds
        self._clock.end_stage(timed.passes)
        for note in notes_of(network):
            self._retreat(note)

    def _retreat(self, note: str) -> None:
        self._retreats.append(note)
        self._on_progress(Progress(note, self._clock.fraction()))

    def _planes(
        self, planes: Planes, network: Network, way: WayBack, *, scores: bool
    ) -> Iterator[tuple[int, PlaneOfLabels]]:
        """Planes on the volume's grid."""
        exclusive, as_logits = self._exclusive, way.stage.resampling.back == "logits"
        head = network.head
        if not as_logits:
            planes, head = as_probabilities(planes, head, exclusive=exclusive), None
        if not scores and way.is_linear:
            for n, labels in labels_back(planes, head, way):
                yield n, PlaneOfLabels(labels)
            return
        for n, plane in planes_back(planes, way):
            scored = plane if head is None else head(plane)
            logits = scored if as_logits else logits_of(scored, exclusive=exclusive)
            yield n, PlaneOfScores(logits, exclusive=exclusive)

    def _checked(self, planes: Planes) -> Planes:
        """Planes without NaN or infinite values.

        Raises:
            InvalidInputError: There are some.
        """
        for n, plane in planes:
            # A sum is quicker than a look at each; one that overflows is looked at.
            if not torch.isfinite(plane.sum()) and not torch.isfinite(plane).all():
                raise InvalidInputError(f"model {self._spec.name} gave NaN or infinite logits for this volume")
            yield n, plane

    def finish(self) -> Prediction:
        """Clean up and tell the end."""
        cleaning = Progress("clean up", 0.97, memory_bytes=peak_memory_bytes())
        self._on_progress(cleaning)
        prediction = self._outputs.finish(
            self._volume.name, self._clock.tiles, self._clock.passes, partial(self._on_progress, cleaning)
        )
        self._on_progress(Progress("done", 1.0, 0.0, peak_memory_bytes()))
        return replace(prediction, notes=tuple(self._retreats), seconds=self._seconds)


class _Clock:
    """Turns finished tiles of one stage after the other into progress with an estimate of the time to go."""

    def __init__(self, on_progress: ProgressCallback, expected: Sequence[int]) -> None:
        """Start.

        Args:
            on_progress: Is told.
            expected: Forward passes of each stage, about: how the stages share the time.
        """
        self._on_progress, self._expected, self._stage = on_progress, expected, -1
        self._start, self._done, self._total = time.monotonic(), 0, 1
        self.tiles = self.passes = 0

    def begin_stage(self) -> Callable[[], None]:
        """The next stage is prepared; what is given back is to be called between the steps of that."""
        self._stage, self._done, self._total = self._stage + 1, 0, 1
        at = 0.0 if self._stage == 0 else self.fraction()
        return partial(self._on_progress, Progress("prepare", at))

    def __call__(self, done: int, total: int) -> None:
        self._done, self._total = done, total
        self.report()

    def end_stage(self, passes: int) -> None:
        """All tiles of the stage are done, by so many forward passes."""
        self.tiles += self._done
        self.passes += passes

    def report(self) -> None:
        """Tell how far the tiles are."""
        share = self._share()
        eta = (time.monotonic() - self._start) / share * (1 - share)
        self._on_progress(Progress("predict", self.fraction(), eta, peak_memory_bytes()))

    def _share(self) -> float:
        now = self._expected[self._stage] * self._done / self._total
        return (sum(self._expected[: self._stage]) + now) / sum(self._expected)

    def fraction(self) -> float:
        """How much of the whole work is done, from 0 to 1."""
        return _FIRST + _ALL_TILES * self._share()
