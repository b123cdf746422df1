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
def host(running_host):
    """The host with an empty scene."""
    running_host.clear()
    yield running_host
    running_host.clear()


@pytest.fixture
def module(host):
    """The loaded module: its widget and panel."""
    widget, panel = host.load_module(REPOSITORY / "DeepSegment" / "DeepSegment.py")
    yield widget, panel
    widget.cleanup()
    panel.delete()
    host.process_events()
