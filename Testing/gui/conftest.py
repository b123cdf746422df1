"""The test host, for tests of the panel."""

import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def running_host():
    pytest.importorskip("slicer", reason="needs slicer-core")
    pytest.importorskip("PySide6", reason="needs PySide6-Essentials", exc_type=ImportError)
    from host.application import start

    return start()


@pytest.fixture
def host(running_host, monkeypatch, tmp_path):
    """The host with an empty scene, and a user who has no models and no records of earlier runs."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "user data"))
    running_host.clear()
    library = library_modules()
    yield running_host
    running_host.clear()
    for name in library_modules():
        del sys.modules[name]
    sys.modules.update(library)


def library_modules():
    """The library as it is imported now: *Reload* imports it anew, but other tests hold the classes of before."""
    return {name: module for name, module in sys.modules.items() if name.split(".")[0] == "DeepSegmentLib"}


@pytest.fixture
def module(host):
    """The loaded module: its widget and panel."""
    widget, panel = host.load_module(REPOSITORY / "DeepSegment" / "DeepSegment.py")
    yield widget, panel
    widget.cleanup()
    panel.delete()
    host.process_events()
