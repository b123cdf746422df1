"""Labelmaps on disk, as other programs read them."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import label_maps

from DeepSegmentLib.data import Code, Geometry, LabelMap, Segment, Terminology
from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.labelmaps import label_table_path, read_labelmap, write_segmentation
from DeepSegmentLib.files.seg_nrrd import read_provenance

several_files = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
ANATOMY = Code("SCT", "123037004", "Anatomical Structure")
THALAMUS = Terminology(ANATOMY, Code("SCT", "119406000", "Thalamus"), Code("SCT", "24028007", "Right"))


def _same(a, b, tolerance_mm=1e-6):
    return (
        np.array_equal(a.layers, b.layers)
        and a.segments == b.segments
        and a.geometry.is_close(b.geometry, tolerance_mm=tolerance_mm)
    )


def _two():
    layers = np.zeros((1, 3, 4, 5), np.uint8)
    layers[0, 1, 1:3, 2:4] = 1
    layers[0, 2, 3, 4] = 300 % 256
    segments = (Segment("Thalamus right", 1, (122, 101, 38), THALAMUS), Segment("größe ≥ 3\\ a\nb", 44, (255, 0, 1)))
    return LabelMap(layers, Geometry.from_spacing((3, 4, 5), (3, 1, 1)), segments)


@several_files
@given(label_map=label_maps())
def test_seg_nrrd_saving_and_loading_is_the_identity(tmp_path, label_map):
    write_segmentation(label_map, tmp_path / "a.seg.nrrd")
    assert _same(read_labelmap(tmp_path / "a.seg.nrrd"), label_map)


@several_files
@given(label_map=label_maps(most_layers=1), suffix=st.sampled_from([".nii.gz", ".nrrd", ".mha"]))
def test_image_and_table_are_the_identity(tmp_path, label_map, suffix):
    write_segmentation(label_map, tmp_path / f"a{suffix}")
    again = read_labelmap(tmp_path / f"a{suffix}")
    assert _same(again, label_map, tolerance_mm=1e-2)


@pytest.mark.parametrize("name", ["a.seg.nrrd", "a.nii.gz"])
def test_names_colours_and_codes_survive(tmp_path, name):
    write_segmentation(_two(), tmp_path / name, {"model": "brain-mr"})
    assert read_labelmap(tmp_path / name).segments == _two().segments


def test_provenance_travels_with_the_segmentation(tmp_path):
    words = {"model": "brain-mr", "parameters": '{"overlap": 0.5, "mirror": false}', "created": "2026-11-21T00:00:00"}
    write_segmentation(_two(), tmp_path / "a.seg.nrrd", words)
    assert read_provenance(tmp_path / "a.seg.nrrd") == words


def test_slicerio_reads_what_we_write(tmp_path):
    slicerio = pytest.importorskip("slicerio")
    write_segmentation(_two(), tmp_path / "a.seg.nrrd")
    info = slicerio.read_segmentation(str(tmp_path / "a.seg.nrrd"))
    first = info["segments"][0]
    assert first["name"] == "Thalamus right"
    assert first["labelValue"] == 1
    assert np.allclose(first["color"], np.array([122, 101, 38]) / 255, atol=1e-5)
    assert first["terminology"]["type"] == ["SCT", "119406000", "Thalamus"]
    assert first["terminology"]["typeModifier"] == ["SCT", "24028007", "Right"]
    assert np.array_equal(info["voxels"].T, _two().layers[0])


def test_we_read_what_slicer_wrote(shared_data):
    found = {}
    for name in ("liver_seg.nrrd", "liver_spine_seg.nrrd"):
        folder = shared_data / "dicom_seg"
        found[name] = read_labelmap(folder / name)
        assert found[name].layers.any()
    assert len(found) == 2


def test_a_labelmap_without_a_table_gets_plain_names(tmp_path):
    write_segmentation(_two(), tmp_path / "a.nii.gz")
    label_table_path(tmp_path / "a.nii.gz").unlink()
    assert [segment.name for segment in read_labelmap(tmp_path / "a.nii.gz").segments] == ["label 1", "label 44"]


def test_real_label_maps_are_read(shared_data):
    label_map = read_labelmap(shared_data / "ct" / "example_seg.nii.gz")
    assert len(label_map.segments) == 41


def test_several_layers_do_not_fit_an_image(tmp_path):
    layers = np.ones((2, 2, 2, 2), np.uint8)
    with pytest.raises(VolumeFileError, match=r"\.seg\.nrrd"):
        write_segmentation(LabelMap(layers, Geometry.from_spacing((2, 2, 2), (1, 1, 1))), tmp_path / "a.nii.gz")
    assert not list(tmp_path.iterdir())
