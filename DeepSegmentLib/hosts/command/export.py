"""The command `deepsegment export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.files.safe_names import plain

from .shared_options import Place, add_json, add_places, add_verbosity, one_of, settle_places, tell, told_in_full

if TYPE_CHECKING:
    import argparse

    from DeepSegmentLib.files.segmentations.dicom_seg import Algorithm

# as in service.export, which costs an import
_FORMATS = ("nifti", "seg-nrrd", "nnunet", "monai-label", "dicom-seg", "stl", "obj", "glb", "csv")
_SMOOTHING = 10
_MAKERS = ("automatic", "semiautomatic", "manual")


def add_export_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of the command."""
    add_places(
        parser,
        Place("volume", ("-i", "--input"), "volume file or DICOM folder"),
        Place("segmentation", ("-s", "--segmentation"), "labelmap or .seg.nrrd on the grid of the volume"),
    )
    told = f"format: {', '.join(_FORMATS)}"
    parser.add_argument("--to", type=one_of(_FORMATS, "format"), required=True, metavar="FORMAT", help=told)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="PATH",
        help="nifti, stl: a folder; nnunet, monai-label: the dataset's folder, such as Dataset501_Liver, new or not; "
        "else a file (.seg.nrrd, .dcm, .obj, .glb, .csv)",
    )
    parser.add_argument(
        "--case",
        metavar="NAME",
        help="name of the case (default: that of the file; for folders: the next number, such as case_0001)",
    )
    parser.add_argument(
        "--channel", type=Path, action="append", default=[], metavar="FILE", help="further channel; may be repeated"
    )
    parser.add_argument("--series", metavar="SERIES", help="which of several DICOM series: UID, number or description")
    parser.add_argument("--replace", action="store_true", help="replace files or a case that exist; never an input")
    _add_nnunet_options(parser)
    _add_dicom_options(parser)
    parser.add_argument(
        "--smoothing",
        type=int,
        default=_SMOOTHING,
        metavar="N",
        help=f"stl, obj, glb: how often surfaces are smoothed, which keeps their volume (default: {_SMOOTHING})",
    )
    add_json(parser)
    add_verbosity(parser)


def _add_nnunet_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--channel-name",
        action="append",
        default=[],
        metavar="NAME",
        help="nnunet: name of each channel of a new dataset, in order; CT is normalised in a way of its own",
    )
    parser.add_argument("--new-labels", action="store_true", help="nnunet: let the case bring labels that are new")


def _add_dicom_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--made-by",
        choices=_MAKERS,
        help="dicom-seg: who made the segments (default: automatic where the segmentation names a model, else manual)",
    )
    parser.add_argument("--algorithm-name", default="", metavar="NAME", help="dicom-seg: of the model")
    parser.add_argument("--algorithm-version", default="", metavar="VERSION", help="dicom-seg: of the model")


def export(options: argparse.Namespace) -> int:
    """Run the command."""
    report = _exported(options)
    lines = [*report["notes"], *(f"wrote {path}" for path in report["outputs"])]
    tell(options, report, lambda: "\n".join(map(plain, lines)))
    return 0


def _exported(options: argparse.Namespace) -> dict[str, Any]:
    from DeepSegmentLib.service.export import ExportSettings, export_files

    settle_places(options)
    settings = ExportSettings(
        options.to,
        replace=options.replace,
        channel_names=tuple(options.channel_name),
        new_labels=options.new_labels,
        algorithm=_algorithm(options) if options.to == "dicom-seg" else None,
        smoothing=options.smoothing,
    )
    with told_in_full(options):
        return export_files(
            options.volume,
            options.segmentation,
            options.output,
            settings,
            name=options.case,
            channels=tuple(options.channel),
            series=options.series,
        )


def _algorithm(options: argparse.Namespace) -> Algorithm:
    from DeepSegmentLib.files.segmentations.labelmaps import read_provenance
    from DeepSegmentLib.service.export import algorithm_of

    kind = options.made_by and options.made_by.upper()
    known = read_provenance(options.segmentation)
    return algorithm_of(known, kind, options.algorithm_name, options.algorithm_version)
