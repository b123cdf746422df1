"""Datasets that no case is added to, and recipes that are no recipes: name, maker, and what the message must say."""

from __future__ import annotations

from fuzz.cases import Case, Link, Pipe, Sparse
from fuzz.door import NINE_GB
from fuzz.doors.documents import DATASET, dataset_seeds, recipe_seeds, text

_LIST = "Dataset501_Test/dataset.json"


def dataset(folder, content=None, **changes):
    """A dataset whose list is changed."""
    document = {key: value for key, value in {**DATASET, **changes}.items() if value is not ...}
    Case({**dataset_seeds()[0].files, _LIST: text(document) if content is None else content}).write(folder)
    (folder / "outside.txt").write_text("untouched")
    return folder


def lacking(folder, name):
    """A dataset without one of its files."""
    files = {key: value for key, value in dataset_seeds()[0].files.items() if not key.endswith(name)}
    Case(files).write(folder)
    return folder


def listed(folder, file):
    """A dataset whose list names a file outside."""
    return dataset(folder, dataset={"a": {"images": [file], "label": file}})


DATASETS = {
    "no list": (lambda d: lacking(d, "dataset.json"), "is no nnU-Net dataset"),
    "a list that is a pipe": (lambda d: dataset(d, Pipe()), "dataset.json"),
    "a list without end": (lambda d: dataset(d, Link("/dev/zero")), "dataset.json"),
    "a list of 9 GB": (lambda d: dataset(d, Sparse(NINE_GB)), "dataset.json"),
    "half a list": (lambda d: dataset(d, text(DATASET)[:-30]), "dataset.json.*mend"),
    "100,000 brackets": (lambda d: dataset(d, b"[" * 100_000), "dataset.json"),
    "a list of another type": (lambda d: dataset(d, b"[]"), "dataset.json.*object"),
    "an image missing": (lambda d: lacking(d, "a_0000.nii.gz"), "lacks the file"),
    "channels of another type": (lambda d: dataset(d, channel_names=["CT"]), "'channel_names' must be an object"),
    "channels from 1": (lambda d: dataset(d, channel_names={"1": "CT"}), "numbered from 0"),
    "labels of another type": (lambda d: dataset(d, labels=None), "'labels' must be an object"),
    "labels without background": (lambda d: dataset(d, labels={"left": 1}), "background 0"),
    "labels of true": (lambda d: dataset(d, labels={"background": 0, "left": True}), "dataset.json"),
    "labels of 10^30": (lambda d: dataset(d, labels={"background": 0, "left": 10**30}), "dataset.json"),
    "70,000 labels": (
        lambda d: dataset(d, labels={"background": 0, **{str(n): n for n in range(1, 70_000)}}),
        "dataset.json",
    ),
    "regions": (lambda d: dataset(d, labels={"background": 0, "whole": [1, 2]}), "regions"),
    "an unknown ending": (lambda d: dataset(d, file_ending=".png"), "'file_ending' must be one of"),
    "an ending of another type": (lambda d: dataset(d, file_ending=[]), "'file_ending'"),
    "a count that is wrong": (lambda d: dataset(d, numTraining=7), "'numTraining' is 7"),
    "a count of words": (lambda d: dataset(d, numTraining="1"), "'numTraining'"),
    "cases of another type": (lambda d: dataset(d, dataset=[1]), "'dataset'"),
    "a case without images": (lambda d: dataset(d, dataset={"a": {"label": "x"}}), "'dataset'"),
    "a case of too few images": (
        lambda d: dataset(d, dataset={"a": {"images": [], "label": "labelsTr/a.nii.gz"}}),
        "case 'a'",
    ),
    "files above the dataset": (lambda d: listed(d, "../outside.txt"), r"outside\.txt"),
    "files of the system": (lambda d: listed(d, "/etc/passwd"), "/etc/passwd"),
    "files that lead up and down": (lambda d: listed(d, "imagesTr/../../outside.txt"), r"outside\.txt"),
    "a name of 5,000 letters": (lambda d: listed(d, "a" * 5000), "dataset.json"),
}


def recipe(folder, content):
    """A file of a recipe."""
    Case({"recipe.json": content}).write(folder)
    return folder / "recipe.json"


RECIPES = {
    "no recipe": (lambda d: d / "nothing.json", "nothing.json"),
    "a recipe that is a pipe": (lambda d: recipe(d, Pipe()), "recipe.json"),
    "a recipe without end": (lambda d: recipe(d, Link("/dev/zero")), "recipe.json"),
    "a recipe of 9 GB": (lambda d: recipe(d, Sparse(NINE_GB)), "recipe.json"),
    "a recipe of 100,000 brackets": (lambda d: recipe(d, b"[" * 100_000), "recipe.json"),
    "half a recipe": (lambda d: recipe(d, recipe_seeds()[0].files["recipe.json"][:-99]), "recipe.json"),
    "a recipe of nothing": (lambda d: recipe(d, b"{}"), "recipe.*missing"),
    "a recipe of a list": (lambda d: recipe(d, b"[]"), "recipe must be an object"),
}


def use(folder, _):
    """Replace the case of a dataset."""
    from fuzz.doors.documents import add_to_dataset

    add_to_dataset(folder, Case({}))


def use_recipe(path, _):
    """Read a recipe."""
    from DeepSegmentLib.service.training.train_synthetic import read_recipe

    read_recipe(path)
