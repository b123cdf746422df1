"""The volumes without labels of a training: which a folder holds; on the network's grid, made once and kept."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from DeepSegmentLib.data import Progress
from DeepSegmentLib.errors import DeepSegmentError, InvalidInputError, VolumeFileError
from DeepSegmentLib.files.opening import is_folder
from DeepSegmentLib.files.projects.folder import digest_of_volume
from DeepSegmentLib.files.safe_names import plain
from DeepSegmentLib.files.volumes import read_channels
from DeepSegmentLib.plurals import counted
from DeepSegmentLib.service.batch.find_volumes import OF_ONE_VOLUME, channel_files, find_volumes
from DeepSegmentLib.training.unlabelled.prepare_volume import prepare_volume
from DeepSegmentLib.training.unlabelled.settings import UnlabelledSettings, UnlabelledVolume

from .prepared_cases import PREPARED, is_good, keep, preparing_rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from DeepSegmentLib.data import ProgressCallback, Volume
    from DeepSegmentLib.files.projects import CaseRecord
    from DeepSegmentLib.service.batch.find_inputs import Found

    from .case_recipe import CaseRecipe


def with_unlabelled(
    recipe: CaseRecipe, folder: Path, records: Sequence[CaseRecord], on_progress: ProgressCallback
) -> CaseRecipe:
    """A recipe that learns from the volumes of a folder, too; what it says of their weight stays.

    Args:
        recipe: Without them.
        folder: With volumes in it or below it.
        records: Of all cases of the project: their volumes are left out, for no held-out one to be learned from.
        on_progress: Told which volume is read; may raise `Cancelled`.

    Raises:
        VolumeFileError: There is no such folder.
        InvalidInputError: It holds no volume to learn from; the message tells why.
    """
    if not is_folder(folder):
        raise VolumeFileError(f"{folder} is no folder; name one that holds volumes without labels")
    root, names = folder.resolve(), [channel.name for channel in recipe.model.channels]
    known = {record.volume_digest: f"is {record.name} of the project" for record in records}
    volumes: list[UnlabelledVolume] = []
    left_out: list[str] = []
    found = find_volumes([root], on_progress)
    for n, each in enumerate(found):
        on_progress(Progress(f"read volume {n + 1} of {len(found)}", n / len(found)))
        try:
            volume = _unlabelled(root, each, names)
            if volume.digest in known:
                raise InvalidInputError(known[volume.digest])
        except OF_ONE_VOLUME as error:
            left_out.append(plain(f"{each.path.relative_to(root)}: {error}"))
            continue
        known[volume.digest] = f"is the same volume as {volume.path}"
        volumes.append(volume)
    if not volumes:
        raise InvalidInputError(
            f"{plain(str(folder))} has no volume without labels to learn from"
            + "".join(f"; {each}" for each in left_out)
        )
    settings = replace(recipe.unlabelled or UnlabelledSettings(), folder=str(root), volumes=tuple(volumes))
    told = f"learns from {counted(len(volumes), 'volume')} without labels, too"
    reasons = (*recipe.reasons, told, *(f"left out: {each}" for each in left_out))
    return replace(recipe, unlabelled=settings, reasons=reasons)


def _unlabelled(root: Path, found: Found, names: Sequence[str]) -> UnlabelledVolume:
    if found.error:
        raise VolumeFileError(found.error)
    files = channel_files(found, names)
    channels = tuple(file.relative_to(root).as_posix() for file in files)
    place = UnlabelledVolume(found.path.relative_to(root).as_posix(), "", channels, found.series)
    volume = _read(root, place)
    if volume.channels != len(names):
        raise InvalidInputError(f"has {volume.channels} channels, the model {len(names)}: {', '.join(names)}")
    return replace(place, digest=digest_of_volume(volume))


def _read(root: Path, volume: UnlabelledVolume) -> Volume:
    return read_channels(root / volume.path, [root / file for file in volume.channels], volume.series)


def prepared_volumes(project: Path, recipe: CaseRecipe, on_progress: ProgressCallback) -> tuple[Path, ...]:
    """The folders of the prepared volumes of a recipe; those that are missing are made.

    Raises:
        DeepSegmentError: A volume cannot be read any more, or is another one than the recipe says.
        ResourceError: The disk is full or write-protected.
    """
    settings = recipe.unlabelled or UnlabelledSettings()
    folders = []
    for n, volume in enumerate(settings.volumes):
        folder = project / PREPARED / _key(volume, recipe)
        if not is_good(folder):
            on_progress(Progress(f"prepare volume {n + 1} of {len(settings.volumes)}", n / len(settings.volumes)))
            voxels = _read_again(Path(settings.folder), volume)
            keep(prepare_volume(_name(volume), voxels, recipe.model, recipe.part), folder)
        folders.append(folder)
    return tuple(folders)


def _read_again(root: Path, volume: UnlabelledVolume) -> Volume:
    try:
        found = _read(root, volume)
    except DeepSegmentError as error:
        raise VolumeFileError(f"a volume that this training learns from cannot be read: {error}") from error
    if digest_of_volume(found) != volume.digest:
        raise InvalidInputError(
            f"{root / volume.path} is another volume by now than the one that this training learns from; restore it, "
            "or begin another training"
        )
    return found


def _name(volume: UnlabelledVolume) -> str:
    """Without anything that the file's name may tell of a patient."""
    return f"unlabelled_{volume.digest[:12]}"


def _key(volume: UnlabelledVolume, recipe: CaseRecipe) -> str:
    """What a prepared volume depends on, as a name of a folder."""
    content = json.dumps([volume.digest, *preparing_rules(recipe)], sort_keys=True, allow_nan=False)
    return f"{_name(volume)}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
