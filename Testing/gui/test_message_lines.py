"""Messages stand where the click was, and the panel keeps its width whatever they say."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials", exc_type=ImportError)

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.hosts.worker.jobs_and_events import MeasureJob

LABELS = ("exportMessageLabel", "resultsMessageLabel", "batchMessageLabel", "advancedMessageLabel")


@pytest.fixture
def panel(module):
    return module[0].panel


@pytest.mark.parametrize("name", LABELS)
def test_a_message_is_under_its_button_and_takes_no_room_when_empty(host, panel, name):
    label = getattr(panel.ui, name)
    assert label.text == ""
    assert not label.isVisibleTo(label.parentWidget())
    panel.say("Something happened.", label)
    assert label.text == "Something happened."
    assert panel.ui.statusLabel.text == ""
    panel.say("", label)
    assert not label.isVisibleTo(label.parentWidget())


def test_a_job_of_a_section_is_told_there_and_segments_bar_rests(host, panel):
    ui, seen = panel.ui, []
    job = measuring()
    panel.runJob(lambda: job, lambda result: f"{len(result.rows)} rows", ui.resultsMessageLabel)
    seen.append((ui.resultsMessageLabel.text, ui.progressBar.isVisible()))
    host.wait_until(lambda: not panel.jobs.busy, 30)
    assert seen == [("Starting...", False)]
    assert ui.resultsMessageLabel.text == "1 rows"
    assert ui.statusLabel.text == ""


def test_what_is_missing_for_an_export_is_said_under_export(host, panel):
    panel.ui.exportSection.collapsed = False
    host.click(panel.ui.exportButton)
    assert "Choose a volume" in panel.ui.exportMessageLabel.text
    assert panel.ui.statusLabel.text == ""


@pytest.mark.parametrize("name", ["statusLabel", "preflightLabel", "correctStatusLabel", *LABELS])
def test_a_long_message_does_not_widen_the_panel(host, module, name):
    panel, widget = module[0].panel, module[1]
    before = widget.minimumSizeHint.width(), widget.sizeHint.width()
    label = getattr(panel.ui, name)
    panel.say("a_word_without_end" * 30 + " and further words" * 30, label)
    host.process_events()
    assert (widget.minimumSizeHint.width(), widget.sizeHint.width()) == before


def measuring():
    """The smallest job that there is."""
    grid = Geometry.from_spacing((4, 4, 4), (1, 1, 1))
    labels = LabelMap(np.ones((1, *grid.shape), np.uint8), grid, (Segment("a", 1),))
    return MeasureJob(Volume(np.zeros((1, *grid.shape), np.float32), grid, "v"), labels)
