"""The list of models that others publish: complete, strict, fast, without torch."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.data.dataclass_json import from_json, to_json
from DeepSegmentLib.errors import InvalidInputError, ModelError
from DeepSegmentLib.files.models.importers.door import IMPORTERS
from DeepSegmentLib.files.models.known_models import (
    Download,
    KnownModel,
    catalogue_folder,
    known_models,
    read_known_models,
    read_model_list,
)

REPOSITORY = Path(__file__).resolve().parents[4]
MODELS = known_models()
models = st.sampled_from(MODELS)


@given(models)
def test_what_is_written_is_read_again(model):
    assert from_json(KnownModel, json.loads(json.dumps(to_json(model))), "model") == model


@given(models)
def test_every_model_has_files_or_says_how_to_get_them(model):
    assert model.files or (model.needs_key and "licence number" in model.description)
    assert model.structures
    assert model.modality in ("CT", "MR")
    assert all(file.url.endswith(".zip") for file in model.files)


@given(models)
def test_what_needs_a_key_is_not_free_for_commercial_use(model):
    assert model.non_commercial or not model.needs_key
    assert model.non_commercial == (model.needs_key or "-NC-" in model.licence)


def test_all_three_publishers_are_there_and_every_list_says_where_it_was_read():
    kinds = Counter(model.name.partition("-")[0] for model in MODELS)
    assert kinds == {"totalseg": 57, "auto3dseg": 34, "monai": 6}
    for file in catalogue_folder().glob("*.json"):
        assert all(origin.repository and origin.path for origin in read_model_list(file).read_from)


def test_every_kind_is_that_of_an_importer():
    importers = [import_module(f"DeepSegmentLib.files.models.importers.{name}").IMPORTER for name in IMPORTERS]
    assert {model.kind for model in MODELS} <= {importer.kind for importer in importers}


def test_one_finds_a_liver():
    names = {model.name for model in MODELS if any("liver" in name.casefold() for name in model.structures)}
    assert {"totalseg-total", "auto3dseg-abdominal-organs", "monai-swin_unetr_btcv_segmentation"} <= names


def test_reading_all_of_it_is_quick():
    read_known_models.cache_clear()
    start = time.process_time()
    known_models()
    assert time.process_time() - start < 0.1


def test_reading_it_needs_no_torch():
    code = (
        "import sys; from DeepSegmentLib.files.models.known_models import known_models; known_models()\n"
        "print(sorted({'torch', 'safetensors', 'skimage', 'SimpleITK'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"url": "http://example.org/a.zip"}, "https"),
        ({"url": "https://example.org/a b.zip"}, "https"),
        ({"url": "file:///etc/passwd"}, "https"),
        ({"bytes": 0}, "1 or more"),
        ({"sha256": "ab"}, "sha256"),
        ({"sha1": "AB" * 20}, "sha1"),
    ],
)
def test_a_download_that_makes_no_sense_is_refused(changes, message):
    with pytest.raises(InvalidInputError, match=message):
        Download(**({"url": "https://example.org/a.zip"} | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "../up"}, "name must be"),
        ({"title": ""}, "title is empty"),
        ({"files": (Download("https://example.org/a.zip"),) * 2}, "twice"),
    ],
)
def test_a_known_model_that_makes_no_sense_is_refused(changes, message):
    with pytest.raises(InvalidInputError, match=message):
        replace(MODELS[0], **changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda document: document["models"][0].pop("licence"), "'licence' is missing"),
        (lambda document: document["models"][0].update(color="red"), "unknown key 'color'"),
        (lambda document: document["models"].append(document["models"][0]), "two known models are called"),
        (lambda document: document["models"][0].update(needs_key="no"), "must be true or false"),
    ],
)
def test_a_damaged_list_is_refused_by_its_name(tmp_path, change, message):
    document = json.loads((catalogue_folder() / "monai-zoo.json").read_text(encoding="utf-8"))
    change(document)
    (tmp_path / "list.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ModelError, match=message) as caught:
        read_known_models(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_what_is_no_json_is_refused(tmp_path):
    (tmp_path / "list.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match=r"list.json.*install DeepSegment again"):
        read_known_models(tmp_path)


def test_the_list_of_a_checkout_is_beside_the_library():
    assert catalogue_folder() == REPOSITORY / "Resources" / "Catalogue"
