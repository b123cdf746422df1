"""JSON documents: tables of labels, prompts, recipes, speeds, the list of a dataset."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

from ..cases import Case, Link, Pipe, Repeated, Sparse
from ..door import NINE_GB, Door, by_name, changed, odd_cases
from ..json_mutators import mutate_json
from ..runner import REPOSITORY
from .nifti import nifti1
from .nrrd import read_labels

TABLE = {
    "segments": [
        {
            "name": "Thalamus",
            "value": 1,
            "color": [1, 2, 3],
            "terminology": {
                "category": {"scheme": "SCT", "value": "123037004", "meaning": "Anatomical Structure"},
                "type": {"scheme": "SCT", "value": "42695009", "meaning": "Thalamus"},
                "modifier": None,
            },
        },
        {"name": "Größe", "value": 2, "color": [4, 5, 6], "terminology": None},
    ],
    "provenance": {"model": "brain-mr", "model_version": "0.1.0"},
}
PROMPTS = [
    {"type": "point", "segment": "a", "positive": True, "points_ras": [[1.0, 2.0, 3.0]], "size_mm": 0},
    {"type": "scribble", "segment": "a", "positive": False, "points_ras": [[0, 0, 0], [1, 1, 1]], "size_mm": 2.5},
    {"type": "box", "segment": "b", "positive": True, "points_ras": [[0, 0, 0], [3, 3, 3]]},
    {"type": "lasso", "positive": True, "points_ras": [[0, 0, 0], [3, 0, 0], [3, 3, 0]], "size_mm": 1},
]
DATASET = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "left": 1, "right": 2},
    "numTraining": 1,
    "file_ending": ".nii.gz",
    "dataset": {"a": {"images": ["imagesTr/a_0000.nii.gz"], "label": "labelsTr/a.nii.gz"}},
    "name": "Dataset501_Test",
    "licence": "x",
}


def text(document: object) -> bytes:
    """A document as a file."""
    return json.dumps(document, indent=1).encode()


def labels_seeds() -> list[Case]:
    """An image of labels with its table."""
    image = nifti1("u1")
    named = {**TABLE, "segments": [{**each, "value": n} for n, each in enumerate(TABLE["segments"], start=1)]}
    return [Case({"a.nii": image, "a.labels.json": text(table)}) for table in (named, {"segments": named["segments"]})]


def labels_hostile() -> list[Case]:
    """Wrong types, half characters, tables without end."""
    seed = labels_seeds()[0]
    many = [{**TABLE["segments"][1], "name": str(n), "value": 1 + n % 65535} for n in range(100_000)]
    first = TABLE["segments"][0]
    documents = {
        "100,000 segments": {"segments": many},
        "half a character": {"segments": [{**first, "name": "\ud800"}], "provenance": {"\ud800": "\udfff"}},
        "10^30": {"segments": [{**first, "value": 10**30}]},
        **{f"segments {wrong!r}": {"segments": wrong} for wrong in (None, 1, "ab", {}, [None], [[]], ["a"], [1], True)},
        **{f"name {wrong!r}": {"segments": [{**first, "name": wrong}]} for wrong in (None, 1, [], {}, "a" * 5000)},
        **{
            f"color {wrong!r}": {"segments": [{**first, "color": wrong}]}
            for wrong in (None, 1, "abc", {}, [1, 2, 1e999])
        },
        **{
            f"terminology {wrong!r}": {"segments": [{**first, "terminology": wrong}]}
            for wrong in (1, "x", [], {}, {"type": {}})
        },
        **{
            f"provenance {wrong!r}": {"segments": [first], "provenance": wrong}
            for wrong in (None, 1, [], "x", {"a": [[]]})
        },
    }
    made = {note: text(document) for note, document in documents.items()} | _texts()
    cases = [changed(seed, "a.labels.json", content, note) for note, content in made.items()]
    return [*cases, *odd_cases(seed, "a.labels.json")]


def _texts() -> dict[str, object]:
    """What no JSON file may be."""
    return {
        "100,000 brackets": b"[" * 100_000,
        "100,000 objects": b'{"a":' * 100_000,
        "a number of 100,000 digits": b'{"segments": [], "provenance": {}, "n": ' + b"9" * 100_000 + b"}",
        "NaN": b'{"segments": [NaN], "provenance": NaN}',
        "latin-1": '{"segments": "Größe"}'.encode("latin-1"),
        "UTF-16": '{"segments": []}'.encode("utf-16"),
        "a key twice": b'{"segments": [], "segments": 1}',
        "300 MB of spaces": Repeated(b"{", b" " * (1 << 20), 300, b"}"),
        "200 MB of numbers": Repeated(b"[0", b",0" * (1 << 19), 200, b"]"),
    }


def prompts_seeds() -> list[Case]:
    """All kinds of prompts."""
    return [Case({"prompts.json": text(PROMPTS)}), Case({"prompts.json": text(PROMPTS[:1])})]


def prompts_hostile() -> list[Case]:
    """Prompts that are far, long, many."""
    seed, (point, scribble, box, lasso) = prompts_seeds()[0], PROMPTS
    corners = [[n % 100 * 0.5, n % 77 * 0.5, n % 13] for n in range(300_000)]
    documents = {
        "300,000 corners of a scribble": [{**scribble, "points_ras": corners}],
        "300,000 corners of a lasso": [{**lasso, "points_ras": corners}],
        "a scribble to 1e12 mm": [{**scribble, "points_ras": [[0, 0, 0], [1e12, 0, 0]]}],
        "a scribble to 1e308 mm": [{**scribble, "points_ras": [[-1e308, 0, 0], [1e308, 0, 0]]}],
        "a radius of 1e12 mm": [{**scribble, "size_mm": 1e12}],
        "a box of 1e300 mm": [{**box, "points_ras": [[-1e300] * 3, [1e300] * 3]}],
        "100,000 points": [point] * 100_000,
        "10^30": [{**point, "points_ras": [[10**30, 0, 0]]}],
        "10^400": [{**point, "points_ras": [[10**400, 0, 0]]}],
        "half a character": [{**point, "segment": "\ud800"}],
    }
    made = {note: text(document) for note, document in documents.items()} | _texts()
    cases = [changed(seed, "prompts.json", content, note) for note, content in made.items()]
    return [*cases, *odd_cases(seed, "prompts.json")]


def read_prompts(folder: Path, _: Case) -> None:
    """Read prompts."""
    from DeepSegmentLib.files.prompts import read_prompts as read

    read(folder / "prompts.json", "a")


def dataset_seeds() -> list[Case]:
    """A dataset that lists its cases, and one that does not."""
    image = gzip.compress(nifti1(), mtime=0)
    files = {"imagesTr/a_0000.nii.gz": image, "labelsTr/a.nii.gz": image}
    unlisted = {key: value for key, value in DATASET.items() if key != "dataset"}
    return [
        Case({**{f"Dataset501_Test/{name}": content for name, content in files.items()}, _LIST: text(document)})
        for document in (DATASET, unlisted)
    ]


_LIST = "Dataset501_Test/dataset.json"


def dataset_hostile() -> list[Case]:
    """Lists that name files outside, or that are of other types."""
    seed = dataset_seeds()[0]
    outside = ("../outside.txt", "../../outside.txt", "@FOLDER@/../outside.txt", "imagesTr/../../../outside.txt")
    named = [{**DATASET, "dataset": {"a": {"images": [name], "label": name}}} for name in outside]
    wrong = (None, 1, "x", [], [1], {}, {"a": 1}, {"a": None}, {"a": {}}, {"a": {"images": 1, "label": "x"}}, 10**30)
    fields = [
        {**DATASET, key: value}
        for key in ("channel_names", "labels", "numTraining", "file_ending", "dataset")
        for value in wrong
    ]
    odd_labels = [
        {**DATASET, "labels": {"background": 0, "left": value}} for value in (True, 1.0, "1", [1], None, 10**30, -1)
    ]
    many = {**DATASET, "labels": {str(n) if n else "background": n for n in range(70_000)}}
    names = ("\ud800", "a" * 250, "x\0y", "", "/", "..")
    cases = [{**DATASET, "dataset": {name: DATASET["dataset"]["a"]}} for name in names]
    made = [text(document) for document in (*named, *fields, *odd_labels, many, *cases)]
    link = Case(
        {**seed.files, "Dataset501_Test/labelsTr/a.nii.gz": Link("../../../outside.txt")}, note="a link outside"
    )
    lock = Case(
        {**seed.files, "Dataset501_Test/.deepsegment.lock": Link("../../made-outside")}, note="a lock elsewhere"
    )
    pipe = Case({**seed.files, "Dataset501_Test/.deepsegment.lock": Pipe()}, note="a lock that is a pipe")
    folder = Case({name: content for name, content in seed.files.items() if "imagesTr" not in name}, note="no images")
    odd = [changed(seed, _LIST, content, note) for note, content in _texts().items()]
    return [
        *(changed(seed, _LIST, each, f"{each[:60]!r}") for each in made),
        link,
        lock,
        pipe,
        folder,
        *odd,
        *odd_cases(seed, _LIST),
    ]


def add_to_dataset(folder: Path, _: Case) -> None:
    """Replace the case of a dataset."""
    import numpy as np

    from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
    from DeepSegmentLib.files.datasets.nnunet import DatasetRules, TrainingCase, add_case

    grid = Geometry.from_spacing((2, 3, 4), (1, 1, 1))
    labels = LabelMap(np.ones((1, 2, 3, 4), np.uint8), grid, (Segment("left", 1),))
    case = TrainingCase("a", Volume(np.zeros((1, 2, 3, 4), np.int16), grid), labels, "{}")
    add_case(folder / "Dataset501_Test", case, DatasetRules(replace=True, new_labels=True))


def recipe_seeds() -> list[Case]:
    """The recipe of the bundled model."""
    return [Case({"recipe.json": (REPOSITORY / "Resources" / "Recipes" / "brain-mr.json").read_bytes()})]


def recipe_hostile() -> list[Case]:
    """Numbers beyond measure, and no recipe at all."""
    seed = recipe_seeds()[0]
    recipe = json.loads(seed.files["recipe.json"])
    spec = recipe["model"]
    huge = [{**recipe, "model": {**spec, "patch_shape": [size] * 3}} for size in (10**30, 2**63, 10**6, 0, -1)]
    deep = [
        {**recipe, "model": {**spec, "network": {**spec["network"], "features": [size] * 4}}}
        for size in (10**30, 10**9)
    ]
    cases = [changed(seed, "recipe.json", text(each), "huge") for each in (*huge, *deep)]
    odd = [changed(seed, "recipe.json", content, note) for note, content in _texts().items()]
    return [*cases, *odd, *odd_cases(seed, "recipe.json")]


def read_recipe(folder: Path, _: Case) -> None:
    """Read a recipe."""
    from DeepSegmentLib.service.training.train_synthetic import read_recipe as read

    read(folder / "recipe.json")


def speeds_seeds() -> list[Case]:
    """What is remembered of earlier runs."""
    return [Case({"DeepSegment/speeds.json": text({"tiny-brain 1.0  auto": [12.5, 3], "x": [1, 1.0]})})]


def speeds_hostile() -> list[Case]:
    """A record that anybody may have written."""
    name, seed = "DeepSegment/speeds.json", speeds_seeds()[0]
    made = _texts() | {"10^400": text({"tiny-brain 1.0  auto": [10**400, 1]}), "9 GB": Sparse(NINE_GB)}
    return [*(changed(seed, name, content, note) for note, content in made.items()), *odd_cases(seed, name)]


def use_speeds(folder: Path, _: Case) -> None:
    """Ask for a speed, and note one."""
    from model_examples import model_spec

    from DeepSegmentLib.service.speeds import Taken, known_runs, record_run

    os.environ["XDG_DATA_HOME"] = str(folder)
    known_runs(model_spec(), "auto")
    record_run(model_spec(), ["auto"], Taken(1.0, 1.0, 2.0, 2.0, 1.0, 1000.0))


_JSON = by_name({".json": mutate_json})
DOORS = (
    Door("labels.json", labels_seeds, _JSON, read_labels, labels_hostile),
    Door("prompts.json", prompts_seeds, _JSON, read_prompts, prompts_hostile),
    Door("dataset.json", dataset_seeds, _JSON, add_to_dataset, dataset_hostile),
    Door("recipe.json", recipe_seeds, _JSON, read_recipe, recipe_hostile),
    Door("speeds.json", speeds_seeds, _JSON, use_speeds, speeds_hostile),
)
