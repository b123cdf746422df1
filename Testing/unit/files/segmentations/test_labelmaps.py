"""Labelmaps on disk, as other programs read them."""

import json
import os
import time

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import slicerio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import label_maps

from DeepSegmentLib.data import Box, Code, Geometry, LabelMap, Segment, Terminology
from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.segmentations.labelmaps import (
    label_table_path,
    read_labelmap,
    read_provenance,
    write_segmentation,
)

several_files = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
ANATOMY = Code("SCT", "123037004", "Anatomical Structure")
THALAMUS = Terminology(ANATOMY, Code("SCT", "119406000", "Thalamus"), Code("SCT", "24028007", "Right"))


def _same(a, b, tolerance_mm=1e-6):
    return (
        np.array_equal(a.layers, b.layers)
        and a.layers.dtype == b.layers.dtype
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


@pytest.mark.parametrize("name", ["a.seg.nrrd", "a.nii.gz"])
def test_provenance_travels_with_the_segmentation(tmp_path, name):
    words = {"model": "brain-mr", "parameters": '{"overlap": 0.5, "mirror": false}', "created": "2026-11-21T00:00:00"}
    write_segmentation(_two(), tmp_path / name, words)
    assert read_provenance(tmp_path / name) == words


def test_provenance_survives_where_only_tags_do(tmp_path):
    """3D Slicer keeps the tags of segments when it saves a segmentation, and drops fields that it does not know."""
    path = tmp_path / "a.seg.nrrd"
    write_segmentation(_two(), path, {"model": "brain-mr", "parameters": '{"overlap": 0.5}'})
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join(line for line in lines if not line.startswith(b"DeepSegment_")))
    assert read_provenance(path) == {"model": "brain-mr", "parameters": '{"overlap": 0.5}'}


def test_files_of_other_programs_have_no_provenance(tmp_path):
    sitk.WriteImage(sitk.Image([2, 2, 2], sitk.sitkUInt8), str(tmp_path / "a.seg.nrrd"))
    sitk.WriteImage(sitk.Image([2, 2, 2], sitk.sitkUInt8), str(tmp_path / "b.nii.gz"))
    assert read_provenance(tmp_path / "a.seg.nrrd") == read_provenance(tmp_path / "b.nii.gz") == {}


@several_files
@given(names=st.lists(st.text(max_size=8), min_size=1, max_size=3), suffix=st.sampled_from([".seg.nrrd", ".nrrd"]))
def test_a_name_survives_or_is_refused(tmp_path, names, suffix):
    segments = tuple(Segment(name, n + 1) for n, name in enumerate(names))
    label_map = LabelMap(np.ones((1, 1, 1, 1), np.uint8), Geometry.from_spacing((1, 1, 1), (1, 1, 1)), segments)
    path = tmp_path / f"a{suffix}"
    try:
        write_segmentation(label_map, path)
    except VolumeFileError as error:
        assert any(character in str(names) for character in ("\\r", "\\x00", "\\ud")), error  # noqa: PT017
        return
    assert [segment.name for segment in read_labelmap(path).segments] == names


def test_a_file_of_slicer_before_layers_and_values(tmp_path):
    """Slicer before 4.11 wrote one frame a segment, and neither LabelValue nor Layer."""
    layers = np.zeros((2, 3, 4, 5), np.uint8)
    layers[0, 1:], layers[1, :, 2:] = 1, 1
    grid = Geometry.from_spacing((3, 4, 5), (1, 1, 1))
    segments = (Segment("a", 1), Segment("b", 1, layer=1))
    path = tmp_path / "old.seg.nrrd"
    write_segmentation(LabelMap(layers, grid, segments), path)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join(line for line in lines if b"_LabelValue:" not in line and b"_Layer:" not in line))
    old = read_labelmap(path)
    assert old.segments == segments
    assert np.array_equal(old.layers, layers)


def test_slicerio_reads_layers(tmp_path):
    layers = np.zeros((2, 3, 4, 5), np.uint8)
    layers[0, 1:], layers[1, :, 2:] = 3, 1
    segments = (Segment("a", 3), Segment("b", 1, layer=1))
    write_segmentation(LabelMap(layers, Geometry.from_spacing((3, 4, 5), (3, 2, 1)), segments), tmp_path / "a.seg.nrrd")
    info = slicerio.read_segmentation(str(tmp_path / "a.seg.nrrd"))
    assert [(each["name"], each["layer"], each["labelValue"]) for each in info["segments"]] == [
        ("a", 0, 3),
        ("b", 1, 1),
    ]
    assert np.array_equal(np.transpose(info["voxels"], (0, 3, 2, 1)), layers)


def test_we_read_what_slicerio_writes(tmp_path):
    voxels = np.zeros((5, 4, 3), np.uint8)
    voxels[1:3, 2:] = 4
    place = np.array([[-1.0, 0, 0, 10], [0, 2, 0, 20], [0, 0, 3, 30], [0, 0, 0, 1]])
    segmentation = {
        "voxels": voxels,
        "ijkToLPS": place,
        "containedRepresentationNames": ["Binary labelmap"],
        "masterRepresentation": "Binary labelmap",
        "segments": [{"id": "x", "name": "liver", "color": [1.0, 0.0, 0.2], "labelValue": 4, "layer": 0}],
    }
    slicerio.write_segmentation(str(tmp_path / "s.seg.nrrd"), segmentation)
    ours = read_labelmap(tmp_path / "s.seg.nrrd")
    assert [(each.name, each.value, each.color) for each in ours.segments] == [("liver", 4, (255, 0, 51))]
    assert np.array_equal(ours.layers[0], voxels.T)
    assert ours.geometry.index_to_ras((1, 1, 1)).tolist() == [-9, -22, 33]


def test_whole_floats_are_labels(tmp_path):
    image = sitk.GetImageFromArray(np.full((2, 2, 2), 3, np.float32))
    sitk.WriteImage(image, str(tmp_path / "a.nii.gz"))
    label_map = read_labelmap(tmp_path / "a.nii.gz")
    assert label_map.layers.dtype == np.uint8
    assert [(each.name, each.value) for each in label_map.segments] == [("label 3", 3)]


@pytest.mark.parametrize(("kind", "most"), [("i2", 100), ("u2", 2035), ("u1", 7)])
def test_labels_that_nibabel_scaled_are_whole_again(tmp_path, kind, most):
    """Of floats saved as integers, nibabel makes a slope and an intercept, which leave 5.99985 of a 6."""
    labels = np.random.default_rng(0).integers(0, most + 1, (6, 7, 8)).astype(float)
    labels[0, 0, :2] = 0, most
    image = nibabel.Nifti1Image(labels, np.eye(4))
    image.set_data_dtype(kind)
    nibabel.save(image, tmp_path / "a.nii.gz")
    assert not np.array_equal(nibabel.load(tmp_path / "a.nii.gz").get_fdata(), labels)
    assert np.array_equal(read_labelmap(tmp_path / "a.nii.gz").layers[0].T, labels)


@pytest.mark.parametrize("wrong", [0.97, 2.5, -0.03, 65535.03])
def test_fractions_are_no_labels(tmp_path, wrong):
    voxels = np.full((2, 2, 2), 3.0)
    voxels[1, 1, 1] = wrong
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(tmp_path / "a.nii.gz"))
    with pytest.raises(VolumeFileError, match="labels are whole numbers"):
        read_labelmap(tmp_path / "a.nii.gz")


def _described(path, pairs):
    """A `.seg.nrrd` of shorts with the values 0, 1, 0 and words of segments."""
    header = "NRRD0004\ntype: short\ndimension: 3\nsizes: 1 1 3\nendian: little\nencoding: raw\n"
    words = "".join(f"{key}:={value}\n" for key, value in pairs.items())
    path.write_bytes(f"{header}{words}\n".encode() + np.array([0, 1, 0], "<i2").tobytes())
    return path


def test_segments_may_be_numbered_from_anywhere(tmp_path):
    pairs = {"Segment3_ID": "x", "Segment3_Name": "liver", "Segment3_Color": "1 0 0", "Segment3_LabelValue": "1"}
    assert [each.name for each in read_labelmap(_described(tmp_path / "a.seg.nrrd", pairs)).segments] == ["liver"]


def test_an_empty_segment_may_have_a_value_that_needs_16_bits(tmp_path):
    pairs = {"Segment0_ID": "x", "Segment0_Name": "liver", "Segment0_Color": "1 0 0", "Segment0_LabelValue": "820"}
    label_map = read_labelmap(_described(tmp_path / "a.seg.nrrd", pairs))
    assert label_map.segments[0].value == 820
    assert label_map.layers.dtype == np.uint16


def test_unnamed_segments_differ_in_color(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.arange(60, dtype=np.uint8).reshape(3, 4, 5)), str(tmp_path / "a.mha"))
    colors = [segment.color for segment in read_labelmap(tmp_path / "a.mha").segments]
    assert len(set(colors)) == len(colors) == 59


def test_a_value_above_255_that_no_voxel_has(tmp_path):
    label_map = LabelMap(np.ones((1, 2, 2, 2), np.uint8), _two().geometry.crop(Box((0, 0, 0), (2, 2, 2))))
    write_segmentation(label_map, tmp_path / "a.nrrd")
    table = '{"segments": [{"name": "rare", "value": 300, "color": [1, 2, 3]}]}'
    label_table_path(tmp_path / "a.nrrd").write_text(table)
    assert read_labelmap(tmp_path / "a.nrrd").layers.dtype == np.uint16


def test_slicerio_reads_what_we_write(tmp_path):
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


CODE = {"scheme": "SCT", "value": "1", "meaning": "x"}
SOUND = {"name": "a", "value": 1, "color": [1, 2, 3], "terminology": {"category": CODE, "type": CODE, "modifier": None}}
ODD = (None, True, 0, -1, 1.5, 10**30, "x", "\ud800", [], [1], [[]], {}, {"a": 1})


def _places(document):
    """Where something can be put in a JSON document: chains of keys."""
    yield ()
    entries = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in entries:
        for place in _places(value):
            yield (key, *place)


def _replaced(document, place, value):
    if not place:
        return value
    copy = document.copy()
    copy[place[0]] = _replaced(document[place[0]], place[1:], value)
    return copy


def test_a_table_of_any_wrong_type_is_read_or_refused(tmp_path):
    sitk.WriteImage(sitk.Image([2, 2, 2], sitk.sitkUInt8), str(tmp_path / "a.nii.gz"))
    table = {"segments": [SOUND], "provenance": {"a": "b"}}
    for place in _places(table):
        for value in ODD:
            (tmp_path / "a.labels.json").write_text(json.dumps(_replaced(table, place, value)))
            for read in (read_labelmap, read_provenance):
                try:
                    read(tmp_path / "a.nii.gz")
                except VolumeFileError as error:
                    assert "a.labels.json" in str(error)  # noqa: PT017
                    str(error).encode()


def test_half_a_character_in_a_table_becomes_a_whole_one(tmp_path):
    sitk.WriteImage(sitk.Image([2, 2, 2], sitk.sitkUInt8), str(tmp_path / "a.nii.gz"))
    names = '"\\ud800 \\\\ud800 \\ud83d\\ude00"'
    (tmp_path / "a.labels.json").write_text(f'{{"segments": [{{"name": {names}, "value": 1, "color": [1, 2, 3]}}]}}')
    assert read_labelmap(tmp_path / "a.nii.gz").segments[0].name == "\ufffd \\ud800 \U0001f600"


@pytest.mark.skipif(os.name == "nt", reason="pipes as files are POSIX")
def test_a_table_that_is_a_pipe_is_refused(tmp_path):
    sitk.WriteImage(sitk.Image([2, 2, 2], sitk.sitkUInt8), str(tmp_path / "a.nii.gz"))
    os.mkfifo(tmp_path / "a.labels.json")
    with pytest.raises(VolumeFileError, match="plain file"):
        read_labelmap(tmp_path / "a.nii.gz")


@pytest.mark.parametrize(
    "pairs",
    [
        {"Layer": "-1"},
        {"Layer": "1" + "0" * 30},
        {"Layer": "9" * 9999},
        {"LabelValue": "0"},
        {"LabelValue": "70000"},
        {"LabelValue": "1e3"},
        {"Color": "nan 0 0"},
        {"Color": "inf 0 0"},
        {"Color": "1e300 0 0"},
        {"Color": "1 0"},
        {"Color": "2 0 0"},
    ],
)
def test_absurd_words_of_a_segment_are_refused(tmp_path, pairs):
    words = {"ID": "a", "Name": "a" * 100_000, "Color": "1 0 0"} | pairs
    lines = "".join(f"Segment0_{key}:={value}\n" for key, value in words.items())
    header = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\n"
    (tmp_path / "a.seg.nrrd").write_bytes(f"{header}{lines}\n".encode() + bytes(8))
    with pytest.raises(VolumeFileError, match=r"a\.seg\.nrrd") as caught:
        read_labelmap(tmp_path / "a.seg.nrrd")
    assert len(str(caught.value)) < 1000


def test_very_many_segments_take_time_in_proportion(tmp_path):
    lines = "".join(
        f"Segment{n}_ID:=s\nSegment{n}_Name:=s\nSegment{n}_Color:=1 0 0\nSegment{n}_LabelValue:={n % 65535 + 1}\n"
        f"Segment{n}_Layer:={n // 65535}\n"
        for n in range(70_000)
    )
    header = "NRRD0004\ntype: ushort\ndimension: 4\nsizes: 2 2 2 2\nkinds: list domain domain domain\nencoding: raw\n"
    (tmp_path / "a.seg.nrrd").write_bytes(f"{header}endian: little\n{lines}\n".encode() + bytes(32))
    began = time.process_time()
    assert len(read_labelmap(tmp_path / "a.seg.nrrd").segments) == 70_000
    assert time.process_time() - began < 60


def test_a_segmentation_of_nan_is_refused(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.full((2, 2, 2), np.nan, np.float32)), str(tmp_path / "a.seg.nrrd"))
    with pytest.raises(VolumeFileError, match="NaN"):
        read_labelmap(tmp_path / "a.seg.nrrd")
