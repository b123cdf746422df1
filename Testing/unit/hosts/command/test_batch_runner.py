"""A folder through the command's front door: every case has its line, and what ends one case ends no other."""

import json
import os
import shutil
import signal
import time
from itertools import pairwise

import pytest
from batch_examples import (
    HOSTILE,
    Command,
    child_of,
    complete_results,
    kill,
    leftovers,
    wait_for_end,
    write_cases,
    write_head,
    write_model,
)

from DeepSegmentLib.data import Progress
from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.lock import exclusive
from DeepSegmentLib.hosts.command.batch_printing import BatchLines
from DeepSegmentLib.hosts.command.batch_runner import Batch, BatchSettings, _BatchClock
from DeepSegmentLib.hosts.command.main import main
from DeepSegmentLib.hosts.command.terminal import ProgressBar
from DeepSegmentLib.hosts.worker.batch_jobs import CaseJob
from DeepSegmentLib.hosts.worker.client import WorkerClient
from DeepSegmentLib.hosts.worker.jobs_and_events import Died
from DeepSegmentLib.service.batch.plan_cases import Case
from DeepSegmentLib.service.segment import SegmentRequest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and pipes")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models"))


@pytest.fixture
def command(tmp_path, model, monkeypatch):
    """The words of a batch; its worker uses one thread, as the network is tiny."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return ["segment", str(tmp_path / "in"), str(tmp_path / "out"), "--model", str(model), "--device", "cpu"]


class Doomed(WorkerClient):
    """A client whose worker gets a signal as soon as it is heard of from a job with a case in a folder of this name."""

    def __init__(self, name, number=signal.SIGSEGV):
        super().__init__()
        self._name, self._signal, self._doomed = name, number, False
        self.jobs = []
        self.be_patient = lambda patient: None

    def submit(self, job):
        requests = getattr(job, "requests", [job.request] if isinstance(job, CaseJob) else [])
        self.jobs.append([request.source.parent.name for request in requests])
        self._doomed = self._name in self.jobs[-1]
        self.be_patient(True)
        super().submit(job)

    def poll(self):
        events = super().poll()
        if self._doomed and events and self.busy:
            os.kill(self.process_id, self._signal)
            self._doomed = False
            self.be_patient(False)
        return events


def test_each_case_has_its_line_and_the_next_call_goes_on(tmp_path, command, capsys):
    names = write_cases(tmp_path / "in", 4)
    write_head(tmp_path / "in" / "case 2.nrrd")
    assert main([*command, "--report", str(tmp_path / "reports"), "--preview", str(tmp_path / "out")]) == 3
    told = capsys.readouterr()
    lines = [line for line in told.out.splitlines() if not line.startswith("    ")]  # below a case are its notes
    assert lines[0] == "1 of 8  caf\\udce9.nii.gz  ok, " + lines[0].partition("ok, ")[2]
    assert [line.split("  ")[0] for line in lines[:8]] == [f"{n} of 8" for n in range(1, 9)]
    assert lines[8:10] == ["5 of 8 done", "3 of 8 failed:"]
    assert len(lines) == 13
    for name in HOSTILE:
        assert sum(name in line and str(tmp_path) not in line for line in lines) == 2
    results = {"caf%E9", "case 0", "case 2.nii.gz", "case 2.nrrd", "sub/case 1"}
    assert {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.seg.nrrd")} == {
        f"{name}.seg.nrrd" for name in results
    }
    assert all((tmp_path / "reports" / f"{name}.json").is_file() for name in results)
    table = (tmp_path / "out" / "deepsegment-batch.csv").read_text().splitlines()
    assert len(table) == 9
    assert table[0] == '"case","state","seconds","reason","left [ml]","right [ml]"'

    assert main([*command, "--skip-existing", "--json"]) == 3
    told = capsys.readouterr()
    reports = json.loads(told.out)
    assert [report["case"] for report in reports if "skipped" in report] == [
        "caf\\udce9.nii.gz", "case 0.nii.gz", "case 2.nii.gz", "case 2.nrrd", "sub/case 1.nii.gz",
    ]  # fmt: skip
    assert {report["case"] for report in reports if "error" in report} == set(HOSTILE)
    assert "left out: its result is complete" in told.err
    assert len(names) == 4


def test_existing_results_are_replaced_only_when_asked(tmp_path, command, capsys):
    write_head(tmp_path / "in" / "a.nii.gz")
    assert main([*command, "--format", "nii.gz"]) == 0
    result = tmp_path / "out" / "a.nii.gz"
    before = result.stat().st_ino
    assert main([*command, "--format", "nii.gz"]) == 2
    assert "a.nii.gz exists; --skip-existing goes on from there, --replace does all again" in capsys.readouterr().err
    assert result.stat().st_ino == before
    assert main([*command, "--format", "nii.gz", "--replace"]) == 0
    assert result.stat().st_ino != before


@pytest.mark.parametrize("option", [None, "--report", "--preview"])
def test_nothing_is_put_into_the_folder_of_the_model(tmp_path, command, model, capsys, option):
    write_head(tmp_path / "in" / "a.nii.gz")
    before = sorted(model.iterdir())
    more = [option, str(model)] if option else []
    asked = [*command, *more] if option else [*command[:2], str(model), *command[3:]]
    assert main(asked) == 2
    assert "is read as a whole" in capsys.readouterr().err
    assert sorted(model.iterdir()) == before
    assert not (tmp_path / "out").exists()


def test_results_inside_the_inputs_are_no_inputs(tmp_path, command, capsys):
    write_head(tmp_path / "in" / "a.nii.gz")
    inside = [*command[:2], str(tmp_path / "in" / "done"), *command[3:]]
    assert main([*inside, "--save-uncertainty"]) == 0
    assert main(command) == 0
    assert "passed over 2 results" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "out").glob("*.nrrd")] == ["a.seg.nrrd"]


def test_a_crash_is_that_of_one_case(tmp_path, model, command):
    for name in "abcde":
        write_head(tmp_path / "in" / name / "head.nii.gz", shape=(50, 50, 50) if name == "b" else (9, 10, 11))
    asked = SegmentRequest(tmp_path / "in", tmp_path / "out", str(model), "cpu")
    client = Doomed("b")
    with Batch(asked, BatchSettings(), lambda _: None, client) as batch:
        reports = list(batch.work(batch.find()))
    assert ["error" in report for report in reports] == [False, True, False, False, False]
    assert "SIGSEGV" in reports[1]["error"]
    # What was under way is tried once more, each case alone; then they overlap again.
    assert client.jobs == [[], list("abcde"), ["a"], ["b"], ["c"], list("de")]
    assert all((tmp_path / "out" / name / "head.seg.nrrd").is_file() for name in "acde")


def test_a_search_goes_on_where_a_folder_was_fatal(tmp_path, model, monkeypatch):
    write_head(tmp_path / "in" / "good" / "head.nii.gz")
    (tmp_path / "in" / "bad").mkdir()
    asked = SegmentRequest(tmp_path / "in", tmp_path / "out", str(model), "cpu")
    with Batch(asked, BatchSettings(), lambda _: None) as batch:
        run = batch._run

        def die(job, note):
            if "bad" in job.avoid:
                return run(job, note)
            note(Progress("looking into bad", 0.0))
            return Died("The worker crashed (SIGSEGV).")

        monkeypatch.setattr(batch, "_run", die)
        cases = batch.find()
    assert [(case.name, bool(case.error)) for case in cases] == [("bad", True), ("good/head.nii.gz", False)]


def test_a_case_that_hangs_is_ended(tmp_path, model, command):
    for name in "ab":
        write_head(tmp_path / "in" / name / "head.nii.gz", shape=(50, 50, 50) if name == "a" else (9, 10, 11))
    asked = SegmentRequest(tmp_path / "in", tmp_path / "out", str(model), "cpu")
    client = Doomed("a", signal.SIGSTOP)
    with Batch(asked, BatchSettings(), lambda _: None, client) as batch:
        # Starting a process may take long on a busy machine: what counts begins with the signal.
        client.be_patient = lambda patient: setattr(batch._runner, "_patience_s", 1800 if patient else 1.0)
        reports = list(batch.work(batch.find()))
    assert "gave no sign of life for 1 s" in reports[0]["error"]
    assert "error" not in reports[1]


def test_only_one_batch_writes_to_a_folder(tmp_path, command, capsys):
    write_head(tmp_path / "in" / "a.nii.gz")
    (tmp_path / "out").mkdir()
    with exclusive(tmp_path / "out"):
        assert main(command) == VolumeFileError.exit_code
    assert "somebody else is writing" in capsys.readouterr().err


def test_a_model_that_cannot_run_ends_the_batch_at_once(tmp_path, command, model, capsys):
    for name in "ab":
        write_head(tmp_path / "in" / f"{name}.nii.gz")
    damaged = shutil.copytree(model, tmp_path / "damaged")
    (damaged / "weights.safetensors").write_bytes(b"no weights")
    assert main([*command, "--model", str(damaged)]) == 4
    assert main([*command, "--model", "no such"]) == 4
    assert "failed" not in capsys.readouterr().out


def test_kills_lose_and_repeat_nothing(tmp_path, model):
    names = write_cases(tmp_path / "in", 4)
    command = Command(tmp_path / "in", tmp_path / "out", model)
    before: dict = {}
    for whom in ("child", "both", "parent"):
        with command.start() as process:
            line = process.stdout.readline()
            assert line.startswith("1 of 7"), line
            child = child_of(process)
            assert kill(process, whom)
            process.stdout.read()
        assert wait_for_end(child)
        after = complete_results(command.target, names)
        assert before.items() <= after.items()
        before = after
    command.run()
    after = complete_results(command.target, names)
    assert set(after) == set(names)
    assert before.items() <= after.items()
    assert not leftovers(command.target)


def test_ctrl_c_stops_at_once_and_leaves_nothing(tmp_path, model):
    write_head(tmp_path / "in" / "a.nii.gz")
    write_head(tmp_path / "in" / "b.nii.gz", shape=(160, 160, 160))
    with Command(tmp_path / "in", tmp_path / "out", model).start() as process:
        assert process.stdout.readline().startswith("1 of 2")
        child = child_of(process)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        lines = process.stdout.read()
    assert process.returncode == 130
    assert "nothing half-written is left" in lines
    assert time.monotonic() - begun < 10
    assert wait_for_end(child, 0.0)
    assert not leftovers(tmp_path / "out")


def test_a_closed_pipe_stops_nothing(tmp_path, model):
    names = write_cases(tmp_path / "in", 3)
    command = Command(tmp_path / "in", tmp_path / "out", model)
    process = command.start()
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 3
    assert set(complete_results(command.target, names)) == set(names)


def test_lines_survive_a_terminal_of_few_letters(tmp_path):
    with (tmp_path / "lines").open("w", encoding="ascii") as stream, open(os.devnull, "w") as nothing:  # noqa: PTH123
        BatchLines(stream, ProgressBar(nothing)).tell({"case": "Müller", "error": "ö", "exit_code": 3})
    assert (tmp_path / "lines").read_text() == "1 of 0  M\\xfcller  failed: \\xf6\n"


def test_the_whole_is_counted_by_cases_and_tiles(monkeypatch):
    events, now = [], [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    cases = [Case(f"case {n}", None) for n in range(4)]
    clock = _BatchClock([case.name for case in cases], events.append)
    for n, case in enumerate(cases):
        for fraction in (0.0, 0.5, 1.0):
            clock.case(case, Progress("predict", fraction, 10 * (1 - fraction)))
        now[0] += 10.0
        assert clock.done(worked=n > 0) == 10.0
    assert [event.fraction for event in events] == [n / 4 + part for n in range(4) for part in (0, 0.125, 0.25)]
    assert all(a.fraction <= b.fraction for a, b in pairwise(events))
    assert events[0].eta_s == pytest.approx(40, abs=0.1)
    assert [event.eta_s for event in events[6:]] == [20, 15, 10, 10, 5, 0]
    assert events[-1].stage == "4 of 4 case 3: predict"
