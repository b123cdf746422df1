"""Messages between owner and worker: what is told is heard."""

import json
import os
from dataclasses import asdict, is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_examples import segment_tables
from strategies import geometries, label_maps, volumes

from DeepSegmentLib import errors
from DeepSegmentLib.data import Geometry, LabelMap, Progress, Volume
from DeepSegmentLib.errors import DeepSegmentError, InvalidInputError
from DeepSegmentLib.files.segmentations.dicom_seg import Algorithm
from DeepSegmentLib.hosts.worker.batch_jobs import CaseJob, CaseResult, CasesJob, CasesResult, FindJob, FindResult
from DeepSegmentLib.hosts.worker.jobs_and_events import (
    ExportJob,
    Failed,
    Finished,
    MeasureJob,
    OfCase,
    Progressed,
    SegmentJob,
    SegmentResult,
    Stopped,
    decode_event,
    decode_job,
    encode_event,
    encode_job,
    voxel_bytes,
)
from DeepSegmentLib.hosts.worker.shared_arrays import make_folder, remove_folder
from DeepSegmentLib.networks.back_ends.engine import PRECISIONS
from DeepSegmentLib.segmentation.outputs import PredictSettings
from DeepSegmentLib.service.batch.find_inputs import Findings, Found
from DeepSegmentLib.service.export import ExportCase, ExportSettings
from DeepSegmentLib.service.segment import SegmentRequest

ALL_ERRORS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DeepSegmentError)]

numbers = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(max_size=8)
# Names of files may be bytes that are no text.
paths = st.binary(min_size=1, max_size=8).map(lambda name: Path("/", os.fsdecode(name.replace(b"\0", b""))))
words = st.dictionaries(names, names, max_size=3)
settings = st.builds(
    PredictSettings,
    overlap=st.floats(0, 0.9),
    mirror=st.booleans(),
    region_ras=st.none()
    | st.lists(st.floats(-1e7, 1e7), min_size=6, max_size=6)
    .map(lambda six: np.reshape(six, (2, 3)))
    .filter(lambda corners: (corners[0] != corners[1]).all()),
    probabilities=st.lists(names, max_size=3).map(tuple),
    uncertainty=st.booleans(),
    clean_up=st.booleans(),
    maps_folder=st.none() | paths,
)
algorithms = st.none() | st.builds(
    Algorithm, st.sampled_from(["AUTOMATIC", "MANUAL"]), st.just("net"), st.just("1"), words
)


@st.composite
def results(draw):
    grid = draw(geometries())
    place = st.just(grid)
    table = draw(segment_tables())
    labels = LabelMap(np.zeros((1, *grid.shape), np.uint16), grid, table)
    return SegmentResult(
        labels,
        draw(st.dictionaries(names, volumes(place), max_size=2)),
        draw(st.none() | volumes(place)),
        np.array(draw(st.lists(st.tuples(numbers, numbers, numbers), max_size=3))).reshape(-1, 3),
        draw(words),
        {"seconds": draw(numbers), "notes": draw(st.lists(names))},
    )


def same(a, b):
    """Whether two messages say the same, arrays and all, with the same types."""
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if is_dataclass(a):
        return type(a) is type(b) and same(vars(a), vars(b))
    return type(a) is type(b) and a == b


def through_job(job, number=3):
    folder = make_folder()
    document = json.loads(encode_job(job, number, folder))
    assert document["number"] == number
    heard = decode_job(document, folder)
    assert not list(folder.iterdir())
    remove_folder(folder)
    return heard


def through_event(event, number=3):
    folder = make_folder()
    message = encode_event(event, number, folder)
    assert json.loads(message)["number"] == number
    heard = decode_event(message, folder)
    assert not list(folder.iterdir())
    remove_folder(folder)
    return heard


class TestLaws:
    @given(volumes(), names, names, settings, names, st.sampled_from(PRECISIONS))
    def test_segment_jobs(self, volume, name, model, asked, device, precision):
        job = SegmentJob(Volume(volume.voxels, volume.geometry, name, modality="MR"), model, device, asked, precision)
        assert same(through_job(job), job)
        assert voxel_bytes(job) == volume.voxels.nbytes

    @given(paths, paths, st.none() | paths, names, settings, st.booleans())
    def test_jobs_of_a_batch(self, source, target, report, uid, asked, skip):
        request = SegmentRequest(source, target, settings=asked, channels=(source,), report=report, replace=skip)
        request = replace(request, precision="bfloat16" if skip else "checked")
        for job in (
            CaseJob(replace(request, series=uid), skip),
            CaseJob(replace(request, preview=report), not skip),
            CaseJob(replace(request, subset=(uid, "a"), statistics=report, measure=skip)),
            CasesJob((request, replace(request, series=uid)), skip),
            FindJob(str(source), str(target), (uid, "a")),
        ):
            assert same(through_job(job), job)
            assert voxel_bytes(job) == 0

    @given(
        st.lists(
            st.builds(Found, paths, names, names, st.none() | names, names, st.lists(paths).map(tuple), st.booleans())
        ),
        st.lists(names),
    )
    def test_findings(self, inputs, left_out):
        findings = Findings(tuple(inputs), tuple(left_out))
        assert through_event(Finished(FindResult(findings))).result.findings == findings

    @given(st.data())
    def test_jobs_with_labels(self, data):
        grid = data.draw(geometries())
        volume, labels = data.draw(volumes(st.just(grid))), data.draw(label_maps(st.just(grid)))
        case = ExportCase(data.draw(names), volume, labels, data.draw(words), (Path("/a/1.dcm"),), ("volume", "labels"))
        asked = ExportSettings("csv", data.draw(st.booleans()), ("T1",), True, data.draw(algorithms))
        for job in (MeasureJob(volume, labels), ExportJob(case, str(Path("/out").absolute()), asked)):
            assert same(through_job(job), job)
            assert voxel_bytes(job) == volume.voxels.nbytes + labels.layers.nbytes

    @given(results())
    def test_results(self, result):
        assert same(through_event(Finished(result)), Finished(result))

    @given(names, st.floats(0, 1), st.none() | numbers, st.none() | st.integers(0))
    def test_progress(self, stage, fraction, eta, memory):
        event = Progressed(Progress(stage, fraction, eta, memory))
        assert same(through_event(event), event)

    @given(st.sampled_from(ALL_ERRORS), st.text())
    def test_error_classes_survive(self, kind, text):
        heard = through_event(Failed(kind(text)))
        assert type(heard.error) is kind
        assert str(heard.error) == text
        assert heard.error.exit_code == kind.exit_code


def test_the_other_events():
    assert through_event(Stopped()) == Stopped()
    report = {"input": {"path": "x"}, "error": "y", "exit_code": 2}
    assert through_event(Finished(CaseResult(report))).result.report == report
    assert through_event(Finished(CasesResult(0))).result == CasesResult(0)
    for event in (Progressed(Progress("read", 0.0)), Finished(CaseResult(report)), Failed(InvalidInputError("no"))):
        heard = through_event(OfCase(7, event))
        assert heard.case == 7
        assert same(heard.event, event) or str(heard.event.error) == "no"


def test_relative_paths_start_where_the_owner_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    heard = through_job(FindJob("in", "out"))
    assert (heard.source, heard.target) == (str(tmp_path / "in"), str(tmp_path / "out"))
    heard = through_job(CaseJob(SegmentRequest(Path("in"), Path("out"))))
    assert (heard.request.source, heard.request.target) == (tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize("name", ["Exception", "annotations", "__doc__", "NoSuchError"])
def test_errors_of_other_kinds_come_as_the_base_class(tmp_path, name):
    document = {"kind": "Failed", "number": 1, "error": name, "message": "x"}
    heard = decode_event(json.dumps(document).encode(), tmp_path)
    assert type(heard.error) is DeepSegmentError


@pytest.mark.parametrize(
    "message", [b'{"kind": "Sang"}', b'{"kind": "Finished"}', b'{"kind": []}', b"[]", b"7", b"{", b"", b"\xff\x00"]
)
def test_what_is_no_event_is_refused(tmp_path, message):
    with pytest.raises(InvalidInputError, match="restart it"):
        decode_event(message, tmp_path)


def test_settings_are_told_in_full():
    """A setting that is added and forgotten here would silently be the default in the worker."""
    corners = np.array([[0.0, 0, 0], [1, 1, 1]])
    changed = PredictSettings(0.25, True, corners, ("a",), True, False, True, ("a", "b"), Path("/maps"))
    for asked in (PredictSettings(), changed):
        heard = through_job(SegmentJob(Volume(np.zeros((1, 1, 1, 1)), Geometry((1, 1, 1), np.eye(4))), settings=asked))
        assert asdict(heard.settings).keys() == asdict(asked).keys()
        assert same(heard.settings, asked)
