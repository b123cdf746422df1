"""Laws of segmentations: every form says the same, files keep all of it, and what is asked for is what is given."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import assume, given
from strategies import label_maps

from DeepSegmentLib import (
    Geometry,
    InvalidInputError,
    LabelMap,
    Segment,
    Segmentation,
    VolumeFileError,
    read_segmentation,
    write_segmentation,
    write_volume,
)

GRID = Geometry.from_spacing((4, 3, 2), (3, 2, 1))
LABELS = np.arange(24, dtype=np.uint8).reshape(GRID.shape) % 3
KNOWN = Segmentation(
    LabelMap(LABELS[None], GRID, (Segment("Putamen", 1), Segment("Thalamus", 2, (1, 2, 3)))), {"model": "tiny 1"}
)
OVERLAPPING = LabelMap(
    np.stack([LABELS > 0, LABELS > 1]).astype(np.uint8), GRID, (Segment("whole", 1), Segment("core", 1, layer=1))
)


@given(label_maps(most_layers=1))
def test_labels_come_back_from_images_and_pairs_as_they_went(label_map):
    known = read_segmentation(label_map)
    for form in (known, known.to_sitk(), known.to_nibabel(), (known.labels, known.geometry.affine)):
        read = read_segmentation(form)
        assert np.array_equal(read.labels, known.labels)
        assert read.geometry.is_close(known.geometry)


@given(label_maps(most_layers=1))
def test_a_segmentation_says_what_its_labelmap_says(label_map):
    known = read_segmentation(label_map)
    assert np.array_equal(known.labels, label_map.layers[0])
    assert known.volumes_ml() == label_map.volumes_ml()
    assert known.segments == label_map.segments
    assert known.geometry is label_map.geometry
    assert list(known.masks) == list(label_map.masks)
    assume(label_map.segments)
    one = label_map.segments[-1].name
    assert np.array_equal(known.only([one]).masks[one], label_map.masks[one])


def test_what_is_saved_is_read_again_with_its_names_and_provenance(tmp_path):
    for name in ("a.seg.nrrd", "a.nii.gz", "b.nrrd", "c.mha"):
        KNOWN.save(tmp_path / "new" / name)
        read = read_segmentation(str(tmp_path / "new" / name))
        assert read.segments == KNOWN.segments
        assert read.provenance["model"] == "tiny 1"
        assert np.array_equal(read.labels, LABELS)
        with pytest.raises(InvalidInputError, match=r"exists; ask to replace it \(replace=True\)"):
            KNOWN.save(tmp_path / "new" / name)
        write_segmentation(KNOWN.label_map, tmp_path / "new" / name, replace=True)
        assert not read_segmentation(tmp_path / "new" / name).provenance


def test_the_volume_that_was_segmented_is_never_overwritten(tmp_path):
    write_volume((LABELS, GRID.affine), tmp_path / "head.nii.gz")
    found = Segmentation(KNOWN.label_map, volume_files=(tmp_path / "head.nii.gz",))
    (tmp_path / "link.nii.gz").symlink_to(tmp_path / "head.nii.gz")
    before = (tmp_path / "head.nii.gz").read_bytes()
    for name in ("head.nii.gz", "link.nii.gz"):
        with pytest.raises(InvalidInputError, match="is an input of this call"):
            found.save(tmp_path / name, replace=True)
    assert (tmp_path / "head.nii.gz").read_bytes() == before


def test_a_file_for_each_segment_is_checked_as_any_other(tmp_path):
    KNOWN.save(tmp_path / "new" / "segments.json")
    assert read_segmentation(tmp_path / "new").volumes_ml() == KNOWN.volumes_ml()
    write_volume((LABELS, GRID.affine), tmp_path / "putamen.nii.gz")
    before = (tmp_path / "putamen.nii.gz").read_bytes()
    with pytest.raises(InvalidInputError, match=r"putamen.nii.gz exists"):
        KNOWN.save(tmp_path / "segments.json")
    found = Segmentation(KNOWN.label_map, volume_files=(tmp_path / "putamen.nii.gz",))
    with pytest.raises(InvalidInputError, match=r"putamen.nii.gz is an input"):
        found.save(tmp_path / "segments.json", replace=True)
    assert (tmp_path / "putamen.nii.gz").read_bytes() == before


def test_overlapping_segments_keep_their_layers_where_there_is_room(tmp_path):
    known = read_segmentation(OVERLAPPING)
    known.save(tmp_path / "a.seg.nrrd")
    assert read_segmentation(tmp_path / "a.seg.nrrd").volumes_ml() == known.volumes_ml()
    with pytest.raises(VolumeFileError, match=r"can hold one layer, there are 2; write a .seg.nrrd"):
        known.save(tmp_path / "a.nii.gz")
    for take in (known.to_sitk, known.to_nibabel, lambda: known.labels):
        with pytest.raises(
            InvalidInputError, match=r"overlap .*'whole' and 'core'\), so one array cannot hold them; take masks"
        ):
            take()
    assert np.array_equal(sitk.GetArrayFromImage(known.only(["core"]).to_sitk()), LABELS > 1)


def test_it_shows_its_segments_and_notes_and_not_its_arrays():
    assert repr(Segmentation(KNOWN.label_map, notes=("this looks like a CT",))).splitlines() == [
        "Segmentation(2 segments, 4 x 3 x 2 voxels (k, j, i) of 3 x 2 x 1 mm, RAS)",
        "  Putamen          0.048 ml",
        "  Thalamus         0.048 ml",
        "  note: this looks like a CT",
    ]


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ((np.full(GRID.shape, 0.5), GRID.affine), "the image of labels holds fractions such as 0.5"),
        ((np.full(GRID.shape, -1), GRID.affine), "labels are whole numbers from 0 to 65535"),
        ((np.zeros((2, *GRID.shape)), GRID.affine), "2 values a voxel are no labels"),
        (LABELS, "does not say where its voxels are"),
    ],
)
def test_what_are_no_labels_is_refused(form, message):
    with pytest.raises(InvalidInputError, match=message):
        read_segmentation(form)
