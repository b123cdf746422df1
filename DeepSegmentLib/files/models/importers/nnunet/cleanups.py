"""The post-processing that nnU-Net found best, from `postprocessing.json`.

`postprocessing.pkl` beside it says the same as a pickle, which is a program: it is never opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from DeepSegmentLib.files.models.importers.foreign_json import Entries, read_entries
from DeepSegmentLib.networks.model_spec import Cleanup

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from .labels import Outputs

_FILE, _PICKLE = "postprocessing.json", "postprocessing.pkl"
_NEIGHBOURS = 26
"""As nnU-Net counts components: by `skimage.measure.label` with its full connectivity."""

_LARGEST_ONLY = "remove_all_but_largest_component_from_segmentation"


@dataclass(frozen=True)
class FoundCleanups:
    """Post-processing, and what of it is not done.

    Attributes:
        cleanups: In their order.
        notes: Sentences for the model card.
    """

    cleanups: tuple[Cleanup, ...] = ()
    notes: tuple[str, ...] = ()


def cleanups_of(folder: Path, outputs: Outputs) -> FoundCleanups:
    """The post-processing of a trained folder.

    nnU-Net writes it for the folds that were evaluated together, into `crossval_results_folds_0_1_2_3_4`; the one of
    most folds counts.

    Raises:
        ModelError: The file is damaged, or has a function that is unknown.
    """
    places = sorted(folder.glob("crossval_results_folds_*"), key=lambda path: (-len(path.name), path.name))
    for place in [folder, *places]:
        if (place / _FILE).is_file():
            return _read(read_entries(place / _FILE), outputs)
    if any((place / _PICKLE).exists() for place in [folder, *places]):
        return FoundCleanups(
            notes=(f"Its {_PICKLE} is a pickle, which could run anything, and was not opened: no clean-up.",)
        )
    return FoundCleanups()


def _read(entries: Entries, outputs: Outputs) -> FoundCleanups:
    functions, arguments = entries.listed("postprocessing_fns"), entries.listed("postprocessing_kwargs")
    if len(functions) != len(arguments):
        entries.refuse("postprocessing_kwargs", f"must have one entry a function, got {len(arguments)}")
    cleanups: list[Cleanup] = []
    notes: list[str] = []
    for n, function in enumerate(functions):
        if function != _LARGEST_ONLY:
            entries.refuse("postprocessing_fns", f"has {function!r}, which is unknown here; known: {_LARGEST_ONLY}")
        labels = _labels(entries, n)
        names = _segments(outputs, labels)
        if names:
            cleanups.append(_keep_largest(names, everywhere=outputs.output == "regions"))
        else:
            notes.append(_not_done(labels))
    return FoundCleanups(tuple(cleanups), tuple(notes))


def _keep_largest(names: tuple[str, ...], *, everywhere: bool) -> Cleanup:
    """As nnU-Net, which flattens regions before it removes: what is removed of one is left in none."""
    return Cleanup(names[0], keep_largest=True, together_with=names[1:], neighbours=_NEIGHBOURS, everywhere=everywhere)


def _labels(entries: Entries, n: int) -> frozenset[int]:
    kwargs = entries.values["postprocessing_kwargs"][n]
    if not isinstance(kwargs, dict):
        entries.refuse("postprocessing_kwargs", f"must hold objects, got {kwargs!r}")
    one = Entries(entries.path, kwargs, f"postprocessing_kwargs.{n}")
    key = "labels_or_regions"
    values = _flat(one.listed(key)) if isinstance(kwargs.get(key), list) else (one.whole(key),)
    return frozenset(Entries(entries.path, {key: list(values)}, one.place).wholes(key))


def _flat(values: Sequence[object]) -> Iterator[object]:
    for value in values:
        yield from _flat(value) if isinstance(value, list) else (value,)


def _segments(outputs: Outputs, labels: frozenset[int]) -> tuple[str, ...]:
    """The segments that consist of just these labels; none where there are no such segments."""
    found = {name: members for name, members in outputs.members.items() if members <= labels}
    return tuple(found) if frozenset().union(*found.values()) == labels else ()


def _not_done(labels: frozenset[int]) -> str:
    return (
        f"nnU-Net found it best to keep the largest component of the labels {', '.join(map(str, sorted(labels)))}, "
        "which are no segments of the model; that clean-up is not done."
    )
