"""Where the trained models of nnU-Net lie in what the user added, and which of several is taken.

    nnUNet_results/Dataset101_Name/nnUNetTrainer__nnUNetPlans__3d_fullres/fold_0/checkpoint_final.pth

`plans.json` and `dataset.json` lie beside the folds. Folders above may be missing, and the trained folder renamed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import ModelError
from DeepSegmentLib.files.models.importers.foreign_json import read_entries
from DeepSegmentLib.files.opening import is_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

PLANS_FILE, DATASET_FILE = "plans.json", "dataset.json"
CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")
"""In the order of preference; nnU-Net's own default is the first."""

_FOLD = re.compile(r"fold_(\d{1,4}|all)", re.ASCII)
_DEEPEST, _MOST_FOLDERS = 5, 10_000
_BEST_CONFIGURATIONS = ("3d_cascade", "3d_fullres", "3d_lowres", "2d")
_USUAL = "nnUNetTrainer__nnUNetPlans__"


@dataclass(frozen=True)
class TrainedFolder:
    """The folder of a trained configuration.

    Attributes:
        path: Where.
        checkpoints: By fold, such as "0" or "all".
    """

    path: Path
    checkpoints: Mapping[str, Path]

    @property
    def configuration(self) -> str:
        """As the folder's name says; empty where it was renamed."""
        return self._words[2] if len(self._words) == 3 else ""

    @property
    def training(self) -> str:
        """Trainer and plans, as the folder's name says."""
        return "__".join(self._words[:2])

    @property
    def _words(self) -> list[str]:
        return self.path.name.split("__")


@dataclass(frozen=True)
class Choice:
    """Which trained folder is taken.

    Attributes:
        folder: It.
        reason: Why, in a sentence for the model card; empty where there was no choice.
    """

    folder: TrainedFolder
    reason: str = ""


def trained_folders(sources: Sequence[Path]) -> tuple[TrainedFolder, ...]:
    """The folders of trained configurations in some folders; weights are not read.

    A checkpoint, or the folder of a fold, stands for the trained folder with that fold only. Configurations without a
    checkpoint are left out where another one of the same data set has one: not all are trained.
    """
    found = {folder.path: folder for source in sources for folder in _found_in(source)}
    trained = {folder.path.parent for folder in found.values() if folder.checkpoints}
    return tuple(folder for folder in found.values() if folder.checkpoints or folder.path.parent not in trained)


def _found_in(source: Path) -> Iterator[TrainedFolder]:
    if not is_folder(source):
        fold = _FOLD.fullmatch(source.parent.name)
        if fold and source.suffix == ".pth":
            yield TrainedFolder(source.parent.parent, {fold[1]: source})
    elif fold := _FOLD.fullmatch(source.name):
        checkpoint = _checkpoint(source)
        yield TrainedFolder(source.parent, {} if checkpoint is None else {fold[1]: checkpoint})
    else:
        yield from _trained_below(source)


def _trained_below(root: Path) -> Iterator[TrainedFolder]:
    waiting, seen = [(root, 0)], 0
    while waiting and seen < _MOST_FOLDERS:
        folder, depth = waiting.pop(0)
        seen += 1
        trained = trained_folder(folder)
        if trained is not None:
            yield trained
        elif depth < _DEEPEST:
            waiting += [(each, depth + 1) for each in _folders(folder) if each.name != "ensembles"]


def trained_folder(folder: Path) -> TrainedFolder | None:
    """The trained configuration that a folder is; None where it is none.

    It has the checkpoint of a fold, or, where these are missing, both JSON files.
    """
    folds = [(match[1], each) for each in _folders(folder) if (match := _FOLD.fullmatch(each.name))]
    checkpoints = {fold: path for fold, each in folds if (path := _checkpoint(each)) is not None}
    described = all((folder / name).is_file() for name in (PLANS_FILE, DATASET_FILE))
    return TrainedFolder(folder, checkpoints) if checkpoints or described else None


def _checkpoint(fold: Path) -> Path | None:
    return next((path for name in CHECKPOINTS if (path := fold / name).is_file()), None)


def _folders(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:  # not readable: nothing is found there
        return []
    return [each for each in entries if not each.name.startswith((".", "__")) and is_folder(each)]


def choose(folders: Sequence[TrainedFolder], configuration: str) -> Choice:
    """The configuration that the user asked for; otherwise the one that nnU-Net found best; otherwise the finest.

    Args:
        folders: At least one.
        configuration: A configuration such as "3d_fullres", or the name of a folder; empty for any.

    Raises:
        ModelError: There is none of that name, or models of several data sets.
    """
    wanted = [each for each in folders if _is_meant(each, configuration)]
    names = ", ".join(_place(each) for each in folders[:20])
    if not wanted:
        raise ModelError(f"there is no configuration {configuration!r}; there are: {names}")
    datasets = sorted({str(each.path.parent) for each in wanted})
    if len(datasets) > 1:
        raise ModelError(f"there are models of several data sets; add one of their folders: {', '.join(datasets[:20])}")
    if len(wanted) == 1:
        return Choice(wanted[0])
    if best := _found_best(wanted):
        return best
    first = min(wanted, key=lambda each: (_rank(each, folders), not each.path.name.startswith(_USUAL), each.path.name))
    others = ", ".join(each.path.name for each in wanted if each is not first)
    return Choice(first, f"{first.path.name} was taken as the finest of several; there were also: {others}.")


def _is_meant(folder: TrainedFolder, configuration: str) -> bool:
    return not configuration or configuration in (folder.configuration, folder.path.name, _place(folder))


def _place(folder: TrainedFolder) -> str:
    return f"{folder.path.parent.name}/{folder.path.name}"


def _rank(folder: TrainedFolder, folders: Sequence[TrainedFolder]) -> int:
    kinds = [n for n, kind in enumerate(_BEST_CONFIGURATIONS) if folder.configuration.startswith(kind)]
    rank = kinds[0] if kinds else len(_BEST_CONFIGURATIONS)
    alone = rank == 0 and not any(_rank(each, ()) == 2 for each in folders)
    return len(_BEST_CONFIGURATIONS) + 1 if alone else rank


def _found_best(folders: Sequence[TrainedFolder]) -> Choice | None:
    """What nnUNetv2_find_best_configuration found best, of single configurations."""
    path = folders[0].path.parent / "inference_information.json"
    if not path.is_file():
        return None
    scores = read_entries(path).within("all_results")
    known = [each for each in folders if each.path.name in scores and not _is_nan(scores.values[each.path.name])]
    scored = [(scores.number(each.path.name), each) for each in known]
    if not scored:
        return None
    score, best = max(scored, key=lambda each: each[0])
    return Choice(best, f"{best.path.name} was taken: the best single one by {path.name} (mean Dice {score:.4f}).")


def _is_nan(value: object) -> bool:
    """Whether it is the score of labels that no case had."""
    return isinstance(value, float) and isnan(value)


def earlier_folder(folder: TrainedFolder, configuration: str, folders: Sequence[TrainedFolder]) -> TrainedFolder:
    """The trained folder of a cascade's earlier stage: among those found, or beside it.

    Raises:
        ModelError: There is none.
    """
    name = f"{folder.training}__{configuration}"
    beside = trained_folder(folder.path.parent / name)
    candidates = [*folders, *([beside] if beside is not None else [])]
    found = [each for each in candidates if each.path.name == name] or [
        each for each in candidates if each.configuration == configuration
    ]
    if not found:
        raise ModelError(
            f"{folder.path} is the second stage of a cascade; its first stage is missing: put the folder {name} "
            "beside it, or take another configuration, such as 3d_fullres"
        )
    return found[0]


def chosen_folds(folder: TrainedFolder, folds: Sequence[str]) -> Mapping[str, Path]:
    """The checkpoints of the folds that the user asked for; otherwise of all numbered ones, or of `fold_all`.

    Raises:
        ModelError: A fold has no checkpoint.
    """
    there = folder.checkpoints
    wanted = [fold.strip().removeprefix("fold_") for fold in folds]
    for fold in wanted:
        if fold not in there:
            raise ModelError(
                f"{folder.path / f'fold_{fold}'} has no {' or '.join(CHECKPOINTS)}; "
                f"folds that have one: {', '.join(there) or 'none'}"
            )
    if not there:
        raise ModelError(
            f"{folder.path} has no fold_0/{CHECKPOINTS[0]} or other fold; copy the folders of the folds, or export the "
            "model again with nnUNetv2_export_model_to_zip"
        )
    names = list(dict.fromkeys(wanted)) or [fold for fold in there if fold != "all"] or list(there)
    return {fold: there[fold] for fold in sorted(names, key=lambda fold: (len(fold), fold))}
