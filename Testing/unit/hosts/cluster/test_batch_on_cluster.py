"""A folder over several machines: the same results and reports as on one, also where workers are killed."""

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from batch_examples import Command, leftovers, write_head, write_model

from DeepSegmentLib.errors import InvalidInputError, MissingPackageError, ResourceError
from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap
from DeepSegmentLib.hosts.cluster import batch_on_cluster
from DeepSegmentLib.hosts.cluster.batch_on_cluster import ClusterBatch
from DeepSegmentLib.hosts.cluster.case_task import case_message, work_on_worker
from DeepSegmentLib.hosts.command.main import main
from DeepSegmentLib.service.batch.plan_cases import Case
from DeepSegmentLib.service.batch.work_cases import work_cases
from DeepSegmentLib.service.segment import SegmentRequest

distributed = pytest.importorskip("distributed", reason="needs Dask")
cloudpickle = pytest.importorskip("cloudpickle", reason="needs Dask")
pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals"),
    # Of sockets to a worker that was killed.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two workers, each a process; one that is killed is replaced."""
    with pytest.MonkeyPatch.context() as patch:
        root = str(Path(__file__).parents[4])
        patch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))
        patch.setenv("OMP_NUM_THREADS", "1")
        with distributed.LocalCluster(
            processes=True,
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=None,
            local_directory=str(tmp_path_factory.mktemp("dask")),
        ) as local:
            yield local


def words(tmp_path, model, target="out"):
    return ["segment", str(tmp_path / "in"), str(tmp_path / target), "--model", str(model), "--device", "cpu"]


def workers(cluster):
    with distributed.Client(cluster, set_as_default=False) as client:
        return client.run(os.getpid)


def test_a_killed_worker_loses_and_repeats_nothing(tmp_path, model, cluster, capsys, monkeypatch):
    names = ["a", "sub/b", "c", "sub/d", "e", "f"]
    sources = [write_head(tmp_path / "in" / f"{name}.nii.gz", seed=n) for n, name in enumerate(names)]
    (tmp_path / "in" / "cut.nii.gz").write_bytes(sources[0].read_bytes()[:500])
    alone = [tmp_path / "alone" / f"{name}.seg.nrrd" for name in names]
    requests = [
        SegmentRequest(source, target, str(model), "cpu") for source, target in zip(sources, alone, strict=True)
    ]
    work_cases(requests, lambda *_: None, lambda *_: None)

    killed, seen = [], {}
    report_of = ClusterBatch._report

    def report_and_kill(self, case, future):
        for path in (tmp_path / "out").rglob("*.seg.nrrd"):
            seen.setdefault(path, path.stat().st_ino)
        if not killed:  # in the middle: a case has ended, others are under way
            killed.append(next(iter(workers(cluster).values())))
            os.kill(killed[0], signal.SIGKILL)
        return report_of(self, case, future)

    monkeypatch.setattr(ClusterBatch, "_report", report_and_kill)
    assert main([*words(tmp_path, model), "--scheduler", cluster.scheduler_address, "--json"]) == 3
    reports = json.loads(capsys.readouterr().out)
    assert killed
    order = ["a", "c", "cut", "e", "f", "sub/b", "sub/d"]
    assert [report["case"] for report in reports] == [f"{name}.nii.gz" for name in order]
    assert [report["case"] for report in reports if "error" in report] == ["cut.nii.gz"]
    assert sum("volumes_ml" in report for report in reports) == len(names)
    for name, target in zip(names, alone, strict=True):
        path = tmp_path / "out" / f"{name}.seg.nrrd"
        assert np.array_equal(read_labelmap(target).layers, read_labelmap(path).layers)
        assert seen.get(path, path.stat().st_ino) == path.stat().st_ino  # what was there is not done again
    assert not leftovers(tmp_path / "out")
    table = (tmp_path / "out" / "deepsegment-batch.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in table[1:]] == [f'"{name}.nii.gz"' for name in order]


def test_ctrl_c_cancels_what_is_under_way(tmp_path, model, cluster):
    write_head(tmp_path / "in" / "a.nii.gz")
    for name in "bc":
        write_head(tmp_path / "in" / f"{name}.nii.gz", shape=(160, 160, 160))

    class OnCluster(Command):
        def arguments(self):
            return [*super().arguments(), "--scheduler", cluster.scheduler_address]

    with OnCluster(tmp_path / "in", tmp_path / "out", model).start() as process:
        assert process.stdout.readline().startswith("1 of 3")
        process.send_signal(signal.SIGINT)
        lines = process.stdout.read()
    assert process.returncode == 130, lines
    assert "nothing half-written is left" in lines
    assert not leftovers(tmp_path / "out")
    with distributed.Client(cluster, set_as_default=False) as client:
        assert not any(client.processing().values())
        assert not any(client.run(under_way).values())


def under_way():
    """How many cases a worker is at."""
    from DeepSegmentLib.hosts.cluster import case_task

    return len(case_task._running)


# Its workers cannot import this module.
cloudpickle.register_pickle_by_value(sys.modules[under_way.__module__])


def test_a_folder_that_a_worker_cannot_see_is_named(tmp_path, model):
    request = SegmentRequest(write_head(tmp_path / "in" / "a.nii.gz"), tmp_path / "out" / "a.seg.nrrd", str(model))
    lock = tmp_path / "out" / "lock"
    case = Case("a.nii.gz", request)
    message = case_message(case, "batch", lock, skip_existing=False)
    report = json.loads(work_on_worker(message))
    assert f"the results cannot be seen in {tmp_path / 'out'} by the worker on" in report["error"]
    away = case_message(Case("b", replace(request, source=tmp_path / "b.nii")), "batch", lock, skip_existing=False)
    assert f"b.nii cannot be seen in {tmp_path} by the worker on" in json.loads(work_on_worker(away))["error"]


def test_other_models_and_releases_are_refused(tmp_path, model):
    source = write_head(tmp_path / "in" / "a.nii.gz")
    case = Case("a.nii.gz", SegmentRequest(source, tmp_path / "a.seg.nrrd", str(model)))
    document = json.loads(case_message(case, "batch", source, skip_existing=False))
    answer = json.loads(work_on_worker(json.dumps(document | {"sha256": "0"})))
    assert answer["fatal"] == "ModelError"
    assert "other weights" in answer["message"]
    answer = json.loads(work_on_worker(json.dumps(document | {"library": "0.0.0"})))
    assert "not 0.0.0" in answer["message"]


@pytest.mark.filterwarnings("ignore")
def test_what_is_no_scheduler_is_told(tmp_path, monkeypatch):
    with pytest.raises(InvalidInputError, match="no address of a scheduler"):
        ClusterBatch("nonsense://x", tmp_path)
    monkeypatch.setattr(batch_on_cluster, "_CONNECT_S", 0.5)
    with pytest.raises(ResourceError, match="no scheduler answers at"):
        ClusterBatch("tcp://127.0.0.1:9", tmp_path)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingPackageError, match="pip install"):
        ClusterBatch("tcp://127.0.0.1:9", tmp_path)
