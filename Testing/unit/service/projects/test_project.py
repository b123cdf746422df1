"""Collected cases come back as they were, and what cannot be kept is refused while nothing is lost."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import strategies as own
from hypothesis import given, settings
from hypothesis import strategies as st

from DeepSegmentLib.data import Box, Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.errors import InvalidInputError, VolumeFileError
from DeepSegmentLib.files.projects import create_project, open_project
from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap
from DeepSegmentLib.networks.model_spec import Channel
from DeepSegmentLib.service.projects.check_project import check_project
from DeepSegmentLib.service.projects.project import Collecting, case_records, collect_case, labelled_cases, set_status

GRID = Geometry.from_spacing((3, 4, 5), (3, 1, 2))
ONE = (Channel("volume", ""),)


def _pair(seed=0, name="Cyst", grid=GRID):
    voxels = np.random.default_rng(seed).integers(0, 99, (1, *grid.shape)).astype(np.int16)
    labels = np.zeros((1, *grid.shape), np.uint8)
    labels[0, 1, 1:3, 2:4] = 1
    return Volume(voxels, grid), LabelMap(labels, grid, (Segment(name, 1),))


@pytest.fixture
def folder(tmp_path):
    create_project(tmp_path / "p", "p", ONE)
    return tmp_path / "p"


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_what_is_collected_comes_back(data):
    grid = data.draw(own.geometries())
    channels = data.draw(st.integers(1, 2))
    kind = data.draw(st.sampled_from([np.uint8, np.int16, np.int32, np.float32, np.float64]))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    voxels = rng.integers(0, 200, (channels, *grid.shape)).astype(kind)
    layers = rng.integers(0, 2, (2, *grid.shape)).astype(np.uint8)  # overlapping
    layers[:, 0, 0, 0] = 1
    labels = LabelMap(layers, grid, (Segment("Cyst", 1), Segment("Wall", 1, layer=1)))
    box = data.draw(own.inner_boxes(grid.shape))
    drawn = {"Cyst": (box,) if box.size else (), "Wall": ()}
    turned = data.draw(own.orientations())
    given_labels = LabelMap(np.ascontiguousarray(grid.view(layers, turned)), grid.oriented(turned)[0], labels.segments)
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "p"
        create_project(folder, "p", tuple(Channel(f"c{n}", "") for n in range(channels)))
        said = Collecting("approved", drawn=drawn, reviewed=(Box.of_shape(grid.shape),), patient="Doe")
        collect_case(folder, Volume(voxels, grid), given_labels, said)
        (case,) = labelled_cases(folder)
    assert np.array_equal(case.volume.voxels, voxels)
    assert case.volume.voxels.dtype == kind
    assert case.volume.geometry.is_close(grid, tolerance_mm=0.01 * min(grid.spacing_mm))
    assert case.drawn == drawn
    assert case.reviewed == (Box.of_shape(grid.shape),)
    for name, mask in labels.masks.items():
        assert np.array_equal(case.label_map.masks[name], mask)


def test_the_same_volume_gets_a_revision_and_the_older_one_stays(folder):
    volume, labels = _pair()
    first = collect_case(folder, volume, labels, Collecting("approved", by="A", patient="Doe"))
    more = LabelMap(np.ones_like(labels.layers), GRID, labels.segments)
    second = collect_case(folder, volume, more, Collecting("draft"))
    assert (second.name, second.revision, second.status) == (first.name, 2, "draft")
    assert [change.status for change in second.history] == ["approved", "draft"]
    assert second.patient == first.patient
    old = read_labelmap(folder / "cases" / first.name / first.labels)
    assert np.array_equal(old.layers, labels.layers)
    assert collect_case(folder, volume, more, Collecting(anew=True)).name == "case_0002"


def test_the_same_voxels_elsewhere_are_refused_and_the_case_stays_readable(folder):
    volume, labels = _pair()
    collect_case(folder, volume, labels, Collecting("approved"))
    affine = GRID.affine.copy()
    affine[:3, 3] += 40
    moved = Geometry(GRID.shape, affine)
    with pytest.raises(InvalidInputError, match="not on the volume's grid"):
        collect_case(folder, replace(volume, geometry=moved), replace(labels, geometry=moved), Collecting())
    (case,) = labelled_cases(folder)
    assert np.array_equal(case.label_map.layers, labels.layers)


@pytest.mark.parametrize(
    "said",
    [
        {"drawn": {"Cyst": (Box((0, 0, 0), (9, 1, 1)),)}},
        {"drawn": {"Cyst": (Box((1, 1, 1), (1, 2, 2)),)}},
        {"reviewed": (Box((-1, 0, 0), (1, 1, 1)),)},
        {"drawn": {"Liver": ()}},
        {"absent": ("Cyst",)},
    ],
)
def test_what_cannot_be_true_is_refused_and_nothing_changes(folder, said):
    before = (folder / "project.json").read_bytes()
    with pytest.raises(InvalidInputError):
        collect_case(folder, *_pair(), Collecting(**said))
    assert (folder / "project.json").read_bytes() == before
    assert case_records(folder) == ()


def test_a_failed_case_leaves_the_table_of_segments_as_it_was(folder):
    volume, labels = _pair()
    two = Volume(np.concatenate([volume.voxels] * 2), GRID)
    with pytest.raises(InvalidInputError, match="has 2 channels"):
        collect_case(folder, two, labels, Collecting())
    assert open_project(folder).record.segments == ()


def test_names_extend_the_table_and_other_capitals_are_refused(folder):
    collect_case(folder, *_pair(1), Collecting(absent=("Tumour",)))
    collect_case(folder, *_pair(2, "Wall"), Collecting())
    assert [each.name for each in open_project(folder).record.segments] == ["Cyst", "Tumour", "Wall"]
    with pytest.raises(InvalidInputError, match="'CYST' is called 'Cyst'"):
        collect_case(folder, *_pair(3, "CYST"), Collecting())


def test_status_is_recorded_and_decides_what_is_learned_from(folder):
    for seed in (1, 2):
        collect_case(folder, *_pair(seed), Collecting())
    set_status(folder, ["case_0002"], "approved", "Dr A")
    assert [case.name for case in labelled_cases(folder)] == ["case_0002"]
    assert [case.name for case in labelled_cases(folder, statuses=("draft", "approved"))] == ["case_0001", "case_0002"]
    assert case_records(folder)[1].history[-1].by == "Dr A"
    with pytest.raises(VolumeFileError, match="no case case_0009"):
        set_status(folder, ["case_0001", "case_0009"], "approved")
    assert case_records(folder)[0].status == "draft"


def test_the_check_finds_what_is_wrong(folder):
    volume, labels = _pair(1)
    collect_case(folder, volume, labels, Collecting(patient="Doe", absent=("Tumour",)))
    collect_case(folder, volume, labels, Collecting(patient="Doe", anew=True))
    for seed in (2, 3, 4):
        collect_case(folder, *_pair(seed), Collecting())
    cases = folder / "cases"
    (cases / "case_0003" / "volume_0000.nii.gz").write_bytes(b"no gzip at all")
    (cases / "case_0004" / "labels.1.seg.nrrd").unlink()
    other = (cases / "case_0001" / "volume_0000.nii.gz").read_bytes()
    (cases / "case_0005" / "volume_0000.nii.gz").write_bytes(other)
    found = {(each.case, each.kind) for each in check_project(folder, ["case_0002"], lambda event: None)}
    assert found == {
        ("case_0001, case_0002", "duplicate"),
        ("case_0001, case_0002", "leak"),
        ("case_0001", "empty"),
        ("case_0003", "damaged"),
        ("case_0004", "damaged"),
        ("case_0005", "damaged"),
    }
