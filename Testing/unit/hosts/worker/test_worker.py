"""The worker process, the real one: what it gives, how it is stopped, what is left when either side dies."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client
from pathlib import Path

import numpy as np
import pytest

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.errors import InvalidInputError, ModelError, ResourceError
from DeepSegmentLib.files.leftovers import is_running
from DeepSegmentLib.files.models import read_spec
from DeepSegmentLib.files.volumes import write_volume
from DeepSegmentLib.hosts.worker.batch_jobs import CaseJob, FindJob
from DeepSegmentLib.hosts.worker.client import WorkerClient
from DeepSegmentLib.hosts.worker.jobs_and_events import (
    Died,
    Failed,
    Finished,
    MeasureJob,
    Progressed,
    SegmentJob,
    Stopped,
)
from DeepSegmentLib.hosts.worker.shared_arrays import remove_folder
from DeepSegmentLib.segmentation.outputs import PredictSettings
from DeepSegmentLib.service.catalogue import find_model
from DeepSegmentLib.service.preflight import estimate
from DeepSegmentLib.service.segment import SegmentRequest, segment_volume

REPOSITORY = Path(__file__).resolve().parents[4]
PATIENCE_S = 60.0

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")


def noise(*shape, seed=0):
    voxels = np.random.default_rng(seed).normal(100, 30, (1, *shape)).astype(np.float32)
    return Volume(voxels, Geometry.from_spacing(shape, (2.0, 2.0, 2.0)), "noise")


SMALL = SegmentJob(noise(20, 24, 28), device="cpu")
LONG = SegmentJob(noise(160, 160, 160), device="cpu", settings=PredictSettings(overlap=0.8))


def wait(condition, what):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.01)


def finish(client):
    """All events until the job's end."""
    events = []

    def ended():
        events.extend(client.poll())
        return not client.busy

    wait(ended, "the end of the job")
    return events


def run(client, job):
    """The last event of a job."""
    client.submit(job)
    events = finish(client)
    assert all(isinstance(event, Progressed) for event in events[:-1])
    return events[-1]


def begin(client, job, *, seconds):
    """Submit, and ask for news for some time."""
    client.submit(job)
    end = time.monotonic() + seconds
    while client.busy and time.monotonic() < end:
        client.poll()
        time.sleep(0.01)


def folders():
    """Private folders of this process, wherever they are."""
    roots = (Path("/dev/shm"), Path(os.environ.get("TMPDIR", "/tmp")))
    return {path for root in roots if root.is_dir() for path in root.glob(f"deepsegment-*-{os.getpid()}-*")}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The user's data folder of workers and, where a test sets XDG_DATA_HOME to it, of this process."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def environment(home):
    return {**os.environ, "XDG_DATA_HOME": str(home), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def client(environment):
    """A client of its own; nothing of it may be left."""
    before = folders()
    client = WorkerClient(environment=environment)
    yield client
    process = client.process_id
    client.close()
    assert process is None or not is_running(process)
    assert folders() == before


@pytest.fixture(scope="module")
def shared(environment):
    """A client for jobs that do it no harm; its model stays warm."""
    client = WorkerClient(environment=environment)
    yield client
    client.close()


class TestJobs:
    def test_the_result_is_that_of_the_library(self, shared, home, monkeypatch):
        settings = PredictSettings(probabilities=("Thalamus",), uncertainty=True)
        result = run(shared, SegmentJob(SMALL.volume, device="cpu", settings=settings)).result
        straight = segment_volume(SMALL.volume, device="cpu", settings=settings).prediction
        assert np.array_equal(result.label_map.layers, straight.label_map.layers)
        assert result.label_map.segments == straight.label_map.segments
        assert np.array_equal(result.label_map.geometry.affine, SMALL.volume.geometry.affine)
        assert np.allclose(result.uncertainty.voxels, straight.uncertainty.voxels, atol=1e-4)
        assert np.allclose(
            result.probabilities["Thalamus"].voxels, straight.probabilities["Thalamus"].voxels, atol=1e-4
        )
        assert result.places_ras.shape[1] == 3
        assert result.provenance["model"] == "brain-mr"
        run(shared, SegmentJob(SMALL.volume, device="cpu"))  # the first one compared back ends, which tells no pace
        monkeypatch.setenv("XDG_DATA_HOME", str(home))
        expected = estimate(
            read_spec(find_model("brain-mr").path), SMALL.volume.geometry, SMALL.settings, "cpu"
        ).seconds
        assert expected is not None
        assert expected > 0

    def test_errors_come_with_their_class_and_the_worker_goes_on(self, shared):
        worker = shared.process_id
        two = Volume(np.zeros((2, 4, 4, 4), np.float32), Geometry.from_spacing((4, 4, 4), (1, 1, 1)))
        for job, kind in (
            (SegmentJob(SMALL.volume, "no-such-model"), ModelError),
            (SegmentJob(two), InvalidInputError),
            (SegmentJob(SMALL.volume, device="gpu"), InvalidInputError),
            (SegmentJob(SMALL.volume, settings=PredictSettings(probabilities=("Nobody",))), InvalidInputError),
        ):
            event = run(shared, job)
            assert isinstance(event, Failed)
            assert type(event.error) is kind
        assert isinstance(run(shared, SMALL), Finished)
        assert worker in (None, shared.process_id)

    def test_files_are_found_and_segmented(self, shared, tmp_path):
        (tmp_path / "in").mkdir()
        write_volume(SMALL.volume, tmp_path / "in" / "head.nrrd")
        (found,) = run(shared, FindJob(str(tmp_path / "in"), str(tmp_path / "out"))).result.findings.inputs
        target, report = tmp_path / "out" / "head.seg.nrrd", tmp_path / "out" / "head.json"
        job = CaseJob(SegmentRequest(found.path, target, device="cpu", report=report), skip_existing=True)
        assert "skipped" not in run(shared, job).result.report
        assert target.is_file()
        assert report.is_file()
        assert "skipped" in run(shared, job).result.report

    def test_segments_are_measured(self, shared):
        labels = run(shared, SMALL).result.label_map
        assert len(run(shared, MeasureJob(SMALL.volume, labels)).result.rows) >= 1

    def test_only_one_job_at_a_time(self, shared):
        shared.submit(SMALL)
        with pytest.raises(InvalidInputError, match="cancel it first"):
            shared.submit(SMALL)
        assert isinstance(finish(shared)[-1], Finished)
        assert shared.poll() == []


class TestCancel:
    @pytest.mark.parametrize("seconds", [0.0, *np.random.default_rng(0).uniform(0.1, 4.0, 3)])
    def test_a_job_stops_at_any_moment_and_the_next_one_works(self, shared, seconds):
        begin(shared, LONG, seconds=seconds)
        assert shared.busy
        shared.cancel()
        shared.cancel()
        assert finish(shared) == [Stopped()]
        assert isinstance(run(shared, SMALL), Finished)

    def test_a_cooperative_stop_keeps_the_worker(self, shared):
        assert isinstance(run(shared, SMALL), Finished)
        worker = shared.process_id
        shared.submit(SegmentJob(noise(40, 250, 250), device="cpu", settings=PredictSettings(overlap=0.0)))
        wait(shared.poll, "the first word")
        shared.cancel()
        assert finish(shared) == [Stopped()]
        assert shared.process_id in (worker, None)  # None: a slow machine took longer than it may

    def test_nothing_stays_of_jobs_that_were_never_sent(self, client):
        for _ in range(3):
            client.submit(SMALL)
            client.cancel()
            assert finish(client) == [Stopped()]
            assert not list(client._folder.glob("*.array"))

    @posix
    def test_a_worker_that_hangs_is_killed(self, client):
        client.submit(LONG)
        wait(client.poll, "the first word")
        worker = client.process_id
        os.kill(worker, signal.SIGSTOP)
        client.cancel()
        assert finish(client) == [Stopped()]
        assert not is_running(worker)


@posix
class TestDeath:
    @pytest.mark.parametrize("seconds", [0.0, *np.random.default_rng(1).uniform(0.1, 3.5, 2)])
    def test_a_killed_worker_is_told_and_the_next_job_starts_another(self, client, seconds):
        begin(client, LONG, seconds=seconds)
        os.kill(client.process_id, signal.SIGKILL)
        event = finish(client)[-1]
        assert isinstance(event, Died)
        assert "killed" in event.message
        assert client.process_id is None
        if seconds == 0.0:
            assert isinstance(run(client, SMALL), Finished)

    def test_a_job_that_a_dying_worker_never_heard_of_is_given_to_the_next(self, client):
        job = MeasureJob(*measured())
        assert isinstance(run(client, job), Finished)
        worker = client.process_id
        os.kill(worker, signal.SIGSTOP)
        client.submit(job)
        client.poll()  # sends it
        os.kill(worker, signal.SIGKILL)
        assert isinstance(finish(client)[-1], Finished)
        assert client.process_id != worker

    def test_a_worker_that_leaves_while_a_job_is_written_is_replaced(self, client):
        job = MeasureJob(*measured())
        assert isinstance(run(client, job), Finished)
        worker = client.process_id
        os.kill(worker, signal.SIGSTOP)  # it is still there, but its folder is not
        remove_folder(client._folder)
        assert isinstance(run(client, job), Finished)
        assert client.process_id != worker

    def test_a_worker_that_is_killed_while_idle_is_replaced(self, client):
        client.submit(MeasureJob(*measured()))
        assert isinstance(finish(client)[-1], Finished)
        os.kill(client.process_id, signal.SIGKILL)
        assert isinstance(run(client, MeasureJob(*measured())), Finished)

    def test_an_idle_worker_ends_and_leaves_nothing(self, environment):
        client = WorkerClient(environment=environment, idle_s=0.3)
        assert isinstance(run(client, MeasureJob(*measured())), Finished)
        worker, folder = client.process_id, client._folder
        wait(lambda: client.process_id is None, "the end of an idle worker")
        assert not is_running(worker)
        assert not folder.exists()
        assert isinstance(run(client, MeasureJob(*measured())), Finished)
        client.close()

    @pytest.mark.parametrize("seconds", [0.0, 0.3, 2.0])
    def test_an_owner_that_is_killed_takes_the_worker_with_it(self, environment, seconds):
        code = f"""
            import sys, time
            sys.path[:0] = {[str(REPOSITORY), str(Path(__file__).parent)]!r}
            from test_worker import LONG, WorkerClient
            client = WorkerClient()
            client.submit(LONG)
            print(client.process_id, client._folder, flush=True)
            while True:
                client.poll()
                time.sleep(0.01)
        """
        paths = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "Testing")])
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)],
            stdout=subprocess.PIPE,
            text=True,
            env={**environment, "PYTHONPATH": paths},
        ) as owner:
            worker, folder = owner.stdout.readline().split()
            time.sleep(seconds)
            owner.kill()
        wait(lambda: not is_running(int(worker)), "the end of the worker")
        assert not list(Path(folder).parent.glob(f"{Path(folder).name}*"))

    @pytest.mark.parametrize(
        ("code", "words"),
        [
            ("import sys; sys.exit('no such wheel')", ["exit code 1", "no such wheel"]),
            ("import os; os.kill(os.getpid(), 11)", ["SIGSEGV", "Try the device cpu"]),
            ("import os; os.kill(os.getpid(), 40)", ["signal 40"]),
            ("import os; os.kill(os.getpid(), 9)", ["killed", "memory", "GB are free"]),
        ],
    )
    def test_it_is_told_why_a_worker_did_not_live(self, code, words):
        client = WorkerClient([sys.executable, "-S", "-c", code])
        event = run(client, MeasureJob(*measured()))
        assert isinstance(event, Died)
        assert all(word in event.message for word in words)
        assert not folders() & {client._folder}


def measured():
    """A volume and its labels, for jobs that need no network."""
    from DeepSegmentLib.data import LabelMap, Segment

    volume = noise(4, 5, 6)
    return volume, LabelMap(np.ones((1, 4, 5, 6), np.uint8), volume.geometry, (Segment("all", 1),))


class TestDoor:
    """Who may speak with the worker."""

    @pytest.fixture
    def listening(self, client):
        """A worker that waits for its owner."""
        client.submit(MeasureJob(*measured()))
        wait(lambda: Path(client._address).exists(), "the worker's address")
        return client

    @posix
    def test_a_wrong_key_is_refused(self, listening):
        with pytest.raises(AuthenticationError):
            Client(listening._address, authkey=b"guessed")
        assert isinstance(finish(listening)[-1], Finished)

    @posix
    def test_garbage_and_silence_keep_nobody_out(self, listening):
        silent = [Client(listening._address) for _ in range(5)]
        for garbage in (b"", b"\0" * 200, b"#CHALLENGE#" + b"x" * 20, b"x" * 100_000):
            visitor = Client(listening._address)
            with contextlib.suppress(OSError):  # turned away already
                visitor.send_bytes(garbage)
            visitor.close()
        raw = Client(listening._address)
        os.write(raw.fileno(), b"GET / HTTP/1.1\r\n\r\n")
        raw.close()
        assert isinstance(finish(listening)[-1], Finished)
        for visitor in silent:
            visitor.close()

    @posix
    def test_the_door_is_closed_behind_the_owner(self, listening):
        assert isinstance(finish(listening)[-1], Finished)
        assert not Path(listening._address).exists()

    @posix
    def test_the_key_is_nowhere_once_the_worker_has_it(self, listening):
        command = Path(f"/proc/{listening.process_id}/cmdline")
        key = listening._key.hex()
        assert not command.exists() or key not in command.read_text()
        assert key not in "".join(path.read_text() for path in listening._folder.glob("*.json"))
        assert isinstance(finish(listening)[-1], Finished)

    @posix
    def test_a_stranger_behind_the_door_is_not_spoken_to(self, tmp_path):
        """Who listens at the address without the key gets no job."""
        stranger = self._worker(tmp_path, key="b'guessed'")
        assert isinstance(run(stranger, MeasureJob(*measured())), Died)
        assert stranger.process_id is None

    @posix
    def test_an_answer_that_cannot_be_read_ends_the_job(self, tmp_path):
        confused = self._worker(tmp_path, words="{")
        event = run(confused, MeasureJob(*measured()))
        assert isinstance(event, Failed)
        assert "cannot be read" in str(event.error)
        assert confused.process_id is None

    def _worker(self, tmp_path, key="bytes.fromhex(start['key'])", words=""):
        """A client of a process that is no worker, but knows how one speaks."""
        script = tmp_path / "worker.py"
        script.write_text(
            textwrap.dedent(f"""
                import json, pathlib, sys, time
                from multiprocessing.connection import Listener
                start = json.loads(pathlib.Path(sys.argv[1], "start.json").read_text())
                connection = Listener(start["address"], authkey={key}).accept()
                connection.recv_bytes()
                connection.send_bytes({words!r}.encode())
                time.sleep(60)
            """)
        )
        return WorkerClient([sys.executable, str(script)])


class TestStart:
    def test_a_program_that_is_not_there_is_named(self):
        before = folders()
        with pytest.raises(ResourceError, match="no-such-python"):
            WorkerClient(["/no-such-python"]).submit(SMALL)
        assert folders() == before

    def test_the_current_folder_is_not_on_the_path(self, environment, tmp_path, monkeypatch):
        for name in ("json.py", "numpy.py", "DeepSegmentLib.py"):
            (tmp_path / name).write_text("raise SystemExit('a file of the current folder was run')")
        monkeypatch.chdir(tmp_path)
        client = WorkerClient(environment=environment)
        assert isinstance(run(client, MeasureJob(*measured())), Finished)
        client.close()

    def test_people_are_told_which_command_is_theirs(self, environment):
        for arguments in ([], ["/nowhere"]):
            done = subprocess.run(
                [sys.executable, "-m", "DeepSegmentLib.hosts.worker", *arguments],
                check=False,
                capture_output=True,
                text=True,
                cwd=REPOSITORY,
                env=environment,
            )
            assert done.returncode == 2
            assert "deepsegment" in done.stderr

    @pytest.mark.skipif(not Path("/proc/self/oom_score_adj").exists(), reason="Linux only")
    def test_the_worker_goes_first_when_memory_runs_out(self, shared):
        assert isinstance(run(shared, SMALL), Finished)
        assert int(Path(f"/proc/{shared.process_id}/oom_score_adj").read_text()) >= 800
        assert os.getpriority(os.PRIO_PROCESS, shared.process_id) > os.getpriority(os.PRIO_PROCESS, 0)


@pytest.mark.parametrize(
    "message", [b"\xff", b"[]", b"{}", b'{"kind": "FindJob"}', b'{"kind": "cancel"}', b"[" * 100_000]
)
def test_a_message_that_cannot_be_read_ends_the_worker_instead_of_making_it_deaf(client, message):
    client.submit(FindJob(".", "."))
    client._message = message
    *_, last = finish(client)
    assert isinstance(last, Died)
    assert isinstance(run(client, FindJob(str(Path(__file__).parent), "nowhere")), Finished)
