"""The models that there are: those that come with DeepSegment, and those the user added."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from DeepSegmentLib.data import Progress
from DeepSegmentLib.data.name_lookup import unknown_name
from DeepSegmentLib.data.progress import silent
from DeepSegmentLib.errors import InvalidInputError, ModelError
from DeepSegmentLib.files.leftovers import hidden_folder, sweep
from DeepSegmentLib.files.models import problem_with_weights, read_spec, unpacked, verify_model, write_spec
from DeepSegmentLib.files.models.folder import SPEC_FILE
from DeepSegmentLib.files.models.importers.door import Words, importer_of, naming
from DeepSegmentLib.files.models.index import SummaryIndex, summary_of
from DeepSegmentLib.files.models.known_models import known_model
from DeepSegmentLib.files.models.licences import check_terms, nobody_agrees, terms_of
from DeepSegmentLib.files.models.origin import bytes_of, checksum_of
from DeepSegmentLib.files.models.places import (
    agreed_licences,
    bundled_models_folder,
    downloads_folder,
    drop_empty_downloads,
    user_models_folder,
)
from DeepSegmentLib.files.models.versions import finish_swaps
from DeepSegmentLib.files.opening import is_folder
from DeepSegmentLib.files.output_checks import check_new_folder, check_no_inputs, check_room, inputs_of
from DeepSegmentLib.files.safe_names import plain
from DeepSegmentLib.networks.model_spec import check_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from DeepSegmentLib.data import ProgressCallback
    from DeepSegmentLib.files.models.importers.door import Importer
    from DeepSegmentLib.files.models.index import Summary
    from DeepSegmentLib.files.models.licences import Agrees
    from DeepSegmentLib.networks.model_spec import ModelSpec

_NOTHING_SAID = Words()

OWN_KIND = "DeepSegment model"
"""Of models that say nothing of another origin."""

# Files that are models, and not archives that hold some, although some of them are zip files inside.
_MODEL_SUFFIXES = (".pt", ".pth", ".ts", ".onnx", ".pt2")


@dataclass(frozen=True)
class ModelEntry:
    """One line of the list of models.

    Attributes:
        name: Of the model; of its folder where the model is damaged.
        version: Of the model; empty where it is damaged, like the words below.
        path: Its folder.
        bundled: Whether it came with DeepSegment and so cannot be removed.
        description: One sentence.
        license: Of the weights.
        damage: What is wrong with the folder; empty for a good one.
        kind: What it was before it came here, such as "nnU-Net v2 model".
        bytes: Of the disk, its weights and the rest.
    """

    name: str
    version: str
    path: Path
    bundled: bool
    description: str = ""
    license: str = ""
    damage: str = ""
    kind: str = ""
    bytes: int = 0


@dataclass(frozen=True)
class Removed:
    """What is gone.

    Attributes:
        name: Of the model.
        bytes: That the disk has again.
    """

    name: str
    bytes: int


def list_models() -> tuple[ModelEntry, ...]:
    """All models that there are; checksums are not computed.

    Returns:
        The bundled ones first, each group by folder name; damaged ones too, with what is wrong with them.

    Example:
        >>> list_models()[0].name
        'brain-mr'
    """
    finish_swaps(user_models_folder())
    bundled = [_entry(folder, bundled=True) for folder in _model_folders(bundled_models_folder())]
    added = _model_folders(user_models_folder())
    if not added:
        return tuple(bundled)
    index = SummaryIndex(user_models_folder() / ".index.json")
    entries = [_entry(folder, bundled=False, summary_of=index.summary) for folder in added]
    index.keep()
    return (*bundled, *entries)


def find_model(name_or_path: str | Path) -> ModelEntry:
    """The model of this name, or in this folder; case does not matter where neither is there as it is written.

    Raises:
        ModelError: There is none, there are several, or it is damaged.
    """
    entries, name = list_models(), str(name_or_path)
    matches = [entry for entry in entries if entry.name == name]
    if not matches and name and is_folder(Path(name)):
        matches = [_entry_at(Path(name), entries)]
    matches = matches or _named(name, entries)
    if not matches:
        raise ModelError(_not_here(name, entries))
    if len(matches) > 1:
        paths = " and ".join(str(entry.path) for entry in matches)
        raise ModelError(f"several models are named {name!r}; give the folder of one: {paths}")
    if matches[0].damage:
        raise ModelError(f"model {matches[0].name!r} is damaged: {matches[0].damage}")
    return matches[0]


def add_model(
    sources: Sequence[Path],
    words: Words = _NOTHING_SAID,
    on_progress: ProgressCallback = silent,
    *,
    agrees: Agrees = nobody_agrees,
    origin: Sequence[str] = (),
) -> ModelEntry:
    """Convert a model of any known kind and add it to the user's models.

    It is made in a hidden folder, its networks are run once, and it appears complete or not at all, whatever happens.

    Args:
        sources: Folders and files: a zip, a .pt, .pth, .ts or .onnx; several where they make one model.
        words: What the user says of it, such as its name.
        on_progress: Told what it is and how far it got; may raise `Cancelled`.
        agrees: Asked where the licence is not for every use.
        origin: Where the sources are from, such as their addresses; the names of the sources where it is empty.

    Raises:
        ModelError: It is of no known kind, damaged or incomplete, does not run, or its name is taken.
        LicenceError: `agrees` does not.
        InvalidInputError: A source is neither folder nor file, the user's models lie in it, or a word does not suit it.
        VolumeFileError: The folder of the user's models cannot be written.
        ResourceError: The disk has too little room.
        MissingPackageError: A package that it needs is not installed, such as torch.
    """
    root = user_models_folder()
    inputs = inputs_of([], sources)
    check_no_inputs([root], inputs)
    if words.name:
        check_name("name", words.name)
        check_free(words.name)
    with hidden_folder(root / "arrival") as arrival:
        check_new_folder(arrival, inputs)
        with naming(sources, arrival), _opened(sources, root, on_progress) as opened:
            importer = importer_of(opened)
            spec = _convert(importer, opened, arrival, words, on_progress=on_progress, agrees=agrees)
        check_free(spec.name)
        if importer.kind != OWN_KIND:  # which tells already where it came from, and stays as it is
            told = _origin(importer, origin or [source.name for source in sources], sources, on_progress)
            write_spec(arrival, replace(spec, provenance={**spec.provenance, **told}))
        with naming(sources, arrival):
            _try_out(arrival, on_progress)
        check_free(spec.name)  # somebody may have added one meanwhile
        _move(arrival, root / spec.name)
    return _entry(root / spec.name, bundled=False)


def _convert(
    importer: Importer,
    opened: Sequence[Path],
    arrival: Path,
    words: Words,
    *,
    on_progress: ProgressCallback,
    agrees: Agrees,
) -> ModelSpec:
    """Make a model folder; what has to be agreed with is asked as soon as it is known."""
    tell = getattr(importer, "terms", None)  # some know it before
    terms: str = tell(opened, words) if tell else ""
    check_terms(f"{importer.kind} {words.name or opened[0].name}", terms, agrees, agreed_licences())
    check_room({arrival / "weights": sum(map(bytes_of, opened))})
    on_progress(Progress(f"convert {importer.kind}", 0.2))
    spec = importer.convert(opened, arrival, words)
    check_terms(spec.name, "" if terms else terms_of(spec.license), agrees, agreed_licences())
    return spec


def _origin(
    importer: Importer, names: Sequence[str], sources: Sequence[Path], on_progress: ProgressCallback
) -> dict[str, str]:
    """What a model says of where it came from, beside what its importer knows."""
    digests = [checksum_of(source, on_progress) for source in sources]
    return {"kind": importer.kind, "origin": plain(", ".join(names)), "origin_sha256": ", ".join(digests)}


@contextmanager
def _opened(sources: Sequence[Path], root: Path, on_progress: ProgressCallback) -> Iterator[list[Path]]:
    """The sources with folders in the place of archives, for as long as the block lasts."""
    with ExitStack() as stack:
        opened = []
        for source in sources:
            if not os.path.lexists(source):
                raise InvalidInputError(f"{source} does not exist; give the folder or the file of a model")
            packed = not is_folder(source) and source.suffix.lower() not in _MODEL_SUFFIXES
            on_progress(Progress(f"unpack {source.name}" if packed else f"look at {source.name}", 0.0))
            opened.append(stack.enter_context(unpacked(source, root)) if packed else source)
        yield opened


def _try_out(folder: Path, on_progress: ProgressCallback) -> None:
    from DeepSegmentLib.files.models.try_out import try_out

    try_out(folder, lambda n, count: on_progress(Progress("try it out", 0.6 + 0.4 * n / count)))


def _named(name: str, entries: Iterable[ModelEntry]) -> list[ModelEntry]:
    """The entries of this name; where there is none, those that differ in case only."""
    given = list(entries)
    folded = [entry for entry in given if entry.name.casefold() == name.casefold()]
    return [entry for entry in folded if entry.name == name] or folded


def remove_model(name: str) -> Removed:
    """Delete one of the user's models, a damaged one too, with what was downloaded of it.

    Args:
        name: Of the model, in letters of any case.

    Returns:
        Its name, and the bytes that the disk has again.

    Raises:
        ModelError: There is none of this name, there are several, it is a bundled one, or it cannot be deleted.

    Example:
        >>> remove_model("brain-mr")
        Traceback (most recent call last):
        DeepSegmentLib.errors.ModelError: model 'brain-mr' came with DeepSegment and stays
    """
    entries = list_models()
    sweep(user_models_folder())
    matches = _named(name, [entry for entry in entries if not entry.bundled])
    if not matches and (begun := _begun_download(name)):
        return Removed(begun.name, _deleted_download(begun))
    if len(matches) > 1:
        paths = " and ".join(str(entry.path) for entry in matches)
        raise ModelError(f"several models are named {name!r}; delete the folder of one: {paths}")
    if not matches:
        bundled = _named(name, entries)
        raise ModelError(
            f"model {bundled[0].name!r} came with DeepSegment and stays" if bundled else _unknown(name, entries)
        )
    freed = _deleted(matches[0].path) + (_deleted_download(begun) if (begun := _begun_download(matches[0].name)) else 0)
    return Removed(matches[0].name, freed)


def _deleted(folder: Path) -> int:
    """Delete a folder, out of the list in one step and then file by file; the bytes that it had."""
    size = 0 if folder.is_symlink() else bytes_of(folder)
    with hidden_folder(folder) as doomed:
        _move(folder, doomed)
    return size


def _deleted_download(folder: Path) -> int:
    size = _deleted(folder)
    drop_empty_downloads()
    return size


def _begun_download(name: str) -> Path | None:
    """The folder of what was downloaded of a model that is not there yet."""
    folders = downloads_folder("x").parent
    found = (
        [each for each in folders.iterdir() if each.name.casefold() == name.casefold()] if is_folder(folders) else []
    )
    return found[0] if found else None


def faster_model(name_or_path: str | Path) -> ModelEntry:
    """The coarser, faster model of the same segments that a model names.

    Raises:
        InvalidInputError: It names none.
        ModelError: There is no such model, or the faster one is not here.
    """
    entry = find_model(name_or_path)
    coarse = read_spec(entry.path).coarse_model
    if not coarse:
        raise InvalidInputError(f"model {entry.name!r} has no faster variant; run it as it is")
    if not _named(coarse, list_models()):
        raise ModelError(
            f"the faster variant of {entry.name!r} is {coarse!r}, which is not here; get it: deepsegment models get "
            f"{coarse}"
        )
    return find_model(coarse)


def verify(name_or_path: str | Path) -> ModelEntry:
    """Find a model and check its weights against their checksum.

    Raises:
        ChecksumError: They differ.
        ModelError: There is no such model, or it cannot be read.
    """
    entry = find_model(name_or_path)
    verify_model(entry.path)
    return entry


def _model_folders(root: Path) -> list[Path]:
    """The visible folders; hidden ones are models on their way in or out."""
    try:
        found = sorted(root.iterdir())
    except OSError:
        return []
    return [path for path in found if not path.name.startswith(".") and is_folder(path)]


def _entry(folder: Path, *, bundled: bool, summary_of: Callable[[Path], Summary] = summary_of) -> ModelEntry:
    try:
        summary = summary_of(folder)
    except ModelError as error:
        return ModelEntry(folder.name, "", folder, bundled, damage=str(error))
    damage = problem_with_weights(folder, summary.weights)
    told = (summary.description, summary.license, damage, summary.kind or OWN_KIND, bytes_of(folder))
    return ModelEntry(summary.name, summary.version, folder, bundled, *told)


def _entry_at(folder: Path, entries: tuple[ModelEntry, ...]) -> ModelEntry:
    """The entry of a folder, listed or elsewhere."""
    listed = [entry for entry in entries if entry.path.exists() and entry.path.samefile(folder)]
    if not listed and not os.path.lexists(folder / SPEC_FILE):
        raise ModelError(_not_added(folder))
    return listed[0] if listed else _entry(folder, bundled=False)


def _not_added(path: Path) -> str:
    return f"{path} is no model folder, it has no {SPEC_FILE}; add it first: deepsegment models add {path}"


def _not_here(name: str, entries: Sequence[ModelEntry]) -> str:
    """Why there is no such model to run, and what would bring it."""
    with suppress(ModelError):  # a list of offers that cannot be read is another matter
        if known := known_model(name):
            return f"model {known.name!r} is not here yet; get it: deepsegment models get {known.name}"
    is_path = name and os.path.exists(name)  # noqa: PTH110 - pathlib fails for names that are too long
    return _not_added(Path(name)) if is_path else _unknown(name, entries)


def _unknown(name: str, entries: Sequence[ModelEntry]) -> str:
    names = [entry.name for entry in entries]
    told = unknown_name(name, names)
    joint = " " if told.endswith("?") else "; "
    return f"{told}{joint}known: {', '.join(names) or 'none'}. Or give a model folder"


def check_free(name: str) -> None:
    """Refuse a name that a model has.

    Raises:
        ModelError: One has it.
    """
    # Regardless of case, as the file systems of Windows and macOS are.
    folded = name.casefold()
    taken = [entry for entry in list_models() if folded in (entry.name.casefold(), entry.path.name.casefold())]
    if taken:
        advice = "give the new one another name (--name)"
        if not taken[0].bundled:
            advice = "remove that one first, or give the new one another name (--name)"
        raise ModelError(f"there is already a model {name!r} at {taken[0].path}; {advice}")


def _move(folder: Path, target: Path) -> None:
    try:
        folder.rename(target)
    except OSError as error:
        raise ModelError(f"{folder} cannot be moved to {target}: {error.strerror or error}") from error
