"""The inputs in a folder and below: volume files and DICOM series."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from DeepSegmentLib.data import Progress
from DeepSegmentLib.data.progress import silent
from DeepSegmentLib.errors import Cancelled, DeepSegmentError, VolumeFileError
from DeepSegmentLib.files.datasets.channel_files import channel_groups
from DeepSegmentLib.files.dicom import list_series
from DeepSegmentLib.files.opening import is_folder
from DeepSegmentLib.files.volumes import VOLUME_SUFFIXES, volume_stem

from .existing_results import results_among

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from DeepSegmentLib.data import ProgressCallback
    from DeepSegmentLib.files.dicom import SeriesInfo

LOOKING = "looking into "
"""How the stage of the search begins; the folder follows, relative to the one that is searched."""


@dataclass(frozen=True)
class Found:
    """One input, or what looks like one and cannot be.

    Attributes:
        path: File or DICOM folder.
        name: Relative to the folder that was searched, with `/` between its parts; "." for that folder itself.
        stem: The name that its result gets, without suffix; several inputs may have the same.
        series: Which series of the folder, where it holds several.
        error: Why it cannot be segmented; empty where it may be tried.
        channels: Files of further channels, where they have numbers as nnU-Net gives them; `path` is then the first,
            and `name` that of the case.
        numbered: Whether the files have such numbers.
    """

    path: Path
    name: str
    stem: str
    series: str | None = None
    error: str = ""
    channels: tuple[Path, ...] = ()
    numbered: bool = False


@dataclass(frozen=True)
class Findings:
    """What a search gave.

    Attributes:
        inputs: In the order of their names, folder by folder.
        results: Files left out because they are results, as `Found.name`.
    """

    inputs: tuple[Found, ...]
    results: tuple[str, ...] = ()


def find_inputs(
    source: Path, target: Path, *, avoid: Collection[str] = (), on_progress: ProgressCallback = silent
) -> Findings:
    """Search a folder and all below it, each folder once, however many links lead to it.

    Hidden files and folders are passed over, as are results (see `results_among`) and the folder of results. Whatever
    cannot be read is an input with an error.

    Args:
        source: The folder.
        target: Where results go.
        avoid: Folders that were fatal before, by their names; each is an input with an error.
        on_progress: Told which folder is looked into; may raise `Cancelled`.

    Raises:
        VolumeFileError: `source` is no folder, or cannot be read.
    """
    if not is_folder(source):
        raise VolumeFileError(f"the folder {source} does not exist; check the name")
    return _Search(source, target, frozenset(avoid), on_progress).run()


class _Search:
    """One search: what is left to do, and what was found."""

    def __init__(self, source: Path, target: Path, avoid: frozenset[str], on_progress: ProgressCallback) -> None:
        self._source, self._avoid, self._on_progress = source, avoid, on_progress
        # A link to a folder above leads in a circle, and on its way through all that lies beside the source.
        self._seen = {identity for path in (target, *source.resolve().parents) if (identity := _identity(path))}
        # Links wait until every plain folder has been seen, so that a folder goes by its own name.
        self._folders: list[Path] = [source]
        self._links: list[Path] = []
        self._inputs: list[Found] = []
        self._results: list[str] = []

    def run(self) -> Findings:
        while self._folders or self._links:
            folder = (self._folders or self._links).pop()
            identity = _identity(folder)
            if identity is not None and identity in self._seen:
                continue
            self._seen |= {identity} if identity else set()
            self._enter(folder)
        inputs = sorted(self._inputs, key=lambda found: found.name.split("/"))
        return Findings(tuple(inputs), tuple(sorted(self._results)))

    def _enter(self, folder: Path) -> None:
        name = self._name(folder)
        self._on_progress(Progress(f"{LOOKING}{name}", 0.0))
        if name in self._avoid:
            self._refuse(folder, "looking into it ended the process; move what is damaged elsewhere")
            return
        try:
            self._look(folder)
        except Cancelled:
            raise
        except DeepSegmentError as error:
            self._refuse(folder, str(error))
        except OSError as error:
            self._refuse(folder, f"it cannot be read: {error.strerror or error}; check its rights")
        except Exception as error:  # whatever a file may hold, the other folders are looked into
            self._refuse(folder, f"it cannot be looked into, please report this: {error!r}")

    def _look(self, folder: Path) -> None:
        with os.scandir(folder) as entries:
            paths = [folder / entry.name for entry in sorted(entries, key=lambda entry: entry.name)]
        kinds = {path: _kind(path) for path in paths if not path.name.startswith(".")}
        below = [path for path, kind in kinds.items() if kind == "folder"]
        self._folders += reversed([path for path in below if not path.is_symlink()])
        self._links += reversed([path for path in below if path.is_symlink()])
        names = [path.name for path, kind in kinds.items() if kind == "file"]
        results = results_among(folder, names)
        self._results += [self._name(folder / name) for name in results]
        volumes = [path for path in kinds if _is_volume(path) and kinds[path] != "folder" and path.name not in results]
        groups = channel_groups(path.name for path in volumes if kinds[path] == "file")
        for numbers in groups.values():
            self._add_channels(folder, numbers)
        grouped = {name for numbers in groups.values() for name in numbers.values()}
        for path in volumes:
            if path.name not in grouped:
                self._add(path, "" if kinds[path] == "file" else kinds[path])
        if any(not _is_volume(folder / name) for name in names):
            self._add_series(folder, list_series(folder))

    def _add(self, path: Path, error: str) -> None:
        name = self._name(path)
        self._inputs.append(Found(path, name, _beside(name, volume_stem(path)), error=error))

    def _add_channels(self, folder: Path, numbers: Mapping[int, str]) -> None:
        """Files with the numbers of channels make one case."""
        paths = [folder / numbers[n] for n in sorted(numbers)]
        stem = volume_stem(paths[0]).rpartition("_")[0]
        name = _beside(self._name(paths[0]), stem)
        missing = [n for n in range(max(numbers) + 1) if n not in numbers]
        error = f"channel {missing[0]:04d} is missing beside {paths[0].name}; add it" if missing else ""
        self._inputs.append(Found(paths[0], name, name, error=error, channels=tuple(paths[1:]), numbered=True))

    def _add_series(self, folder: Path, series: Sequence[SeriesInfo]) -> None:
        name = self._name(folder)
        if len(series) == 1 or sum(each.makes_volume for each in series) == 1:  # which is then chosen on reading
            stem = volume_stem(self._source.absolute()) if name == "." else name
            self._inputs.append(Found(folder, name, stem))
            return
        # Numbers and not descriptions, which may tell who was scanned.
        for n, each in enumerate(series, 1):
            own = f"series-{n}" if name == "." else f"{name}/series-{n}"
            self._inputs.append(Found(folder, own, own, series=_key(each)))

    def _refuse(self, path: Path, error: str) -> None:
        if path == self._source:
            raise VolumeFileError(f"{path}: {error}")
        name = self._name(path)
        self._inputs.append(Found(path, name, name, error=error))

    def _name(self, path: Path) -> str:
        return path.relative_to(self._source).as_posix()


def _is_volume(path: Path) -> bool:
    return path.name.lower().endswith(VOLUME_SUFFIXES)


def _key(series: SeriesInfo) -> str:
    """What chooses this series among those of its folder: its UID, else its number or description; and its part."""
    base = series.uid or series.number or series.description
    return f"{base}#{series.part}" if series.part else base


def _beside(name: str, stem: str) -> str:
    folder = name.rpartition("/")[0]
    return f"{folder}/{stem}" if folder else stem


def _identity(path: Path) -> tuple[int, int] | None:
    """What a folder is, whatever its name; None where it cannot be asked."""
    try:
        state = path.stat()
    except (OSError, ValueError):
        return None
    return (state.st_dev, state.st_ino)


def _kind(path: Path) -> str:
    """What a name stands for: "file", "folder", or why it is neither."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        kind = "a link that leads nowhere" if path.is_symlink() else "not readable"
        return f"it is {kind}: {getattr(error, 'strerror', None) or error}; check it"
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else "it is no plain file but a pipe, socket or device; name a file"
