"""The command `deepsegment correct`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.files.safe_names import plain

from .shared_options import Place, add_json, add_places, add_verbosity, settle_places, tell, told_in_full

if TYPE_CHECKING:
    import argparse


def add_correct_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of the command."""
    add_places(
        parser,
        Place("image", ("-i", "--input"), "volume file or DICOM folder", required=False),
        Place("labels", ("-s", "--segmentation"), "labelmap or .seg.nrrd on the grid of the image", required=False),
    )
    parser.add_argument("--prompts", type=Path, metavar="FILE", help="JSON list of clicks, scribbles, boxes and lassos")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="segmentation to write")
    parser.add_argument("--replace", action="store_true", help="replace an output that exists; never an input")
    journal = parser.add_mutually_exclusive_group()
    journal.add_argument("--journal", type=Path, metavar="FOLDER", help="record every correction in this new folder")
    journal.add_argument(
        "--resume",
        type=Path,
        metavar="FOLDER",
        help="go on from a journal instead of labels; without an image and prompts its labels are written as they are",
    )
    parser.add_argument("--segment", metavar="NAME", help="segment of prompts that name none")
    _add_engine_options(parser)
    add_json(parser)
    add_verbosity(parser)


def _add_engine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--radius", type=float, metavar="MM", help="edit radius (default: one that fits each error)")
    parser.add_argument(
        "--mode",
        choices=("fix", "grow"),
        default="fix",
        help="correct the segment at the prompt, or make it anew from all prompts (default: fix)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="let segments take voxels of other segments (default: they keep them)"
    )
    parser.add_argument(
        "--aggressiveness",
        type=float,
        default=0.5,
        metavar="PART",
        help="how eager to change, from 0 to 1 (default: 0.5)",
    )


def correct(options: argparse.Namespace) -> int:
    """Run the command."""
    report = _corrected(options)
    tell(options, report, lambda: _described(report))
    return 0


def _corrected(options: argparse.Namespace) -> dict[str, Any]:
    from DeepSegmentLib.correction.settings import CorrectionSettings
    from DeepSegmentLib.service.correct import CorrectRequest, correct_files

    settle_places(options)
    request = CorrectRequest(
        output=options.output,
        image=options.image,
        labels=options.labels,
        prompts=options.prompts,
        journal=options.resume or options.journal,
        resume=options.resume is not None,
        segment=options.segment,
        radius_mm=options.radius,
        settings=CorrectionSettings(
            aggressiveness=options.aggressiveness, mode=options.mode, overwrite=options.overwrite
        ),
        replace=options.replace,
    )
    with told_in_full(options):
        return correct_files(request)


def _described(report: dict[str, Any]) -> str:
    """A report for people."""
    lines = [
        f"{'+' if step['positive'] else '-'} {step['segment']}: {step['changed_voxels']} voxels within "
        f"{step['radius_mm']} mm"
        for step in report["prompts"]
    ]
    if not all(step["changed_voxels"] for step in report["prompts"]):
        lines.append("0 voxels: it is so already, or other segments have them (--overwrite takes them)")
    return "\n".join(map(plain, [*lines, f"wrote {report['output']}"]))
