"""The same question is answered at once, any other one is worked on."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from model_examples import TINY_UNET, model_spec

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.files.models import save_model
from DeepSegmentLib.hosts.recent_runs import RecentRuns
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.segmentation.outputs import PredictSettings
from DeepSegmentLib.service.segment import segment_volume

VOLUME = Volume(
    np.random.default_rng(0).normal(size=(1, 9, 8, 7)).astype(np.float32), Geometry.from_spacing((9, 8, 7), (1, 1, 1))
)
OTHER_VOXELS = VOLUME.voxels.copy()
OTHER_VOXELS[0, 4, 4, 4] += 1


def model(folder, seed=0):
    torch.manual_seed(seed)
    save_model(folder, model_spec(), UNet(TINY_UNET), card="")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return model(tmp_path_factory.mktemp("models") / "tiny")


def asked(runs, folder, volume=VOLUME, device="cpu", settings=None):
    settings = settings or PredictSettings()
    return runs.run(
        volume, folder, device, settings, lambda: segment_volume(volume, str(folder), device="cpu", settings=settings)
    )


def test_the_same_question_is_answered_without_work_and_with_a_note(folder):
    runs = RecentRuns()
    first, new = asked(runs, folder)
    again, new_again = asked(runs, folder, replace(VOLUME, voxels=VOLUME.voxels.copy()))
    assert (new, new_again) == (True, False)
    assert again.prediction is first.prediction
    assert again.notes[0].startswith("Nothing has changed")
    assert again.notes[1:] == first.notes


@pytest.mark.parametrize(
    "other",
    [
        {"volume": replace(VOLUME, voxels=OTHER_VOXELS)},
        {"volume": replace(VOLUME, voxels=VOLUME.voxels.astype(np.float64))},
        {"volume": replace(VOLUME, geometry=Geometry.from_spacing((9, 8, 7), (1, 1, 2)))},
        {"device": "auto"},
        {"settings": PredictSettings(overlap=0.2)},
        {"settings": PredictSettings(region_ras=np.array([[0, 0, 0], [5, 5, 5]]))},
        {"settings": PredictSettings(uncertainty=True)},
    ],
    ids=str,
)
def test_any_other_question_is_worked_on(folder, other):
    runs = RecentRuns()
    asked(runs, folder)
    assert asked(runs, folder, **other)[1]
    assert not asked(runs, folder)[1]


def test_other_weights_are_another_question(tmp_path, folder):
    runs = RecentRuns()
    asked(runs, folder)
    assert asked(runs, model(tmp_path / "tiny", seed=1))[1]


def test_what_takes_too_much_memory_goes_oldest_first(folder):
    size = VOLUME.voxels[0].size
    runs = RecentRuns(most_bytes=2 * size)
    for overlap in (0.1, 0.2, 0.3):
        asked(runs, folder, settings=PredictSettings(overlap=overlap))
    assert not asked(runs, folder, settings=PredictSettings(overlap=0.3))[1]
    assert asked(runs, folder, settings=PredictSettings(overlap=0.1))[1]


def test_maps_on_disk_are_not_kept(tmp_path, folder):
    runs, settings = RecentRuns(), PredictSettings(uncertainty=True, maps_folder=tmp_path)
    assert asked(runs, folder, settings=settings)[1]
    assert asked(runs, folder, settings=settings)[1]
