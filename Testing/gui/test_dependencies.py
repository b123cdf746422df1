"""Missing packages: asked for once, installed the way the Slicer at hand offers, never behind the user's back."""

import re
import sys
import tomllib
import types
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials", exc_type=ImportError)

import slicer

MODULE = Path(__file__).resolve().parents[2] / "DeepSegment"
REQUIREMENTS = MODULE / "Resources" / "requirements.txt"


@pytest.fixture
def dependencies(running_host):
    if str(MODULE) not in sys.path:
        sys.path.insert(0, str(MODULE))
    from DeepSegmentGui.running import dependencies

    return dependencies


@pytest.fixture
def absent(dependencies, monkeypatch):
    """A requirement that nobody has; a user who is asked and a pip that is called are remembered."""
    seen = types.SimpleNamespace(asked=[], installed=[], answer=True)
    monkeypatch.setattr(slicer.app, "testingEnabled", lambda: False)
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text: seen.asked.append(text) or seen.answer)
    monkeypatch.setattr(slicer.util, "pip_install", seen.installed.append)
    return seen


def _file(tmp_path, *lines):
    path = tmp_path / "requirements.txt"
    path.write_text("# what is needed\n" + "\n".join(lines) + "\n")
    return path


def test_here_everything_is_there(dependencies):
    assert dependencies.missing(REQUIREMENTS) == []
    assert dependencies.ensure(REQUIREMENTS)


def test_the_library_needs_nothing_that_nobody_brings(dependencies):
    """What Slicer brings, what is installed for the panel and torch are all that pyproject.toml names."""
    needed = tomllib.loads((MODULE.parent / "pyproject.toml").read_text())["project"]["dependencies"]
    brought = {"numpy", "scipy", "SimpleITK", "pydicom"}
    listed = dependencies.requirements(REQUIREMENTS)
    assert {line for line in needed if re.split("[>=<]", line)[0] not in {*brought, "torch"}} == set(listed)


def test_missing_packages_are_named_without_importing_them(dependencies, tmp_path):
    path = _file(tmp_path, "numpy>=2.0", "no-such-package>=1.0  # really")
    assert dependencies.missing(path) == ["no-such-package"]
    assert "no_such_package" not in sys.modules


def test_while_testing_nothing_is_installed(dependencies, tmp_path):
    with pytest.raises(RuntimeError, match="missing: no-such-package"):
        dependencies.ensure(_file(tmp_path, "no-such-package"))


def test_slicer_510_asks_and_calls_pip(dependencies, absent, tmp_path):
    path = _file(tmp_path, "no-such-package>=1.0")
    assert not dependencies.ensure(path)  # pip did nothing here
    assert "no-such-package" in absent.asked[0]
    assert absent.installed == ['"no-such-package>=1.0"']
    absent.answer = False
    dependencies.ensure(path)
    assert len(absent.installed) == 1


def test_slicer_512_leaves_it_to_slicer_packaging(dependencies, absent, tmp_path, monkeypatch):
    calls = []
    packaging = types.ModuleType("slicer.packaging")
    packaging.load_requirements = lambda path: ("loaded", Path(path).name)
    packaging.pip_ensure = lambda requirements, requester: calls.append((requirements, requester))
    monkeypatch.setitem(sys.modules, "slicer.packaging", packaging)
    monkeypatch.setattr(slicer, "packaging", packaging, raising=False)
    dependencies.ensure(_file(tmp_path, "no-such-package"))
    assert calls == [(("loaded", "requirements.txt"), "DeepSegment")]
    assert absent.installed == []


@pytest.mark.parametrize("declined", [False, True])
def test_torch_comes_through_its_extension(dependencies, absent, monkeypatch, tmp_path, declined):
    path, calls = _file(tmp_path, "numpy"), []
    there = [False]
    find = dependencies.importlib.util.find_spec
    monkeypatch.setattr(
        dependencies.importlib.util, "find_spec", lambda name: find(name) if name != "torch" or there[0] else None
    )
    with pytest.raises(RuntimeError, match="extension PyTorch"):
        dependencies.ensure(path)

    class PyTorchUtilsLogic:
        def installTorch(self, *, askConfirmation, torchVersionRequirement):
            calls.append((askConfirmation, torchVersionRequirement))
            there[0] = not declined

    utils = types.ModuleType("PyTorchUtils")
    utils.PyTorchUtilsLogic = PyTorchUtilsLogic
    monkeypatch.setitem(sys.modules, "PyTorchUtils", utils)
    assert dependencies.ensure(path) is not declined
    assert calls == [(True, None)]
    assert absent.installed == []


def test_a_folder_of_wheels_serves_without_internet(dependencies, absent, tmp_path):
    dependencies.installFromFolder(_file(tmp_path, "a>=1", "b"), tmp_path / "wheels of mine")
    (call,) = absent.installed
    assert call.startswith(f'--no-index --find-links "{(tmp_path / "wheels of mine").as_posix()}"')
    assert call.endswith('"a>=1" "b" "torch"')


def test_openvino_of_a_folder_of_wheels_is_installed_too(dependencies, absent, tmp_path):
    (tmp_path / "openvino-2026.4.1-22982-cp312-cp312-win_amd64.whl").touch()
    dependencies.installFromFolder(_file(tmp_path, "a>=1"), tmp_path)
    assert absent.installed[0].endswith('"a>=1" "torch" "openvino>=2025.0"')


def test_openvino_is_asked_for_as_the_library_does(dependencies):
    extras = tomllib.loads((MODULE.parent / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["cpu"] == [dependencies._OPENVINO]
