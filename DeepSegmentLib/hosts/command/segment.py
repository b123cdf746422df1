"""The command `deepsegment segment`."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.safe_names import plain
from DeepSegmentLib.plurals import counted

from .shared_options import (
    Place,
    add_json,
    add_places,
    add_verbosity,
    one_of,
    progress_of,
    settle_places,
    tell,
    tell_run,
)
from .terminal import gigabytes, table

if TYPE_CHECKING:
    import argparse

    from DeepSegmentLib.service.batch.parts import Part
    from DeepSegmentLib.service.segment import SegmentRequest

    from .terminal import ProgressBar

_MANY_SEGMENTS = 20
_PRECISIONS = ("checked", "float32", "bfloat16")  # as in networks.back_ends.engine, which costs one too
_FORMATS = ("seg.nrrd", "nii.gz", "nrrd", "mha", "per-segment")  # as in service.batch.plan_cases, which costs an import


def add_segment_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of the command."""
    add_places(
        parser,
        Place(
            "input",
            ("-i", "--input"),
            "volume file, DICOM folder, or folder with volume files and DICOM folders in it; files that end with "
            "_0000, _0001 ... are channels of one case",
        ),
        Place(
            "output",
            ("-o", "--output"),
            "segmentation to write: .seg.nrrd (3D Slicer), or .nii.gz, .nrrd, .mha with a JSON label table; or a "
            "folder: the result gets the name of the input, those of a folder of volumes mirror its sub-folders",
        ),
    )
    _add_run_options(parser)
    _add_output_options(parser)
    _add_folder_options(parser)
    add_json(parser)
    add_verbosity(parser)


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="brain-mr", metavar="NAME", help="model name or folder (default: brain-mr)")
    parser.add_argument("--fast", action="store_true", help="use the coarser, faster model that the model names")
    parser.add_argument(
        "--channel",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="further channel of a model that needs several, in its order; may be repeated",
    )
    parser.add_argument(
        "--device", default="auto", help="auto (default), cpu, cuda (all like the first), cuda:1 or mps"
    )
    parser.add_argument(
        "--precision",
        type=one_of(_PRECISIONS, "precision"),
        default="checked",
        metavar="PRECISION",
        help="on the CPU: checked takes bfloat16 only where the labels are those of float32 (default), float32 or "
        "bfloat16 whatever they are",
    )
    parser.add_argument("--overlap", type=float, help="shared part of neighbouring tiles (default: the model's own)")
    parser.add_argument("--tta", action="store_true", help="average over mirror images: slower, often smoother")
    parser.add_argument("--raw", action="store_true", help="without the model's post-processing")
    parser.add_argument(
        "--roi",
        type=float,
        nargs=6,
        metavar=("R0", "A0", "S0", "R1", "A1", "S1"),
        help="only inside this block: two opposite corners in RAS millimetres",
    )
    parser.add_argument("--any-spacing", action="store_true", help="take voxels under 0.05 or over 30 mm, too")
    parser.add_argument("--series", metavar="SERIES", help="which of several DICOM series: UID, number or description")


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--subset",
        action="append",
        metavar="NAMES",
        help='keep these segments only: names with commas between them, such as "Left thalamus,Right thalamus", or '
        "the option several times; letters of any case",
    )
    parser.add_argument(
        "--save-probabilities",
        action="append",
        default=[],
        metavar="NAMES",
        help='write maps of these segments, named as for --subset; "all" for every segment',
    )
    parser.add_argument("--save-uncertainty", action="store_true", help="write the entropy map")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write a JSON report; folder: a folder of them")
    parser.add_argument("--preview", type=Path, metavar="FILE", help="write a picture (.png); folder: a folder of them")
    parser.add_argument(
        "--statistics",
        nargs="?",
        metavar="FILE",
        help="write volume, surface, place and intensities of each segment as .csv or .json; folder: one table of all "
        "cases (default: beside the result)",
    )
    parser.add_argument("--replace", action="store_true", help="an existing result may be replaced")
    parser.add_argument(
        "--format",
        type=one_of(_FORMATS, "format"),
        metavar="FORMAT",
        help=f"of results in a folder: {', '.join(_FORMATS)} (default: seg.nrrd); per-segment makes a folder with a "
        ".nii.gz for each segment and a table segments.json",
    )


def _add_folder_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--part",
        metavar="K/N",
        help="folder: only the K-th of N parts of its cases, such as 2/8, to share them among machines",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="folder: work its cases on the Dask cluster of this scheduler, such as tcp://host:8786; its workers see "
        "inputs and results by the same paths",
    )
    parser.add_argument(
        "--skip-existing",
        action="store_true",
        help="leave out cases whose result is complete, of the same input, model and parameters, or was corrected; do "
        "others again",
    )


def segment(options: argparse.Namespace) -> int:
    """Run the command."""
    reports, single = _segmented(options)
    tell(options, reports[0] if single else reports, lambda: _described(reports[0]) if single else "")
    return max((int(report.get("exit_code", 0)) for report in reports), default=0)


def _segmented(options: argparse.Namespace) -> tuple[list[dict[str, Any]], bool]:
    """The reports, and whether there was one case only. Those of many are told as they come."""
    from DeepSegmentLib.service.batch.plan_cases import is_batch

    settle_places(options)
    request = _request(options)
    many = is_batch(request)
    bar = progress_of(options)
    try:
        return (_segment_many(options, request, bar) if many else [_segment_one(options, request, bar)]), not many
    finally:
        bar.close()


def _request(options: argparse.Namespace) -> SegmentRequest:
    import numpy as np

    from DeepSegmentLib.segmentation.outputs import PredictSettings
    from DeepSegmentLib.service.catalogue import faster_model
    from DeepSegmentLib.service.segment import SegmentRequest

    settings = PredictSettings(
        overlap=options.overlap,
        mirror=options.tta,
        region_ras=None if options.roi is None else np.reshape(options.roi, (2, 3)),
        probabilities=tuple(options.save_probabilities),
        uncertainty=options.save_uncertainty,
        clean_up=not options.raw,
        any_spacing=options.any_spacing,
    )
    return SegmentRequest(
        source=options.input,
        target=options.output,
        model=faster_model(options.model).name if options.fast else options.model,
        device=options.device,
        settings=settings,
        channels=tuple(options.channel),
        series=options.series,
        report=options.report,
        preview=options.preview,
        replace=options.replace,
        subset=None if options.subset is None else tuple(options.subset),
        precision=options.precision,
    )


def _segment_one(options: argparse.Namespace, request: SegmentRequest, bar: ProgressBar) -> dict[str, Any]:
    from DeepSegmentLib.files.volumes import volume_stem
    from DeepSegmentLib.service.batch.plan_cases import single_target
    from DeepSegmentLib.service.batch.work_case import work_case
    from DeepSegmentLib.service.models.back_ends_record import load_model

    for option in ("part", "scheduler"):
        if getattr(options, option):
            raise InvalidInputError(f"--{option} is for folders of many cases; the input is a single one")
    target = single_target(request.source, request.target, options.format, in_folder="output" in options.folders)
    statistics = _statistics(options, target.parent / f"{volume_stem(target)}_statistics.csv")
    request = replace(request, target=target, statistics=statistics)
    load = partial(load_model, precision=request.precision)
    report = work_case(request, bar, skip_existing=options.skip_existing, load=load)
    if options.verbose:
        tell_run(report)
    return report


def _statistics(options: argparse.Namespace, usual: Path) -> Path | None:
    """The table that was asked for; the usual one where no name was given."""
    if options.statistics is None:
        return None
    return Path(options.statistics) if options.statistics else usual


def _segment_many(options: argparse.Namespace, request: SegmentRequest, bar: ProgressBar) -> list[dict[str, Any]]:
    from DeepSegmentLib.service.batch.parts import Part

    from .batch_printing import BatchLines
    from .batch_runner import Batch, BatchSettings

    part = Part.parse(options.part) if options.part else Part()
    lines = BatchLines(_stream(options), bar, errors_only=options.quiet)
    settings = BatchSettings(
        options.format or _FORMATS[0], options.skip_existing, part=part, scheduler=options.scheduler
    )
    show = bar if options.verbose else lines.show
    with Batch(_for_many(options, request, part), settings, show) as batch:
        cases = batch.find()
        lines.begin(len(cases), len(batch.results))
        reports = []
        for report in batch.work(cases):
            reports.append(report)
            lines.tell(report)
            if options.verbose:
                tell_run(report)
    lines.end(reports)
    return reports


def _for_many(options: argparse.Namespace, request: SegmentRequest, part: Part) -> SegmentRequest:
    statistics = _statistics(options, request.target / "deepsegment-statistics.csv")
    return replace(request, statistics=statistics and part.own(statistics))


def _stream(options: argparse.Namespace) -> TextIO:
    """Where the lines of cases go: beside what --json prints, and with errors where nothing else is told."""
    return sys.stderr if options.json or options.quiet else sys.stdout


def _volumes(volumes_ml: dict[str, float]) -> str:
    """A line for each segment; of many, only for those that were found."""
    found = {name: ml for name, ml in volumes_ml.items() if ml > 0}
    shown = found if len(volumes_ml) > _MANY_SEGMENTS else volumes_ml
    lines = [table(("segment", "ml"), [(name, f"{ml:.1f}") for name, ml in shown.items()])]
    if len(shown) < len(volumes_ml):
        lines.append(f"not found: {counted(len(volumes_ml) - len(shown), 'other segment')}")
    return "\n".join(lines)


def _described(report: dict[str, Any]) -> str:
    """What a segmentation gave: volumes, time, memory, files."""
    if "skipped" in report:
        return plain(f"{report['skipped']}: left out, {report['reason']}")
    volumes = _volumes(report["volumes_ml"])
    seconds, model = sum(report["seconds"][step] for step in ("read", "segment", "write")), report["model"]
    peak = report["memory"]["peak_bytes"]
    lines = [
        volumes,
        "",
        f"{model['name']} {model['version']} on {report['device']}: {report['tiles']} tiles, {seconds:.1f} s"
        + (f", {gigabytes(peak)} at most" if peak else ""),
        *(plain(f"note: {note}") for note in report["notes"]),
        *(plain(f"{what}: {path}") for what, path in report["outputs"].items()),
    ]
    return "\n".join(lines)
