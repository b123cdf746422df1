"""nnU-Net datasets: always consistent, mapped by name, never half-written."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.errors import InvalidInputError, VolumeFileError
from DeepSegmentLib.files.datasets.nnunet import (
    DatasetRules,
    TrainingCase,
    _new_folder,
    add_case,
    case_name,
    free_case,
)
from DeepSegmentLib.files.lock import exclusive
from DeepSegmentLib.files.volumes import read_volume, write_volume

GRID = Geometry.from_spacing((3, 4, 5), (3, 1, 2))
CT = DatasetRules(("CT",))


def _case(name="a", *, names=("liver", "spleen"), seed=0, channels=1, grid=GRID):
    rng = np.random.default_rng(seed)
    layer = rng.integers(0, len(names) + 1, (1, *grid.shape)).astype(np.uint8)
    segments = tuple(Segment(each, n) for n, each in enumerate(names, start=1))
    volume = Volume(rng.integers(-1000, 1000, (channels, *grid.shape), dtype=np.int16), grid)
    return TrainingCase(name, volume, LabelMap(layer, grid, segments), '{"made": "for a test"}\n')


def check_accepted(folder):
    """What `verify_dataset_integrity` of nnU-Net 2.8 asks for, written down from its source; returns the cases."""
    document = json.loads((folder / "dataset.json").read_text())
    values = sorted(document["labels"].values())
    assert document["labels"]["background"] == 0
    assert values == list(range(len(values)))
    cases = document["dataset"]
    assert len(cases) == document["numTraining"]
    for case in cases.values():
        labels = read_volume(folder / case["label"])
        assert set(np.unique(labels.voxels)) <= set(values)
        assert len(case["images"]) == len(document["channel_names"])
        for image in case["images"]:
            assert read_volume(folder / image).geometry.is_close(labels.geometry)
    return cases


def _foreign(folder, cases=("x", "y"), **changes):
    """A dataset as others make it: cases are what lies in imagesTr. A change to None removes an entry."""
    folder.mkdir()
    for name in cases:
        case = _case(name, seed=len(name))
        for kind, ending in (("imagesTr", "_0000"), ("labelsTr", "")):
            (folder / kind).mkdir(exist_ok=True)
            voxels = case.volume.voxels if kind == "imagesTr" else case.label_map.layers
            write_volume(Volume(voxels, GRID), folder / kind / f"{name}{ending}.nii.gz")
    document = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "spleen": 1, "liver": 2},
        "numTraining": len(cases),
        "file_ending": ".nii.gz",
        "licence": "kept",
        **changes,
    }
    (folder / "dataset.json").write_text(json.dumps({k: v for k, v in document.items() if v is not None}))
    return folder


def _tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
        if path.name != ".deepsegment.lock"
    }


class TestAdding:
    def test_a_new_dataset(self, tmp_path):
        case = _case(channels=2)
        added = add_case(tmp_path / "Dataset501_Test", case, DatasetRules(("T1", "T2")))
        assert [path.relative_to(tmp_path / "Dataset501_Test").as_posix() for path in added.files] == [
            "imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz", "labelsTr/a.nii.gz", "provenance/a.json",
        ]  # fmt: skip
        assert added.labels == {"background": 0, "liver": 1, "spleen": 2}
        for n, path in enumerate(added.files[:2]):
            assert np.array_equal(read_volume(path).voxels[0], case.volume.voxels[n])
        assert np.array_equal(read_volume(added.files[2]).voxels, case.label_map.layers)
        document = json.loads((tmp_path / "Dataset501_Test" / "dataset.json").read_text())
        assert document["channel_names"] == {"0": "T1", "1": "T2"}
        check_accepted(tmp_path / "Dataset501_Test")
        assert [path.name for path in tmp_path.iterdir()] == ["Dataset501_Test"]

    @given(st.permutations(["liver", "spleen", "kidney", "aorta"]), st.integers(0, 99))
    def test_labels_are_matched_by_name(self, tmp_path_factory, names, seed):
        folder = tmp_path_factory.mktemp("raw") / "Dataset501_Test"
        add_case(folder, _case("a", names=("liver", "spleen", "kidney", "aorta")), CT)
        case = _case("b", names=names, seed=seed)
        added = add_case(folder, case, DatasetRules())
        written = read_volume(added.files[1]).voxels[0]
        for segment in case.label_map.segments:
            assert np.array_equal(written == added.labels[segment.name], case.label_map.mask(segment))

    def test_segments_of_one_name_become_one_label(self, tmp_path):
        case = _case(names=("lesion", "liver", "lesion"))
        added = add_case(tmp_path / "Dataset501_Test", case, CT)
        assert added.labels == {"background": 0, "lesion": 1, "liver": 2}
        assert np.array_equal(read_volume(added.files[1]).voxels == 1, case.label_map.layers % 2 == 1)

    def test_unknown_names_are_refused_unless_allowed(self, tmp_path):
        folder = tmp_path / "Dataset501_Test"
        add_case(folder, _case("a"), CT)
        before = _tree(folder)
        strange = _case("b", names=("liver", "kidney"))
        with pytest.raises(InvalidInputError, match="no label 'kidney'; it has: liver, spleen"):
            add_case(folder, strange, CT)
        assert _tree(folder) == before
        added = add_case(folder, strange, replace(CT, new_labels=True))
        assert added.labels == {"background": 0, "liver": 1, "spleen": 2, "kidney": 3}
        assert (added.new, added.absent) == (("kidney",), ("spleen",))
        assert check_accepted(folder).keys() == {"a", "b"}

    def test_empty_segments_bring_no_label(self, tmp_path):
        folder = tmp_path / "Dataset501_Test"
        add_case(folder, _case("a"), CT)
        case = _case("b")
        segments = (*case.label_map.segments, Segment("nothing", 9))
        labels = LabelMap(case.label_map.layers, GRID, segments)
        assert add_case(folder, replace(case, label_map=labels), CT).new == ()

    def test_a_segment_named_background_is_background(self, tmp_path):
        case = _case(names=("liver", "background"))
        added = add_case(tmp_path / "Dataset501_Test", case, CT)
        assert added.labels == {"background": 0, "liver": 1}
        assert np.array_equal(read_volume(added.files[1]).voxels == 1, case.label_map.layers == 1)

    def test_more_than_255_labels(self, tmp_path):
        names = tuple(f"s{n}" for n in range(300))
        layer = np.arange(60, dtype=np.uint16).reshape(1, 3, 4, 5) + 241
        case = replace(
            _case(), label_map=LabelMap(layer, GRID, tuple(Segment(each, n) for n, each in enumerate(names, start=1)))
        )
        added = add_case(tmp_path / "Dataset501_Test", case, CT)
        assert np.array_equal(read_volume(added.files[1]).voxels, layer)

    def test_replacing(self, tmp_path):
        folder = tmp_path / "Dataset501_Test"
        add_case(folder, _case("a"), CT)
        add_case(folder, _case("b"), CT)
        before = _tree(folder)
        with pytest.raises(InvalidInputError, match="already a case 'a'"):
            add_case(folder, _case("A", seed=5), CT)
        assert _tree(folder) == before
        for seed in range(1, 4):
            case = _case("A", seed=seed)
            add_case(folder, case, replace(CT, replace=True))
            cases = check_accepted(folder)
            assert cases.keys() == {"a", "b"}
            assert np.array_equal(read_volume(folder / cases["a"]["label"]).voxels, case.label_map.layers)
            files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".deepsegment.lock"]
            assert len(files) == 2 * 3 + 1

    def test_leftovers_of_a_crash_do_no_harm(self, tmp_path):
        folder = tmp_path / "Dataset501_Test"
        add_case(folder, _case("a"), CT)
        (folder / "imagesTr" / "b_0000.nii.gz").write_bytes(b"half")
        add_case(folder, _case("b"), CT)
        assert check_accepted(folder).keys() == {"a", "b"}


class TestForeign:
    def test_its_cases_stay_and_its_labels_count(self, tmp_path):
        folder = _foreign(tmp_path / "Dataset007_Other")
        case = _case("b")
        added = add_case(folder, case, DatasetRules())
        assert added.labels == {"background": 0, "spleen": 1, "liver": 2}
        assert check_accepted(folder).keys() == {"x", "y", "b"}
        assert json.loads((folder / "dataset.json").read_text())["licence"] == "kept"
        written = read_volume(folder / "labelsTr" / "b.nii.gz").voxels[0]
        assert np.array_equal(written == 2, case.label_map.mask(case.label_map.segment("liver")))

    def test_its_file_ending_is_kept(self, tmp_path):
        folder = _foreign(tmp_path / "Dataset007_Other", cases=(), file_ending=".nrrd")
        assert [path.suffix for path in add_case(folder, _case(), CT).files[:2]] == [".nrrd", ".nrrd"]
        check_accepted(folder)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"numTraining": 3}, "'numTraining' is 3, but there are 2 cases"),
            ({"numTraining": None}, "'numTraining' is None"),
            ({"labels": {"background": 0, "liver": 2}}, "background 0 and then 1, 2"),
            ({"labels": {"liver": 0}}, "background 0"),
            ({"labels": [1, 2]}, "must be an object"),
            ({"labels": {"background": 0, "whole": [1, 2], "core": 2}}, r"regions \(whole\)"),
            ({"labels": {"background": 0, "ignore": 1, "liver": 2}}, "'ignore' must have the highest"),
            ({"channel_names": {"1": "CT"}}, "numbered from 0"),
            ({"channel_names": {}}, "numbered from 0"),
            ({"channel_names": {"0": "T1", "1": "T2"}}, r"lacks the file imagesTr/x_0001\.nii\.gz"),
            ({"file_ending": ".png"}, "'file_ending' must be one of"),
            ({"numTraining": 1, "dataset": {"x": {"images": ["nothing.nii.gz"], "label": "labelsTr/x.nii.gz"}}},
             r"lacks the file nothing\.nii\.gz"),
            ({"numTraining": 1, "dataset": {"x": 1}}, "must list images and label"),
            ({"numTraining": 1, "dataset": {"x": {"images": [], "label": "labelsTr/x.nii.gz"}}}, "one a channel"),
        ],
    )  # fmt: skip
    def test_a_broken_one_is_refused_untouched(self, tmp_path, changes, message):
        folder = _foreign(tmp_path / "Dataset007_Other", **changes)
        before = _tree(folder)
        with pytest.raises(VolumeFileError, match=message):
            add_case(folder, _case("b"), DatasetRules())
        assert _tree(folder) == before

    @pytest.mark.parametrize(("text", "message"), [("{", "no JSON that can be read"), ("[]", "no JSON object")])
    def test_broken_json_is_refused(self, tmp_path, text, message):
        folder = _foreign(tmp_path / "Dataset007_Other")
        (folder / "dataset.json").write_text(text)
        with pytest.raises(VolumeFileError, match=message):
            add_case(folder, _case("b"), CT)

    def test_the_ignore_label_is_used_and_stays_the_last(self, tmp_path):
        folder = _foreign(tmp_path / "Dataset007_Other", labels={"background": 0, "liver": 1, "spleen": 2, "ignore": 3})
        added = add_case(folder, _case("b", names=("liver", "ignore")), CT)
        assert added.labels["ignore"] == 3
        assert added.absent == ("spleen",)
        with pytest.raises(InvalidInputError, match="must stay the last"):
            add_case(folder, _case("c", names=("kidney",)), replace(CT, new_labels=True))


class TestRefused:
    @pytest.mark.parametrize(
        ("name", "case", "rules", "message"),
        [
            ("Liver", _case(), CT, "Dataset501_Liver"),
            ("Dataset1_Liver", _case(), CT, "Dataset501_Liver"),
            ("Dataset501_Liver", _case(), DatasetRules(), "name its channels"),
            ("Dataset501_Liver", _case(channels=2), CT, "has 2 channels, the dataset 1: CT"),
            ("Dataset501_Liver", _case(names=("ignore",)), CT, "cannot be a new label"),
        ],
    )
    def test_nothing_is_written(self, tmp_path, name, case, rules, message):
        with pytest.raises(InvalidInputError, match=message):
            add_case(tmp_path / name, case, rules)
        assert list(tmp_path.iterdir()) == []

    def test_nan_is_refused(self, tmp_path):
        voxels = np.zeros((1, 3, 4, 5), np.float32)
        voxels[0, 1, 2, 3] = np.nan
        with pytest.raises(VolumeFileError, match="NaN"):
            add_case(tmp_path / "Dataset501_Test", replace(_case(), volume=Volume(voxels, GRID)), CT)
        assert list(tmp_path.iterdir()) == []

    def test_a_sheared_grid_is_refused_and_nothing_is_left(self, tmp_path):
        folder = tmp_path / "Dataset501_Test"
        add_case(folder, _case("a"), CT)
        before = _tree(folder)
        affine = GRID.affine.copy()
        affine[0, 0] += 1
        with pytest.raises(VolumeFileError, match="right angle"):
            add_case(folder, _case("b", grid=Geometry(GRID.shape, affine)), CT)
        assert _tree(folder) == before

    def test_other_channel_names(self, tmp_path):
        folder = tmp_path / "Dataset501_Test"
        add_case(folder, _case("a"), CT)
        with pytest.raises(InvalidInputError, match="the channels of the dataset are CT, not MR"):
            add_case(folder, _case("b"), DatasetRules(("MR",)))

    def test_a_folder_that_is_no_dataset(self, tmp_path):
        (tmp_path / "Dataset501_Test").mkdir()
        (tmp_path / "Dataset501_Test" / "notes.txt").write_text("mine")
        with pytest.raises(VolumeFileError, match=r"no nnU-Net dataset: it has no dataset\.json"):
            add_case(tmp_path / "Dataset501_Test", _case(), CT)

    def test_an_empty_folder_is_a_new_dataset(self, tmp_path):
        (tmp_path / "Dataset501_Test").mkdir()
        with pytest.raises(InvalidInputError, match="name its channels"):
            add_case(tmp_path / "Dataset501_Test", _case(), DatasetRules())
        add_case(tmp_path / "Dataset501_Test", _case(), CT)
        assert (tmp_path / "Dataset501_Test" / "dataset.json").is_file()

    def test_a_missing_parent_is_made(self, tmp_path):
        add_case(tmp_path / "raw" / "Dataset501_Test", _case(), CT)
        assert (tmp_path / "raw" / "Dataset501_Test" / "dataset.json").is_file()


class TestTwoWriters:
    def test_the_second_is_refused_while_the_first_writes(self, tmp_path):
        folder = tmp_path / "Dataset501_Test"
        add_case(folder, _case("a"), CT)
        with exclusive(folder), pytest.raises(VolumeFileError, match="somebody else is writing"):
            add_case(folder, _case("b"), CT)
        add_case(folder, _case("b"), CT)

    def test_a_killed_writer_leaves_no_lock(self, tmp_path):
        code = (
            "import sys, time; from pathlib import Path; from DeepSegmentLib.files.lock import exclusive\n"
            "with exclusive(Path(sys.argv[1])):\n    print('locked', flush=True); time.sleep(60)"
        )
        holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        try:
            assert holder.stdout.readline() == "locked\n"
            with pytest.raises(VolumeFileError, match="somebody else"), exclusive(tmp_path):
                pass
        finally:
            holder.kill()
            holder.communicate()
        with exclusive(tmp_path):
            pass


# Adds or replaces a case in a process that is killed at the n-th step that touches the disk, for every n.
_CRASHES = """
import os, shutil, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_nnunet import CT, _case, _foreign, add_case, check_accepted, replace, DatasetRules

TOUCHES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}
work, kind = Path(sys.argv[2]), sys.argv[3]
seen = set()
for n in range(1, 500):
    shutil.rmtree(work / "raw", ignore_errors=True)
    folder = work / "raw" / "Dataset501_Test"
    folder.parent.mkdir()
    if kind == "foreign":
        _foreign(folder)
    elif kind != "new":
        add_case(folder, _case("a"), CT)
    name, rules = ("a", replace(CT, replace=True)) if kind == "replaced" else ("b", CT)
    child = os.fork()
    if not child:
        left = [n]
        def crash(event, arguments):
            if event in TOUCHES and str(work) in str(arguments[0]):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), 9)
        sys.addaudithook(crash)
        add_case(folder, _case(name, seed=7), rules)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if kind == "foreign" and "dataset" not in (folder / "dataset.json").read_text():
        seen.add("untouched")
    elif folder.exists():
        seen.add(" ".join(sorted(check_accepted(folder))))
        add_case(folder, _case("c"), CT)
        check_accepted(folder)
    else:
        seen.add("nothing")
    if status == 0:
        print(n, sorted(seen))
        break
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize(
    ("kind", "states"),
    [
        ("added", ["a", "a b"]),
        ("replaced", ["a"]),
        ("new", ["b", "nothing"]),
        ("foreign", ["b x y", "untouched", "x y"]),
    ],
)
def test_a_crash_at_any_moment_leaves_a_dataset_that_is_accepted(tmp_path, kind, states):
    command = [sys.executable, "-c", _CRASHES, str(Path(__file__).parent), str(tmp_path), kind]
    root = str(Path(__file__).resolve().parents[4])
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": root}, cwd=root
    )
    assert done.returncode == 0, done.stderr
    steps, found = re.fullmatch(r"(\d+) (.*)\n", done.stdout).groups()
    assert int(steps) > 5
    assert found == str(states)


class TestNames:
    @given(st.text(max_size=150))
    def test_a_name_is_plain_and_stays_as_it_is(self, text):
        try:
            name = case_name(text)
        except InvalidInputError:
            return
        assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?", name)
        assert case_name(name) == name

    @pytest.mark.parametrize(
        ("text", "name"), [("a/b\\c:d", "a-b-c-d"), ("..", None), ("", None), ("日本", None), ("NUL", None), ("é", "e")]
    )
    def test_examples(self, text, name):
        if name:
            assert case_name(text) == name
        else:
            with pytest.raises(InvalidInputError, match="no name for a case"):
                case_name(text)


def _victims(parent):
    """Files beside the dataset that a hostile one would like to have deleted or written."""
    (parent / "imagesTr").mkdir()
    paths = [parent / "mine.nii.gz", parent / "imagesTr" / "mine.nii.gz"]
    for path in paths:
        path.write_bytes(b"mine")
    return paths


class TestOutside:
    """Nothing outside the folder of a dataset is read, written or deleted, whatever `dataset.json` says."""

    @pytest.mark.parametrize("kind", ["images", "label"])
    @pytest.mark.parametrize(
        "name",
        ["../mine.nii.gz", "imagesTr/../../mine.nii.gz", "{parent}/mine.nii.gz", "..\\mine.nii.gz", "way/mine.nii.gz",
         "way.nii.gz", "dataset.json", "a\0.nii.gz", ""],
    )  # fmt: skip
    def test_names_that_lead_out_are_refused_untouched(self, tmp_path, kind, name):
        victims = _victims(tmp_path)
        folder = _foreign(tmp_path / "Dataset007_Other")
        (folder / "way").symlink_to(tmp_path)
        (folder / "way.nii.gz").symlink_to(victims[0])
        bad = name.format(parent=tmp_path)
        case = {"images": ["imagesTr/x_0000.nii.gz"], "label": "labelsTr/x.nii.gz"}
        case[kind] = [bad] if kind == "images" else bad
        document = json.loads((folder / "dataset.json").read_text())
        (folder / "dataset.json").write_text(json.dumps({**document, "numTraining": 1, "dataset": {"x": case}}))
        before = _tree(tmp_path)
        with pytest.raises(VolumeFileError):
            add_case(folder, _case("x"), DatasetRules(replace=True))
        assert _tree(tmp_path) == before

    @pytest.mark.parametrize("name", ["imagesTr", "labelsTr", "provenance", "dataset.json"])
    def test_folders_that_are_links_out_are_refused_untouched(self, tmp_path, name):
        _victims(tmp_path)
        folder = _foreign(tmp_path / "Dataset007_Other")
        if (folder / name).exists():
            (folder / name).rename(tmp_path / f"away {name}")
        else:
            (tmp_path / f"away {name}").mkdir()
        (folder / name).symlink_to(tmp_path / f"away {name}")
        before = _tree(tmp_path)
        with pytest.raises(VolumeFileError, match="is a link out of the folder"):
            add_case(folder, _case("b"), DatasetRules(replace=True))
        assert _tree(tmp_path) == before

    @given(
        st.sampled_from(["channel_names", "labels", "numTraining", "file_ending", "dataset", "images", "label", "0"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
            max_leaves=4,
        ),
    )
    def test_any_value_anywhere_is_taken_or_refused(self, tmp_path_factory, key, value):
        parent = tmp_path_factory.mktemp("raw")
        folder = parent / "Dataset007_Other"
        add_case(folder, _case("x"), CT)
        document = json.loads((folder / "dataset.json").read_text())
        place = {"images": document["dataset"]["x"], "label": document["dataset"]["x"], "0": document["channel_names"]}
        place.get(key, document)[key] = value
        (folder / "dataset.json").write_text(json.dumps(document))
        before = _tree(folder)
        try:
            add_case(folder, _case("x"), DatasetRules(replace=True))
        except (InvalidInputError, VolumeFileError):
            assert _tree(folder) == before
        else:
            check_accepted(folder)

    def test_replacing_keeps_a_file_that_another_case_spells_otherwise(self, tmp_path):
        folder = _foreign(tmp_path / "Dataset007_Other")
        document = json.loads((folder / "dataset.json").read_text())
        document["dataset"] = {
            "x": {"images": ["imagesTr/x_0000.nii.gz"], "label": "labelsTr/x.nii.gz"},
            "y": {"images": ["imagesTr/./x_0000.nii.gz"], "label": "labelsTr/y.nii.gz"},
        }
        (folder / "dataset.json").write_text(json.dumps(document))
        add_case(folder, _case("x"), DatasetRules(replace=True))
        assert set(check_accepted(folder)) == {"x", "y"}

    def test_files_that_no_case_lists_are_not_replaced(self, tmp_path):
        folder = tmp_path / "Dataset007_Other"
        add_case(folder, _case("x"), CT)
        (folder / "imagesTr" / "b_0000.nii.gz").write_bytes(b"of somebody")
        added = add_case(folder, _case("b"), CT)
        assert (folder / "imagesTr" / "b_0000.nii.gz").read_bytes() == b"of somebody"
        assert added.files[0].name == "b.v2_0000.nii.gz"


class TestNumbers:
    def test_the_next_number_is_free_in_files_and_cases(self, tmp_path):
        folder = tmp_path / "Dataset501_Test"
        assert free_case(folder) == "case_0001"
        add_case(folder, _case("case_0007"), CT)
        (folder / "imagesTr" / "CASE_0011_0000.nii.gz").write_bytes(b"")
        (folder / "imagesTr" / "case_00120_old.nii.gz").write_bytes(b"")
        assert free_case(folder) == "case_0121"
        (tmp_path / "case_0003_seg.nii.gz").write_bytes(b"")
        assert free_case(tmp_path) == "case_0004"


def test_errors_name_the_dataset_and_not_its_hidden_name(tmp_path):
    folder = tmp_path / "Dataset001_a"
    with pytest.raises(VolumeFileError, match=r"Dataset001_a/imagesTr") as error, _new_folder(folder) as fresh:
        raise VolumeFileError(f"{fresh}/imagesTr cannot be written")
    assert str(error.value) == f"{folder}/imagesTr cannot be written"
    assert not list(tmp_path.iterdir())
