"""Many inputs: which are found, what their results are called, and when a result is trusted."""

import json
import os
import shutil
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from batch_examples import write_head, write_model
from dicom_series import write_slices
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.errors import Cancelled, InvalidInputError, VolumeFileError
from DeepSegmentLib.files.dicom import series_files
from DeepSegmentLib.files.input_stamp import input_stamp
from DeepSegmentLib.files.leftovers import hidden_beside, sweep
from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap, read_provenance, write_segmentation
from DeepSegmentLib.files.volumes import write_volume
from DeepSegmentLib.segmentation.outputs import PredictSettings
from DeepSegmentLib.service.batch.existing_results import judge
from DeepSegmentLib.service.batch.find_inputs import Findings, Found, find_inputs
from DeepSegmentLib.service.batch.plan_cases import check_batch, is_batch, plan_cases, unique_names
from DeepSegmentLib.service.batch.summary_table import summary_text
from DeepSegmentLib.service.batch.work_case import work_case
from DeepSegmentLib.service.segment import SegmentRequest

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX file systems")

parts = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=300).filter(lambda part: part != "..")
stems = st.lists(parts, min_size=1, max_size=3).map("/".join)


def found(source, target=Path("nowhere"), **more):
    return {each.name: each for each in find_inputs(source, target, **more).inputs}


def written(path):
    """What changes when a file is written again, and not when it is read."""
    return path.stat().st_ino, path.stat().st_mtime_ns


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models"))


@pytest.fixture
def request_of(tmp_path, model):
    """A request for a small head."""
    head = write_head(tmp_path / "in" / "head.nrrd")
    return SegmentRequest(head, tmp_path / "out" / "head.seg.nrrd", str(model), "cpu")


class TestNames:
    @given(st.lists(st.tuples(stems, stems), max_size=12))
    def test_no_two_results_have_one_name_on_any_file_system(self, wishes):
        names = unique_names(wishes)
        assert len({unicodedata.normalize("NFC", name).casefold() for name in names}) == len(wishes)
        for name in names:
            assert all(len(part.encode("utf-8")) <= 170 for part in name.split("/"))

    @given(st.lists(stems, max_size=8))
    def test_names_depend_on_the_inputs_alone(self, wishes):
        pairs = [(stem, f"{stem}.nii") for stem in wishes]
        assert unique_names(pairs) == unique_names(pairs)

    @pytest.mark.parametrize(
        ("inputs", "names"),
        [
            (["a.nii.gz", "b.mha"], ["a", "b"]),
            (["a.nii.gz", "a.nrrd", "s/a.nrrd"], ["a.nii.gz", "a.nrrd", "s/a"]),
            (["A.nii", "a.nii"], ["A.nii", "a.nii-2"]),
            (["a\x1b[2J\n.nii"], ["a%1B[2J%0A"]),
            (["a.nii", "a_uncertainty.nii"], ["a", "a_uncertainty.nii"]),
            ([os.fsdecode(b"caf\xe9.nii"), "caf%E9.nii"], [os.fsdecode(b"caf%E9.nii"), "caf%E9.nii-2"]),
        ],
    )
    def test_examples(self, inputs, names):
        wishes = [(name.removesuffix(".gz").rpartition(".")[0], name) for name in inputs]
        assert unique_names(wishes) == names


class TestFinding:
    def test_sub_folders_and_series_are_found(self, tmp_path):
        for name in ("a.nii.gz", "s/b.mha", "s/t/c.nrrd", ".hidden/d.nii", "s/.e.nii"):
            write_head(tmp_path / name)
        for folder, count in (("s/one", 1), ("two", 2)):
            for n in range(count):
                (tmp_path / "part").mkdir()
                write_slices(tmp_path / "part")
                (tmp_path / folder).mkdir(exist_ok=True)
                for path in (tmp_path / "part").iterdir():
                    path.rename(tmp_path / folder / f"{n} {path.name}")
                (tmp_path / "part").rmdir()
        inputs = found(tmp_path)
        assert list(inputs) == ["a.nii.gz", "s/b.mha", "s/one", "s/t/c.nrrd", "two/series-1", "two/series-2"]
        assert inputs["s/one"].series is None
        assert inputs["two/series-1"].series != inputs["two/series-2"].series
        assert not any(each.error for each in inputs.values())
        assert [each.stem for each in inputs.values()] == ["a", "s/b", "s/one", "s/t/c", "two/series-1", "two/series-2"]

    def test_overviews_are_no_cases_of_their_own(self, tmp_path):
        (tmp_path / "one").mkdir()
        slices = [path.rename(path.with_suffix(".slice")) for path in write_slices(tmp_path / "one")]
        write_slices(tmp_path / "one", slices=2, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
        (only,) = found(tmp_path).values()
        assert (only.name, only.stem, only.series) == ("one", "one", None)
        assert set(series_files(only.path)) == set(slices)

    def test_results_are_no_inputs(self, tmp_path, model):
        write_head(tmp_path / "a.nii.gz")
        write_head(tmp_path / "b_uncertainty.nii.gz")
        write_head(tmp_path / "c_left_probability.nii.gz")
        asked = PredictSettings(probabilities=("left",), uncertainty=True)
        for name in ("old/a.seg.nrrd", "old/b.nii.gz", "a.nrrd"):
            work_case(SegmentRequest(tmp_path / "a.nii.gz", tmp_path / name, str(model), "cpu", asked))
        findings = find_inputs(tmp_path, tmp_path / "out")
        assert [each.name for each in findings.inputs] == [
            "a.nii.gz",
            "b_uncertainty.nii.gz",
            "c_left_probability.nii.gz",
        ]
        assert set(findings.results) == {
            path.relative_to(tmp_path).as_posix()
            for path in tmp_path.rglob("*")
            if path.name.endswith((".nrrd", "ty.nii.gz", "b.nii.gz"))
        } - {each.name for each in findings.inputs}

    def test_labels_of_an_nnunet_dataset_are_no_inputs(self, tmp_path):
        write_head(tmp_path / "set" / "imagesTr" / "a_0000.nii.gz")
        write_head(tmp_path / "set" / "labelsTr" / "a.nii.gz")
        (tmp_path / "set" / "dataset.json").write_text("{}")
        assert list(found(tmp_path)) == ["set/imagesTr/a"]

    def test_numbered_channels_are_one_case(self, tmp_path):
        for name in ("a_0001", "a_0000", "b_0000", "s/c_2019", "s/c_2020", "plain"):
            write_head(tmp_path / f"{name}.nii.gz")
        inputs = found(tmp_path)
        assert list(inputs) == ["a", "b", "plain.nii.gz", "s/c_2019.nii.gz", "s/c_2020.nii.gz"]
        assert (inputs["a"].path, inputs["a"].channels) == (tmp_path / "a_0000.nii.gz", (tmp_path / "a_0001.nii.gz",))
        assert inputs["b"].numbered
        assert not inputs["plain.nii.gz"].numbered
        assert [each.stem for each in inputs.values()] == ["a", "b", "plain", "s/c_2019", "s/c_2020"]

    def test_files_of_single_segments_are_results(self, tmp_path):
        write_head(tmp_path / "out" / "a.nii.gz")
        labels = LabelMap(np.ones((1, 2, 2, 2), np.uint8), Geometry((2, 2, 2), np.eye(4)), (Segment("liver", 1),))
        write_segmentation(labels, tmp_path / "out" / "segments.json")
        assert list(found(tmp_path)) == ["out/a.nii.gz"]

    def test_the_folder_of_results_is_not_entered(self, tmp_path):
        write_head(tmp_path / "a.nii.gz")
        write_head(tmp_path / "out" / "b.nii.gz")
        assert list(found(tmp_path, tmp_path / "out")) == ["a.nii.gz"]

    @posix
    def test_nothing_odd_ends_the_search(self, tmp_path):
        write_head(tmp_path / "s" / "a.nii.gz")
        os.mkfifo(tmp_path / "pipe.nii.gz")
        os.mkfifo(tmp_path / "s" / "pipe without suffix")
        (tmp_path / "s" / "up").symlink_to("..")
        (tmp_path / "out of it").symlink_to("../..")
        (tmp_path / "again").symlink_to("s")
        (tmp_path / "self.nii").symlink_to("self.nii")
        (tmp_path / "null.mha").symlink_to(os.devnull)
        (tmp_path / "broken").symlink_to("nothing")
        (tmp_path / "folder.nii").mkdir()
        shutil.copy(tmp_path / "s" / "a.nii.gz", tmp_path / os.fsdecode(b"\xe9.nii.gz"))
        shutil.copy(tmp_path / "s" / "a.nii.gz", tmp_path / ("n" * 248 + ".nii"))
        (tmp_path / "dicom").mkdir()
        (tmp_path / "dicom" / "cut off.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\2\0\2\0UI\x1a\x001.2.840.10008")
        inputs = found(tmp_path)
        good = {"s/a.nii.gz", os.fsdecode(b"\xe9.nii.gz"), "n" * 248 + ".nii"}
        assert {name for name, each in inputs.items() if not each.error} == good
        assert set(inputs) - good >= {"pipe.nii.gz", "self.nii", "null.mha"}
        assert "a link that leads nowhere" in inputs["self.nii"].error

    def test_a_folder_without_rights_is_one_line(self, tmp_path, monkeypatch):
        write_head(tmp_path / "a.nii.gz")
        write_head(tmp_path / "shut" / "b.nii.gz")
        scan = os.scandir

        def refuse(path):  # the administrator, as whom tests may run, has all rights
            if Path(path).name == "shut":
                raise PermissionError(13, "Permission denied")
            return scan(path)

        monkeypatch.setattr(os, "scandir", refuse)
        inputs = found(tmp_path)
        assert "Permission denied" in inputs["shut"].error
        assert not inputs["a.nii.gz"].error

    def test_what_was_fatal_is_avoided_and_what_is_watched_can_be_stopped(self, tmp_path):
        write_head(tmp_path / "s" / "a.nii.gz")
        write_head(tmp_path / "t" / "b.nii.gz")
        inputs = found(tmp_path, avoid=("s",))
        assert list(inputs) == ["s", "t/b.nii.gz"]
        assert "ended the process" in inputs["s"].error

        def stop(_):
            raise Cancelled("stopped")

        with pytest.raises(Cancelled):
            found(tmp_path, on_progress=stop)


class TestPlan:
    def test_results_mirror_the_folders(self, tmp_path):
        asked = SegmentRequest(tmp_path, tmp_path / "o", report=tmp_path / "r", preview=tmp_path / "p")
        findings = Findings((Found(tmp_path / "s" / "a.nii", "s/a.nii", "s/a"), Found(tmp_path / "d", "d", "d", "1.2")))
        first, second = (case.request for case in plan_cases(asked, findings, "mha"))
        assert (first.source, first.target) == (tmp_path / "s" / "a.nii", tmp_path / "o" / "s" / "a.mha")
        assert (first.report, first.preview) == (tmp_path / "r" / "s" / "a.json", tmp_path / "p" / "s" / "a.png")
        assert (second.series, second.target) == ("1.2", tmp_path / "o" / "d.mha")

    def test_a_folder_goes_to_a_folder(self, tmp_path):
        for target, many in (("out", True), ("out.seg.nrrd", False), ("out.NII", False), ("out.2", True)):
            assert is_batch(SegmentRequest(tmp_path, tmp_path / target)) == many
        (tmp_path / "there.nii").mkdir()
        assert is_batch(SegmentRequest(tmp_path, tmp_path / "there.nii"))
        assert not is_batch(SegmentRequest(tmp_path / "a.nii", tmp_path / "there.nii"))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"target": "in"}, "name another folder"),
            ({"target": "."}, "among the inputs"),
            ({"target": "file"}, "must be a folder"),
            ({"report": "file"}, "must be a folder"),
            ({"channels": (Path("x.nii"),)}, "further channels"),
            ({"series": "1.2"}, "series"),
            ({"settings": PredictSettings(probabilities=("Liver",))}, "Liver"),
        ],
    )
    def test_what_fits_no_batch_is_refused_at_once(self, tmp_path, model, changes, message):
        (tmp_path / "in").mkdir()
        (tmp_path / "file").touch()
        paths = {key: tmp_path / value if isinstance(value, str) else value for key, value in changes.items()}
        asked = replace(SegmentRequest(tmp_path / "in", tmp_path / "out", str(model)), **paths)
        with pytest.raises(InvalidInputError, match=message):
            check_batch(asked)

    def test_a_folder_of_results_only_holds_no_input(self, tmp_path):
        with pytest.raises(InvalidInputError, match="beside 2 results"):
            plan_cases(SegmentRequest(tmp_path, tmp_path / "o"), Findings((), ("a", "b")))

    @pytest.mark.parametrize("name", ["b.nii.gz", "a_left_probability.nii.gz"])
    def test_no_case_is_written_onto_the_input_of_another(self, tmp_path, model, name):
        """Not even where results may be replaced, a link leads there, or it is a map beside the result."""
        (tmp_path / "o").mkdir()
        for each in ("a.nii.gz", "b.nii.gz"):
            write_head(tmp_path / "in" / each)
        (tmp_path / "o" / name).hardlink_to(tmp_path / "in" / "a.nii.gz")
        settings = PredictSettings(probabilities=("left",))
        asked = SegmentRequest(tmp_path / "in", tmp_path / "o", str(model), settings=settings, replace=True)
        with pytest.raises(InvalidInputError, match="is an input"):
            plan_cases(asked, find_inputs(tmp_path / "in", tmp_path / "o"), "nii.gz")


class TestTrust:
    def test_a_complete_result_is_left_out(self, request_of):
        report = work_case(request_of, skip_existing=True)
        state = written(request_of.target)
        again = work_case(request_of, skip_existing=True)
        assert again["skipped"] == str(request_of.target)
        assert again["volumes_ml"] == pytest.approx(report["volumes_ml"], abs=1e-3)
        assert written(request_of.target) == state

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"settings": PredictSettings(overlap=0.25)}, "other parameters"),
            ({"settings": PredictSettings(mirror=True)}, "other parameters"),
            ({"settings": PredictSettings(clean_up=False)}, "other parameters"),
            ({"settings": PredictSettings(region_ras=np.array([[0, 0, 0], [4, 4, 4]]))}, "other parameters"),
            ({"settings": PredictSettings(uncertainty=True)}, "head_uncertainty.nii.gz is missing"),
            ({"settings": PredictSettings(probabilities=("left",))}, "head_left_probability.nii.gz is missing"),
            ({"report": "head.json"}, "head.json is missing"),
            ({"preview": "head.png"}, "head.png is missing"),
        ],
    )
    def test_another_run_is_done_again(self, tmp_path, request_of, changes, reason):
        work_case(request_of)
        paths = {key: tmp_path / value if isinstance(value, str) else value for key, value in changes.items()}
        asked = replace(request_of, **paths)
        assert reason in work_case(asked, skip_existing=True)["notes"][0]
        assert judge(asked).kind == "complete"

    def test_another_model_or_input_is_done_again(self, tmp_path, request_of, model):
        work_case(request_of)
        other = shutil.copytree(model, tmp_path / "other")
        spec = json.loads((other / "model.json").read_text())
        (other / "model.json").write_text(json.dumps(spec | {"version": "2.0"}))
        assert "tiny-brain 1.0, not tiny-brain 2.0" in judge(replace(request_of, model=str(other))).reason
        write_head(request_of.source, seed=1)
        assert judge(request_of).reason == "its input has changed since"
        assert "input has changed" in work_case(request_of, skip_existing=True)["notes"][0]
        assert judge(request_of).kind == "complete"

    @pytest.mark.parametrize("suffix", ["seg.nrrd", "nii.gz"])
    def test_a_damaged_result_is_done_again(self, request_of, suffix):
        asked = replace(request_of, target=request_of.target.with_name(f"head.{suffix}"))
        work_case(asked)
        content = asked.target.read_bytes()
        for damaged in (content[: len(content) // 2], content[:200], b""):
            asked.target.write_bytes(damaged)
            assert judge(asked).kind == "old"
            asked.target.write_bytes(content)
        asked.target.write_bytes(content[: len(content) // 2])
        assert "damaged" in work_case(asked, skip_existing=True)["notes"][0]
        assert judge(asked).kind == "complete"

    def test_nothing_of_another_origin_is_replaced_unless_asked(self, request_of):
        labels = LabelMap(np.ones((1, 9, 10, 11), np.uint8), Geometry.from_spacing((9, 10, 11), (1, 1, 1)),
                          (Segment("mine", 1),))  # fmt: skip
        request_of.target.parent.mkdir()
        write_segmentation(labels, request_of.target)
        with pytest.raises(InvalidInputError, match="not from a model"):
            work_case(request_of, skip_existing=True)
        assert read_labelmap(request_of.target).segments[0].name == "mine"
        work_case(replace(request_of, replace=True), skip_existing=True)
        assert judge(request_of).kind == "complete"

    def test_a_corrected_result_is_kept_unless_asked(self, request_of):
        work_case(request_of)
        words = read_provenance(request_of.target) | {"corrected": "2026-01-01"}
        write_segmentation(read_labelmap(request_of.target), request_of.target, words)
        state = written(request_of.target)
        assert "corrected" in work_case(request_of, skip_existing=True)["reason"]
        assert written(request_of.target) == state
        assert "corrected" in work_case(replace(request_of, replace=True), skip_existing=True)["notes"][0]

    @pytest.mark.parametrize(("kind", "content"), [("report", b"{}"), ("preview", b"a picture")])
    def test_reports_and_pictures_of_another_origin_stay(self, tmp_path, request_of, kind, content):
        path = tmp_path / ("head.json" if kind == "report" else "head.png")
        asked = replace(request_of, **{kind: path})
        path.write_bytes(content)
        with pytest.raises(InvalidInputError, match="is from no run"):
            work_case(asked, skip_existing=True)
        assert path.read_bytes() == content
        work_case(replace(asked, replace=True), skip_existing=True)
        request_of.target.unlink()  # as after a kill: what the run had written before is its own
        work_case(asked, skip_existing=True)

    def test_what_a_killed_run_left_half_written_goes(self, request_of):
        request_of.target.parent.mkdir()
        fresh = hidden_beside(request_of.target, ".seg.nrrd")
        fresh.touch()
        dead = fresh.with_name(fresh.name.replace(f"-{os.getpid()}-", "-4194305-"))  # above any number of a process
        dead.touch()
        folder = dead.with_name(dead.name.replace(".seg.nrrd", ""))
        (folder / "imagesTr").mkdir(parents=True)
        sweep(request_of.target.parent)
        assert [path.name for path in request_of.target.parent.iterdir()] == [fresh.name]


class TestStamp:
    def test_it_changes_with_the_input_and_with_nothing_else(self, tmp_path):
        head = write_head(tmp_path / "a.nrrd")
        stamp = input_stamp([head])
        os.utime(tmp_path)
        (tmp_path / "b.txt").touch()
        assert input_stamp([head]) == stamp == input_stamp([head.rename(tmp_path / "c.nrrd")])
        os.utime(tmp_path / "c.nrrd", ns=(0, 1))
        assert input_stamp([tmp_path / "c.nrrd"]) != stamp
        with pytest.raises(VolumeFileError, match=r"a\.nrrd"):
            input_stamp([head])

    def test_voxels_beside_their_header_and_slices_count(self, tmp_path):
        (tmp_path / "a.mhd").touch()
        write_volume(Volume(np.zeros((1, 2, 2, 2), np.uint8), Geometry.from_spacing((2, 2, 2), (1, 1, 1))),
                     tmp_path / "b.mha")  # fmt: skip
        header, folder = input_stamp([tmp_path / "a.mhd"]), input_stamp([tmp_path])
        os.utime(tmp_path / "b.mha", ns=(0, 1))
        assert input_stamp([tmp_path / "a.mhd"]) != header
        assert input_stamp([tmp_path]) != folder != input_stamp([tmp_path], "1.2")


def test_the_table_is_harmless_in_spreadsheets():
    reports = [
        {"case": "=cmd()", "error": "+1", "exit_code": 3},
        {"case": "b", "volumes_ml": {"@left": 1.5}, "case_seconds": 2.0, "notes": ["a", "b"]},
    ]
    assert summary_text(reports).splitlines() == [
        '"case","state","seconds","reason","\'@left [ml]"',
        '"\'=cmd()","failed","","\'+1",""',
        '"b","ok",2.0,"a; b",1.5',
    ]
