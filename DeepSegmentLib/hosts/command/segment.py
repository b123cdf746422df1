"""The options of `deepsegment segment`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import InvalidInputError

if TYPE_CHECKING:
    import argparse

    from DeepSegmentLib.service.segment import SegmentRequest

    from .terminal import ProgressBar

_FORMATS = ("seg.nrrd", "nii.gz", "nrrd", "mha")  # as in service.batch.planning, which costs an import


def add_segment_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of the command."""
    parser.add_argument(
        "input", type=Path, help="volume file, DICOM folder, or folder with volume files and DICOM folders in it"
    )
    parser.add_argument(
        "output",
        type=Path,
        help="segmentation to write: .seg.nrrd (3D Slicer), or .nii.gz, .nrrd, .mha with a JSON label table; "
        "a folder where the input is a folder of volumes: results mirror its sub-folders",
    )
    _add_run_options(parser)
    _add_output_options(parser)


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="brain-mr", metavar="NAME", help="model name or folder (default: brain-mr)")
    parser.add_argument(
        "--channel",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="further channel of a model that needs several, in its order; may be repeated",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps (default: auto)")
    parser.add_argument("--overlap", type=float, default=0.5, help="shared part of neighbouring tiles (default: 0.5)")
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
        "--save-probabilities", nargs="+", default=[], metavar="SEGMENT", help="write maps of these segments"
    )
    parser.add_argument("--save-uncertainty", action="store_true", help="write the entropy map")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write a JSON report; folder: a folder of them")
    parser.add_argument("--preview", type=Path, metavar="FILE", help="write a picture (.png); folder: a folder of them")
    parser.add_argument("--replace", action="store_true", help="an existing result may be replaced")
    parser.add_argument("--format", choices=_FORMATS, help="folder: format of the results (default: seg.nrrd)")
    parser.add_argument(
        "--skip-existing",
        action="store_true",
        help="leave out cases whose result is complete, of the same input, model and parameters, or was corrected; do "
        "others again",
    )


def segment(options: argparse.Namespace) -> tuple[list[dict[str, Any]], bool]:
    """Run the command; its reports, and whether there was one case only. Those of many are told as they come."""
    from DeepSegmentLib.service.batch.planning import is_batch

    from .terminal import ProgressBar

    request = _request(options)
    many = is_batch(request)
    bar = ProgressBar(sys.stderr)
    try:
        return (_segment_many(options, request, bar) if many else [_segment_one(options, request, bar)]), not many
    finally:
        bar.close()


def _request(options: argparse.Namespace) -> SegmentRequest:
    import numpy as np

    from DeepSegmentLib.segmentation.outputs import PredictSettings
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
        model=options.model,
        device=options.device,
        settings=settings,
        channels=tuple(options.channel),
        series=options.series,
        report=options.report,
        preview=options.preview,
        replace=options.replace,
    )


def _segment_one(options: argparse.Namespace, request: SegmentRequest, bar: ProgressBar) -> dict[str, Any]:
    from DeepSegmentLib.service.batch.working import work_case

    if options.format:
        raise InvalidInputError("--format is for folders; the suffix of the output says the format of a single result")
    return work_case(request, bar, skip_existing=options.skip_existing)


def _segment_many(options: argparse.Namespace, request: SegmentRequest, bar: ProgressBar) -> list[dict[str, Any]]:
    from .batch import Batch, BatchSettings
    from .batch_lines import BatchLines

    lines = BatchLines(sys.stderr if options.json else sys.stdout, bar)
    settings = BatchSettings(options.format or "seg.nrrd", skip_existing=options.skip_existing)
    with Batch(request, settings, lines.show) as batch:
        cases = batch.find()
        lines.begin(len(cases), len(batch.results))
        reports = []
        for report in batch.work(cases):
            reports.append(report)
            lines.tell(report)
    lines.end(reports)
    return reports
