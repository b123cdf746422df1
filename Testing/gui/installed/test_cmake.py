"""The extension configures and installs, every file that ships is listed, and the installed tree runs."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
MODULES = Path("lib/Slicer-5.13/qt-scripted-modules")


def _listed(path, variable):
    text = path.read_text(encoding="utf-8")
    listed = re.search(rf"set\({variable}\n(.*?)\)", text, re.DOTALL)[1]
    return sorted(listed.replace("${MODULE_NAME}", "DeepSegment").split())


def _tree(folder, pattern):
    files = (path for path in folder.rglob(pattern) if "__pycache__" not in path.parts and path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in files)


def test_every_file_of_the_library_is_listed():
    library = REPOSITORY / "DeepSegmentLib"
    assert _listed(library / "CMakeLists.txt", "LIBRARY_PYTHON_SCRIPTS") == _tree(library, "*.py")
    others = [path for path in _tree(library, "*") if not path.endswith((".py", ".pyc", ".txt"))]
    assert _listed(library / "CMakeLists.txt", "LIBRARY_RESOURCES") == others


def test_every_file_of_the_module_is_listed():
    module = REPOSITORY / "DeepSegment"
    scripts = [path for path in _tree(module, "*.py") if not path.startswith("Testing/")]
    assert _listed(module / "CMakeLists.txt", "MODULE_PYTHON_SCRIPTS") == scripts
    resources = [f"Resources/{path}" for path in _tree(module / "Resources", "*")]
    assert _listed(module / "CMakeLists.txt", "MODULE_PYTHON_RESOURCES") == resources


def test_every_bundled_model_is_listed():
    text = (REPOSITORY / "DeepSegmentLib" / "CMakeLists.txt").read_text(encoding="utf-8")
    models = re.search(r"set\(MODELS (.*?)\)", text)[1].split()
    files = re.search(r"set\(MODEL_FILES (.*?)\)", text)[1].split()
    root = REPOSITORY / "Resources" / "Models"
    assert models == sorted(path.name for path in root.iterdir() if path.is_dir())
    for model in models:
        assert sorted(files) == sorted(path.name for path in (root / model).iterdir())


def test_every_list_of_models_is_listed():
    text = (REPOSITORY / "DeepSegmentLib" / "CMakeLists.txt").read_text(encoding="utf-8")
    lists = re.search(r"set\(MODEL_LISTS (.*?)\)", text)[1].split()
    assert lists == sorted(path.name for path in (REPOSITORY / "Resources" / "Catalogue").iterdir())


def test_the_index_entry_agrees_with_the_project():
    entry = json.loads((REPOSITORY / "DeepSegment.json").read_text(encoding="utf-8"))
    cmake = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
    assert re.search(r"project\((\w+)\)", cmake)[1] == "DeepSegment"
    assert re.search(r'set\(EXTENSION_DEPENDS "(.*)"\)', cmake)[1].split() == entry["build_dependencies"]
    for field in ("ICONURL", "SCREENSHOTURLS"):
        url = re.search(rf'^set\(EXTENSION_{field} "(https://\S+)"\)$', cmake, re.MULTILINE)[1]
        assert (REPOSITORY / url.split("/main/")[1]).is_file()


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder of the installed module."""
    cmake = shutil.which("cmake", path=str(Path(sys.executable).parent)) or shutil.which("cmake")
    if cmake is None:
        pytest.skip("needs cmake")
    build, prefix = tmp_path_factory.mktemp("build"), tmp_path_factory.mktemp("prefix")
    slicer_dir = REPOSITORY / "Testing" / "host" / "cmake"
    for command in (
        [cmake, "-S", REPOSITORY, "-B", build, f"-DSlicer_DIR={slicer_dir}", "-DBUILD_TESTING=ON"],
        [cmake, "--install", build, "--prefix", prefix],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return prefix / MODULES


def test_the_installed_tree_is_the_sources(installed):
    for name in ("DeepSegmentLib", "DeepSegmentGui"):
        source = REPOSITORY / ("DeepSegment/DeepSegmentGui" if name == "DeepSegmentGui" else name)
        assert _tree(installed / name, "*.py") == _tree(source, "*.py")
    assert (installed / "DeepSegmentLib/resources/Models/brain-mr/weights.safetensors").is_file()


def test_the_installed_tree_passes_the_panel_s_tests(installed):
    """In a process of its own: the module and the library must come from the installed tree."""
    code = (
        "import sys; sys.path.insert(0, {testing!r})\n"
        "from host.application import start\n"
        "host = start()\n"
        "widget, panel = host.load_module({module!r})\n"
        "import DeepSegmentLib, DeepSegmentGui, slicer\n"
        "assert DeepSegmentLib.__file__.startswith({root!r}) and DeepSegmentGui.__file__.startswith({root!r})\n"
        "import numpy as np\n"
        "k, j, i = np.meshgrid(*[np.linspace(-1, 1, 40)] * 3, indexing='ij')\n"
        "ball = 100.0 * (k**2 + j**2 + i**2 < 0.6)\n"
        "volume = slicer.util.addVolumeFromArray(ball, ijkToRAS=np.diag([4.0, 4, 4, 1]))\n"
        "widget.panel.ui.volumeSelector.setCurrentNode(volume)\n"
        "host.process_events()\n"
        "host.click(widget.panel.ui.segmentButton)\n"
        "host.wait_until(lambda: not widget.panel.jobs.busy)\n"
        "host.process_events()\n"
        "print(widget.panel.ui.statusLabel.text)\n"
        "widget.cleanup()\n"
    ).format(testing=str(REPOSITORY / "Testing"), module=str(installed / "DeepSegment.py"), root=str(installed))
    pytest.importorskip("slicer", reason="needs slicer-core")
    pytest.importorskip("PySide6", reason="needs PySide6-Essentials", exc_type=ImportError)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=installed)
    assert done.returncode == 0, done.stderr
    assert "15 segments from brain-mr" in done.stdout
