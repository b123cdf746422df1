"""Collect many cases at once: volumes and labels of the same names in two folders."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from DeepSegmentLib.data import Progress, Segment
from DeepSegmentLib.errors import Cancelled, DeepSegmentError, InvalidInputError
from DeepSegmentLib.files.datasets.channel_files import further_channels
from DeepSegmentLib.files.projects import find_volume, open_project
from DeepSegmentLib.files.projects.folder import digest_of_volume
from DeepSegmentLib.files.segmentations.grids_and_layers import empty_segments
from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap
from DeepSegmentLib.files.volumes import read_channels

from .project import Collecting, collect_case

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from DeepSegmentLib.data import LabelMap, ProgressCallback
    from DeepSegmentLib.files.datasets.named_pairs import Pair
    from DeepSegmentLib.files.projects import CaseRecord


@dataclass(frozen=True)
class PairRules:
    """What the numbers in labels mean.

    Attributes:
        names: Of label values that have no table; None for "label 1" and the like.
        empty_is_absent: Whether a segment that is named and has no voxel was looked for and is not there; otherwise
            nobody knows.
    """

    names: Mapping[int, str] | None = None
    empty_is_absent: bool = False


def collect_pair(folder: Path, pair: Pair, rules: PairRules, collecting: Collecting) -> CaseRecord | None:
    """Collect one pair, unless its volume is in the project already; None then.

    Raises:
        DeepSegmentError: A file cannot be read, or the two do not fit each other or the project.
    """
    project = open_project(folder)
    wanted = [channel.name for channel in project.record.channels]
    further = further_channels(pair.volume, wanted) if len(wanted) > 1 else ()
    volume = read_channels(pair.volume, further)
    if find_volume(project, digest_of_volume(volume)) is not None and not collecting.anew:
        return None
    label_map = named_labels(read_labelmap(pair.labels), rules)
    said = replace(collecting, absent=collecting.absent or _absent(label_map, rules))
    return collect_case(folder, volume, label_map, said)


def named_labels(label_map: LabelMap, rules: PairRules) -> LabelMap:
    """With the names that were given for values, and nothing else then."""
    if rules.names is None:
        return label_map
    own = {segment.value: segment for segment in label_map.segments}
    strangers = sorted(own.keys() - rules.names.keys())
    if strangers:
        raise InvalidInputError(f"no name was given for label value {strangers[0]}; name all values (--values)")
    table = [replace(own.get(value) or Segment(name, value), name=name) for value, name in rules.names.items()]
    return replace(label_map, segments=tuple(table))


def _absent(label_map: LabelMap, rules: PairRules) -> tuple[str, ...]:
    if not rules.empty_is_absent:
        return ()
    return tuple(segment.name for segment in empty_segments(label_map))


@dataclass(frozen=True)
class CollectedPairs:
    """What became of many pairs.

    Attributes:
        added: The records of those that are new in the project.
        there: Names of those that were there before.
        problems: Of those that could not be collected name and reason.
    """

    added: tuple[CaseRecord, ...]
    there: tuple[str, ...]
    problems: tuple[tuple[str, str], ...]


def collect_pairs(
    folder: Path, pairs: tuple[Pair, ...], rules: PairRules, collecting: Collecting, on_progress: ProgressCallback
) -> CollectedPairs:
    """Collect all pairs that are not in the project yet; called again, it goes on. One that cannot be is left out.

    Args:
        folder: Of the project.
        pairs: See `find_pairs`.
        rules: What their labels mean.
        collecting: What is said of all of them.
        on_progress: Told which pair is read; may raise `Cancelled`.
    """
    added, there, problems = [], [], []
    for n, pair in enumerate(pairs):
        on_progress(Progress(f"collect {n + 1} of {len(pairs)}, {pair.name}", n / len(pairs)))
        try:
            record = collect_pair(folder, pair, rules, collecting)
        except Cancelled:
            raise
        except DeepSegmentError as error:
            problems.append((pair.name, str(error)))
            continue
        if record is None:
            there.append(pair.name)
        else:
            added.append(record)
    return CollectedPairs(tuple(added), tuple(there), tuple(problems))
