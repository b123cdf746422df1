"""The list of models through its widgets: searching, getting from a server of this machine, adding, removing."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials", exc_type=ImportError)
pytest.importorskip("dynamic_network_architectures", reason="makes weights of others")

import slicer
from conftest import REPOSITORY
from foreign_models.totalsegmentator import task_named, write_weights
from host.widgets.pythonqt import unwrap
from local_web import breaks_off, refuses, whole
from local_web.offers import LocalCatalogue, slowly, zipped
from PySide6 import QtWidgets

from DeepSegmentLib.service.catalogue import list_models

LIVER, FREE = "totalseg-liver_segments", "Liver segments (TotalSegmentator)"
LIMITED = "totalseg-brain_aneurysm"


@pytest.fixture(scope="session")
def archive(tmp_path_factory):
    """The weights of a task, as TotalSegmentator names and packs them, of a small network of random weights."""
    root = tmp_path_factory.mktemp("weights")
    write_weights(root, task_named(LIVER), 570)
    return zipped(root)


@pytest.fixture
def offers(tmp_path, monkeypatch):
    """Known models on a server of this machine; the user has none."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command to make a certificate with")
    catalogue = LocalCatalogue(tmp_path / "offers")
    for name, value in catalogue.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DEEPSEGMENT_MODELS", str(tmp_path / "models"))
    yield catalogue
    catalogue.close()


@pytest.fixture
def opened(host, offers):
    """The module, opened where models are offered: its widget, `open` loads it."""
    loaded = []

    def open_module():
        loaded.append(host.load_module(REPOSITORY / "DeepSegment" / "DeepSegment.py"))
        return loaded[-1][0].panel

    yield open_module
    for widget, panel in loaded:
        widget.cleanup()
        panel.setMRMLScene(None)
        panel.delete()
    host.process_events()


def titles(panel):
    """What the list shows."""
    table = panel.ui.modelTable
    return [table.item(row, 0).text() for row in panel.models.shownRows()]


def search(host, panel, text):
    panel.ui.modelSearchBox.text = text
    host.process_events()


def choose(host, panel, title):
    """Click a line of the list."""
    table = panel.ui.modelTable
    row = next(n for n in range(table.rowCount) if table.item(n, 0).text() == title)
    table.setCurrentCell(row, 0)
    host.process_events()


def wait(host, panel, seconds=60):
    """Until no model is on its way; what is said then."""
    host.wait_until(lambda: not panel.bringing.jobs.busy, seconds)
    host.process_events()
    return panel.ui.modelMessageLabel.text


def get(host, panel, title=FREE):
    choose(host, panel, title)
    host.click(panel.ui.getModelButton)
    return wait(host, panel)


def installed():
    return [entry.name for entry in list_models() if not entry.bundled and not entry.damage]


def hidden(folder):
    """Remains in the folder of the user's models, but for what stays by design: index, locks, an empty folder."""
    return [path for path in folder.glob(".*/**/*") if path.is_file() and path.suffix != ".lock"]


def answer(host, question, agreed):
    host.click(question.agreeButton if agreed else question.box.button(slicer_cancel()))
    host.process_events()


def slicer_cancel():
    import qt

    return qt.QMessageBox.Cancel


def choose_files(monkeypatch, *paths):
    names = [str(path) for path in paths]
    monkeypatch.setattr(QtWidgets.QFileDialog, "getOpenFileNames", staticmethod(lambda *_a: (names, "")))
    monkeypatch.setattr(QtWidgets.QFileDialog, "getExistingDirectory", staticmethod(lambda *_a: names[0]))


def add(host, panel, which):
    """Click an entry of the menu of Add model."""
    menu = unwrap(panel.ui.addModelButton).menu()
    next(action for action in menu.actions() if action.text() == which).trigger()
    host.process_events()


def test_models_are_found_by_organ_modality_and_name(host, opened):
    panel = opened()
    assert titles(panel)[0].startswith("brain-mr")
    for text in ("liver", "Livers", "LIVER ct", "totalseg liver"):
        search(host, panel, text)
        assert FREE in titles(panel), text
        assert not titles(panel)[0].startswith("brain-mr")
    search(host, panel, "thalamus MR")
    assert titles(panel)[0].startswith("brain-mr")
    search(host, panel, "no such organ")
    assert titles(panel) == []
    assert "No model tells of that" in panel.ui.modelCard.plainText
    search(host, panel, "")
    assert "No model tells of that" not in panel.ui.modelCard.plainText
    assert len(titles(panel)) == panel.ui.modelTable.rowCount > 60
    assert all(panel.ui.modelTable.item(row, 1).text() for row in range(panel.ui.modelTable.rowCount))


def test_a_search_is_quick_and_makes_no_rows_anew(host, opened):
    panel = opened()
    before = panel.ui.modelTable.item(0, 0)
    start = time.process_time()
    for n in range(1, 6):
        search(host, panel, "liver"[:n])
    assert time.process_time() - start < 2.5
    assert panel.ui.modelTable.item(0, 0) is before or panel.ui.modelTable.item(0, 0) == before


def test_the_card_tells_all_of_a_model_that_is_not_here(host, opened):
    panel = opened()
    choose(host, panel, FREE)
    card = panel.ui.modelCard.toPlainText()
    for text in ("liver segment 1", "8 segments", "CT", "Apache-2.0", "TotalSegmentator 2.18.0", "abdomen", LIVER):
        assert text in card, text
    assert not panel.ui.segmentButton.enabled
    assert panel.ui.getModelButton.isVisible()
    assert not panel.ui.removeModelButton.isVisible()


def test_a_click_gets_a_model_and_chooses_it(host, opened, offers, archive):
    offers.offer(LIVER, whole(archive), size=len(archive))
    panel = opened()
    assert offers.web.asked == []
    said = get(host, panel)
    assert "totalseg-liver_segments is here and chosen" in said
    assert "8 segments" in said
    assert installed() == [LIVER]
    assert panel.models.line.name == panel.parameters.model == LIVER
    assert panel.models.spec is not None
    assert not panel.ui.getModelButton.isVisible()
    assert panel.ui.removeModelButton.isVisible()
    assert [path for path, _headers in offers.web.asked] == [f"/{LIVER}.zip"]
    assert panel.bringing.jobs.processID is None  # its memory is free


def test_a_licence_that_is_not_for_every_use_is_asked_once(host, opened, offers):
    offers.offer(LIMITED, refuses(404))
    panel = opened()
    title = "Brain aneurysms in TOF MR (TotalSegmentator)"
    choose(host, panel, title)
    assert "not for commercial use" in panel.ui.modelCard.toPlainText()
    host.click(panel.ui.getModelButton)
    text = panel.bringing.question.box.text
    assert "CC-BY-NC-4.0" in text
    assert text.count("<a ") == text.count('<a style="color: ') == 1  # a blue link cannot be read on a dark ground
    answer(host, panel.bringing.question, agreed=False)
    assert offers.web.asked == []
    host.click(panel.ui.getModelButton)
    answer(host, panel.bringing.question, agreed=True)
    assert "does not have it any more" in wait(host, panel)
    asked = panel.bringing.question
    assert "does not have it any more" in get(host, panel, title)
    assert panel.bringing.question is asked


def test_a_broken_line_is_told_and_the_next_click_goes_on(host, opened, offers, archive):
    half = len(archive) // 2
    offers.offer(LIVER, breaks_off(archive, half), breaks_off(archive, 0), size=len(archive))
    panel = opened()
    said = get(host, panel)
    assert "what came is kept" in said
    assert installed() == []
    assert "begun" in panel.ui.modelTable.item(panel.ui.modelTable.currentRow(), 1).text()
    offers.web.serve(f"/{LIVER}.zip", whole(archive))
    assert "is here and chosen" in get(host, panel)
    assert any("Range" in headers for _path, headers in offers.web.asked)


def test_cancel_stops_a_download_and_what_is_here_stays(host, opened, offers, archive):
    offers.offer(LIVER, slowly(archive, 20), whole(archive), size=len(archive))
    panel = opened()
    choose(host, panel, FREE)
    host.click(panel.ui.getModelButton)
    assert panel.ui.getModelButton.text == "Cancel"
    host.wait_until(lambda: panel.ui.modelProgressBar.value > 50)
    host.click(panel.ui.getModelButton)
    said = wait(host, panel, 5)
    assert "Cancelled" in said
    assert "Get goes on from there" in said
    assert installed() == []
    assert not panel.ui.modelProgressBar.isVisible()


def test_segmenting_is_not_held_up_by_a_download(host, opened, offers, archive):
    offers.offer(LIVER, slowly(archive, 20), size=len(archive))
    panel = opened()
    choose(host, panel, FREE)
    host.click(panel.ui.getModelButton)
    choose(host, panel, titles(panel)[0])
    assert panel.ui.segmentButton.text == "Segment"
    assert not panel.busy
    panel.bringing.jobs.cancel()
    wait(host, panel, 5)


def test_a_file_or_a_folder_is_added_and_told_what_it_is(host, opened, archive, tmp_path, monkeypatch):
    panel = opened()
    (tmp_path / "weights.zip").write_bytes(archive)
    choose_files(monkeypatch, tmp_path / "weights.zip")
    add(host, panel, "Files...")
    said = wait(host, panel)
    assert "TotalSegmentator" in said
    assert "8 segments" in said
    assert panel.models.line.name == LIVER
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda _text: True)
    host.click(panel.ui.removeModelButton)
    write_weights(tmp_path / "folder", task_named(LIVER), 570)
    choose_files(monkeypatch, tmp_path / "folder")
    add(host, panel, "Folder...")
    assert "is here and chosen" in wait(host, panel)


@pytest.mark.parametrize("name", ["model.zip", "model.pt", "model.pth", "model.ts", "model.onnx"])
def test_what_is_no_model_is_refused_in_words(host, opened, tmp_path, monkeypatch, name):
    panel = opened()
    (tmp_path / name).write_bytes(b"no model at all")
    choose_files(monkeypatch, tmp_path / name)
    add(host, panel, "Files...")
    said = wait(host, panel)
    assert said
    assert "is here" not in said
    assert "--" not in said
    assert installed() == []
    assert hidden(tmp_path / "models") == []


def test_a_model_is_removed_after_a_question(host, opened, offers, archive, monkeypatch):
    offers.offer(LIVER, whole(archive), size=len(archive))
    panel = opened()
    get(host, panel)
    asked, agrees = [], [False, True]
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text: asked.append(text) or agrees.pop(0))
    host.click(panel.ui.removeModelButton)
    assert installed() == [LIVER]
    host.click(panel.ui.removeModelButton)
    assert installed() == []
    assert "kB" in asked[0] or "MB" in asked[0]
    assert "are free again" in panel.ui.modelMessageLabel.text
    assert panel.models.line.name == LIVER  # it can be had again
    assert panel.ui.getModelButton.isVisible()


def test_a_killed_process_leaves_the_list_whole(host, opened, offers, archive, tmp_path):
    offers.offer(LIVER, slowly(archive, 20), whole(archive), size=len(archive))
    panel = opened()
    choose(host, panel, FREE)
    host.click(panel.ui.getModelButton)
    host.wait_until(lambda: panel.ui.modelProgressBar.value > 20)
    os.kill(panel.bringing.jobs.processID, signal.SIGKILL)
    assert "killed" in wait(host, panel, 10)
    assert installed() == []
    assert [entry.name for entry in list_models()] == ["brain-mr"]
    assert "is here and chosen" in get(host, panel)
    assert hidden(Path(os.environ["DEEPSEGMENT_MODELS"])) == []


def test_a_list_that_cannot_be_read_leaves_what_is_installed(host, opened, offers):
    from DeepSegmentLib.files.models.known_models import read_known_models

    (Path(offers.environment["DEEPSEGMENT_CATALOGUE"]) / "models.json").write_text("{}")
    read_known_models.cache_clear()
    panel = opened()
    assert [title.split()[0] for title in titles(panel)] == ["brain-mr"]
    assert "install DeepSegment again" in panel.ui.modelMessageLabel.text
    read_known_models.cache_clear()
