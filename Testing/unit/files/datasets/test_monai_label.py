"""Datastores of MONAI Label: what its own rules make of them, also when the writer was killed."""

import fnmatch
import json

import numpy as np
import pytest

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.errors import ExistsError, VolumeFileError
from DeepSegmentLib.files.datasets import monai_label
from DeepSegmentLib.files.datasets.monai_label import (
    DATASTORE_FILE,
    add_labelled,
    is_datastore,
    label_values,
    labelled_outputs,
    read_datastore,
)
from DeepSegmentLib.files.datasets.nnunet import TrainingCase
from DeepSegmentLib.files.volumes import read_volume, write_volume

GRID = Geometry.from_spacing((3, 4, 5), (2, 1, 1))


def _case(name="a", values=(1, 2), names=("liver", "spleen"), level=7):
    layer = np.zeros((1, *GRID.shape), np.uint8)
    for k, value in enumerate(values):
        layer[0, k] = value
    segments = tuple(Segment(*each) for each in zip(names, values, strict=True))
    return TrainingCase(
        name, Volume(np.full((1, *GRID.shape), level, np.int16), GRID), LabelMap(layer, GRID, segments), "{}"
    )


def _as_monai_label_reads(folder):
    """Volume, labels and their info of each case, by the rules of `LocalDatastore` as it opens a folder."""
    path = folder / DATASTORE_FILE
    document = json.loads(path.read_text()) if path.exists() else {"objects": {}}
    objects = document["objects"]
    images, labels = folder / document.get("images_dir", "."), folder / document.get("labels_dir", "labels") / "final"
    for key in list(objects):
        if not (images / (key + objects[key]["image"]["ext"])).exists():
            del objects[key]
        elif (
            "final" in objects[key]["labels"] and not (labels / (key + objects[key]["labels"]["final"]["ext"])).exists()
        ):
            del objects[key]["labels"]["final"]
    for file in fnmatch.filter((each.name for each in images.iterdir()), "*.nii.gz"):
        objects.setdefault(file.replace(".nii.gz", ""), {"image": {"ext": ".nii.gz", "info": {}}, "labels": {}})
    for file in fnmatch.filter((each.name for each in labels.iterdir()) if labels.is_dir() else (), "*.nii.gz"):
        if (key := file.replace(".nii.gz", "")) in objects:
            objects[key]["labels"].setdefault("final", {"ext": ".nii.gz", "info": {}})
    return {
        key: (read_volume(images / (key + each["image"]["ext"])), *_labels(labels / key, each))
        for key, each in objects.items()
    }


def _labels(stem, entry):
    found = entry["labels"].get("final")
    if found is None:
        return None, None
    return read_volume(stem.with_name(stem.name + found["ext"])).voxels[0], found["info"].get("label_info")


class TestAdding:
    def test_a_new_datastore(self, tmp_path):
        written = add_labelled(tmp_path / "store", _case(), replace=False)
        assert [path.relative_to(tmp_path / "store").as_posix() for path in written] == [
            "a.nii.gz", "labels/final/a.nii.gz", "provenance/a.json",
        ]  # fmt: skip
        ((volume, labels, told),) = _as_monai_label_reads(tmp_path / "store").values()
        assert np.array_equal(volume.voxels, _case().volume.voxels)
        assert np.array_equal(labels, _case().label_map.layers[0])
        assert told == [{"name": "liver", "idx": 1}, {"name": "spleen", "idx": 2}]
        assert is_datastore(tmp_path / "store")

    def test_names_keep_their_values_over_all_cases(self, tmp_path):
        add_labelled(tmp_path, _case(), replace=False)
        add_labelled(tmp_path, _case("b", (1, 2), ("spleen", "kidney")), replace=False)
        _, labels, told = _as_monai_label_reads(tmp_path)["b"]
        assert told == [{"name": "spleen", "idx": 2}, {"name": "kidney", "idx": 3}]
        assert [int(plane.max()) for plane in labels] == [2, 3, 0]
        assert label_values(read_datastore(tmp_path)) == {"liver": 1, "spleen": 2, "kidney": 3}

    def test_what_others_wrote_is_kept(self, tmp_path):
        write_volume(_case().volume, tmp_path / "scans" / "a.nii.gz")
        document = {
            "name": "hospital", "description": "x", "images_dir": "scans", "labels_dir": "labels",
            "objects": {"a": {"image": {"ext": ".nii.gz", "info": {"strategy": {"x": 1}}}, "labels": {"draft": {}}}},
        }  # fmt: skip
        (tmp_path / DATASTORE_FILE).write_text(json.dumps(document))
        add_labelled(tmp_path, _case(), replace=False)  # the volume is there, and only labels are new
        after = json.loads((tmp_path / DATASTORE_FILE).read_text())
        assert after["name"] == "hospital"
        assert after["objects"]["a"]["image"] == document["objects"]["a"]["image"]
        assert set(after["objects"]["a"]["labels"]) == {"draft", "final"}
        assert not (tmp_path / "a.nii.gz").exists()

    def test_labels_and_other_volumes_are_replaced_only_on_demand(self, tmp_path):
        add_labelled(tmp_path, _case(), replace=False)
        with pytest.raises(ExistsError, match="already labels of 'A'"):
            labelled_outputs(tmp_path, "A", replace=False)
        (tmp_path / "labels" / "final" / "a.nii.gz").unlink()
        with pytest.raises(ExistsError, match="another volume"):
            add_labelled(tmp_path, _case(level=9), replace=False)
        add_labelled(tmp_path, _case(level=9), replace=True)
        assert _as_monai_label_reads(tmp_path)["a"][0].voxels.max() == 9


class TestKilled:
    @pytest.mark.parametrize("replace", [False, True])
    @pytest.mark.parametrize("at", [0, 1, 2])
    def test_each_volume_has_its_own_labels_or_none(self, tmp_path, monkeypatch, at, replace):
        if replace:
            add_labelled(tmp_path, _case(), replace=False)
        done, write = [], monai_label.write_volume

        def killed(volume, path):
            if len(done) == at:
                raise KeyboardInterrupt
            done.append(path)
            write(volume, path)

        monkeypatch.setattr(monai_label, "write_volume", killed)
        if at == 2:
            monkeypatch.setattr(monai_label, "write_text", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        new = _case(values=(1,), names=("liver",), level=9)
        with pytest.raises(KeyboardInterrupt):
            add_labelled(tmp_path, new, replace=replace)
        monkeypatch.undo()
        for volume, labels, _ in _as_monai_label_reads(tmp_path).values():
            own = new if volume.voxels.max() == 9 else _case()
            assert labels is None or np.array_equal(labels, own.label_map.layers[0])
        add_labelled(tmp_path, new, replace=at == 2 or replace)
        assert np.array_equal(_as_monai_label_reads(tmp_path)["a"][1], new.label_map.layers[0])


class TestRefused:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", "JSON"),
            ("[]", "no JSON object"),
            ('{"objects": []}', "no JSON object"),
            ('{"images_dir": 3}', "must be names"),
            ('{"images_dir": "../elsewhere"}', "elsewhere"),
        ],
    )
    def test_damaged_files(self, tmp_path, text, message):
        (tmp_path / DATASTORE_FILE).write_text(text)
        with pytest.raises(VolumeFileError, match=message):
            labelled_outputs(tmp_path, "a", replace=False)

    def test_strange_label_infos_are_passed_over(self, tmp_path):
        entries = [
            None,
            {},
            {"labels": {"final": {"info": {"label_info": [{"name": "x", "idx": "1"}, {"name": "y", "idx": 4}]}}}},
        ]
        (tmp_path / DATASTORE_FILE).write_text(json.dumps({"objects": dict(enumerate(entries))}))
        assert label_values(read_datastore(tmp_path)) == {"y": 4}
