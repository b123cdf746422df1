"""The cases of a project on the network's grid, made once and kept in the project.

A prepared case is known by what it was made of: the digest of its volume, the revision of its labels, what was drawn,
and all of the model that has a say. A damaged one is made again; the whole folder can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.data import Progress
from DeepSegmentLib.data.dataclass_json import to_json
from DeepSegmentLib.files.leftovers import hidden_folder, sweep
from DeepSegmentLib.service.projects.project import labelled_cases
from DeepSegmentLib.training.cases.prepare_case import prepare_case
from DeepSegmentLib.training.cases.stored_case import load, store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from DeepSegmentLib.data import ProgressCallback
    from DeepSegmentLib.files.projects import CaseRecord
    from DeepSegmentLib.training.cases.prepared_case import PreparedCase

    from .case_recipe import CaseRecipe

PREPARED = "prepared"
"""Folder of what is prepared in a project."""

_FORMAT = 1


def prepared_folders(
    project: Path, records: Sequence[CaseRecord], recipe: CaseRecipe, on_progress: ProgressCallback
) -> tuple[Path, ...]:
    """The folders of the prepared cases, in the order of the records; those that are missing are made.

    Raises:
        DeepSegmentError: A case cannot be read, or does not fit the model.
        ResourceError: The disk is full or write-protected.
    """
    sweep(project / PREPARED)
    folders = [project / PREPARED / _key(record, recipe) for record in records]
    missing = [(record, folder) for record, folder in zip(records, folders, strict=True) if not is_good(folder)]
    for n, (record, folder) in enumerate(missing):
        on_progress(Progress(f"prepare case {n + 1} of {len(missing)}, {record.name}", n / len(missing)))
        for case in labelled_cases(project, [record.name], statuses=(record.status,)):
            keep(prepare_case(case, recipe.model, recipe.part, unreviewed=recipe.unreviewed), folder)
    return tuple(folders)


def keep(case: PreparedCase, folder: Path) -> None:
    """Write a prepared case: its folder appears as a whole, unless another training has made it meanwhile.

    Raises:
        ResourceError: The disk is full or write-protected.
    """
    with hidden_folder(folder) as fresh:
        store(case, fresh)
        if not folder.exists():
            fresh.rename(folder)


def _key(record: CaseRecord, recipe: CaseRecipe) -> str:
    """What a prepared case depends on, as a name of a folder."""
    form, *rules = preparing_rules(recipe)
    of_case = {"volume": record.volume_digest, "revision": record.revision, "drawn": to_json(record.drawn)}
    content = json.dumps(
        [form, of_case, to_json(record.reviewed), *rules, recipe.unreviewed], sort_keys=True, allow_nan=False
    )
    return f"{record.name}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def preparing_rules(recipe: CaseRecipe) -> list[Any]:
    """What of a recipe has a say in how any volume is prepared, with the format of what is prepared in front."""
    stage = replace(recipe.part.stages[-1], mirror_axes=())
    rules = {
        key: value
        for key, value in to_json(stage).items()
        if key not in ("network", "weights", "tiling", "patch_shape")
    }
    return [_FORMAT, rules, recipe.part.segments, recipe.model.output]


def is_good(folder: Path) -> bool:
    """Whether it is there and whole; what is damaged is deleted."""
    if not folder.exists():
        return False
    try:
        load(folder, check=True)
    except ValueError:
        with suppress(OSError):
            shutil.rmtree(folder)
        return False
    return True
