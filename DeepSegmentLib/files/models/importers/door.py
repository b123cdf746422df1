"""The door for models of others: who can read what the user added, and what the user may say about it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from DeepSegmentLib.errors import InvalidInputError, ModelError, VolumeFileError
from DeepSegmentLib.files.opening import inside, is_folder, reason
from DeepSegmentLib.files.safe_names import plain
from DeepSegmentLib.files.volume_checks import shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from DeepSegmentLib.networks.model_spec import ModelSpec

IMPORTERS = ("deepsegment", "totalsegmentator", "nnunet", "monai_bundle", "auto3dseg", "graph")
"""Modules beside this one, in the order they are asked; each has an `IMPORTER`, and imports torch in `convert` only."""

_MOST_SHOWN = 8
_LONGEST_MESSAGE = 1500
_MOST_FILES = 50_000
"""In what is added: a hundred times what results of nnU-Net with all their cases hold."""


@dataclass(frozen=True)
class Words:
    """What the user may say about a model that is added; what is empty, the source says.

    Attributes:
        name: Of the model in the catalogue.
        version: Likewise.
        license: Of the weights.
        folds: Which members of an ensemble to take; all where it is empty.
        configuration: Which of several configurations to take, such as "3d_fullres".
        details: For graphs, which tell nothing of themselves: channels, spacing, patch, labels, normalization.
    """

    name: str = ""
    version: str = ""
    license: str = ""
    folds: tuple[str, ...] = ()
    configuration: str = ""
    details: Mapping[str, Any] = field(default_factory=dict, hash=False)


def check_no_choice(words: Words, what: str) -> None:
    """Refuse words that choose among the networks of nnU-Net, for what has no such choice.

    Raises:
        InvalidInputError: There are some; the message says what it is, such as "a graph".
    """
    if words.folds or words.configuration:
        raise InvalidInputError(f"folds and configuration are for nnU-Net models; this is {what}")


@contextmanager
def naming(sources: Sequence[Path], arrival: Path) -> Iterator[None]:
    """Let errors of the block name what the user gave, not the hidden folder, and be of bounded length."""
    try:
        yield
    except (ModelError, InvalidInputError) as error:
        given = _named(sources)
        text = str(error).replace(str(arrival), given)
        known = any(str(source) in text for source in sources)
        raise type(error)(shortened(text if known else f"{given}: {text}", _LONGEST_MESSAGE)) from error


class Importer(Protocol):
    """Converts the models of one kind to our model folders.

    Attributes:
        kind: What the user reads, such as "nnU-Net v2 model".
        signs: What `recognises` looks for, in a few words, such as "plans.json beside fold_0/checkpoint_final.pth".
    """

    kind: str
    signs: str

    def recognises(self, sources: Sequence[Path]) -> bool:
        """Whether these files and folders are of its kind; cheap, weights are not read."""

    def convert(self, sources: Sequence[Path], folder: Path, words: Words) -> ModelSpec:
        """Write a complete model folder.

        Args:
            sources: Folders, and files that are no archives.
            folder: To be written; does not exist.
            words: What the user said.

        Raises:
            ModelError: The source is damaged, incomplete, or asks for what is not supported; the message names it.
        """


def importer_of(sources: Sequence[Path]) -> Importer:
    """Who can convert these files and folders.

    Raises:
        ModelError: Nobody, and the message says what was looked for, and what lies there; or a link leads out of a
            folder, or there are too many files.
    """
    for source in sources:
        _check_links(source)
    importers = [_importer(module) for module in IMPORTERS]
    for importer in importers:
        if importer.recognises(sources):
            return importer
    looked_for = "; ".join(f"{importer.kind}: {importer.signs}" for importer in importers)
    raise ModelError(f"{_named(sources)} is no model of a known kind ({looked_for}). There {_there(sources)}")


def _check_links(folder: Path) -> None:
    """Refuse what would bring files into the catalogue that are not of the model."""
    seen, waiting = 0, [folder] if is_folder(folder) else []
    while waiting:
        for path in _entries(waiting.pop()):
            seen += 1
            if seen > _MOST_FILES:
                raise ModelError(f"{folder} holds more than {_MOST_FILES} files; add the folder of one model only")
            if path.is_symlink():
                _check_link(folder, path)
            elif is_folder(path):
                waiting.append(path)


def _check_link(folder: Path, link: Path) -> None:
    try:
        inside(folder, link.relative_to(folder).as_posix())
    except VolumeFileError as error:
        raise ModelError(str(error)) from error


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise ModelError(f"{folder} cannot be read: {reason(error)}; check its rights") from error


def _importer(module: str) -> Importer:
    importer: Importer = import_module(f"{__package__}.{module}").IMPORTER
    return importer


def _named(sources: Sequence[Path]) -> str:
    return ", ".join(str(source) for source in sources[:_MOST_SHOWN])


def _there(sources: Sequence[Path]) -> str:
    """What lies in the sources: the names of files, those of folders one level down."""
    found: list[str] = []
    for source in sources:
        found += [source.name] if not is_folder(source) else sorted(each.name for each in source.iterdir())
    more = f" and {len(found) - _MOST_SHOWN} more" if len(found) > _MOST_SHOWN else ""
    names = ", ".join(plain(name)[:100] for name in found[:_MOST_SHOWN])
    return f"lie: {names}{more}" if found else "lies nothing"
