"""Segment a volume, a file or a DICOM series."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.data import Progress, Volume
from DeepSegmentLib.data.name_lookup import known_names
from DeepSegmentLib.data.progress import silent, tell_part, watching
from DeepSegmentLib.errors import ResourceError
from DeepSegmentLib.files.atomic import atomic_path, write_text
from DeepSegmentLib.files.datasets.channel_files import further_channels
from DeepSegmentLib.files.input_stamp import input_stamp
from DeepSegmentLib.files.models import load_model, read_spec
from DeepSegmentLib.files.output_checks import Output, check_outputs, check_room, inputs_of, standing_folder
from DeepSegmentLib.files.segmentations.labelmaps import segmentation_outputs, write_segmentation
from DeepSegmentLib.files.volumes import read_channels, volume_stem
from DeepSegmentLib.imaging.memory import available_memory_bytes, peak_memory_bytes
from DeepSegmentLib.networks.runtime import TimedNetwork
from DeepSegmentLib.segmentation.doubts.doubt import doubts_before, notes_after
from DeepSegmentLib.segmentation.outputs import PredictSettings
from DeepSegmentLib.segmentation.predict import predict

from .catalogue import find_model
from .maps_and_statistics import (
    STATISTICS_SUFFIXES,
    chosen_maps,
    map_paths,
    map_sizes,
    statistics_of,
    write_maps,
    write_statistics,
)
from .models.back_ends_record import is_chosen
from .models.focus import focus_region
from .preflight import announcement, check, fitted, next_rung, smaller_patches
from .preview import draw_preview, mark_of_origin
from .run_report import Run, file_report, provenance
from .speeds import record_run, taken_by

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from DeepSegmentLib.data import ProgressCallback
    from DeepSegmentLib.networks.back_ends.engine import Precision
    from DeepSegmentLib.networks.model_spec import ModelSpec
    from DeepSegmentLib.networks.runtime import Model

_FOCUS_PART = 0.3
"""Of the whole work, as progress shows it: the coarse model that finds where to look."""


@dataclass(frozen=True, eq=False)
class SegmentRequest:
    """What to segment, with what, and where to put it.

    Attributes:
        source: Volume file or DICOM folder.
        target: Segmentation to write: .seg.nrrd, or a labelmap (.nii.gz, .nrrd, .mha) with a JSON label table; or
            `segments.json` in a folder of its own: a file a segment, see `files.segmentations.one_file_per_segment`.
        model: Name in the catalogue, or a model folder.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        settings: What to predict and how thoroughly.
        channels: Further channels of a model that needs several, in its order; on the grid of `source`.
        series: Which DICOM series, where the folder holds several: its UID, number or description.
        report: Where to write the JSON report, or None.
        preview: Where to write the picture, or None.
        replace: Results that exist may be replaced.
        subset: Names of the segments to keep; None for all that the model has.
        statistics: Where to write the measurements of each segment (.csv, .json), or None.
        measure: Whether the report holds them, too.
        precision: Of the arithmetic on the CPU; who loads the model heeds it, see `service.models.back_ends_record`.
    """

    source: Path
    target: Path
    model: str = "brain-mr"
    device: str = "auto"
    settings: PredictSettings = field(default_factory=PredictSettings)
    channels: tuple[Path, ...] = ()
    series: str | None = None
    report: Path | None = None
    preview: Path | None = None
    replace: bool = False
    subset: tuple[str, ...] | None = None
    statistics: Path | None = None
    measure: bool = False
    precision: Precision = "checked"


def segment_volume(
    volume: Volume,
    model: str = "brain-mr",
    *,
    device: str = "auto",
    settings: PredictSettings | None = None,
    subset: Sequence[str] | None = None,
    on_progress: ProgressCallback = silent,
    load: Callable[[Path, str], Model] = load_model,
    ready_s: float = 0.0,
) -> Run:
    """Segment a volume with a model of the catalogue.

    Where memory runs out, batches get smaller, tiles are blended in main memory, the CPU is used, or patches get
    smaller, in this order, and the run says so. What cannot fit into memory, or has a
    spacing that hardly any scan has, is refused before the model is loaded: see `preflight.check`. What makes the
    volume or the result doubtful is said too; that never stops it. A model that looks round what another one finds
    (`ModelSpec.focus`) does so where the other one is there and no region is asked for.

    Args:
        volume: What to segment.
        model: Name in the catalogue, or a model folder.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        settings: What to predict and how thoroughly.
        subset: Names of the segments to keep, in letters of any case; None for all.
        on_progress: Told how far the work is; may raise `Cancelled`.
        load: Gives the model of a folder on a device, such as `WarmModels().load`.
        ready_s: Seconds since the user asked for it, such as those that importing took; they count as start.

    Raises:
        ModelError: The model is not there or damaged.
        InvalidInputError: The volume does not fit the model, a setting is out of range, or a segment is unknown.
        ResourceError: The device is not there, there is too little memory for this run, or it ran out on the CPU.
        Cancelled: Raised by `on_progress`.
    """
    folder, settings = find_model(model).path, settings or PredictSettings()
    kept = chosen_segments(subset, spec := read_spec(folder))
    settings = replace(settings, probabilities=chosen_maps(settings.probabilities, kept, spec), subset=kept)
    work = partial(_segment, volume, folder, kept, device=device, load=load, ready_s=ready_s)
    with watching(on_progress) as tell:
        if spec.focus is None or settings.region_ras is not None:
            return work(settings, on_progress=tell)
        begin, end = partial(tell_part, tell, 0.0, _FOCUS_PART), partial(tell_part, tell, _FOCUS_PART, 1.0)
        look = partial(segment_volume, volume, device=device, on_progress=begin, load=load)
        region, note = focus_region(spec, settings, look, begin)
        run = work(replace(settings, region_ras=region), on_progress=end)
        return replace(run, notes=(note, *run.notes))


def _segment(
    volume: Volume,
    folder: Path,
    kept: tuple[str, ...] | None,
    settings: PredictSettings,
    *,
    device: str,
    on_progress: ProgressCallback,
    load: Callable[[Path, str], Model],
    ready_s: float,
) -> Run:
    """Segment where the settings say; where memory is too little on another device, or with smaller patches."""
    spec, needs = fitted(read_spec(folder), volume.geometry, settings, device)
    on_progress(Progress(announcement(needs), 0.0))
    begun, chosen = time.monotonic(), is_chosen(spec.stages)
    loaded = load(folder, device)
    loading_s = ready_s + time.monotonic() - begun
    notes = [] if spec == loaded.spec else [smaller_patches(spec)]
    on_progress(Progress("check volume", 0.0))
    doubts = doubts_before(volume, loaded.spec)
    if doubts:
        on_progress(Progress("this model may not suit the volume, see the notes", 0.0))
    run = partial(_run, volume, doubts=doubts, settings=settings, subset=kept, on_progress=on_progress)
    while True:
        try:
            done, networks = run(replace(loaded, spec=spec), loaded.device)
            compared = not chosen and is_chosen(spec.stages)
            _remember(done, networks, device=device, loading_s=loading_s, compared=compared)
            return replace(done, notes=(*notes, *done.notes))
        except ResourceError as error:
            spec, note = next_rung(error, spec, loaded.device)
            notes.append(note)
        on_progress(Progress(note, 0.0))
        loaded = load(folder, "cpu")


def _run(
    volume: Volume,
    model: Model,
    device: str,
    *,
    doubts: tuple[str, ...],
    settings: PredictSettings,
    subset: tuple[str, ...] | None,
    on_progress: ProgressCallback,
) -> tuple[Run, list[TimedNetwork]]:
    """The run, and the networks that kept the time of it."""
    check(model.spec, volume.geometry, settings, device)  # now that it is known where the network runs
    start, networks = time.monotonic(), [TimedNetwork(network) for network in model.networks]
    prediction = predict(volume, model.spec, networks, settings=settings, on_progress=on_progress)
    seconds = time.monotonic() - start
    notes = (*prediction.notes, *notes_after(doubts, volume, prediction.label_map, model.spec, settings))
    if subset is not None:
        prediction = replace(prediction, label_map=prediction.label_map.only(subset))
    return Run(prediction, model, device, notes, seconds, prediction.passes, subset), networks


def _remember(run: Run, networks: Sequence[TimedNetwork], *, device: str, loading_s: float, compared: bool) -> None:
    size = math.prod(run.prediction.label_map.geometry.shape)
    taken = taken_by(networks, seconds=run.seconds, loading_s=loading_s, voxels=size, compared=compared)
    record_run(run.model.spec, (device, run.device), taken)


def chosen_segments(wishes: Sequence[str] | None, spec: ModelSpec) -> tuple[str, ...] | None:
    """The segments of a model that are meant, in its order; None for all of them.

    Raises:
        InvalidInputError: One is unknown, or none is named.
    """
    names = [segment.name for segment in spec.segments]
    chosen = tuple(names) if wishes is None else known_names(wishes, names, f"model {spec.name} has no segment")
    return None if chosen == tuple(names) else chosen


def completed(request: SegmentRequest, spec: ModelSpec) -> SegmentRequest:
    """The request with the names of segments as the model has them, and the channels that lie beside a first one.

    Raises:
        InvalidInputError: A segment is unknown, none is named, or some of the numbered channels are missing.
    """
    subset, settings = chosen_segments(request.subset, spec), request.settings
    settings = replace(settings, probabilities=chosen_maps(settings.probabilities, subset, spec), subset=subset)
    channels = request.channels or further_channels(request.source, [each.name for each in spec.channels])
    return replace(request, subset=subset, settings=settings, channels=channels)


@dataclass(frozen=True, eq=False)
class CaseRead:
    """A request whose input is in memory: the request completed, its input's stamp and how long reading took."""

    request: SegmentRequest
    spec: ModelSpec
    volume: Volume
    stamp: str
    seconds: float


@dataclass(frozen=True, eq=False)
class CaseRun:
    """A request that is worked but for the writing: what was found, memory and seconds foreseen, seconds it took."""

    case: CaseRead
    run: Run
    memory: dict[str, int | None]
    estimated_s: float | None
    seconds: dict[str, float]


def segment_file(
    request: SegmentRequest,
    on_progress: ProgressCallback = silent,
    *,
    load: Callable[[Path, str], Model] = load_model,
) -> dict[str, Any]:
    """Segment a volume file or DICOM series and write everything the request asks for.

    Its three steps, `read_case`, `run_case` and `write_case`, may be done by different threads.

    Returns:
        The report: model, checksum, parameters, device, times, memory and the volume of each segment in ml.

    Raises:
        DeepSegmentError: See `segment_volume`; VolumeFileError where a file cannot be read or written.
    """
    return write_case(run_case(read_case(request, on_progress), on_progress, load=load), on_progress)


def read_case(request: SegmentRequest, on_progress: ProgressCallback = silent) -> CaseRead:
    """Check what can be known of a request before its work, and read its input; errors as of `segment_file`."""
    spec = read_spec(find_model(request.model).path)
    request = completed(request, spec)
    _check_request(request, spec)
    begun = time.monotonic()
    stamp = input_stamp((request.source, *request.channels), request.series)  # before it is read
    with watching(on_progress) as tell:
        tell(Progress("read", 0.0))
        volume = read_channels(request.source, request.channels, request.series)
    return CaseRead(request, spec, volume, stamp, time.monotonic() - begun)


def run_case(
    case: CaseRead, on_progress: ProgressCallback = silent, *, load: Callable[[Path, str], Model] = load_model
) -> CaseRun:
    """Find the segments; nothing is written. Errors as of `segment_file`."""
    begun = time.monotonic()
    seconds: dict[str, float] = {}

    def noting(event: Progress) -> None:
        if event.stage == "predict":
            seconds.setdefault("first tile after", time.monotonic() - begun)
        on_progress(event)

    run, memory, estimated_s = _run_in_bounds(case.request, case.spec, case.volume, noting, load)
    return CaseRun(case, run, memory, estimated_s, seconds | {"segment": time.monotonic() - begun})


def write_case(done: CaseRun, on_progress: ProgressCallback = silent) -> dict[str, Any]:
    """Write everything that the request asks for; the report. Errors as of `segment_file`.

    Files appear complete or not at all, the segmentation last of those that describe it.
    """
    case, run, begun = done.case, done.run, time.monotonic()
    request, volume = case.request, case.volume
    _check_request(request, case.spec)  # again: it took a while, and others work too
    measured, tables = _measured(request, run, volume)
    outputs = tables | _write_outputs(request, run, volume, case.stamp)
    seconds = {"read": case.seconds} | done.seconds | {"write": time.monotonic() - begun}
    rounded, steps = ({k: round(each, 3) for k, each in some.items()} for some in (seconds, run.prediction.seconds))
    report = file_report(run, volume, request.source, request.settings, request.subset) | measured
    report |= {"outputs": outputs, "seconds": rounded | {"steps": steps}}
    report |= {"memory": done.memory | {"peak_bytes": peak_memory_bytes()}, "estimated_s": done.estimated_s}
    if request.report is not None:
        outputs["report"] = str(request.report)
        # ASCII, because a file name may hold what UTF-8 cannot.
        write_text(request.report, json.dumps(report, indent=2, allow_nan=False) + "\n")
    on_progress(Progress("done", 1.0, 0.0, peak_memory_bytes()))
    return report


def _run_in_bounds(
    request: SegmentRequest,
    spec: ModelSpec,
    volume: Volume,
    on_progress: ProgressCallback,
    load: Callable[[Path, str], Model],
) -> tuple[Run, dict[str, int | None], float | None]:
    """Predict where memory and disk allow it; the run, the memory that was foreseen and was free, seconds foreseen."""
    settings = replace(request.settings, maps_folder=standing_folder(request.target))
    _, needs = fitted(spec, volume.geometry, settings, request.device)
    memory = {"estimated_bytes": needs.memory_bytes, "available_bytes": available_memory_bytes()}
    check_room(_sizes(request, spec, math.prod(volume.geometry.shape)))
    run = segment_volume(
        volume,
        request.model,
        device=request.device,
        settings=settings,
        subset=request.subset,
        on_progress=on_progress,
        load=load,
    )
    return replace(run, notes=(*volume.notes, *run.notes)), memory, needs.seconds


def _check_request(request: SegmentRequest, spec: ModelSpec) -> None:
    """Check that everything a request asks for can be written, and that nothing is lost by it."""
    inputs = inputs_of([request.source, *request.channels], [find_model(request.model).path])
    check_outputs(request_outputs(request, spec), inputs, replace=request.replace)


def request_outputs(request: SegmentRequest, spec: ModelSpec) -> list[Output]:
    """All files that a request asks for."""
    maps = [Output(path) for path in map_paths(request.target, request.settings, spec).values()]
    pictures_and_tables = (
        (request.preview, (".png",)),
        (request.report, (".json",)),
        (request.statistics, STATISTICS_SUFFIXES),
    )
    beside = [Output(path, endings) for path, endings in pictures_and_tables if path]
    return [*segmentation_outputs(request.target, kept_segments(request, spec)), *maps, *beside]


def kept_segments(request: SegmentRequest, spec: ModelSpec) -> tuple[str, ...]:
    """The names of the segments that the result has."""
    return request.subset or tuple(segment.name for segment in spec.segments)


def _sizes(request: SegmentRequest, spec: ModelSpec, voxels: int) -> dict[Path, int]:
    """About how large the results will be: labels compress well."""
    return {request.target: voxels // 8} | map_sizes(map_paths(request.target, request.settings, spec), voxels)


def _write_outputs(request: SegmentRequest, run: Run, volume: Volume, stamp: str) -> dict[str, str]:
    target, prediction = request.target, run.prediction
    outputs = write_maps(prediction, map_paths(target, request.settings, run.model.spec))
    if request.preview is not None:
        spec = run.model.spec
        # Without the volume's name, which may be a patient's: pictures are passed on.
        picture = draw_preview(volume, prediction.label_map, title=f"{spec.name} {spec.version}")
        with atomic_path(request.preview) as path:
            picture.save(path, pnginfo=mark_of_origin())
        outputs["preview"] = str(request.preview)
    words = provenance(run, request.settings) | {"input": stamp}
    write_segmentation(prediction.label_map, target, words)
    return outputs | {"segmentation": str(target)}


def _measured(request: SegmentRequest, run: Run, volume: Volume) -> tuple[dict[str, Any], dict[str, str]]:
    """Measure the segments where that was asked for and write the table: what the report says of it, and the file."""
    if request.statistics is None and not request.measure:
        return {}, {}
    rows = statistics_of(run.prediction.label_map, volume)
    if request.statistics is None:
        return {"statistics": rows}, {}
    write_statistics(request.statistics, [(volume_stem(request.source), rows)])
    return {"statistics": rows}, {"statistics": str(request.statistics)}
