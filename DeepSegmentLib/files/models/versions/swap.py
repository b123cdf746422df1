"""Put another version of a model in the place of the one that is in use.

No file system exchanges two folders in one step everywhere. What is going to be done is written down first; should the
process be killed between the two steps, whoever looks at the models next finishes them.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import ModelError, VolumeFileError
from DeepSegmentLib.files.atomic import write_text
from DeepSegmentLib.files.lock import exclusive
from DeepSegmentLib.files.opening import read_json

from .kept import VERSIONS, place_to_keep, versions_folder

if TYPE_CHECKING:
    from pathlib import Path

_PLAN = "swap.json"
_LARGEST = 1 << 16
_WAIT_S = 30.0


def swap_in(root: Path, name: str, incoming: Path, version: str) -> Path:
    """Exchange the model that is in use.

    Args:
        root: Folder of the user's models.
        name: Of the model's folder there.
        incoming: Complete folder of the version to come, in `versions_folder`.
        version: Of the model that is in use now.

    Returns:
        Where the one that was in use is kept.

    Raises:
        ModelError: A folder cannot be renamed; the model in use stays.
        VolumeFileError: Somebody else is exchanging models, or the folder is write-protected.
    """
    with exclusive(root / VERSIONS, wait_s=_WAIT_S):
        _finish_all(root)
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
    """Finish what killed processes have begun; nothing happens while somebody is at it."""
    if not any((root / VERSIONS).glob(f"*/{_PLAN}")):
        return
    with suppress(VolumeFileError), exclusive(root / VERSIONS):
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
