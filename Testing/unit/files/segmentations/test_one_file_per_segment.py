"""A folder of one file a segment: as good as any other segmentation, whole or not there."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from DeepSegmentLib.data import Geometry, LabelMap, Segment
from DeepSegmentLib.errors import DeepSegmentError, VolumeFileError
from DeepSegmentLib.files.segmentations.labelmaps import (
    read_labelmap,
    read_provenance,
    segmentation_outputs,
    write_segmentation,
)
from DeepSegmentLib.files.segmentations.one_file_per_segment import SEGMENTS_FILE
from DeepSegmentLib.files.volumes import read_volume

GRID = Geometry.from_spacing((3, 4, 5), (1, 2, 3))


@st.composite
def label_maps(draw):
    """One to three segments in one or two layers."""
    names = draw(st.lists(st.text(max_size=6), min_size=1, max_size=3, unique=True))
    count = draw(st.integers(1, 2))
    layers = [draw(st.integers(0, count - 1)) for _ in names]
    values = draw(st.lists(st.sampled_from([1, 2, 255, 300]), min_size=len(names), max_size=len(names), unique=True))
    segments = tuple(Segment(*each[:2], layer=each[2]) for each in zip(names, values, layers, strict=True))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    voxels = np.zeros((max(layers) + 1, *GRID.shape), np.uint16 if max(values) > 255 else np.uint8)
    for n, layer in enumerate(voxels):
        layer[...] = rng.choice([0, *(each.value for each in segments if each.layer == n)], GRID.shape)
    return LabelMap(voxels, GRID, segments)


@given(label_maps())
@settings(max_examples=25)
def test_it_is_read_as_it_was_written(tmp_path_factory, label_map):
    table = tmp_path_factory.mktemp("case") / SEGMENTS_FILE
    write_segmentation(label_map, table, {"model": "m"})
    for path in (table, table.parent):
        found = read_labelmap(path)
        assert found.segments == label_map.segments
        np.testing.assert_array_equal(found.layers, label_map.layers)
        assert found.geometry.is_close(GRID)
        assert read_provenance(path) == {"model": "m"}
    written = {path for path in table.parent.iterdir() if not path.name.startswith(".")}
    assert written == {each.path for each in segmentation_outputs(table, [each.name for each in label_map.segments])}


def _liver_and_spleen():
    voxels = np.zeros((1, *GRID.shape), np.uint8)
    voxels[0, 0], voxels[0, 1] = 1, 2
    return LabelMap(voxels, GRID, (Segment("Liver", 1), Segment("Left spleen", 2)))


def test_files_have_the_names_of_segments_and_hold_zeros_and_ones(tmp_path):
    write_segmentation(_liver_and_spleen(), tmp_path / "a" / SEGMENTS_FILE)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "left-spleen.nii.gz", "liver.nii.gz", SEGMENTS_FILE,
    ]  # fmt: skip
    mask = read_volume(tmp_path / "a" / "left-spleen.nii.gz").voxels
    np.testing.assert_array_equal(mask[0], _liver_and_spleen().layers[0] == 2)


def test_what_fails_leaves_nothing_and_replaces_nothing(tmp_path, monkeypatch):
    table, labels = tmp_path / "a" / SEGMENTS_FILE, _liver_and_spleen()
    write_segmentation(labels, table)
    before = {path.name: path.read_bytes() for path in table.parent.iterdir()}
    odd = replace(labels, layers=labels.layers[:, ::-1].copy())
    sheared = Geometry(GRID.shape, GRID.affine + np.array([[0, 0.5, 0, 0], *[[0] * 4] * 3]))
    with pytest.raises(VolumeFileError, match="right angle"):
        write_segmentation(replace(odd, geometry=sheared), table)
    assert {path.name: path.read_bytes() for path in table.parent.iterdir()} == before
    with pytest.raises(VolumeFileError):
        write_segmentation(replace(odd, geometry=sheared), tmp_path / "new" / SEGMENTS_FILE)
    assert not (tmp_path / "new").exists()


def test_a_smaller_result_takes_the_files_of_the_larger_along(tmp_path):
    table, labels = tmp_path / SEGMENTS_FILE, _liver_and_spleen()
    write_segmentation(labels, table)
    (tmp_path / "mine.nii.gz").write_bytes(b"not listed")
    write_segmentation(replace(labels, segments=labels.segments[:1]), table)
    assert {path.name for path in tmp_path.iterdir()} == {SEGMENTS_FILE, "liver.nii.gz", "mine.nii.gz"}


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "liver.nii.gz").unlink(),
        lambda folder: (folder / "liver.nii.gz").write_bytes(b"cut"),
        lambda folder: (folder / "liver.nii.gz").write_bytes((folder / "left-spleen.nii.gz").read_bytes()),
        lambda folder: _edit(folder, file="../liver.nii.gz"),
        lambda folder: _edit(folder, file=3),
        lambda folder: _edit(folder, layer=-1),
        lambda folder: _edit(folder, layer=10**9),
        lambda folder: _edit(folder, value=1),
        lambda folder: (folder / SEGMENTS_FILE).write_text('{"segments": []}'),
        lambda folder: (folder / SEGMENTS_FILE).write_text('{"segments": [1]}'),
        lambda folder: (folder / SEGMENTS_FILE).write_text("[]"),
    ],
)
def test_what_is_damaged_is_refused(tmp_path, damage):
    write_segmentation(_liver_and_spleen(), tmp_path / SEGMENTS_FILE)
    damage(tmp_path)
    with pytest.raises(DeepSegmentError):
        read_labelmap(tmp_path)


def _edit(folder, **changes):
    document = json.loads((folder / SEGMENTS_FILE).read_text())
    document["segments"][1] |= changes
    (folder / SEGMENTS_FILE).write_text(json.dumps(document))
