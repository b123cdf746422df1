"""The command `deepsegment project`: collect cases, say how far they are, look through them."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import InvalidInputError, VolumeFileError
from DeepSegmentLib.files.safe_names import plain
from DeepSegmentLib.hosts.command.shared_options import add_actions, one_of, progress_of, run_action, tell
from DeepSegmentLib.hosts.command.terminal import table
from DeepSegmentLib.plurals import counted

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from DeepSegmentLib.networks.model_spec import Channel
    from DeepSegmentLib.service.projects.collect_pairs import CollectedPairs, PairRules
    from DeepSegmentLib.service.projects.project import Collecting

_STATUSES = ("draft", "reviewed", "approved")  # as in files.projects, which costs an import


def add_project_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the actions of the command."""
    add_actions(parser, _ACTIONS, _add_place)


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("project", type=Path, help="folder of the project")


def project(options: argparse.Namespace) -> int:
    """Run the command."""
    return run_action(options)


def _new_options(parser: argparse.ArgumentParser) -> None:
    _add_channels(parser)
    parser.add_argument("--name", default="", help="for people (default: that of the folder)")


def _add_channels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--channel",
        action="append",
        default=[],
        metavar="NAME[:MODALITY]",
        help="a channel of the volumes, such as T1w:MR or CT:CT; may be repeated (default: one channel named volume)",
    )


def _new(options: argparse.Namespace) -> int:
    _create(options, options.name)
    tell(options, {"project": str(options.project)}, lambda: f"wrote {plain(str(options.project))}")
    return 0


def _create(options: argparse.Namespace, name: str = "") -> None:
    from DeepSegmentLib.files.projects import create_project

    create_project(options.project, name or options.project.name, _channels(options.channel))


def _check_channels(options: argparse.Namespace) -> None:
    from DeepSegmentLib.files.projects import open_project

    there = open_project(options.project).record.channels
    if there != _channels(options.channel):
        told = ", ".join(f"{channel.name}:{channel.modality}".rstrip(":") for channel in there)
        raise InvalidInputError(f"the channels of the project are {told}; leave --channel out")


def _channels(texts: Sequence[str]) -> tuple[Channel, ...]:
    from DeepSegmentLib.networks.model_spec import Channel

    parts = [text.partition(":") for text in texts or ["volume"]]
    return tuple(Channel(name.strip(), modality.strip()) for name, _, modality in parts)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("volume", type=Path, nargs="?", help="volume file or DICOM folder")
    parser.add_argument("segmentation", type=Path, nargs="?", help="labelmap or .seg.nrrd on its grid")
    _add_channels(parser)
    parser.add_argument(
        "--channel-file",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="further channel; may be repeated",
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="instead of one volume: all in this folder")
    parser.add_argument("--labels", type=Path, metavar="DIR", help="with --images: labels of the same names")
    parser.add_argument(
        "--image-suffix", default="", metavar="TEXT", help="what names of volumes end with, such as _ct"
    )
    parser.add_argument(
        "--label-suffix", default="", metavar="TEXT", help="what names of labels end with, such as _seg"
    )
    parser.add_argument(
        "--values", default="", metavar="1=NAME,...", help="names of label values, for labels without a table of them"
    )
    parser.add_argument(
        "--empty",
        type=one_of(("unknown", "absent"), "meaning"),
        default="unknown",
        metavar="MEANING",
        help="what a named value without a voxel means: nobody looked (unknown, default), or it is not there (absent)",
    )
    _add_words(parser)


def _add_words(parser: argparse.ArgumentParser) -> None:
    told = f"how far the cases are: {', '.join(_STATUSES)} (default: draft)"
    parser.add_argument("--status", type=one_of(_STATUSES, "status"), default="draft", metavar="STATUS", help=told)
    parser.add_argument("--by", default="", metavar="NAME", help="who says so")
    parser.add_argument("--patient", default="", metavar="ID", help="whatever names the patient; only a hash is kept")
    parser.add_argument(
        "--drawn", default="", metavar="NAMES", help="segments that were drawn, with commas (default: all)"
    )
    parser.add_argument("--absent", default="", metavar="NAMES", help="segments that were looked for and are not there")
    parser.add_argument("--journal", type=Path, metavar="DIR", help="journal of the corrections, which is copied")
    parser.add_argument("--notes", default="", metavar="TEXT")


def _add(options: argparse.Namespace) -> int:
    _check_places(options)
    _make_where_new(options)
    if options.images:
        return _add_many(options)
    records = [_collect_one(options)]
    report = {"project": str(options.project), "cases": [record.name for record in records]}
    tell(options, report, lambda: f"collected {counted(len(records), 'case')}" + _names(records))
    return 0


def _add_many(options: argparse.Namespace) -> int:
    done = _collect_many(options)
    report = {
        "project": str(options.project),
        "cases": [record.name for record in done.added],
        "there": list(done.there),
        "problems": [{"name": name, "problem": text} for name, text in done.problems],
    }
    lines = [f"collected {counted(len(done.added), 'case')}" + _names(done.added)]
    lines += [f"there before: {len(done.there)}"] if done.there else []
    lines += [f"left out {name}: {text}" for name, text in done.problems]
    tell(options, report, lambda: "\n".join(map(plain, lines)))
    return VolumeFileError.exit_code if done.problems else 0


def _make_where_new(options: argparse.Namespace) -> None:
    from DeepSegmentLib.service.projects.project import make_where_new

    make_where_new(options.project, options.project.name, _channels(options.channel))
    if options.channel:
        _check_channels(options)


def _names(records: Sequence[Any]) -> str:
    names = [record.name for record in records]
    return f": {names[0]}" + (f" to {names[-1]}" if len(names) > 1 else "") if names else ""


def _check_places(options: argparse.Namespace) -> None:
    one, many = (options.volume, options.segmentation), (options.images, options.labels)
    if not (all(one) and not any(many)) and not (all(many) and not any(one)):
        raise InvalidInputError("name a volume and its segmentation, or --images and --labels for many")


def _collect_one(options: argparse.Namespace) -> Any:
    from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap
    from DeepSegmentLib.files.volumes import read_channels
    from DeepSegmentLib.service.projects.collect_pairs import named_labels
    from DeepSegmentLib.service.projects.project import collect_case

    volume = read_channels(options.volume, options.channel_file)
    labels = named_labels(read_labelmap(options.segmentation), _rules(options))
    return collect_case(options.project, volume, labels, _collecting(options))


def _collect_many(options: argparse.Namespace) -> CollectedPairs:
    from DeepSegmentLib.files.datasets.named_pairs import find_pairs
    from DeepSegmentLib.service.projects.collect_pairs import collect_pairs

    rules = _rules(options)
    pairs = find_pairs(
        options.images, options.labels, image_suffix=options.image_suffix, label_suffix=options.label_suffix
    )
    with closing(progress_of(options)) as bar:
        return collect_pairs(options.project, pairs, rules, _collecting(options), bar)


def _rules(options: argparse.Namespace) -> PairRules:
    from DeepSegmentLib.service.projects.collect_pairs import PairRules

    names = _values(options.values) if options.values else None
    return PairRules(names, options.empty == "absent")


def _values(text: str) -> dict[int, str]:
    pairs = [entry.partition("=") for entry in text.split(",")]
    if not all(value.strip().isdecimal() and name.strip() for value, _, name in pairs):
        raise InvalidInputError(f"--values must look like 1=Left kidney,2=Right kidney; got {text!r}")
    return {int(value): name.strip() for value, _, name in pairs}


def _collecting(options: argparse.Namespace) -> Collecting:
    from DeepSegmentLib.service.projects.project import Collecting

    drawn = _listed(options.drawn)
    return Collecting(
        status=options.status,
        by=options.by,
        patient=options.patient,
        drawn=dict.fromkeys(drawn, ()) if drawn else None,
        absent=_listed(options.absent),
        journal=options.journal,
        notes=options.notes,
    )


def _listed(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _nothing(_: argparse.ArgumentParser) -> None:
    """No more options."""


def _list(options: argparse.Namespace) -> int:
    from DeepSegmentLib.data.dataclass_json import to_json
    from DeepSegmentLib.service.projects.project import case_records, damaged_cases

    records, damaged = case_records(options.project), damaged_cases(options.project)
    report = {
        "project": str(options.project),
        "cases": [to_json(record) | {"status": record.status} for record in records],
        "damaged": [{"case": each.folder.name, "problem": each.problem} for each in damaged],
    }
    rows = [
        (record.name, record.status, str(record.revision), ", ".join(each.name for each in record.drawn), record.notes)
        for record in records
    ]
    lines = [table(("case", "status", "revision", "drawn", "notes"), rows)] if rows else ["no cases"]
    lines += [f"{each.folder.name}: {plain(each.problem)}" for each in damaged]
    tell(options, report, lambda: "\n".join(lines))
    return 0


def _status_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cases", nargs="+", metavar="CASE", help='such as case_0001; "all" for all of them')
    parser.add_argument("status", type=one_of(_STATUSES, "status"), metavar="STATUS", help=", ".join(_STATUSES))
    parser.add_argument("--by", default="", metavar="NAME", help="who says so")


def _status(options: argparse.Namespace) -> int:
    from DeepSegmentLib.service.projects.project import case_records, set_status

    names = options.cases
    if names == ["all"]:
        names = [record.name for record in case_records(options.project)]
    records = set_status(options.project, names, options.status, options.by)
    report = {"cases": [record.name for record in records], "status": options.status}
    tell(options, report, lambda: f"{counted(len(records), 'case')} {options.status}")
    return 0


def _check_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--held-out", default="", metavar="CASES", help="cases that are not learned from, with commas")


def _check(options: argparse.Namespace) -> int:
    from DeepSegmentLib.service.projects.check_project import check_project

    with closing(progress_of(options)) as bar:
        found = check_project(options.project, _listed(options.held_out), bar)
    report = {"project": str(options.project), "findings": [asdict(each) for each in found]}
    lines = [f"{each.case}: {each.text}" for each in found] or ["nothing to tell"]
    tell(options, report, lambda: "\n".join(map(plain, lines)))
    return 0


_ACTIONS = (
    ("new", "make a project", _new_options, _new),
    ("add", "collect a case, or all of a folder; makes the project where there is none", _add_options, _add),
    ("list", "the cases of a project", _nothing, _list),
    ("status", "say how far cases are: draft, reviewed or approved", _status_options, _status),
    ("check", "duplicates, leaks of patients, identifiers, empty segments and small islands", _check_options, _check),
)
