"""Many cases in a row: results and reports as one after the other, with reading and writing beside the work."""

import threading
import time

import numpy as np
import pytest
from batch_examples import write_head, write_model

from DeepSegmentLib.errors import Cancelled, DeepSegmentError
from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap
from DeepSegmentLib.service.batch import work_cases as module
from DeepSegmentLib.service.batch.work_case import work_case
from DeepSegmentLib.service.batch.work_cases import UNDER_WAY, work_cases
from DeepSegmentLib.service.segment import SegmentRequest


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models"))


@pytest.fixture
def requests(tmp_path, model):
    """Four good cases, and between them one that is cut off."""
    paths = [write_head(tmp_path / "in" / f"{n}.nii.gz", seed=n) for n in range(5)]
    paths[2].write_bytes(paths[2].read_bytes()[:400])
    return [SegmentRequest(path, tmp_path / "out" / f"{path.name[0]}.seg.nrrd", str(model), "cpu") for path in paths]


@pytest.fixture
def steps(monkeypatch):
    """When each step of each case began and ended, and in which thread: (step, case, begin, end, thread)."""
    noted = []

    def slowly(step, name_of, name):
        function = getattr(module, name)

        def run(*values, **more):
            begun = time.monotonic()
            time.sleep(0.2)
            try:
                return function(*values, **more)
            finally:
                noted.append((step, name_of(*values), begun, time.monotonic(), threading.current_thread()))

        monkeypatch.setattr(module, name, run)

    slowly("read", lambda request, **_: request.source.name[0], "open_case")
    slowly("run", lambda case, *_: case.request.source.name[0], "run_case")
    slowly("write", lambda opened, done: opened.case.request.source.name[0], "close_case")
    return noted


def worked(requests, **more):
    """What is told at the end of each case, by its number, in the order of telling."""
    told = {}
    work_cases(requests, more.pop("on_progress", lambda *_: None), told.__setitem__, **more)
    return told


def plain(report):
    """A report without times."""
    return {
        key: value
        for key, value in report.items()
        if key not in ("seconds", "memory", "estimated_s", "created", "outputs")
    }


def test_results_and_reports_are_those_of_one_after_the_other(tmp_path, requests):
    told = worked(requests)
    assert list(told) == [0, 1, 2, 3, 4]
    assert isinstance(told[2], DeepSegmentError)
    for number in (0, 1, 3, 4):
        path = requests[number].target
        together = read_labelmap(path).layers
        path.unlink()
        report = work_case(requests[number])
        assert {**plain(told[number]), "prediction_seconds": 0} == {**plain(report), "prediction_seconds": 0}
        assert np.array_equal(read_labelmap(path).layers, together)
    again = worked(requests, skip_existing=True)
    assert ["skipped" in told for told in again.values() if isinstance(told, dict)] == [True] * 4


def test_one_is_read_and_one_written_while_one_is_computed(requests, steps):
    worked([requests[n] for n in (0, 1, 3, 4)])
    span = {(step, case): (begin, end) for step, case, begin, end, _ in steps}
    threads = {step: {thread for each, *_, thread in steps if each == step} for step in ("read", "run", "write")}
    assert threads["run"] == {threading.current_thread()}
    assert len(threads["read"] | threads["write"] | threads["run"]) == UNDER_WAY
    for case, following in (("0", "1"), ("1", "3"), ("3", "4")):
        assert span["read", following][0] < span["run", case][1]  # read ahead
        assert span["write", case][1] > span["run", following][0]  # written beside
    assert span["read", "3"][0] >= span["run", "1"][0] - 0.05  # one ahead at most


def test_nothing_is_read_ahead_where_memory_is_short(requests, steps, monkeypatch):
    monkeypatch.setattr(module, "available_memory_bytes", lambda: 1 << 20)
    worked([requests[n] for n in (0, 1, 3)])
    order = [(step, case) for step, case, begin, _, _ in sorted(steps, key=lambda each: each[2])]
    span = {(step, case): (begin, end) for step, case, begin, end, _ in steps}
    assert len(order) == 9
    for case, following in (("0", "1"), ("1", "3")):
        assert span["read", following][0] >= span["run", case][1]
        assert span["write", case][1] <= span["run", following][0]


def test_a_stop_leaves_what_was_written_whole(requests):
    told = {}

    def stop(number, progress):
        if number == 3 and progress.stage != "read":
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        work_cases(requests, stop, told.__setitem__)
    assert list(told) == [0, 1, 2]
    assert all(read_labelmap(requests[number].target) for number in (0, 1))
    assert not [path for path in requests[0].target.parent.iterdir() if path.name.startswith(".")]
    assert not requests[3].target.exists()
