"""Known models: which there are, and getting one from its publisher's address. Nothing here runs unasked."""

from __future__ import annotations

import re
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from DeepSegmentLib.data.name_lookup import unknown_name
from DeepSegmentLib.data.progress import silent, tell_part
from DeepSegmentLib.errors import ChangedError, LicenceError, ModelError
from DeepSegmentLib.files.download import RemoteFile, download
from DeepSegmentLib.files.lock import exclusive
from DeepSegmentLib.files.models.importers.door import Words
from DeepSegmentLib.files.models.known_models import known_model, known_models
from DeepSegmentLib.files.models.licences import check_terms, is_agreed, nobody_agrees, terms_of
from DeepSegmentLib.files.models.origin import bytes_of
from DeepSegmentLib.files.models.places import agreed_licences, downloads_folder, drop_empty_downloads, user_folder
from DeepSegmentLib.files.output_checks import check_room
from DeepSegmentLib.files.remembered import remember, remembered
from DeepSegmentLib.service.catalogue import add_model, check_free, list_models

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from DeepSegmentLib.data import ProgressCallback
    from DeepSegmentLib.files.models.known_models import Download, KnownModel
    from DeepSegmentLib.files.models.licences import Agrees
    from DeepSegmentLib.service.catalogue import ModelEntry

_DOWNLOAD_PART = 0.8
"""Of the whole work, as progress shows it; the rest is converting and trying out."""

_ROOM_FACTOR = 3
"""Bytes needed for one of a download: packed, unpacked and converted lie on the disk at the same time."""

_NOT_IN_FILE_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class AvailableModel:
    """A known model, and what of it is here.

    Attributes:
        known: What its publisher says.
        installed: Whether a model of this name is in the catalogue.
        begun_bytes: Of a download that was begun, what is on the disk.
    """

    known: KnownModel
    installed: bool
    begun_bytes: int = 0


def available_models(words: Sequence[str] = ()) -> tuple[AvailableModel, ...]:
    """Known models that all these words tell of; all for no words. The network is not asked.

    Args:
        words: Such as "liver", "MR" or part of a name: each must begin a word of the model's name, title, modality,
            region of the body, structures, publisher or description; in any case, singular or plural.

    Raises:
        ModelError: The list that came with DeepSegment is damaged.
    """
    names = {entry.name.casefold() for entry in list_models()}
    wanted = [_stem(word) for text in words for word in _WORD.findall(text.casefold())]
    found = [known for known in known_models() if _tells_of(known, wanted)]
    return tuple(
        AvailableModel(known, known.name.casefold() in names, bytes_of(downloads_folder(known.name))) for known in found
    )


def find_known(name: str) -> KnownModel:
    """The known model of this name, in letters of any case.

    Raises:
        ModelError: There is none.
    """
    known = known_model(name)
    if known is None:
        told = unknown_name(name, [other.name for other in known_models()])
        raise ModelError(f"{told} (`deepsegment models available` lists them)")
    return known


def download_question(name: str) -> str:
    """What the user has to agree with before a known model is got; empty where there is nothing, or it was agreed to.

    Raises:
        ModelError: There is no such model.
    """
    terms = _terms(find_known(name))
    return "" if is_agreed(terms, agreed_licences()) else terms


def get_model(
    name: str,
    on_progress: ProgressCallback = silent,
    *,
    agrees: Agrees = nobody_agrees,
    accept_change: bool = False,
) -> ModelEntry:
    """Download a known model and add it to the user's models.

    What was downloaded is kept when the work is stopped, and deleted when the model is there, or cannot be one.

    Args:
        name: See `available_models`.
        on_progress: Told how far it is; may raise `Cancelled`.
        agrees: Asked where the licence is not for every use.
        accept_change: Whether a file may be another than the one that was downloaded earlier.

    Raises:
        ModelError: There is no such model, it is there already, or what came is no model; see `add_model`.
        LicenceError: `agrees` does not.
        ChangedError: A file is not the one that was downloaded earlier, and that is not accepted.
        DownloadError, ChecksumError, ResourceError: See `files.download.download`.
        VolumeFileError: The same model is being downloaded by somebody else.
    """
    known = find_known(name)
    if any(entry.name.casefold() == known.name.casefold() for entry in list_models()):
        raise ModelError(f"{known.name} is here already; to get it anew, remove it first")
    check_free(known.name)
    if not known.files:
        raise ModelError(
            f"{known.name} can only be got by hand: {known.description}. Then: deepsegment models add FILE"
        )
    check_terms(known.name, _terms(known), agrees, agreed_licences())
    with _place_of(downloads_folder(known.name)) as folder:
        check_free(known.name)  # somebody may have got it meanwhile
        check_room({folder / "model": _ROOM_FACTOR * sum(file.bytes or 0 for file in known.files) - bytes_of(folder)})
        return _fetch_and_add(known, folder, on_progress, accept_change=accept_change)


@contextmanager
def _place_of(folder: Path) -> Iterator[Path]:
    """A download's folder, for one at a time; it stays where a later call can go on with what is in it."""
    folder.mkdir(parents=True, exist_ok=True)
    mine = False
    try:
        with exclusive(folder):
            mine = True
            yield folder
    finally:
        if mine and not _holds_parts(folder):
            shutil.rmtree(folder, ignore_errors=True)
            drop_empty_downloads()


def _holds_parts(folder: Path) -> bool:
    """Whether there is more than notes and empty files."""
    return any(path.suffix != ".note" and path.is_file() and path.stat().st_size for path in folder.rglob("*"))


def _fetch_and_add(
    known: KnownModel, folder: Path, on_progress: ProgressCallback, *, accept_change: bool
) -> ModelEntry:
    """The model, of files that are deleted where they are added or are none."""
    files = _fetch(known, folder, on_progress, accept_change=accept_change)
    words = Words(name=known.name, license=known.licence)
    tell = partial(tell_part, on_progress, _DOWNLOAD_PART, 1.0)
    try:
        entry = add_model(files, words, tell, agrees=lambda _: True, origin=[file.url for file in known.files])
    except LicenceError:
        raise
    except ModelError:
        _delete(files)
        raise
    _delete(files)
    return entry


def _delete(files: Sequence[Path]) -> None:
    for file in files:
        file.unlink()


def _fetch(known: KnownModel, folder: Path, on_progress: ProgressCallback, *, accept_change: bool) -> list[Path]:
    """All files of a model, complete and checked."""
    share = _DOWNLOAD_PART / len(known.files)
    targets = []
    for n, file in enumerate(known.files):
        stage = f"download {known.name}" if len(known.files) == 1 else f"download {n + 1} of {len(known.files)}"
        target = folder / str(n + 1) / _file_name(file.url)
        target.parent.mkdir(exist_ok=True)
        tell = partial(tell_part, on_progress, n * share, (n + 1) * share)
        sha256 = download(_remote(file), target, tell, stage)
        if not _remote(file).checksum:
            _check_change(file.url, sha256, accept_change=accept_change)
        targets.append(target)
    return targets


def _check_change(url: str, sha256: str, *, accept_change: bool) -> None:
    """Refuse a file that is not the one that was downloaded earlier; for files without a published checksum."""
    notes = user_folder() / "download-checksums.json"
    before = remembered(notes).get(url, sha256)
    if before != sha256 and not accept_change:
        raise ChangedError(
            f"{url} gives another file than it did when it was downloaded earlier (SHA-256 {sha256[:12]}... instead of "
            f"{before[:12]}...). Its publisher may have renewed it: look there; then agree to take it (--accept-change)"
        )
    remember(notes, {url: sha256})


def _remote(file: Download) -> RemoteFile:
    kind = "sha256" if file.sha256 else "sha1"
    digest = file.sha256 or file.sha1
    return RemoteFile(file.url, f"{kind}:{digest}" if digest else "", file.bytes)


def _file_name(url: str) -> str:
    """The file's name in its address, made harmless."""
    name = _NOT_IN_FILE_NAMES.sub("-", unquote(PurePosixPath(urlsplit(url).path).name)).strip(".-")
    return name[-80:] or "model"


def _terms(known: KnownModel) -> str:
    return terms_of(known.licence, known.licence_url, non_commercial=known.non_commercial, needs_key=known.needs_key)


def _tells_of(known: KnownModel, wanted: Sequence[str]) -> bool:
    texts = (known.name, known.title, known.modality, known.body_region, known.source, known.description)
    words = {word for text in (*texts, *known.structures) for word in _WORD.findall(text.casefold())}
    return all(any(word.startswith(stem) for word in words) for stem in wanted)


def _stem(word: str) -> str:
    """A word without the s of its plural, as structures are named in either."""
    return word[:-1] if len(word) > 3 and word.endswith("s") else word
