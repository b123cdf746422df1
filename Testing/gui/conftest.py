"""The test host, for tests of the panel."""

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
    yield running_host
    running_host.clear()


@pytest.fixture
def module(host):
    """The loaded module: its widget and panel."""
    widget, panel = host.load_module(REPOSITORY / "DeepSegment" / "DeepSegment.py")
    yield widget, panel
    widget.cleanup()
    panel.setMRMLScene(None)  # selectors would go on following the scene
    panel.delete()
    host.process_events()
