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
    before = _our_modules()
    yield running_host
    running_host.clear()
    _restore(before)


def _our_modules():
    return {
        name: sys.modules[name] for name in sys.modules if name.split(".")[0] in ("DeepSegmentGui", "DeepSegmentLib")
    }


def _restore(before):
    """After a reload of the module: tests hold classes of the library as it was first imported."""
    after = _our_modules()
    if any(after.get(name) is not module for name, module in before.items()):
        for name in after:
            del sys.modules[name]
        sys.modules.update(before)


@pytest.fixture
def module(host):
    """The loaded module: its widget and panel."""
    widget, panel = host.load_module(REPOSITORY / "DeepSegment" / "DeepSegment.py")
    yield widget, panel
    sys.modules["slicer"].modules.DeepSegmentWidget.cleanup()  # after a reload another one
    panel.setMRMLScene(None)  # selectors would go on following the scene
    panel.delete()
    host.process_events()
