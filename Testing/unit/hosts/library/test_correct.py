"""Corrections, scores, measurements and exports are those of the command, in whatever form things are."""

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_series import write_slices

from DeepSegmentLib import (
    CorrectionSession,
    Geometry,
    InvalidInputError,
    LabelMap,
    Point,
    Scribble,
    Segment,
    Segmentation,
    Volume,
    VolumeFileError,
    correct,
    evaluate,
    export,
    measure,
    read_segmentation,
    read_volume,
    to_nibabel,
    to_sitk,
    write_prompts,
    write_segmentation,
    write_volume,
)
from DeepSegmentLib.correction.settings import CorrectionSettings
from DeepSegmentLib.hosts.command.main import main

GRID = Geometry.from_spacing((24, 26, 28), (1, 1, 1))
Z, Y, X = np.ogrid[:24, :26, :28]
ORGAN = (Z - 12) ** 2 + (Y - 13) ** 2 + (X - 14) ** 2 < 64
BITE = ORGAN & ((Z - 12) ** 2 + (Y - 13) ** 2 + (X - 21) ** 2 < 16)
NOISE = np.random.default_rng(0).normal(0, 10, GRID.shape)
SCAN = Volume((100.0 * ORGAN + NOISE)[None].astype(np.int16), GRID, "scan")
LABELS = LabelMap((ORGAN & ~BITE)[None].astype(np.uint8), GRID, (Segment("Liver", 1), Segment("Cyst", 2)))
CLICK = Point("Liver", True, GRID.index_to_ras((12, 13, 20)))


def test_a_click_mends_the_hole_and_what_was_given_stays():
    better = correct(SCAN, LABELS, CLICK)
    assert better.masks["Liver"][BITE].mean() > 0.8
    assert not LABELS.masks["Liver"][BITE].any()
    assert better.provenance["corrections"] == "1"
    assert better.provenance["corrected_by"].startswith("DeepSegment ")
    twice = correct(SCAN, better, [CLICK])
    assert twice.provenance["corrections"] == "2"


def test_it_is_what_a_session_and_the_command_do(tmp_path, capsys):
    line = Scribble("Liver", False, GRID.index_to_ras([(12, 13, 9), (12, 14, 9)]), 1)
    better = correct(SCAN, LABELS, (CLICK, line))
    session = CorrectionSession(SCAN, LABELS)
    for prompt in (CLICK, line):
        session.apply(prompt, CorrectionSettings(session.suggest_radius(prompt)))
    assert np.array_equal(session.labels.layers, better.label_map.layers)
    write_volume(SCAN, tmp_path / "scan.nii.gz")
    write_segmentation(LABELS, tmp_path / "labels.seg.nrrd")
    write_prompts(session.prompts, tmp_path / "clicks.json")
    files = [str(tmp_path / name) for name in ("scan.nii.gz", "labels.seg.nrrd", "clicks.json", "better.seg.nrrd")]
    assert main(["correct", *files[:2], "--prompts", files[2], "--output", files[3]]) == 0
    by_command = read_segmentation(files[3])
    assert np.array_equal(by_command.labels, better.labels)
    assert by_command.provenance["corrections"] == better.provenance["corrections"]
    for volume in (files[0], sitk.ReadImage(files[0]), nibabel.load(files[0])):
        for labels in (files[1], LABELS):
            assert np.array_equal(correct(volume, labels, files[2]).labels, better.labels)


def test_labels_with_turned_axes_come_back_on_the_volumes():
    turned = read_segmentation((LABELS.layers[0].T, GRID.affine[:, [2, 1, 0, 3]]))
    click = Point("label 1", True, CLICK.point_ras)
    assert np.array_equal(correct(SCAN, turned, click).labels, correct(SCAN, LABELS, CLICK).labels)
    pair = (SCAN.voxels[0].T, GRID.affine[:, [2, 1, 0, 3]])
    # Another order of the axes breaks the engine's ties otherwise.
    by_pair, known = correct(pair, turned, click).labels.T, correct(SCAN, LABELS, CLICK).labels
    assert by_pair.shape == known.shape
    assert np.count_nonzero(by_pair != known) < 0.01 * np.count_nonzero(known)


def test_prompts_without_effect_are_named():
    inside = Point("Liver", True, GRID.index_to_ras((12, 13, 14)))
    cyst = Point("Cyst", True, inside.point_ras)
    (note,) = correct(SCAN, LABELS, cyst).notes
    assert note.startswith("Point('Cyst', positive=True, point_ras=(14, 13, 12)) changed nothing: it is so already")
    assert correct(SCAN, LABELS, cyst, overwrite=True, radius_mm=3).masks["Cyst"].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompts": Point("Spleen", True, (0, 0, 0))}, "no segment named 'Spleen'"),
        ({"prompts": CLICK, "locked": ["Liver"]}, "segment 'Liver' is locked"),
        ({"prompts": CLICK, "mode": "mend"}, "unknown mode 'mend'"),
        ({"prompts": CLICK, "radius_mm": -1}, "the edit radius must be above 0 mm"),
        ({"prompts": Point("Liver", True, (500, 0, 0))}, "marks no voxel of the volume"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        correct(SCAN, LABELS, **arguments)


def test_prompts_are_written_once_unless_told(tmp_path):
    write_prompts([CLICK], tmp_path / "clicks.json")
    with pytest.raises(InvalidInputError, match=r"\(replace=True\)"):
        write_prompts([CLICK], tmp_path / "clicks.json")
    with pytest.raises(VolumeFileError, match="unknown suffix"):
        write_prompts([CLICK], tmp_path / "clicks.txt")
    assert np.array_equal(
        correct(SCAN, LABELS, str(tmp_path / "clicks.json")).labels, correct(SCAN, LABELS, CLICK).labels
    )


def test_scores_and_measurements_take_any_form():
    better = correct(SCAN, LABELS, CLICK)
    for form in (LABELS, read_segmentation(LABELS)):
        assert [each.scores.dice for each in evaluate(form, LABELS)] == [1.0, 1.0]
    known = {each.name: each.scores.dice for each in evaluate(LABELS, better)}
    turned = read_segmentation((better.labels.T, GRID.affine[:, [2, 1, 0, 3]]))
    assert evaluate(read_segmentation(LABELS).to_sitk(), turned)[0].scores.dice == known["Liver"]
    for volume in (SCAN, to_sitk(SCAN), to_nibabel(SCAN), (SCAN.voxels[0], GRID.affine)):
        liver = measure(LABELS, volume)[0]
        assert liver.volume_ml == LABELS.volumes_ml()["Liver"]
        assert liver.channels[0].mean == pytest.approx(SCAN.voxels[0][LABELS.masks["Liver"]].mean())
    assert measure(LABELS)[0].channels == ()
    other = Volume(SCAN.voxels, Geometry.from_spacing(GRID.shape, (1, 1, 2)))
    with pytest.raises(InvalidInputError, match="the labels are not on the volume's grid"):
        measure(LABELS, other)


def test_exports_are_those_of_the_command_and_keep_inputs(tmp_path):
    write_volume(SCAN, tmp_path / "scan.nii.gz")
    labels_file = tmp_path / "labels.seg.nrrd"
    write_segmentation(LABELS, labels_file)
    by_path = export(tmp_path / "scan.nii.gz", labels_file, tmp_path / "a.csv", "csv")
    in_memory = export(to_sitk(SCAN), LABELS, tmp_path / "b.csv", "csv", case="patient")
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()
    assert len(by_path["sources"]) == 2
    assert in_memory["case"] == "patient"
    with pytest.raises(InvalidInputError, match=r"a.csv exists; ask to replace it \(replace=True\)"):
        export(SCAN, LABELS, tmp_path / "a.csv", "csv")
    for path, to in [(labels_file, "seg-nrrd"), (tmp_path, "nifti")]:
        case = "scan" if to == "nifti" else ""
        with pytest.raises(InvalidInputError, match="is an input of this call"):
            export(tmp_path / "scan.nii.gz", labels_file, path, to, case=case, replace=True)
    with pytest.raises(InvalidInputError, match="unknown format 'ply'; known: nifti"):
        export(SCAN, LABELS, tmp_path / "a.ply", "ply")


def test_dicom_seg_needs_the_folder_of_the_series(tmp_path):
    pytest.importorskip("highdicom")
    (tmp_path / "series").mkdir()
    write_slices(tmp_path / "series")
    volume = read_volume(tmp_path / "series")
    labels = LabelMap(np.ones((1, *volume.geometry.shape), np.uint8), volume.geometry, (Segment("Liver", 1),))
    report = export(tmp_path / "series", labels, tmp_path / "a.dcm", "dicom-seg")
    assert report["made_by"] == "MANUAL"
    made = Segmentation(labels, {"model": "tiny", "model_version": "1"})
    corner = Point("Liver", False, volume.geometry.index_to_ras((0, 0, 0)))
    mended = correct(volume, made, corner)
    for result, maker in [(made, "AUTOMATIC"), (mended, "SEMIAUTOMATIC")]:
        assert export(tmp_path / "series", result, tmp_path / f"{maker}.dcm", "dicom-seg")["made_by"] == maker
    with pytest.raises(InvalidInputError, match="give the folder of the series as the volume"):
        export(volume, labels, tmp_path / "b.dcm", "dicom-seg")


def test_prompts_and_locks_are_taken_one_or_several_and_told_apart(tmp_path):
    write_prompts(CLICK, tmp_path / "click.json")
    assert np.array_equal(
        correct(SCAN, LABELS, tmp_path / "click.json").labels, correct(SCAN, LABELS, iter([CLICK])).labels
    )
    for wrong in (None, [("Liver", True, (1, 2, 3))], [{"type": "point"}]):
        for call in (lambda: correct(SCAN, LABELS, wrong), lambda: write_prompts(wrong, tmp_path / "b.json")):  # noqa: B023
            with pytest.raises(InvalidInputError, match="a prompt is a Point, Scribble, BoxPrompt or Lasso; got"):
                call()
    for locked in ("liver", ["LIVER"]):
        with pytest.raises(InvalidInputError, match="segment 'Liver' is locked"):
            correct(SCAN, LABELS, CLICK, locked=locked)
    with pytest.raises(InvalidInputError, match="no segment named 'Livr'; did you mean 'Liver'"):
        correct(SCAN, LABELS, CLICK, locked="Livr")


def test_a_dataset_is_told_its_channels_and_labels_in_words_of_python(tmp_path):
    dataset = tmp_path / "Dataset501_Liver"
    with pytest.raises(InvalidInputError, match=r"name its channels, such as channel_names=\[\"T1w\"\]"):
        export(SCAN, LABELS, dataset, "nnunet")
    assert export(SCAN, LABELS, dataset, "nnunet", channel_names="CT")["case"] == "case_0001"
    with pytest.raises(InvalidInputError, match=r"allow new labels \(new_labels=True\)"):
        export(SCAN, (LABELS.layers[0], GRID.affine), dataset, "nnunet")


def test_a_session_wants_a_volume_and_a_labelmap():
    for volume, labels in [(to_sitk(SCAN), LABELS), (SCAN, Segmentation(LABELS)), ("scan.nii", None)]:
        with pytest.raises(InvalidInputError, match=r"takes a Volume and a LabelMap, got .*; take read_volume\(...\)"):
            CorrectionSession(volume, labels)
