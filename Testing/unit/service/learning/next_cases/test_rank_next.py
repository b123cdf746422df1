"""Volumes are segmented, measured and ranked; what was measured is kept."""

import json
import shutil

import numpy as np
import pytest
import torch
from model_examples import TINY_UNET, model_spec

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.errors import Cancelled, InvalidInputError, ModelError, VolumeFileError
from DeepSegmentLib.files.models import load_model, save_model
from DeepSegmentLib.files.models.places import user_folder
from DeepSegmentLib.files.projects import create_project
from DeepSegmentLib.files.volumes import read_volume, write_volume
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.model_spec import Channel
from DeepSegmentLib.service.batch.find_volumes import find_volumes
from DeepSegmentLib.service.learning.next_cases import NextSettings, next_report, rank_next
from DeepSegmentLib.service.projects.project import Collecting, collect_case
from DeepSegmentLib.training.annotate_next.volumes import STRATEGIES, RankSettings


@pytest.fixture
def model(tmp_path):
    """A model folder."""
    return _model(tmp_path / "model", 0)


def _model(folder, seed):
    torch.manual_seed(seed)
    save_model(folder, model_spec(), UNet(TINY_UNET), card="# tiny\n")
    return str(folder)


@pytest.fixture
def volumes(tmp_path):
    """A folder of four volumes."""
    folder = tmp_path / "volumes"
    folder.mkdir()
    for n in range(4):
        voxels = np.random.default_rng(n).normal(n, 1 + n, size=(1, 9, 10, 8 + n)).astype(np.float32)
        write_volume(Volume(voxels, Geometry.from_spacing(voxels.shape[1:], (1, 1, 1))), folder / f"{n}.nii.gz")
    return folder


@pytest.fixture
def measured(tmp_path_factory, monkeypatch):
    """A user without any measures; gives the files of those that are kept."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("user")))
    return lambda: sorted((user_folder() / "measured").rglob("*.json"))


class _Loads:
    """Loads models, and counts how often."""

    def __init__(self):
        self.count = 0

    def __call__(self, folder, device):
        self.count += 1
        return load_model(folder, device)


def _collect(project, path, segment="left"):
    volume = read_volume(path)
    labels = LabelMap(np.ones((1, *volume.geometry.shape), np.uint8), volume.geometry, (Segment(segment, 1),))
    return collect_case(project, volume, labels, Collecting("approved"))


def _names(cases):
    return [each.volume.name for each in cases.ranked]


def _settings(strategy, seed=0):
    return NextSettings(RankSettings(strategy, seed), "cpu")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_all_volumes_are_ranked_in_the_same_way_each_time(measured, model, volumes, strategy):
    found = find_volumes([volumes])
    cases = rank_next(found, model, settings=_settings(strategy))
    assert sorted(_names(cases)) == [str(volumes / f"{n}.nii.gz") for n in range(4)]
    assert not cases.left_out
    assert _names(rank_next(found[::-1], model, settings=_settings(strategy))) == _names(cases)


def test_what_was_measured_is_not_measured_again(measured, model, volumes, tmp_path):
    load = _Loads()
    first = rank_next(find_volumes([volumes]), model, settings=_settings("combined"), load=load)
    assert (load.count, len(measured())) == (4, 4)
    shutil.copytree(volumes, tmp_path / "elsewhere")
    again = rank_next(find_volumes([tmp_path / "elsewhere"]), model, settings=_settings("combined"), load=load)
    assert load.count == 4
    assert [each.volume.measures for each in again.ranked] == [each.volume.measures for each in first.ranked]


def test_another_model_measures_anew(measured, model, volumes, tmp_path):
    one = rank_next(find_volumes([volumes]), model, settings=_settings("entropy"))
    other = rank_next(find_volumes([volumes]), _model(tmp_path / "other", 1), settings=_settings("entropy"))
    assert len(measured()) == 8
    assert {each.volume.measures for each in one.ranked}.isdisjoint(each.volume.measures for each in other.ranked)


def test_the_same_voxels_of_another_size_are_measured_anew(measured, model, volumes):
    volume = read_volume(volumes / "0.nii.gz")
    rank_next(find_volumes([volumes / "0.nii.gz"]), model, settings=_settings("entropy"))
    wide = Volume(volume.voxels, Geometry.from_spacing(volume.geometry.shape, (2, 2, 2)))
    write_volume(wide, volumes / "0.nii.gz")
    rank_next(find_volumes([volumes / "0.nii.gz"]), model, settings=_settings("entropy"))
    assert len(measured()) == 2


def test_a_ranking_that_is_stopped_goes_on(measured, model, volumes):
    def stop(event):
        if event.stage == "volume 3 of 4":
            raise Cancelled("stopped")

    load, found = _Loads(), find_volumes([volumes])
    with pytest.raises(Cancelled):
        rank_next(found, model, settings=_settings("combined"), load=load, on_progress=stop)
    assert len(measured()) == 2
    whole = rank_next(found, model, settings=_settings("combined"), load=load)
    assert (load.count, len(whole.ranked)) == (4, 4)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"segments": []}', "null", "1" * 5000])
def test_measures_that_make_no_sense_are_taken_anew(measured, model, volumes, content):
    found = find_volumes([volumes / "0.nii.gz"])
    first = rank_next(found, model, settings=_settings("entropy"))
    (file,) = measured()
    file.write_text(content)
    assert rank_next(found, model, settings=_settings("entropy")) == first
    assert json.loads(file.read_text())["segments"]


def test_a_folder_of_measures_that_cannot_be_written_stops_nothing(measured, model, volumes):
    user_folder().mkdir(parents=True)
    (user_folder() / "measured").write_text("in the way")
    assert len(rank_next(find_volumes([volumes]), model, settings=_settings("entropy")).ranked) == 4


def test_what_is_kept_tells_no_names(measured, model, tmp_path):
    folder = tmp_path / "Doe^Jane"
    folder.mkdir()
    voxels = np.random.default_rng(0).normal(size=(1, 9, 10, 11)).astype(np.float32)
    write_volume(Volume(voxels, Geometry.from_spacing((9, 10, 11), (1, 1, 1)), "Doe"), folder / "Jane.nii.gz")
    rank_next(find_volumes([folder]), model, settings=_settings("entropy"))
    (file,) = measured()
    assert not any(word in f"{file} {file.read_text()}" for word in ("Doe", "Jane"))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_volumes_of_the_project_are_left_out_wherever_they_lie(measured, model, volumes, tmp_path, strategy):
    project = tmp_path / "project"
    create_project(project, "p", (Channel("T1w", "MR"),))
    _collect(project, volumes / "1.nii.gz")
    before = rank_next(find_volumes([volumes]), model, project=project, settings=_settings(strategy))
    assert [(each.name, each.reason) for each in before.left_out] == [
        (str(volumes / "1.nii.gz"), "is in the project already, as case_0001")
    ]
    shutil.copy(volumes / "1.nii.gz", volumes / "a copy.nii.gz")
    after = rank_next(find_volumes([volumes, project]), model, project=project, settings=_settings(strategy))
    assert after.ranked == before.ranked  # a copy of what is collected changes nothing
    assert len(after.left_out) == 3


def test_drawn_segments_and_cases_count(measured, model, volumes, tmp_path):
    project = tmp_path / "project"
    create_project(project, "p", (Channel("T1w", "MR"),))
    _collect(project, volumes / "1.nii.gz", "LEFT")  # however it is spelled
    cases = rank_next(find_volumes([volumes]), model, project=project, settings=_settings("balanced"))
    assert cases.ranked[0].reason.startswith("has right, which no case has yet")
    assert len(measured()) == 3  # nothing is compared with cases
    rank_next(find_volumes([volumes]), model, project=project, settings=_settings("diverse"))
    assert len(measured()) == 4


def test_a_case_that_is_damaged_is_told_and_not_compared_with(measured, model, volumes, tmp_path):
    project = tmp_path / "project"
    create_project(project, "p", (Channel("T1w", "MR"),))
    record = _collect(project, volumes / "1.nii.gz")
    (project / "cases" / record.name / record.channels[0]).write_bytes(b"damaged")
    cases = rank_next(find_volumes([volumes / "2.nii.gz"]), model, project=project, settings=_settings("diverse"))
    assert len(cases.ranked) == 1
    assert cases.left_out[0].reason.startswith("was not compared with")


def test_copies_and_what_cannot_be_read_are_told(measured, model, volumes):
    shutil.copy(volumes / "0.nii.gz", volumes / "0 copy.nii.gz")
    (volumes / "broken.nii.gz").write_bytes(b"no volume")
    two = np.zeros((2, 9, 10, 11), np.float32)
    write_volume(Volume(two, Geometry.from_spacing((9, 10, 11), (1, 1, 1))), volumes / "two channels.nrrd")
    cases = rank_next(find_volumes([volumes, volumes / "0.nii.gz"]), model, settings=_settings("combined"))
    reasons = {each.name.rpartition("/")[2]: each.reason for each in cases.left_out}
    assert set(reasons) == {"0.nii.gz", "broken.nii.gz", "two channels.nrrd"}
    assert reasons["0.nii.gz"] == f"is the same volume as {volumes / '0 copy.nii.gz'}"
    assert "broken" in reasons["broken.nii.gz"]
    assert "channel" in reasons["two channels.nrrd"]
    assert len(cases.ranked) == 4


def test_nothing_to_rank_is_no_error(measured, model, tmp_path):
    (tmp_path / "empty").mkdir()
    assert rank_next(find_volumes([tmp_path / "empty"]), model, settings=_settings("combined")).ranked == ()


def test_what_is_not_there_is_refused(measured, model, volumes, tmp_path):
    with pytest.raises(VolumeFileError, match="nowhere"):
        find_volumes([tmp_path / "nowhere"])
    with pytest.raises(ModelError):
        rank_next(find_volumes([volumes]), str(tmp_path / "nowhere"))
    with pytest.raises(VolumeFileError):
        rank_next(find_volumes([volumes]), model, project=tmp_path / "nowhere")


def test_a_report_tells_the_first_ones(measured, model, volumes):
    cases = rank_next(find_volumes([volumes]), model, settings=_settings("entropy"))
    report = next_report(cases, count=2)
    assert [row["rank"] for row in report["ranked"]] == [1, 2]
    assert report["volumes"] == 4
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    with pytest.raises(InvalidInputError, match="0"):
        next_report(cases, count=0)


def test_real_volumes_are_ranked_by_the_bundled_model(measured, shared_data):
    """Crops of heads: what is found and unsure differs, and a second look costs no model."""
    paths = sorted((shared_data / "hippocampus" / "images").glob("*.nii.gz"))[:3]
    load = _Loads()
    first = rank_next(find_volumes(paths), "brain-mr", settings=_settings("combined"), load=load)
    again = rank_next(find_volumes(paths), "brain-mr", settings=_settings("entropy"), load=load)
    assert load.count == 3
    assert sorted(_names(first)) == sorted(_names(again)) == [str(path) for path in paths]
    entropies = [each.volume.measures.entropy for each in again.ranked]
    assert entropies == sorted(set(entropies), reverse=True)
    assert all(each.volume.measures.found for each in first.ranked)
