"""A volume gets the same labels in whatever form it is given; a warm model is read once; work tells how far it is."""

import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from dicom_series import write_slices
from model_examples import TINY_UNET, model_spec

from DeepSegmentLib import (
    Cancelled,
    Geometry,
    InvalidInputError,
    ModelError,
    Segment,
    Volume,
    VolumeFileError,
    load_model,
    read_segmentation,
    segment,
    write_volume,
)
from DeepSegmentLib.files.models import save_model
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.service import catalogue
from DeepSegmentLib.service.segment import segment_volume

OBLIQUE = Geometry(
    (9, 11, 8),
    np.array([[0.2, -0.1, -1.2, 20.0], [0.3, 0.9, 0.1, -30.0], [-1.0, 0.2, -0.2, 5.0], [0, 0, 0, 1]]),
)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(2)
    segments = (Segment("Putamen", 1), Segment("Thalamus", 2))
    save_model(folder / "tiny", model_spec(name="tiny", segments=segments, mirror_axes=()), UNet(TINY_UNET), card="")
    return folder


@pytest.fixture
def tiny(models, monkeypatch):
    monkeypatch.setattr(catalogue, "bundled_models_folder", lambda: models)
    return models / "tiny"


@pytest.fixture(scope="module")
def head():
    smooth = np.random.default_rng(0).normal(size=(1, *OBLIQUE.shape)).cumsum(1).cumsum(2).cumsum(3)
    return Volume((200 * smooth / np.abs(smooth).max()).astype(np.int16), OBLIQUE, "head")


def test_a_path_and_the_images_in_memory_get_the_same_labels(tiny, head, tmp_path):
    straight = Volume(head.voxels, Geometry.from_spacing(head.geometry.shape, (1.2, 1, 0.9)))
    for volume, name in [(head, "a.nrrd"), (straight, "a.nii.gz")]:
        path = tmp_path / name
        write_volume(volume, path)
        found = segment(path, tiny)
        assert len(np.unique(found.labels)) - 1 > 0
        forms = [str(path), volume, sitk.ReadImage(str(path)), (volume.voxels[0], volume.geometry.affine)]
        if name.endswith(".nii.gz"):
            forms += [nibabel.load(path), [path]]
        for form in forms:
            assert np.array_equal(segment(form, "tiny").labels, found.labels)
        expected = segment_volume(volume, str(tiny)).prediction.label_map
        assert np.array_equal(found.label_map.layers, expected.layers)


def test_a_pair_with_axes_ijk_gets_its_labels_with_axes_ijk(tiny, head):
    affine = head.geometry.affine[:, [2, 1, 0, 3]]
    turned = segment((head.voxels[0].T, affine), tiny)
    assert np.array_equal(turned.labels.T, segment(head, tiny).labels)


def test_a_dicom_folder_of_two_series_wants_a_choice(tiny, tmp_path):
    (tmp_path / "dicom").mkdir()
    for n in (1, 2):
        (tmp_path / str(n)).mkdir()
        for path in write_slices(tmp_path / str(n), SeriesInstanceUID=f"1.2.3.{n}", SeriesNumber=n):
            path.rename(tmp_path / "dicom" / f"{n}-{path.name}")
    with pytest.raises(VolumeFileError, match="series"):
        segment(tmp_path / "dicom", tiny)
    assert segment(tmp_path / "dicom", tiny, series="2").volume_files == (tmp_path / "dicom",)


def test_a_subset_is_what_the_whole_has_of_it(tiny, head):
    whole, part = segment(head, tiny), segment(head, tiny, subset=["thalamus"])
    assert [each.name for each in part.segments] == ["Thalamus"]
    assert np.array_equal(part.masks["Thalamus"], whole.masks["Thalamus"])
    assert set(np.unique(part.labels)) <= {0, 2}
    told = []
    with pytest.raises(InvalidInputError, match="has no segment 'Talamus'; did you mean 'Thalamus'"):
        segment(head, tiny, subset=["Talamus"], progress=told.append)
    assert {event.stage for event in told} == {"read"}
    assert part.provenance["parameters"].endswith('"subset": ["Thalamus"]}')


def test_maps_are_chosen_as_segments_are(tiny, head):
    for wishes, names in [("putamen", ["Putamen"]), (["THALAMUS"], ["Thalamus"]), ("all", ["Putamen", "Thalamus"])]:
        assert list(segment(head, tiny, probabilities=wishes).probabilities) == names
    assert list(segment(head, tiny, probabilities="all", subset={"putamen"}).probabilities) == ["Putamen"]
    with pytest.raises(InvalidInputError, match="has no segment 'Putame'; did you mean 'Putamen'"):
        segment(head, tiny, probabilities="Putame")
    for wrong in ([2], True):
        with pytest.raises(InvalidInputError, match="segments are chosen by their names, got"):
            segment(head, tiny, subset=wrong)


def test_what_is_no_model_or_device_is_refused_with_the_remedy(tiny, head):
    for call in (load_model, lambda model: segment(head, model)):
        with pytest.raises(
            InvalidInputError, match="a model is its name, its folder or what load_model gives; got None"
        ):
            call(None)
    with pytest.raises(InvalidInputError, match="unknown device 'None'; known"):
        segment(head, tiny, device=None)
    assert segment(head, load_model(tiny, device=torch.device("cpu")), device=torch.device("cpu")).segments


def test_what_is_asked_for_comes_with_it(tiny, head, tmp_path):
    write_volume(head, tmp_path / "head.nrrd")
    found = segment(tmp_path / "head.nrrd", tiny, uncertainty=True, probabilities=["Putamen"])
    assert found.uncertainty.geometry.is_close(head.geometry)
    assert list(found.probabilities) == ["Putamen"]
    found.save(tmp_path / "head.seg.nrrd")
    words = read_segmentation(tmp_path / "head.seg.nrrd").provenance
    assert words["model"] == "tiny"
    assert words["input"]
    inside = segment(head, tiny, region_ras=[(-1e3, -1e3, -1e3), tuple(head.geometry.index_to_ras((5, 5, 5)))])
    assert inside.labels.any()
    assert np.count_nonzero(inside.labels) < np.count_nonzero(found.labels)


def test_a_warm_model_is_not_read_again_and_gives_the_same(models, head, tmp_path):
    shutil.copytree(models / "tiny", tmp_path / "mine")
    warm = load_model(tmp_path / "mine", device="cpu")
    assert repr(warm) == "WarmModel(tiny 1.0 on cpu, segments: 2)"
    networks = warm.load(warm.folder, "cpu").networks
    first = segment(head, warm)
    assert np.array_equal(first.labels, segment(head, tmp_path / "mine").labels)
    (tmp_path / "mine" / "weights.safetensors").write_bytes(b"no weights any more")
    assert np.array_equal(segment(head, warm).labels, first.labels)
    assert warm.load(warm.folder, "cpu").networks is networks
    with pytest.raises(ModelError):
        segment(head, tmp_path / "mine")
    with pytest.raises(InvalidInputError, match="was loaded for the device 'cpu', not 'cuda'"):
        segment(head, warm, device="cuda")
    with pytest.raises(InvalidInputError, match="was loaded for the precision 'checked', not 'float32'"):
        segment(head, warm, precision="float32")


def test_progress_is_told_shown_or_silent(tiny, head, capsys):
    told = []
    segment(head, tiny, progress=told.append)
    assert [event.fraction for event in told] == sorted(event.fraction for event in told)
    assert capsys.readouterr() == ("", "")
    segment(head, tiny, progress=True)
    assert "predict" in capsys.readouterr().err
    segment(head, tiny, progress=False)
    assert capsys.readouterr() == ("", "")
    with pytest.raises(InvalidInputError, match="progress must be True, None or a function"):
        segment(head, tiny, progress=3)


def test_work_stops_when_its_callback_raises(tiny, head):
    def stop(event):
        raise Cancelled(event.stage)

    with pytest.raises(Cancelled):
        segment(head, tiny, progress=stop)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"model": "tinny"}, ModelError, "no model named 'tinny'; did you mean tiny"),
        ({"model": Path("nowhere")}, ModelError, "no model named 'nowhere'"),
        ({"device": "abacus"}, InvalidInputError, "unknown device 'abacus'"),
        ({"precision": "half"}, InvalidInputError, "unknown precision 'half'; known: checked, float32, bfloat16"),
        ({"overlap": 2}, InvalidInputError, "overlap must be from 0 to 0.95"),
        ({"region_ras": "here"}, InvalidInputError, "region_ras must be two corners"),
        ({"region_ras": [1, 2]}, InvalidInputError, "the region must be two corners"),
        ({"probabilities": ["Spleen"]}, InvalidInputError, "has no segment 'Spleen'"),
    ],
)
def test_wrong_arguments_are_refused_in_words_of_the_library(tiny, head, arguments, kind, message):
    with pytest.raises(kind, match=message):
        segment(head, **({"model": "tiny"} | arguments))


def test_a_spacing_that_no_scan_has_names_the_argument(tiny):
    speck = (np.ones((8, 8, 8)), np.diag([0.01, 0.01, 0.01, 1]))
    with pytest.raises(InvalidInputError, match=r"\(any_spacing=True\)"):
        segment(speck, tiny)
    assert segment(speck, tiny, any_spacing=True).labels.shape == (8, 8, 8)
