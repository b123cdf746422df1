"""The command `deepsegment`: every option here, every decision in `service`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from DeepSegmentLib import __version__
from DeepSegmentLib.errors import Cancelled, DeepSegmentError

from .correct_options import add_correct_options, correct, describe
from .export_options import add_export_options, export

if TYPE_CHECKING:
    from collections.abc import Sequence

    from DeepSegmentLib.training.fit import StepFinished

_EXIT_CODES = """exit codes:
  0 done   1 other error   2 wrong option or value   3 file cannot be read or written
  4 model missing or damaged   5 package missing   6 memory, disk or device   130 stopped"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    options = build_parser().parse_args(arguments)
    try:
        code: int = options.run(options)
    except DeepSegmentError as error:
        sys.stderr.write(f"\ndeepsegment: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("\ndeepsegment: stopped; nothing half-written is left\n")
        return Cancelled.exit_code
    return code


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="deepsegment",
        description="Segment medical volumes with deep networks, on your own machine.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"DeepSegment {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_segment(commands)
    _add_correct(commands)
    _add_models(commands)
    _add_evaluate(commands)
    _add_export(commands)
    _add_train(commands)
    _add_diagnose(commands)
    return parser


_Commands = argparse._SubParsersAction


def _command(commands: _Commands[argparse.ArgumentParser], name: str, text: str) -> argparse.ArgumentParser:
    return commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")


def _add_segment(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "segment", "find structures in a volume, a DICOM folder or a folder of volumes")
    parser.set_defaults(run=_segment)
    parser.add_argument("input", type=Path, help="volume file, DICOM folder, or folder of volume files")
    parser.add_argument(
        "output",
        type=Path,
        help="segmentation to write: .seg.nrrd (3D Slicer), or .nii.gz, .nrrd, .mha with a JSON label table; "
        "a folder where the input is a folder of volumes",
    )
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
    parser.add_argument("--series", metavar="SERIES", help="which of several DICOM series: UID, number or description")
    parser.add_argument(
        "--save-probabilities", nargs="+", default=[], metavar="SEGMENT", help="write maps of these segments"
    )
    parser.add_argument("--save-uncertainty", action="store_true", help="write the entropy map")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write a JSON report")
    parser.add_argument("--preview", type=Path, metavar="FILE", help="write a picture (.png)")
    parser.add_argument("--skip-existing", action="store_true", help="folder: leave out cases that have a result")
    _add_json(parser)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _segment(options: argparse.Namespace) -> int:
    import numpy as np

    from DeepSegmentLib.segmentation.outputs import PredictSettings
    from DeepSegmentLib.service.requests import plan_requests
    from DeepSegmentLib.service.segmenting import SegmentRequest, segment_file, segment_folder

    from .terminal import ProgressBar

    settings = PredictSettings(
        overlap=options.overlap,
        mirror=options.tta,
        region_ras=None if options.roi is None else np.reshape(options.roi, (2, 3)),
        probabilities=tuple(options.save_probabilities),
        uncertainty=options.save_uncertainty,
        clean_up=not options.raw,
    )
    request = SegmentRequest(
        source=options.input,
        target=options.output,
        model=options.model,
        device=options.device,
        settings=settings,
        channels=tuple(options.channel),
        series=options.series,
        report=options.report,
        preview=options.preview,
    )
    requests = plan_requests(request)
    bar = ProgressBar(sys.stderr)
    try:
        if requests == [request]:
            reports = [segment_file(request, bar)]
        else:
            reports = segment_folder(requests, bar, skip_existing=options.skip_existing)
    finally:
        bar.close()
    _print_reports(reports, as_json=options.json, single=requests == [request])
    return max((int(report.get("exit_code", 0)) for report in reports), default=0)


def _print_reports(reports: list[dict[str, object]], *, as_json: bool, single: bool) -> None:
    from .reports import describe_run

    if as_json:
        _print_json(reports[0] if single else reports)
    else:
        sys.stdout.write("\n\n".join(describe_run(report) for report in reports) + "\n")


def _print_json(document: object) -> None:
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _add_correct(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "correct", "mend a segmentation by clicks, scribbles, boxes and lassos")
    parser.set_defaults(run=_correct)
    add_correct_options(parser)
    _add_json(parser)


def _correct(options: argparse.Namespace) -> int:
    report = correct(options)
    if options.json:
        _print_json(report)
    else:
        sys.stdout.write(describe(report) + "\n")
    return 0


def _add_models(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "models", "list, check, add and remove models")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    for name, text, argument in (
        ("list", "all models, bundled and added", None),
        ("info", "what a model segments, its licence and its card", "name"),
        ("verify", "check a model's files against its checksum", "name"),
        ("add", "copy a model folder or zip into the catalogue", "path"),
        ("remove", "delete an added model", "name"),
    ):
        action = _command(actions, name, text)
        action.set_defaults(run=_models, action=name)
        if argument:
            action.add_argument("model", metavar=argument.upper(), help=f"model {argument}")
        _add_json(action)


def _models(options: argparse.Namespace) -> int:
    from DeepSegmentLib.service import catalogue

    from . import reports

    if options.action == "list":
        entries = catalogue.list_models()
        document, text = [reports.model_entry(entry) for entry in entries], reports.model_table(entries)
    elif options.action == "info":
        entry = catalogue.find_model(options.model)
        document, text = [reports.model_document(entry)], reports.model_card(entry)
    elif options.action == "remove":
        catalogue.remove_model(options.model)
        document, text = [{"removed": options.model}], f"removed {options.model}"
    else:
        act = catalogue.verify if options.action == "verify" else lambda path: catalogue.add_model(Path(path))
        entry = act(options.model)
        document, text = [reports.model_entry(entry)], f"{entry.name} {entry.version} is complete and unchanged"
    if options.json:
        _print_json(document if options.action == "list" else document[0])
    else:
        sys.stdout.write(text + "\n")
    return 0


def _add_evaluate(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "evaluate", "compare segmentations with references, segment by segment")
    parser.set_defaults(run=_evaluate)
    parser.add_argument("reference", type=Path, help="labelmap or .seg.nrrd that is right, or a folder of them")
    parser.add_argument("prediction", type=Path, help="the one to judge, or a folder with the same file names")
    parser.add_argument("--tolerance", type=float, default=1.0, metavar="MM", help="of the surface Dice (default: 1)")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the scores as CSV")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the scores as JSON")
    _add_json(parser)


def _evaluate(options: argparse.Namespace) -> int:
    from DeepSegmentLib.service.evaluating import evaluate_files

    from .reports import score_table

    scores = evaluate_files(
        options.reference,
        options.prediction,
        tolerance_mm=options.tolerance,
        csv=options.csv,
        report=options.report,
    )
    if options.json:
        _print_json(scores)
    else:
        sys.stdout.write(score_table(scores) + "\n")
    return 0


def _add_export(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "export", "hand a segmented volume on: NIfTI, .seg.nrrd, nnU-Net, DICOM SEG, CSV")
    parser.set_defaults(run=_export)
    add_export_options(parser)
    _add_json(parser)


def _export(options: argparse.Namespace) -> int:
    report = export(options)
    if options.json:
        _print_json(report)
    else:
        sys.stdout.write("\n".join([*report["notes"], *(f"wrote {path}" for path in report["outputs"])]) + "\n")
    return 0


def _add_train(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "train", "train a model from label maps by domain randomisation")
    parser.set_defaults(run=_train)
    parser.add_argument("recipe", type=Path, help="recipe (.json): model, tissues, synthesis and schedule")
    parser.add_argument("label_maps", type=Path, help="folder of label maps")
    parser.add_argument("output", type=Path, help="model folder to write; must not exist")
    parser.add_argument("--checkpoint", type=Path, required=True, help="training state; an existing one is continued")


def _train(options: argparse.Namespace) -> int:
    from DeepSegmentLib.service.training import read_recipe, train_model

    recipe = read_recipe(options.recipe)
    total = recipe.training.iterations

    def show(step: StepFinished) -> None:
        if step.iteration % 25 == 0 or step.iteration == total:
            sys.stderr.write(f"{step.iteration} of {total}, loss {step.loss:.4f}\n")

    train_model(recipe, options.label_maps, options.output, options.checkpoint, show)
    sys.stdout.write(f"wrote {options.output}\n")
    return 0


def _add_diagnose(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "diagnose", "print versions, devices, memory and what to do about problems")
    parser.set_defaults(run=_diagnose)


def _diagnose(_: argparse.Namespace) -> int:
    from DeepSegmentLib.service.diagnose import diagnose, format_diagnosis

    sys.stdout.write(format_diagnosis(diagnose()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
