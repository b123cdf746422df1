"""The pages say what the code does. That they can be built and all links lead somewhere, `make docs` checks."""

import argparse
import ast
import doctest
import importlib.util
import json
import re
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from DeepSegmentLib import errors
from DeepSegmentLib.data.dataclass_json import stored_fields, to_json
from DeepSegmentLib.files.journal.lines import Header
from DeepSegmentLib.files.models import MODEL_FILES
from DeepSegmentLib.files.prompts import StoredPrompt, read_prompts
from DeepSegmentLib.hosts.command.main import build_parser
from DeepSegmentLib.networks.model_json import spec_from_json, upgraded
from DeepSegmentLib.networks.model_spec import ModelSpec
from DeepSegmentLib.service.training.train_synthetic import Recipe, read_recipe

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS, LIBRARY = REPOSITORY / "docs", REPOSITORY / "DeepSegmentLib"
MODULES = sorted(LIBRARY.rglob("*.py"))


def _load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = sys.modules.setdefault(path.stem, importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module


field_tables = _load(DOCS / "extensions" / "field_tables.py")
command_help = _load(DOCS / "extensions" / "command_help.py")
check_site = _load(REPOSITORY / "scripts" / "check_site.py")
STORED_ENTRY = import_module("DeepSegmentLib.files.journal.lines")._StoredEntry
STORED = [ModelSpec, Recipe, StoredPrompt, Header, STORED_ENTRY]


@pytest.mark.parametrize("kind", list(dict.fromkeys(k for root in STORED for k in field_tables.reachable(root))))
def test_every_key_of_a_file_is_explained(kind):
    assert [*field_tables.meanings(kind)][: len(fields(kind))] == [field.name for field in fields(kind)]
    assert all(field_tables.meanings(kind).values())


@pytest.mark.parametrize("root", STORED)
def test_a_table_links_only_to_tables(root):
    kinds = field_tables.reachable(root)
    text = "\n".join(field_tables.table(kind, None) for kind in kinds)
    assert set(re.findall(r"\(#([\w-]+)\)", text)) <= {field_tables.anchor(kind) for kind in kinds}
    assert len({field_tables.anchor(kind) for kind in kinds}) == len(kinds)


def _shown_keys(kind, example):
    rows = field_tables.table(kind, example).splitlines()[2:]
    return {cells[1].strip(" `"): cells[-2].strip() for cells in (re.split(r"(?<!\\)\|", row) for row in rows)}


def test_the_example_of_the_model_format_is_the_bundled_model():
    document = json.loads((REPOSITORY / "Resources/Models/brain-mr/model.json").read_text())
    assert spec_from_json(document).name == "brain-mr"
    shown = _shown_keys(ModelSpec, field_tables.example_of(ModelSpec, document, ModelSpec))
    assert list(shown) == stored_fields(ModelSpec)
    assert shown["name"] == '`"brain-mr"`'


def test_the_example_of_the_recipe_names_every_key():
    path = REPOSITORY / "Resources/Recipes/brain-mr.json"
    document = json.loads(path.read_text())
    document["model"] = upgraded(document["model"])
    for kind in field_tables.reachable(Recipe):
        example = field_tables.example_of(kind, document, Recipe)
        if example is not None:
            assert set(example) <= set(_shown_keys(kind, example))
    assert {**to_json(read_recipe(path))}.keys() == _shown_keys(Recipe, None).keys()


def test_the_example_prompts_are_of_each_kind():
    prompts = read_prompts(DOCS / "formats" / "example-prompts.json")
    assert [type(prompt).__name__ for prompt in prompts] == ["Point", "Scribble", "BoxPrompt", "Lasso"]


def test_the_files_of_a_model_are_listed():
    page = (DOCS / "formats" / "model.md").read_text()
    assert re.findall(r"^\| `([\w.]+)` \|", page, re.MULTILINE) == list(MODEL_FILES)


def _parsers(parser):
    yield parser
    for one in command_help.sub_commands(parser).values():
        yield from _parsers(one)


def test_the_page_of_the_command_has_every_option_and_exit_code():
    parser = build_parser()
    page = command_help.page(parser)
    for each in _parsers(parser):
        assert f"# {each.prog}\n" in page
        for action in each._actions:
            if action.help != argparse.SUPPRESS:
                assert all(option in page for option in action.option_strings if option not in ("-h", "--help"))
    codes = {kind.exit_code for kind in vars(errors).values() if isinstance(kind, type)}
    assert all(re.search(rf"\b{code} ", page) for code in codes)


def test_coordinates_are_computed_as_the_page_says():
    failed, tried = doctest.testfile(str(DOCS / "explained" / "coordinates.md"), module_relative=False)
    assert (failed, tried > 15) == (0, True)


def test_the_pictures_are_what_the_scripts_draw():
    drawn = _load(REPOSITORY / "scripts" / "draw_coordinates.py").picture()
    assert drawn == (DOCS / "pictures" / "coordinates.svg").read_text(encoding="utf-8")
    fresh = np.asarray(_load(REPOSITORY / "scripts" / "draw_correction.py").picture(), dtype=float)
    kept = np.asarray(Image.open(DOCS / "pictures" / "correction.png").convert("RGB"), dtype=float)
    assert fresh.shape == kept.shape
    assert np.abs(fresh - kept).mean() < 1  # fonts and last bits differ between versions of Pillow and NumPy


def _undocumented(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if not ast.get_docstring(tree):
        yield "the module"
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name[0] != "_")]
    for node in (node for body in bodies for node in body):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name[0] != "_" and not ast.get_docstring(node):
            yield node.name


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_what_the_pages_show_has_a_docstring(path):
    assert list(_undocumented(path)) == []


def test_all_layers_have_a_page():
    shown = " ".join(path.read_text() for path in (DOCS / "api").glob("*.rst"))
    layers = {path.stem for path in LIBRARY.iterdir() if path.name[0] not in "_." and path.suffix in ("", ".py")}
    assert all(f"layer-api:: DeepSegmentLib.{layer}" in shown for layer in layers)


def test_one_module_of_the_library_can_speak_with_another_machine_and_is_used_for_downloads_only():
    talkers = {"socket", "ssl", "http", "urllib", "ftplib", "smtplib", "asyncio", "requests", "urllib3", "socketserver"}
    harmless = {"urllib.parse"}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            # A cluster that the user names is talked to by Dask alone, which is built on asyncio.
            allowed = {"asyncio"} if path.parent == LIBRARY / "hosts" / "cluster" else set()
            if path == LIBRARY / "hosts" / "stopping.py":  # two threads of one process
                assert path.read_text(encoding="utf-8").count("socket.") == 1  # of `socketpair`
                allowed = {"socket"}
            if path != LIBRARY / "files" / "web_requests.py":
                assert not talkers & {name.split(".")[0] for name in {*names} - harmless} - allowed, path
    assert _who_imports("web_requests") == {"files/download.py"}
    assert _who_imports("files.download") == {"service/models/get_model.py"}


def _who_imports(module):
    found = re.compile(rf"^ *from (DeepSegmentLib)?\.{re.escape(module)} import", re.MULTILINE)
    paths = [path for path in LIBRARY.rglob("*.py") if found.search(path.read_text(encoding="utf-8"))]
    return {path.relative_to(LIBRARY).as_posix() for path in paths}


PAGE = '<html><body><h1 id="top">x</h1><a href="{link}">y</a><img src="{picture}"></body></html>'


@pytest.mark.parametrize(
    ("link", "picture", "told"),
    [
        ("b.html#top", "p.png", []),
        ("#top", "p.png", []),
        ("https://example.org/#x", "p.png", []),
        ("#bottom", "p.png", ["a.html: #bottom leads to no anchor"]),
        ("b.html#bottom", "p.png", ["a.html: b.html#bottom leads to no anchor"]),
        ("c.html", "p.png", ["a.html: c.html leads to no file"]),
        ("b.html", "q.png", ["a.html: q.png leads to no file"]),
        ("b.html", "//elsewhere/p.png", ["a.html: loads //elsewhere/p.png from elsewhere"]),
    ],
)
def test_links_that_lead_nowhere_are_found(tmp_path, link, picture, told):
    (tmp_path / "p.png").touch()
    (tmp_path / "a.html").write_text(PAGE.format(link=link, picture=picture))
    (tmp_path / "b.html").write_text(PAGE.format(link="a.html", picture="p.png"))
    assert check_site.problems_of(tmp_path) == told


def test_a_folder_without_pages_is_no_site(tmp_path):
    assert check_site.problems_of(tmp_path) == [f"{tmp_path} holds no pages"]


def test_the_tutorial_calls_things_as_the_panel_does():
    code = [*(REPOSITORY / "DeepSegment").rglob("*.py"), *(REPOSITORY / "DeepSegment").rglob("*.ui"), *MODULES]
    words = "".join(path.read_text(encoding="utf-8") for path in code).replace("&amp;", "&")
    text = re.sub(r"\s+", " ", (DOCS / "tutorial.md").read_text(encoding="utf-8"))
    named = re.findall(r"\*{1,2}([^*]+)\*{1,2}", text)
    parts = {part.rstrip(".") for name in named for part in name.split(" > ")} - {"DeepSegment/Journals"}
    assert len(parts) > 30
    assert [part for part in sorted(parts) if part not in words] == []
