"""Whatever moment a writer is killed at, the project has what it had before or what it has afterwards."""

import multiprocessing
import os
import shutil
import signal
import sys
import threading

import numpy as np
import pytest
from project_kills import leftovers

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.journal import LINES_FILE, START_FILE, Journal, volume_checksum
from DeepSegmentLib.files.projects import create_project, open_project
from DeepSegmentLib.networks.model_spec import Channel
from DeepSegmentLib.service.projects.project import (
    Collecting,
    case_records,
    collect_case,
    damaged_cases,
    labelled_cases,
    set_status,
)

GRID = Geometry.from_spacing((3, 4, 5), (3, 1, 2))
CHANGES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.copytree", "shutil.copyfile"}
STATUSES = ("draft", "reviewed", "approved")

forks = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="needs processes that begin as copies"
)


def _volume(seed=0):
    return Volume(np.random.default_rng(seed).integers(0, 99, (1, *GRID.shape)).astype(np.int16), GRID)


def _labels(top, name="Cyst"):
    layers = np.zeros((1, *GRID.shape), np.uint8)
    layers[0, :top, 1:3, 2:4] = 1
    return LabelMap(layers, GRID, (Segment(name, 1),))


@pytest.fixture
def folder(tmp_path):
    """A project of one case."""
    create_project(tmp_path / "p", "p", (Channel("volume", ""),))
    collect_case(tmp_path / "p", _volume(), _labels(1), Collecting("approved", patient="Doe"))
    return tmp_path / "p"


@pytest.fixture
def journal(tmp_path):
    with Journal.create(tmp_path / "journal", _labels(1), volume_checksum=volume_checksum(_volume())):
        pass
    return tmp_path / "journal"


def _killed_at(moment, folder, work):
    """Do some work in a process that ends by SIGKILL at one of its file operations; whether it was killed."""

    def child():
        seen = 0

        def count(event, details):
            nonlocal seen
            if event in CHANGES and str(folder) in " ".join(map(str, details)):
                seen += 1
                if seen == moment:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        work()

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def _at_every_moment(folder, work):
    """The project after a kill at each operation of some work, one after the other, from the same beginning."""
    begin = folder.with_name("begin")
    folder.rename(begin)
    moment, killed = 1, True
    while killed:
        shutil.copytree(begin, folder)
        killed = _killed_at(moment, folder, work)
        yield moment
        shutil.rmtree(folder)
        moment += 1
    assert moment > 5


def _state(folder):
    assert damaged_cases(folder) == ()
    return [
        (case.name, case.label_map.layers.sum(), list(case.drawn)) for case in labelled_cases(folder, None, STATUSES)
    ]


@forks
def test_a_killed_revision_is_there_or_not_and_never_half(folder, journal):
    voxels = [int(_labels(top).layers.sum()) for top in (1, 3)]
    said = Collecting("draft", journal=journal)
    seen = set()
    for _ in _at_every_moment(folder, lambda: collect_case(folder, _volume(), _labels(3), said)):
        ((name, total, _),) = _state(folder)
        (record,) = case_records(folder)
        assert name == "case_0001"
        assert (record.revision, total) in ((1, voxels[0]), (2, voxels[1]))
        assert record.status == ("approved" if record.revision == 1 else "draft")
        seen.add(record.revision)
        again = collect_case(folder, _volume(), _labels(2), said)
        assert again.revision == record.revision + 1
        kept = folder / "cases" / name / again.journal
        for file in (LINES_FILE, START_FILE):
            assert (kept / file).read_bytes() == (journal / file).read_bytes()
        assert leftovers(folder) == []
    assert seen == {1, 2}


@forks
def test_a_killed_new_case_with_new_segments_is_there_or_not(folder):
    counts = set()
    for _ in _at_every_moment(folder, lambda: collect_case(folder, _volume(1), _labels(2, "Wall"), Collecting())):
        state = _state(folder)
        assert state[0][2] == ["Cyst"]
        assert [drawn for _, _, drawn in state[1:]] in ([], [["Wall"]])
        known = [segment.name for segment in open_project(folder).record.segments]
        assert known in (["Cyst", "Wall"], ["Cyst"][len(state) - 1 :])
        counts.add(len(state))
        collect_case(folder, _volume(2), _labels(2), Collecting())
        assert len(_state(folder)) == len(state) + 1
        assert leftovers(folder) == []
    assert counts == {1, 2}


@forks
def test_a_killed_change_of_status_changes_whole_records(folder):
    collect_case(folder, _volume(1), _labels(2), Collecting())
    names = [record.name for record in case_records(folder)]
    for _ in _at_every_moment(folder, lambda: set_status(folder, names, "reviewed", "B")):
        assert damaged_cases(folder) == ()
        assert [record.name for record in case_records(folder)] == names
        set_status(folder, names, "approved")
        assert {record.status for record in case_records(folder)} == {"approved"}
        assert leftovers(folder) == []


@forks
def test_several_who_revise_one_case_lose_no_revision(folder):
    context = multiprocessing.get_context("fork")

    def work(top):
        for _ in range(3):
            collect_case(folder, _volume(), _labels(top), Collecting(by=f"{top}"))

    processes = [context.Process(target=work, args=(top,)) for top in (2, 3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    (record,) = case_records(folder)
    assert record.revision == 7
    assert sorted(change.by for change in record.history) == ["", *"222", *"333"]
    assert len(list((folder / "cases" / "case_0001").glob("labels.*.seg.nrrd"))) == 7
    last = int(record.history[-1].by)
    assert _state(folder) == [("case_0001", _labels(last).layers.sum(), ["Cyst"])]


def test_threads_that_collect_at_once_get_a_number_each(folder):
    def work(seed):
        collect_case(folder, _volume(seed), _labels(2), Collecting())

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [record.name for record in case_records(folder)] == [f"case_{n:04d}" for n in range(1, 6)]
    assert len({record.volume_digest for record in case_records(folder)}) == 5


def _files(folder):
    return sorted((str(path), path.is_file() and path.read_bytes()) for path in folder.rglob("*"))


@pytest.mark.parametrize("seed", [0, 1], ids=["revision", "new case"])
@pytest.mark.parametrize("missing", ["folder", LINES_FILE, START_FILE])
def test_a_journal_that_is_not_there_is_named_and_nothing_changes(folder, journal, missing, seed):
    if missing == "folder":
        journal = journal.with_name("nowhere")
    else:
        (journal / missing).unlink()
    before = _files(folder)
    with pytest.raises(VolumeFileError, match=str(journal)):
        collect_case(folder, _volume(seed), _labels(2, "Wall"), Collecting(journal=journal))
    assert _files(folder) == before


@pytest.mark.parametrize("seed", [0, 1], ids=["revision", "new case"])
def test_labels_that_cannot_be_written_leave_no_journal_behind(folder, journal, seed, monkeypatch):
    def refuse(label_map, path):
        raise VolumeFileError(f"{path} cannot be written: the disk is full")

    monkeypatch.setattr("DeepSegmentLib.files.projects.folder.write_segmentation", refuse)
    before = _files(folder)
    with pytest.raises(VolumeFileError, match=f"case_000{seed + 1}/labels.*disk is full"):
        collect_case(folder, _volume(seed), _labels(2, "Wall"), Collecting(journal=journal))
    assert _files(folder) == before


def test_of_the_folder_of_a_journal_nothing_else_is_copied(folder, journal):
    (journal / "report of Doe.pdf").write_text("Doe")
    record = collect_case(folder, _volume(), _labels(2), Collecting(journal=journal))
    kept = folder / "cases" / record.name / record.journal
    assert sorted(path.name for path in kept.iterdir()) == [LINES_FILE, START_FILE]
    with Journal.open(kept) as copy:
        assert np.array_equal(copy.labels().layers, _labels(1).layers)


@pytest.mark.skipif(os.name != "posix", reason="needs links")
@pytest.mark.parametrize("name", [LINES_FILE, START_FILE])
def test_a_journal_whose_file_lies_elsewhere_is_refused(folder, journal, tmp_path, name):
    (tmp_path / "secret").write_bytes((journal / name).read_bytes())
    (journal / name).unlink()
    (journal / name).symlink_to(tmp_path / "secret")
    before = _files(folder)
    with pytest.raises(VolumeFileError, match="link out of the folder"):
        collect_case(folder, _volume(), _labels(2), Collecting(journal=journal))
    assert _files(folder) == before
