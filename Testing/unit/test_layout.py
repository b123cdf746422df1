"""What a newcomer sees agrees with what is there."""

import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
LIBRARY = REPOSITORY / "DeepSegmentLib"


def _contract_layers():
    document = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    layers = document["tool"]["importlinter"]["contracts"][0]["layers"]
    return [re.split(r"\s*\|\s*", line) for line in layers]


def _figure_layers():
    figure = (REPOSITORY / "ARCHITECTURE.md").read_text().split("```")[1]
    names = [re.split(r"\s{2,}", line.strip())[0] for line in figure.strip().splitlines()]
    return [re.split(r"\s*\|\s*", line) for line in names]


def test_the_figure_is_the_contract():
    assert _figure_layers() == _contract_layers()


def test_the_contract_is_the_tree():
    there = {path.stem for path in LIBRARY.iterdir() if path.name[0] not in "_." and path.suffix in ("", ".py")}
    assert {name for line in _contract_layers() for name in line} == there


def test_unit_tests_mirror_the_library():
    folders = {path.name for path in LIBRARY.iterdir() if path.is_dir() and path.name[0] not in "_."}
    mirrored = {path.name for path in (REPOSITORY / "Testing" / "unit").iterdir() if path.is_dir()}
    assert folders == mirrored - {"__pycache__"}


def test_the_counts_of_the_code_keep_their_bars():
    script = REPOSITORY / "scripts" / "count_code.py"
    done = subprocess.run([sys.executable, script], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("module", ["DeepSegmentLib", "DeepSegmentLib.data", "DeepSegmentLib.hosts.command.main"])
def test_importing_is_free(module):
    heavy = {"torch", "SimpleITK", "scipy", "skimage", "PIL", "safetensors", "pydicom"}
    code = f"import sys, {module}; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.strip() == "[]"


def _loaded_by(*words):
    """The packages that a command has loaded at its end."""
    code = (
        "import atexit, sys; loaded = lambda: {name.split('.')[0] for name in sys.modules}; "
        "atexit.register(lambda: print(*loaded(), file=sys.stderr)); "
        "from DeepSegmentLib.hosts.command.main import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    return set(done.stderr.split())


HEAVY = {
    "torch",
    "SimpleITK",
    "scipy",
    "skimage",
    "PIL",
    "safetensors",
    "pydicom",
    "tqdm",
    "unittest",
    "multiprocessing",
}


@pytest.mark.parametrize(
    "name",
    [
        "",
        "segment",
        "correct",
        "models",
        "evaluate",
        "export",
        "project",
        "next",
        "train",
        "compare",
        "promote",
        "diagnose",
    ],
)
def test_help_loads_no_package(name):
    assert not _loaded_by(*name.split(), "--help") & (HEAVY | {"numpy"})


def test_the_list_of_models_loads_numpy_at_most():
    assert not _loaded_by("models", "list") & HEAVY


@pytest.mark.parametrize("module", ["service.catalogue", "service.preflight", "service.diagnose"])
def test_a_panel_can_list_models_where_torch_is_not_installed(module):
    # Of the library's packages, Slicer brings only the others.
    absent = ["torch", "skimage", "PIL", "safetensors", "pylibjpeg", "jpeg_ls", "zlib_ng"]
    hide = f"import sys; sys.modules.update(dict.fromkeys({absent!r}))"
    code = f"{hide}; import DeepSegmentLib.{module}; from DeepSegmentLib.service import catalogue as models"
    code += "; print(len(models.list_models()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert int(done.stdout) >= 1


def test_type_checkers_of_users_see_the_types():
    assert (LIBRARY / "py.typed").is_file()


def test_every_top_level_name_is_meant():
    known = {
        ".ci", ".gitignore", ".pre-commit-config.yaml", "ARCHITECTURE.md", "CHANGELOG.md", "CMakeLists.txt",
        "CONTRIBUTING.md", "DeepSegment", "DeepSegment.json", "DeepSegmentLib", "LICENSE", "Makefile", "README.md",
        "Resources", "Testing", "docs", "pyproject.toml", "requirements", "scripts",
    }  # fmt: skip
    listed = subprocess.run(["git", "ls-files"], check=False, capture_output=True, text=True, cwd=REPOSITORY)
    if listed.returncode != 0:
        pytest.skip("this is no git checkout")
    assert {Path(name).parts[0] for name in listed.stdout.splitlines()} <= known


def test_no_folder_has_more_than_a_dozen_modules():
    folders = ("DeepSegment", "DeepSegmentLib", "Testing", "scripts")
    modules = [path for folder in folders for path in (REPOSITORY / folder).rglob("*.py")]
    counts = Counter(path.parent for path in modules if path.name not in ("__init__.py", "conftest.py"))
    assert {str(folder): count for folder, count in counts.items() if count > 12} == {}


def test_every_path_in_the_architecture_is_there():
    for line in (REPOSITORY / "ARCHITECTURE.md").read_text().splitlines():
        folder = LIBRARY
        for name in re.findall(r"`([\w./-]+/|[\w./-]+/[\w.-]+|[\w-]+\.py)`", line):
            roots = (folder, LIBRARY, REPOSITORY, REPOSITORY / "DeepSegment")
            found = [root / each for root in roots for each in (name, name.replace("gui/", "DeepSegmentGui/"))]
            there = [path for path in found if path.exists()]
            assert there, f"ARCHITECTURE.md names {name}, which is not there"
            folder = there[0] if there[0].is_dir() else there[0].parent
