"""What the outputs of an nnU-Net model are called: the `labels` of its `dataset.json`, with or without regions.

References:
    nnU-Net 2.8 `LabelManager`, documentation/region_based_training.md, documentation/ignore_label.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from DeepSegmentLib.data import Segment
from DeepSegmentLib.files.models.importers.palette import color_of
from DeepSegmentLib.files.safe_names import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from DeepSegmentLib.files.models.importers.foreign_json import Entries

_LONGEST_NAME = 200
_LARGEST_LABEL = 65535


@dataclass(frozen=True)
class Outputs:
    """The outputs of a model.

    Attributes:
        segments: In the order of the network's channels, without background.
        output: "labels", or "regions" that may overlap; of these the later ones win where they are flattened.
        members: The labels of the training data that each segment consists of, by its name.
    """

    segments: tuple[Segment, ...]
    output: Literal["labels", "regions"]
    members: Mapping[str, frozenset[int]]

    @property
    def channels(self) -> int:
        """Of the network's output."""
        return len(self.segments) + (self.output == "labels")

    @property
    def labels(self) -> tuple[int, ...]:
        """All labels of the training data, without background; a cascade's next stage gets one channel for each."""
        return tuple(sorted(frozenset().union(*self.members.values())))


def outputs_of(dataset: Entries) -> Outputs:
    """The outputs of a model that was trained on a dataset.

    Raises:
        ModelError: `labels` or `regions_class_order` are not what nnU-Net takes; the message names the entry.
    """
    labels = dataset.within("labels")
    if len(labels.values) > _LARGEST_LABEL:
        dataset.refuse("labels", f"has {len(labels.values)} entries; at most {_LARGEST_LABEL} are possible")
    members = {name: _labels_of(labels, name) for name in labels.values if name != "ignore"}
    if members.get("background") != frozenset({0}):
        labels.refuse("background", f"must be 0, got {labels.values.get('background')!r}")
    named = {name: values for name, values in members.items() if values != frozenset({0})}
    if not named:
        dataset.refuse("labels", "names nothing but the background")
    return _regions(dataset, named) if _has_regions(labels.values) else _plain_labels(dataset, named)


def _has_regions(labels: Mapping[str, Any]) -> bool:
    return any(isinstance(value, list) and len(value) > 1 for name, value in labels.items() if name != "ignore")


def _labels_of(labels: Entries, name: str) -> frozenset[int]:
    values = labels.wholes(name) if isinstance(labels.values[name], list) else (labels.whole(name),)
    if not values or not all(0 <= value <= _LARGEST_LABEL for value in values):
        labels.refuse(name, f"must be one label or several, from 0 to {_LARGEST_LABEL}, got {labels.values[name]!r}")
    return frozenset(values)


def _plain_labels(dataset: Entries, members: Mapping[str, frozenset[int]]) -> Outputs:
    by_label = sorted((min(values), name) for name, values in members.items())
    if [label for label, _ in by_label] != list(range(1, len(by_label) + 1)):
        dataset.refuse(
            "labels", f"must be background 0 and then 1, 2, ..., each once, got {dataset.values['labels']!r}"
        )
    names = _shown_names([name for _, name in by_label])
    segments = tuple(Segment(name, n + 1, color_of(n)) for n, name in enumerate(names))
    return Outputs(segments, "labels", {segment.name: frozenset({segment.value}) for segment in segments})


def _regions(dataset: Entries, members: Mapping[str, frozenset[int]]) -> Outputs:
    """One region a channel, in the order of `labels`; `regions_class_order` says what each becomes when flattened."""
    order = dataset.wholes("regions_class_order")
    if len(order) != len(members) or not all(1 <= value <= _LARGEST_LABEL for value in order):
        dataset.refuse(
            "regions_class_order",
            f"must have a label above 0 for each of the {len(members)} regions, got {list(order)}",
        )
    names = _shown_names(list(members))
    segments = tuple(Segment(name, order[n], color_of(n)) for n, name in enumerate(names))
    return Outputs(segments, "regions", dict(zip(names, members.values(), strict=True)))


def _shown_names(names: list[str]) -> list[str]:
    """The names as they can be shown, each once."""
    shown: list[str] = []
    for name in names:
        wanted = plain(name).strip()[:_LONGEST_NAME] or "segment"
        free = (f"{wanted} {n}" if n > 1 else wanted for n in range(1, len(names) + 2))
        shown.append(next(each for each in free if each not in shown))
    return shown
