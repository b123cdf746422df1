"""The wheel, installed by itself and run from a folder that knows nothing of this one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Folder with the library as pip installs it, without what it depends on."""
    folder = tmp_path_factory.mktemp("installed")
    build = [*PIP, "wheel", REPOSITORY, "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    assert wheel.name.startswith("deepsegmentlib-")  # another project has the name deepsegment on PyPI
    subprocess.run([*PIP, "install", wheel, "--no-deps", "--no-index", "--target", folder / "site"], check=True)
    return folder / "site"


def _run(installed, folder, *command):
    environment = os.environ | {"PYTHONPATH": str(installed)}
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder, env=environment).stdout


def test_the_module_and_the_script_are_the_command(installed, tmp_path):
    (script,) = (installed / "bin").glob("deepsegment*")
    for start in ([sys.executable, "-m", "DeepSegmentLib"], [sys.executable, script]):
        assert _run(installed, tmp_path, *start, "--version").startswith("DeepSegment ")
    where = _run(installed, tmp_path, sys.executable, "-c", "import DeepSegmentLib; print(DeepSegmentLib.__file__)")
    assert Path(where.strip()).is_relative_to(installed)


def test_the_bundled_model_is_inside(installed, tmp_path):
    assert "brain-mr" in _run(installed, tmp_path, sys.executable, "-m", "DeepSegmentLib", "models", "list")
    assert "complete" in _run(
        installed, tmp_path, sys.executable, "-m", "DeepSegmentLib", "models", "verify", "brain-mr"
    )
