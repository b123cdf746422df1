"""The models that there are: those that come with DeepSegment, and those the user added."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import DeepSegmentLib
from DeepSegmentLib.errors import InvalidInputError, ModelError
from DeepSegmentLib.files.leftovers import hidden_folder
from DeepSegmentLib.files.models import (
    SPEC_FILE,
    copy_model,
    load_model,
    problem_with_weights,
    read_spec,
    unpacked,
    verify_model,
)
from DeepSegmentLib.files.models.importers import Words, importer_of
from DeepSegmentLib.files.opening import is_folder
from DeepSegmentLib.files.output_checks import check_new_folder, check_no_inputs, inputs_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LONGEST_SHOWN = 100
"""Letters of a wrong name that a message repeats."""


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
    """

    name: str
    version: str
    path: Path
    bundled: bool
    description: str = ""
    license: str = ""
    damage: str = ""


def bundled_models_folder() -> Path:
    """Where the models that come with DeepSegment are.

    A wheel has them inside the package; a source checkout and an installed Slicer extension have them beside it.
    """
    package = Path(DeepSegmentLib.__file__).resolve().parent
    inside = package / "resources" / "Models"
    return inside if inside.is_dir() else package.parent / "Resources" / "Models"


def user_models_folder(environment: Mapping[str, str] | None = None, platform: str = sys.platform) -> Path:
    """Where added models go: `DEEPSEGMENT_MODELS`, or else the user's data folder of the platform.

    Args:
        environment: Environment variables; None for those of the process.
        platform: As `sys.platform` names it.

    References:
        XDG Base Directory Specification (Linux); Apple, File System Programming Guide; Microsoft, KNOWNFOLDERID.
    """
    variables = os.environ if environment is None else environment
    chosen = variables.get("DEEPSEGMENT_MODELS")
    return Path(chosen) if chosen else user_folder(variables, platform) / "Models"


def user_folder(environment: Mapping[str, str] | None = None, platform: str = sys.platform) -> Path:
    """Where what belongs to the user is kept; arguments as in `user_models_folder`."""
    return _data_folder(os.environ if environment is None else environment, platform) / "DeepSegment"


def _data_folder(variables: Mapping[str, str], platform: str) -> Path:
    if platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    if platform == "win32":
        return Path(variables.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    data_home = variables.get("XDG_DATA_HOME", "")
    # The specification says to ignore a relative path.
    return Path(data_home) if data_home.startswith("/") else Path.home() / ".local" / "share"


def list_models() -> tuple[ModelEntry, ...]:
    """All models that there are; checksums are not computed.

    Returns:
        The bundled ones first, each group by folder name; damaged ones too, with what is wrong with them.

    Example:
        >>> list_models()[0].name
        'brain-mr'
    """
    roots = ((bundled_models_folder(), True), (user_models_folder(), False))
    return tuple(_entry(folder, bundled=bundled) for root, bundled in roots for folder in _model_folders(root))


def find_model(name_or_path: str | Path) -> ModelEntry:
    """The model of this name, or in this folder; case does not matter where neither is there as it is written.

    Raises:
        ModelError: There is none, there are several, or it is damaged.
    """
    entries = list_models()
    matches = [entry for entry in entries if entry.name == str(name_or_path)]
    if not matches and is_folder(Path(name_or_path)):
        matches = [_entry_at(Path(name_or_path), entries)]
    matches = matches or _named(str(name_or_path), entries)
    if not matches:
        raise ModelError(_unknown(str(name_or_path), entries))
    if len(matches) > 1:
        paths = " and ".join(str(entry.path) for entry in matches)
        raise ModelError(f"several models are named {str(name_or_path)!r}; give the folder of one: {paths}")
    if matches[0].damage:
        raise ModelError(f"model {matches[0].name!r} is damaged: {matches[0].damage}")
    return matches[0]


def add_model(source: Path) -> ModelEntry:
    """Copy a model from a folder or a zip file to the user's models.

    It is loaded once, on the CPU, before it appears in the list.

    Raises:
        ModelError: It is damaged or incomplete, or its name is taken.
        InvalidInputError: `source` is neither a folder nor a zip file, or the user's models lie in it.
        VolumeFileError: The folder of the user's models cannot be written.
        MissingPackageError: torch is not installed.
    """
    root = user_models_folder()
    inputs = inputs_of([], [source])
    check_no_inputs([root], inputs)
    with hidden_folder(root / "arrival") as arrival:
        check_new_folder(arrival, inputs)
        _bring(source, arrival)
        name = load_model(arrival, "cpu").spec.name
        _check_free(name)
        _move(arrival, root / name)
    return _entry(root / name, bundled=False)


def _named(name: str, entries: Iterable[ModelEntry]) -> list[ModelEntry]:
    """The entries of this name; where there is none, those that differ in case only."""
    given = list(entries)
    folded = [entry for entry in given if entry.name.casefold() == name.casefold()]
    return [entry for entry in folded if entry.name == name] or folded


def remove_model(name: str) -> str:
    """Delete one of the user's models, a damaged one too; the name of what is gone.

    Raises:
        ModelError: There is none of this name, there are several, it is a bundled one, or it cannot be deleted.
    """
    entries = list_models()
    matches = _named(name, [entry for entry in entries if not entry.bundled])
    if len(matches) > 1:
        paths = " and ".join(str(entry.path) for entry in matches)
        raise ModelError(f"several models are named {name!r}; delete the folder of one: {paths}")
    if not matches:
        bundled = _named(name, entries)
        raise ModelError(
            f"model {bundled[0].name!r} came with DeepSegment and stays" if bundled else _unknown(name, entries)
        )
    # Out of the list in one step, then gone file by file.
    with hidden_folder(matches[0].path) as doomed:
        _move(matches[0].path, doomed)
    return matches[0].name


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


def _entry(folder: Path, *, bundled: bool) -> ModelEntry:
    try:
        spec = read_spec(folder)
    except ModelError as error:
        return ModelEntry(folder.name, "", folder, bundled, damage=str(error))
    damage = problem_with_weights(folder, spec)
    return ModelEntry(spec.name, spec.version, folder, bundled, spec.description, spec.license, damage)


def _entry_at(folder: Path, entries: tuple[ModelEntry, ...]) -> ModelEntry:
    """The entry of a folder, listed or elsewhere."""
    listed = [entry for entry in entries if entry.path.exists() and entry.path.samefile(folder)]
    return listed[0] if listed else _entry(folder, bundled=False)


def _unknown(name: str, entries: tuple[ModelEntry, ...]) -> str:
    names = [entry.name for entry in entries]
    folded = {known.casefold(): known for known in names}
    close = [folded[match] for match in get_close_matches(name[:_LONGEST_SHOWN].casefold(), folded, n=3)]
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    shown = name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}..."
    return f"no model named {shown!r}; {hint}known: {', '.join(names) or 'none'}. Or give a model folder"


def _bring(source: Path, arrival: Path) -> None:
    """Copy the files of a model, and nothing else, to a new folder."""
    if is_folder(source):
        copy_model(source, arrival)
    elif os.path.lexists(source):
        with unpacked(source, arrival.parent) as folder:
            importer_of([folder]).convert([folder], arrival, Words())
    else:
        raise InvalidInputError(f"{source} is neither a model folder (with {SPEC_FILE}) nor a zip file of one")


def _check_free(name: str) -> None:
    # Regardless of case, as the file systems of Windows and macOS are.
    folded = name.casefold()
    taken = [entry for entry in list_models() if folded in (entry.name.casefold(), entry.path.name.casefold())]
    if taken:
        advice = "rename the new one in its model.json" if taken[0].bundled else "remove that one first"
        raise ModelError(f"there is already a model {name!r} at {taken[0].path}; {advice}")


def _move(folder: Path, target: Path) -> None:
    try:
        folder.rename(target)
    except OSError as error:
        raise ModelError(f"{folder} cannot be moved to {target}: {error.strerror or error}") from error
