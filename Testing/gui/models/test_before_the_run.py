"""What is chosen and told before the click: channels, segments, the fast variant, doubts of the volume."""

import shutil

import numpy as np
import pytest

pytest.importorskip("slicer", reason="needs slicer-core")
pytest.importorskip("PySide6", reason="needs PySide6-Essentials", exc_type=ImportError)

import slicer
from conftest import REPOSITORY
from host.widgets.pythonqt import unwrap
from nodes import add_volume
from PySide6 import QtWidgets

from DeepSegmentLib.data import Geometry
from DeepSegmentLib.files.models.importers.door import Words
from DeepSegmentLib.hosts.mrml.segmentations.segments import segment_ids
from DeepSegmentLib.service.catalogue import add_model

GRID = Geometry.from_spacing((24, 26, 28), (3, 3, 3))


@pytest.fixture
def models(tmp_path, monkeypatch):
    """The folder of the user's models."""
    monkeypatch.setenv("DEEPSEGMENT_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def opened(host, models):
    """Loads the module once the models are there."""
    loaded = []

    def open_module(model=""):
        loaded.append(host.load_module(REPOSITORY / "DeepSegment" / "DeepSegment.py"))
        panel = loaded[-1][0].panel
        panel.models.choose(model)
        host.process_events()
        return panel

    yield open_module
    for widget, panel in loaded:
        widget.cleanup()
        panel.setMRMLScene(None)
        panel.delete()
    host.process_events()


def copy_of_the_bundled_model(folder, **changes):
    """The bundled model under another name."""
    from dataclasses import replace

    from DeepSegmentLib.files.models import read_spec
    from DeepSegmentLib.files.models.folder import write_spec

    shutil.copytree(REPOSITORY / "Resources" / "Models" / "brain-mr", folder)
    write_spec(folder, replace(read_spec(folder), name=folder.name, **changes))


def several_channels(folder, *channels):
    """A small model of nnU-Net that takes these, added as a user would."""
    nnunet = pytest.importorskip("foreign_models.nnunet", reason="makes weights of others")
    plans = nnunet.plans_of({"3d_fullres": nnunet.configuration(channels=len(channels))})
    dataset = nnunet.dataset_of(channel_names={str(n): name for n, name in enumerate(channels)})
    add_model([nnunet.write_trained(folder, plans=plans, dataset=dataset)], Words(name="several"))


def volume(name, low=0, high=100):
    k, j, i = np.meshgrid(*[np.linspace(-1, 1, n) for n in GRID.shape], indexing="ij")
    inside = np.sqrt(k**2 + j**2 + i**2) < 0.8
    noise = np.random.default_rng(0).normal(0, 4, GRID.shape)
    return add_volume(slicer.mrmlScene, GRID, (np.where(inside, high, low) + noise).astype(np.int16), name)


def labels_of(frame):
    return [label.text() for label in unwrap(frame).findChildren(QtWidgets.QLabel) if label.text().endswith(":")]


@pytest.mark.parametrize("channels", [("T1w", "FLAIR"), ("T1w", "T2w", "FLAIR")])
def test_channels_are_assigned_by_name_shown_and_can_be_changed(host, opened, tmp_path, channels):
    several_channels(tmp_path / "results", *channels)
    panel = opened("several")
    nodes = {name: volume(f"patient {name.lower()}") for name in reversed(channels)}
    other = volume("scan 7")
    panel.ui.volumeSelector.setCurrentNode(nodes["T1w"])
    host.process_events(0.1)
    assert panel.ui.channelsFrame.isVisible()
    assert panel.ui.volumeSelectorLabel.text == "T1w:"
    assert labels_of(panel.ui.channelsFrame) == [f"{name}:" for name in channels[1:]]
    assert panel.input.channels.nodes() == [nodes[name] for name in channels[1:]]
    assert panel.ui.segmentButton.enabled
    panel.input.channels.selectors()[0].setCurrentNode(other)
    host.process_events()
    assert panel.input.channels.nodes()[0] is other


def test_a_channel_that_no_name_tells_is_asked_for(host, opened, tmp_path):
    several_channels(tmp_path / "results", "T1w", "FLAIR")
    panel = opened("several")
    panel.ui.volumeSelector.setCurrentNode(volume("one"))
    volume("two")
    host.process_events(0.1)
    assert panel.input.channels.nodes() == [None]
    assert not panel.ui.segmentButton.enabled
    assert "each channel" in panel.ui.preflightLabel.text


def test_only_ticked_segments_are_made(host, opened, models):
    copy_of_the_bundled_model(models / "copy")
    panel = opened("copy")
    panel.ui.volumeSelector.setCurrentNode(volume("head"))
    host.process_events()
    assert panel.ui.subsetButton.text == "All 15 segments"
    host.click(panel.ui.subsetButton)
    assert panel.ui.subsetFrame.isVisible()
    host.click(panel.ui.subsetNoneButton)
    assert not panel.ui.segmentButton.enabled
    assert "Tick a segment" in panel.ui.preflightLabel.text
    panel.ui.subsetSearchBox.text = "white"
    host.click(panel.ui.subsetAllButton)
    assert panel.ui.subsetButton.text == "2 of 15 segments"
    host.click(panel.ui.segmentButton)
    host.wait_until(lambda: not panel.jobs.busy)
    host.process_events(0.2)
    (node,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    names = [node.GetSegmentation().GetSegment(each).GetName() for each in segment_ids(node)]
    assert names == ["Cerebral white matter", "Cerebellar white matter"]
    panel.models.choose("brain-mr")
    host.process_events()
    assert panel.ui.subsetButton.text == "All 15 segments"
    panel.models.choose("copy")
    host.process_events()
    assert panel.ui.subsetButton.text == "2 of 15 segments"


def test_fast_runs_the_coarser_model_or_says_that_it_is_not_here(host, opened, models):
    copy_of_the_bundled_model(models / "fine", coarse_model="coarse")
    panel = opened("fine")
    assert not panel.ui.fastCheckBox.enabled
    assert "coarse" in panel.ui.fastCheckBox.text
    copy_of_the_bundled_model(models / "coarse")
    panel.loadModels("fine")
    panel.ui.volumeSelector.setCurrentNode(volume("head"))
    host.process_events()
    host.click(panel.ui.fastCheckBox)
    host.click(panel.ui.segmentButton)
    host.wait_until(lambda: not panel.jobs.busy)
    host.process_events(0.2)
    assert "from coarse" in panel.ui.statusLabel.text
    panel.models.choose("brain-mr")
    host.process_events()
    assert not panel.ui.fastCheckBox.isVisible()


def test_a_ct_for_a_model_of_mr_is_doubted_before_the_click(host, opened):
    panel = opened("brain-mr")
    panel.ui.volumeSelector.setCurrentNode(volume("abdomen", low=-1000, high=40))
    host.wait_until(lambda: "CT" in panel.ui.preflightLabel.text, 10)
    assert "made for MR" in panel.ui.preflightLabel.text
    assert panel.ui.segmentButton.enabled  # a doubt stops nobody
    assert "GB" in panel.ui.preflightLabel.text
