"""Datasets of trainers through the command: what the check tells of each fault, and folds as nnU-Net reads them."""

import gzip
import json
import re

import numpy as np
import pytest
from PIL import Image

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.data.progress import silent
from DeepSegmentLib.errors import InvalidInputError, VolumeFileError
from DeepSegmentLib.files.datasets.monai_label import add_labelled
from DeepSegmentLib.files.datasets.nnunet import DatasetRules, TrainingCase, add_case
from DeepSegmentLib.files.volumes import write_volume
from DeepSegmentLib.hosts.command.main import main
from DeepSegmentLib.service.datasets.check_dataset import check_dataset
from DeepSegmentLib.service.datasets.dataset_files import open_dataset

GRID = Geometry.from_spacing((8, 9, 10), (2, 1, 1))
SEGMENTS = (Segment("liver", 1), Segment("spleen", 2))


def _case(name, seed, *, island=False):
    voxels = np.random.default_rng(seed).integers(0, 99, (1, *GRID.shape)).astype(np.int16)
    layer = np.zeros((1, *GRID.shape), np.uint8)
    layer[0, 1:5, 1:6, 1:6], layer[0, 1:3, 7, 7] = 1, 2
    if island:
        layer[0, 7, 8, 9] = 1
    return TrainingCase(name, Volume(voxels, GRID), LabelMap(layer, GRID, SEGMENTS), "{}")


def _nnunet(folder, cases):
    for case in cases:
        add_case(folder, case, DatasetRules(() if folder.exists() else ("CT",)))


def _monai_label(folder, cases):
    for case in cases:
        add_labelled(folder, case, replace=False)


def _plain(folder, cases):
    for case in cases:
        write_volume(case.volume, folder / "images" / f"{case.name}.nii.gz")
        write_volume(Volume(case.label_map.layers, GRID), folder / "labels" / f"{case.name}.nii.gz")


KINDS = {"Dataset501_A": _nnunet, "store": _monai_label, "plain": _plain}
NAMES = ("a", "b", "c", "d")


@pytest.fixture(params=KINDS)
def dataset(request, tmp_path):
    """A sound dataset of each kind, of four cases."""
    folder = tmp_path / request.param
    KINDS[request.param](folder, [_case(name, n) for n, name in enumerate(NAMES)])
    return folder


def _labels_of(folder, name):
    return next(case.labels for case in open_dataset(folder).cases if case.name == name)


def _volume_of(folder, name):
    return next(case.images[0] for case in open_dataset(folder).cases if case.name == name)


def _found(folder, patients=None, pictures=None):
    return [(each.case, each.kind) for each in check_dataset(folder, patients, pictures, silent)]


def _table(folder, text):
    path = folder.parent / "patients.csv"
    path.write_text(text, encoding="utf-8-sig")
    return path


class TestCheck:
    def test_a_sound_dataset_has_nothing_to_tell(self, dataset):
        assert _found(dataset) == []
        assert [case.name for case in open_dataset(dataset).cases] == list(NAMES)

    def test_the_same_volume_twice(self, dataset):
        write_volume(_case("a", 0).volume, _volume_of(dataset, "c"))
        assert _found(dataset) == [("a, c", "duplicate")]

    def test_labels_on_another_grid(self, dataset):
        path = _labels_of(dataset, "b")
        shifted = Geometry.from_spacing(GRID.shape, (2, 1, 1.5))
        write_volume(Volume(np.ones((1, *GRID.shape), np.uint8), shifted), path)
        assert _found(dataset) == [("b", "grid")]

    def test_labels_without_a_voxel(self, dataset):
        write_volume(Volume(np.zeros((1, *GRID.shape), np.uint8), GRID), _labels_of(dataset, "b"))
        assert _found(dataset) == [("b", "empty")]

    def test_a_damaged_file_hides_no_other_case(self, dataset):
        _volume_of(dataset, "a").write_bytes(b"no volume")
        write_volume(Volume(np.zeros((1, *GRID.shape), np.uint8), GRID), _labels_of(dataset, "b"))
        assert _found(dataset) == [("a", "damaged"), ("b", "empty")]

    def test_words_in_a_header(self, dataset):
        path = _volume_of(dataset, "a")
        content = bytearray(gzip.decompress(path.read_bytes()))
        content[148:156] = b"Doe^John"
        path.write_bytes(gzip.compress(bytes(content)))
        assert _found(dataset) == [("a", "identifier")]

    def test_an_island_and_its_picture(self, dataset, tmp_path):
        layers = _case("a", 0, island=True).label_map.layers
        write_volume(Volume(layers, GRID), _labels_of(dataset, "a"))
        (found,) = check_dataset(dataset, None, tmp_path / "pictures", silent)
        assert (found.case, found.kind) == ("a", "island")
        (picture,) = (tmp_path / "pictures").iterdir()
        assert found.text.endswith(f"see {picture.name}")
        r, a, s = GRID.index_to_ras((7, 8, 9))
        assert f"at {r:.0f}, {a:.0f}, {s:.0f} mm" in found.text
        orange = np.abs(np.asarray(Image.open(picture)).astype(int) - (255, 120, 40)).sum(axis=2) < 30
        assert orange.any()  # the slices go through the island and not through the liver's middle


class TestNnunet:
    def test_a_patient_who_is_tested_and_trained_on(self, tmp_path):
        folder = tmp_path / "Dataset501_A"
        _nnunet(folder, [_case("a", 0), _case("b", 1)])
        write_volume(_case("t", 2).volume, folder / "imagesTs" / "t_0000.nii.gz")
        assert _found(folder) == []
        assert _found(folder, _table(folder, "case,patient\na,Doe\nt,Doe\nb,Roe\n")) == [("a, t", "leak")]

    def test_a_value_that_nobody_named(self, tmp_path):
        folder = tmp_path / "Dataset501_A"
        _nnunet(folder, [_case("a", 0)])
        write_volume(Volume(np.full((1, *GRID.shape), 7, np.uint8), GRID), _labels_of(folder, "a"))
        assert _found(folder) == [("a", "table")]

    def test_folds_that_part_a_patient_or_have_a_case_twice(self, tmp_path):
        folder = tmp_path / "Dataset501_A"
        _nnunet(folder, [_case(name, n) for n, name in enumerate("abc")])
        table = _table(folder, "case;patient\na;Doe\nb;Doe\n")
        (folder / "splits_final.json").write_text('[{"train": ["a", "c"], "val": ["b"]}]')
        assert _found(folder, table) == [("a, b", "leak")]
        (folder / "splits_final.json").write_text('[{"train": ["a", "c"], "val": ["c"]}]')
        assert _found(folder, table) == [("c", "leak")]
        (folder / "splits_final.json").write_text('[{"train": ["a"]}]')
        with pytest.raises(VolumeFileError, match="train and val"):
            _found(folder)


class TestSplits:
    def test_they_are_what_nnunet_reads_and_part_no_patient(self, dataset, capsys):
        table = _table(dataset, "case,patient,age\na,Doe,3\nc,Doe,4\n")
        command = ["dataset", "splits", str(dataset), "--folds", "3", "--patients", str(table)]
        assert main(command) == 0
        told = capsys.readouterr().out
        assert "2 cases without a patient" in told
        splits = json.loads((dataset / "splits_final.json").read_text())
        assert len(splits) == 3
        assert sorted(name for fold in splits for name in fold["val"]) == list(NAMES)
        for fold in splits:
            assert sorted(fold["train"] + fold["val"]) == list(NAMES)
            assert ("a" in fold["val"]) == ("c" in fold["val"])
        assert _found(dataset, table) == []
        assert main(command) == 2
        assert main([*command, "--replace", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["patients"] == 3

    def test_another_place_and_another_seed(self, dataset, tmp_path):
        for seed in range(8):
            path = str(tmp_path / f"{seed}.json")
            assert main(["dataset", "splits", str(dataset), "--folds", "2", "--seed", str(seed), "-o", path, "-q"]) == 0
        assert len({(tmp_path / f"{seed}.json").read_text() for seed in range(8)}) > 1
        assert not (dataset / "splits_final.json").exists()


class TestCommand:
    def test_the_check_tells_people_and_programs(self, dataset, capsys):
        assert main(["dataset", "check", str(dataset), "-q", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"dataset": str(dataset), "findings": []}
        write_volume(_case("a", 0).volume, _volume_of(dataset, "c"))
        assert main(["dataset", "check", str(dataset)]) == 0
        assert "a, c: have the same voxels" in capsys.readouterr().out


class TestRefused:
    def test_folders_that_are_no_datasets(self, tmp_path):
        for folder, message in ((tmp_path, "is no dataset"), (tmp_path / "x", "is no folder")):
            with pytest.raises(InvalidInputError, match=message):
                open_dataset(folder)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("name,id\na,b\n", "has the columns"),
            ("case,patient\nz,Doe\n", "'z', which is no case"),
            ("case,patient\na,Doe\na,Roe\n", "of two patients"),
            ("", "fewer folds|4 patients for 5"),
        ],
    )
    def test_tables_of_patients(self, tmp_path, text, message, capsys):
        _plain(tmp_path / "plain", [_case(name, n) for n, name in enumerate(NAMES)])
        table = _table(tmp_path / "plain", text)
        assert main(["dataset", "splits", str(tmp_path / "plain"), "--patients", str(table)]) in (2, 3)
        assert re.search(message, capsys.readouterr().err)
