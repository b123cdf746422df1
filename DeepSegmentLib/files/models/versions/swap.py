"""Put another version of a model in the place of the one that is in use.

No file system exchanges two folders in one step everywhere. What is going to be done is written down first; should the
process be killed between the two steps, whoever looks at the models next finishes them.
"""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import ModelError, VolumeFileError
from DeepSegmentLib.files.atomic import write_text
from DeepSegmentLib.files.leftovers import sweep
from DeepSegmentLib.files.lock import exclusive
from DeepSegmentLib.files.opening import read_json

from .kept import VERSIONS, place_to_keep, versions_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INCOMING = "incoming"
"""What the name of a folder begins with that is made to be put in a model's place."""
_PLAN = "swap.json"
_LARGEST = 1 << 16
_WAIT_S = 30.0
_SWAP_S = 5.0
"""An exchange is two renamings: who looks meanwhile waits for them, and no longer than this."""


@contextmanager
def changing_versions(root: Path) -> Iterator[None]:
    """Be the only one who changes versions; what killed processes began is finished, what they left is removed.

    Args:
        root: Folder of the user's models.

    Raises:
        VolumeFileError: Somebody else is at it, or the folder is write-protected.
    """
    versions = root / VERSIONS
    try:
        versions.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VolumeFileError(f"{root} cannot be written: {error.strerror or error}; check its rights") from error
    with exclusive(versions, wait_s=_WAIT_S):
        _finish_all(root)
        for folder in versions.iterdir():
            sweep(folder)
            for path in folder.glob(f"{INCOMING}*"):  # nobody else makes one now
                shutil.rmtree(path, ignore_errors=True)
        yield


def swap_in(root: Path, name: str, incoming: Path, version: str) -> Path:
    """Exchange the model that is in use; within `changing_versions`.

    Args:
        root: Folder of the user's models.
        name: Of the model's folder there.
        incoming: Complete folder of the version to come, in `versions_folder`.
        version: Of the model that is in use now.

    Returns:
        Where the one that was in use is kept.

    Raises:
        ModelError: A folder cannot be renamed; the model in use stays.
        VolumeFileError: The folder is write-protected.
    """
    kept = place_to_keep(root, name, version)
    plan = versions_folder(root, name) / _PLAN
    write_text(plan, json.dumps({"incoming": incoming.name, "kept": kept.name}) + "\n")
    try:
        (root / name).rename(kept)
        incoming.rename(root / name)
    except OSError as error:
        _finish(root, plan)
        raise ModelError(f"{root / name} cannot be exchanged: {error.strerror or error}") from error
    plan.unlink(missing_ok=True)
    return kept


def finish_swaps(root: Path) -> None:
    """Finish what killed processes have begun, or wait until somebody who is at it has done it."""
    if not any((root / VERSIONS).glob(f"*/{_PLAN}")):
        return
    with suppress(VolumeFileError), exclusive(root / VERSIONS, wait_s=_SWAP_S):
        _finish_all(root)


def _finish_all(root: Path) -> None:
    for plan in (root / VERSIONS).glob(f"*/{_PLAN}"):
        _finish(root, plan)


def _finish(root: Path, plan: Path) -> None:
    """Put the version that was to come in its place; the earlier one again, where that is not possible."""
    folder, target = plan.parent, root / plan.parent.name
    if not target.exists():
        with suppress(OSError, VolumeFileError, KeyError, TypeError):
            words = read_json(plan, largest=_LARGEST)
            for name in (str(words["incoming"]), str(words["kept"])):
                with suppress(OSError):
                    (folder / name).rename(target)
                    break
    if target.exists():
        plan.unlink(missing_ok=True)
