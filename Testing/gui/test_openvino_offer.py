"""OpenVINO is offered where a network ran on the CPU without it; nothing is installed without a click."""

import contextlib

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials", exc_type=ImportError)

import numpy as np
import slicer
from nodes import add_volume

from DeepSegmentLib.data import Geometry
from DeepSegmentLib.service.models import openvino_package

ON_CPU = {"device": "cpu", "engine": "torch-channels-last bfloat16"}


@pytest.fixture
def without(monkeypatch):
    """A machine that has no OpenVINO and could have it: what pip was asked for."""
    asked = []
    monkeypatch.setattr(openvino_package, "installed_version", lambda: "")
    monkeypatch.setattr(openvino_package, "download_mb", lambda: 59)
    monkeypatch.setattr(slicer.app, "testingEnabled", lambda: False)
    monkeypatch.setattr(slicer.util, "pip_install", asked.append)
    monkeypatch.setattr(slicer.util, "WaitCursor", contextlib.nullcontext)
    return asked


@pytest.fixture
def panel(module):
    return module[0].panel


def is_offered(panel):
    return panel.ui.openvinoFrame.isVisible()


def test_it_is_offered_after_a_run_on_the_cpu_with_its_size(host, panel, without):
    assert not is_offered(panel)
    panel.openvino.ranBy(ON_CPU)
    assert is_offered(panel)
    assert "59 MB" in panel.ui.openvinoLabel.text
    panel.refresh()
    assert is_offered(panel)
    assert without == []


@pytest.mark.parametrize(
    "report",
    [
        {"device": "cuda:0", "engine": ""},
        {"device": "cpu", "engine": "torchscript"},  # a graph, which brings its own way
        {"device": "cpu", "engine": "openvino bfloat16"},
        {"skipped": True, "reason": "is there"},
    ],
)
def test_elsewhere_it_is_not(panel, without, report):
    panel.openvino.ranBy(report)
    assert not is_offered(panel)


@pytest.mark.parametrize(("name", "found"), [("installed_version", "2026.4.1"), ("download_mb", None)])
def test_where_it_is_or_cannot_be_it_is_not(panel, without, monkeypatch, name, found):
    monkeypatch.setattr(openvino_package, name, lambda: found)
    panel.openvino.ranBy(ON_CPU)
    assert not is_offered(panel)


def test_not_now_is_remembered(host, panel, without):
    panel.openvino.ranBy(ON_CPU)
    host.click(panel.ui.openvinoNotNowButton)
    assert not is_offered(panel)
    panel.openvino.ranBy(ON_CPU)
    assert not is_offered(panel)
    assert without == []


def test_a_click_installs_it_and_the_worker_starts_anew(host, panel, without, monkeypatch):
    closed = []
    monkeypatch.setattr(panel.jobs, "close", lambda: closed.append(True))
    panel.openvino.ranBy(ON_CPU)
    host.click(panel.ui.openvinoInstallButton)
    assert without == [f'"openvino>=2025.0" "numpy=={np.__version__}"']
    assert closed == [True]
    assert not is_offered(panel)
    assert "is installed" in panel.ui.statusLabel.text


def test_pip_that_fails_is_told_and_the_offer_stands(host, panel, without, monkeypatch):
    def fail(_):
        raise OSError("no network")

    monkeypatch.setattr(slicer.util, "pip_install", fail)
    panel.openvino.ranBy(ON_CPU)
    host.click(panel.ui.openvinoInstallButton)
    assert "no network" in panel.ui.statusLabel.text
    assert is_offered(panel)
    assert "59 MB" in panel.ui.openvinoLabel.text


def test_while_testing_nothing_is_installed(host, panel, without, monkeypatch):
    monkeypatch.setattr(slicer.app, "testingEnabled", lambda: True)
    panel.openvino.ranBy(ON_CPU)
    host.click(panel.ui.openvinoInstallButton)
    assert without == []


def test_a_run_tells_what_it_ran_on(host, panel, monkeypatch):
    reports = []
    monkeypatch.setattr(panel.openvino, "ranBy", reports.append)
    grid = Geometry.from_spacing((24, 26, 28), (3, 3, 3))
    volume = add_volume(slicer.mrmlScene, grid, np.arange(np.prod(grid.shape)).reshape(grid.shape).astype(np.int16))
    panel.ui.volumeSelector.setCurrentNode(volume)
    host.process_events()
    host.click(panel.ui.segmentButton)
    host.wait_until(lambda: not panel.jobs.busy)
    host.process_events(0.2)
    assert [each["device"] for each in reports] == ["cpu"]
    assert reports[0]["engine"]
