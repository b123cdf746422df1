"""Segment a volume, a file, a DICOM series or a folder of files."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from DeepSegmentLib import __version__
from DeepSegmentLib.data import Progress, Volume
from DeepSegmentLib.data.progress import silent
from DeepSegmentLib.errors import DeepSegmentError, InvalidInputError, ResourceError
from DeepSegmentLib.files.atomic import atomic_path, write_text
from DeepSegmentLib.files.models import load_model
from DeepSegmentLib.files.segmentations.labelmaps import check_segmentation_path, write_segmentation
from DeepSegmentLib.files.volumes import read_channels, volume_stem, write_volume
from DeepSegmentLib.imaging.memory import available_memory_bytes, peak_memory_bytes
from DeepSegmentLib.segmentation.doubts import doubts_before, notes_after
from DeepSegmentLib.segmentation.outputs import Prediction, PredictSettings
from DeepSegmentLib.segmentation.predict import predict

from .catalogue import find_model
from .preflight import estimate
from .preview import draw_preview

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from DeepSegmentLib.data import ProgressCallback
    from DeepSegmentLib.networks.runtime import Model


@dataclass(frozen=True, eq=False)
class SegmentRequest:
    """What to segment, with what, and where to put it.

    Attributes:
        source: Volume file or DICOM folder.
        target: Segmentation to write: .seg.nrrd, or a labelmap (.nii.gz, .nrrd, .mha) with a JSON label table.
        model: Name in the catalogue, or a model folder.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        settings: What to predict and how thoroughly.
        channels: Further channels of a model that needs several, in its order; on the grid of `source`.
        series_uid: Which DICOM series, where the folder holds several.
        report: Where to write the JSON report, or None.
        preview: Where to write the picture, or None.
    """

    source: Path
    target: Path
    model: str = "brain-mr"
    device: str = "auto"
    settings: PredictSettings = field(default_factory=PredictSettings)
    channels: tuple[Path, ...] = ()
    series_uid: str | None = None
    report: Path | None = None
    preview: Path | None = None


@dataclass(frozen=True, eq=False)
class Run:
    """A finished prediction and how it was made.

    Attributes:
        prediction: What came out.
        model: The model that made it.
        device: Where it ran in the end.
        notes: What had to be changed on the way, and what speaks against the result, for the user.
        seconds: How long the prediction took, without loading the model.
        passes: Forward passes of the network, those of mirrored tiles included.
    """

    prediction: Prediction
    model: Model
    device: str
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    passes: int = 0


def segment_volume(
    volume: Volume,
    model: str = "brain-mr",
    *,
    device: str = "auto",
    settings: PredictSettings | None = None,
    on_progress: ProgressCallback = silent,
    load: Callable[[Path, str], Model] = load_model,
) -> Run:
    """Segment a volume with a model of the catalogue.

    A device that runs out of memory is left for the CPU, and the run says so. It also says what makes the volume or
    the result doubtful; that never stops it.

    Args:
        volume: What to segment.
        model: Name in the catalogue, or a model folder.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        settings: What to predict and how thoroughly.
        on_progress: Told how far the work is; may raise `Cancelled`.
        load: Gives the model of a folder on a device, such as `WarmModels().load`.

    Raises:
        ModelError: The model is not there or damaged.
        InvalidInputError: The volume does not fit the model, or a setting is out of range.
        ResourceError: The device is not there, or memory ran out on the CPU too.
        Cancelled: Raised by `on_progress`.
    """
    folder = find_model(model).path
    on_progress(Progress("load model", 0.0))
    loaded = load(folder, device)
    used = str(getattr(loaded.network, "device", device))
    on_progress(Progress("check volume", 0.0))
    doubts = doubts_before(volume, loaded.spec)
    if doubts:
        on_progress(Progress("this model may not suit the volume, see the notes", 0.0))
    run = partial(_run, volume, doubts=doubts, settings=settings, on_progress=on_progress)
    try:
        return run(loaded, used)
    except ResourceError as error:
        if used == "cpu":
            raise
        note = f"{error} Continued on the CPU."
    on_progress(Progress("out of memory, continuing on the CPU", 0.0))
    slower = run(load(folder, "cpu"), "cpu")
    return replace(slower, notes=(note, *slower.notes))


def _run(
    volume: Volume,
    model: Model,
    device: str,
    *,
    doubts: tuple[str, ...],
    settings: PredictSettings | None,
    on_progress: ProgressCallback,
) -> Run:
    start = time.monotonic()
    prediction = predict(volume, model.spec, model.network, settings=settings, on_progress=on_progress)
    mirrors = 2 ** len(model.spec.mirror_axes) if settings is not None and settings.mirror else 1
    seconds = time.monotonic() - start
    notes = notes_after(doubts, volume, prediction.label_map, model.spec, settings)
    return Run(prediction, model, device, notes, seconds, passes=prediction.tiles * mirrors)


def segment_file(
    request: SegmentRequest,
    on_progress: ProgressCallback = silent,
    *,
    load: Callable[[Path, str], Model] = load_model,
) -> dict[str, Any]:
    """Segment a volume file or DICOM series and write everything the request asks for.

    Files appear complete or not at all, the segmentation last of those that describe it.

    Returns:
        The report: model, checksum, parameters, device, times, memory and the volume of each segment in ml.

    Raises:
        DeepSegmentError: See `segment_volume`; VolumeFileError where a file cannot be read or written.
    """
    check_segmentation_path(request.target)
    _check_distinct(request)
    clock = _Stopwatch()
    on_progress(Progress("read", 0.0))
    volume = read_channels(request.source, request.channels, request.series_uid)
    clock.lap("read")
    needs = estimate(find_model(request.model).path, volume.geometry, request.settings)
    available = available_memory_bytes()
    on_progress(Progress(f"{needs.tiles} tiles, about {needs.memory_bytes / (1 << 30):.1f} GB of memory", 0.0))
    run = segment_volume(
        volume, request.model, device=request.device, settings=request.settings, on_progress=on_progress, load=load
    )
    clock.lap("segment")
    outputs = _write_outputs(request, run, volume)
    clock.lap("write")
    report = _report(request, run, volume) | {
        "outputs": outputs,
        "seconds": clock.seconds,
        "memory": {
            "estimated_bytes": needs.memory_bytes,
            "available_bytes": available,
            "peak_bytes": peak_memory_bytes(),
        },
    }
    if request.report is not None:
        outputs["report"] = str(request.report)
        write_text(request.report, json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    on_progress(Progress("done", 1.0, 0.0, peak_memory_bytes()))
    return report


def segment_folder(
    requests: list[SegmentRequest],
    on_progress: ProgressCallback = silent,
    *,
    skip_existing: bool = False,
    load: Callable[[Path, str], Model] = load_model,
) -> list[dict[str, Any]]:
    """Segment one after the other; a case that fails does not stop the others.

    Returns:
        One report each; those of failed cases hold `input`, `error` and `exit_code` instead of results, those of
        skipped ones `input` and `skipped`.

    Raises:
        Cancelled: Raised by `on_progress`.
    """
    reports = []
    for n, request in enumerate(requests):
        if skip_existing and request.target.exists():
            reports.append({"input": {"path": str(request.source)}, "skipped": str(request.target)})
            continue
        reports.append(_one_of(request, _part_of(on_progress, n, len(requests)), load))
    return reports


def _one_of(
    request: SegmentRequest, on_progress: ProgressCallback, load: Callable[[Path, str], Model]
) -> dict[str, Any]:
    try:
        return segment_file(request, on_progress, load=load)
    except DeepSegmentError as error:
        if error.exit_code == 130:
            raise
        return {"input": {"path": str(request.source)}, "error": str(error), "exit_code": error.exit_code}


def _part_of(on_progress: ProgressCallback, n: int, total: int) -> ProgressCallback:
    """A callback for case n of several, whose fractions count for all."""

    def report(event: Progress) -> None:
        stage = f"case {n + 1} of {total}: {event.stage}"
        on_progress(Progress(stage, (n + event.fraction) / total, event.eta_s, event.memory_bytes))

    return report


class _Stopwatch:
    """Seconds between laps, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.seconds[name] = round(now - self._last, 3)
        self._last = now


def _check_distinct(request: SegmentRequest) -> None:
    paths = [
        path for path in (request.source, *request.channels, request.target, request.report, request.preview) if path
    ]
    for n, path in enumerate(paths):
        if path in paths[:n]:
            raise InvalidInputError(f"{path} is asked for twice; give each input and output a name of its own")


def _write_outputs(request: SegmentRequest, run: Run, volume: Volume) -> dict[str, str]:
    target, prediction = request.target, run.prediction
    stem = volume_stem(target)
    outputs = {}
    for name, probability in prediction.probabilities.items():
        path = target.with_name(f"{stem}_{_file_word(name)}_probability.nii.gz")
        write_volume(probability, path)
        outputs[f"probability of {name}"] = str(path)
    if prediction.uncertainty is not None:
        path = target.with_name(f"{stem}_uncertainty.nii.gz")
        write_volume(prediction.uncertainty, path)
        outputs["uncertainty"] = str(path)
    if request.preview is not None:
        spec = run.model.spec
        picture = draw_preview(volume, prediction.label_map, title=f"{volume.name}   {spec.name} {spec.version}")
        with atomic_path(request.preview) as path:
            picture.save(path)
        outputs["preview"] = str(request.preview)
    write_segmentation(prediction.label_map, target, provenance(run, request.settings))
    return outputs | {"segmentation": str(target)}


def _file_word(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())


def provenance(run: Run, settings: PredictSettings) -> dict[str, str]:
    """What a result carries with it: model, version, checksum, parameters, device, library version, date."""
    spec = run.model.spec
    return {
        "model": spec.name,
        "model_version": spec.version,
        "model_sha256": spec.weights_sha256,
        "parameters": json.dumps(_parameters(settings)),
        "device": run.device,
        "library": f"DeepSegment {__version__}",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _parameters(settings: PredictSettings) -> dict[str, Any]:
    region = None if settings.region_ras is None else settings.region_ras.tolist()
    return {
        "overlap": settings.overlap,
        "mirror": settings.mirror,
        "clean_up": settings.clean_up,
        "region_ras": region,
    }


def run_report(run: Run) -> dict[str, Any]:
    """The numbers of a run: device, notes, tiles and the volume of each segment in ml."""
    return {
        "device": run.device,
        "notes": list(run.notes),
        "tiles": run.prediction.tiles,
        "volumes_ml": {name: round(ml, 3) for name, ml in run.prediction.label_map.volumes_ml().items()},
    }


def _report(request: SegmentRequest, run: Run, volume: Volume) -> dict[str, Any]:
    spec, geometry, made = run.model.spec, volume.geometry, provenance(run, request.settings)
    return {
        "library": made["library"],
        "created": made["created"],
        "input": {
            "path": str(request.source),
            "channels": volume.channels,
            "shape_kji": list(geometry.shape),
            "spacing_kji_mm": list(geometry.spacing_mm),
            "orientation": geometry.orientation,
        },
        "model": {"name": spec.name, "version": spec.version, "sha256": spec.weights_sha256, "license": spec.license},
        "parameters": _parameters(request.settings),
    } | run_report(run)
