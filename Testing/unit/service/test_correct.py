"""Laws of journaled sessions, and corrections from file to file."""

import shutil
import sys

import numpy as np
import pytest

from DeepSegmentLib.correction.settings import CorrectionSettings
from DeepSegmentLib.data import Box, Geometry, LabelMap, LabelUpdate, Point, Scribble, Segment, Volume
from DeepSegmentLib.errors import InvalidInputError, VolumeFileError
from DeepSegmentLib.files.journal import Journal
from DeepSegmentLib.files.prompts import write_prompts
from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap, read_provenance, write_segmentation
from DeepSegmentLib.files.volumes import write_volume
from DeepSegmentLib.service.correct import CorrectRequest, JournaledSession, correct_files

GRID = Geometry.from_spacing((24, 26, 28), (1, 1, 1))
Z, Y, X = np.ogrid[:24, :26, :28]
ORGAN = (Z - 12) ** 2 + (Y - 13) ** 2 + (X - 14) ** 2 < 64
BITE = ORGAN & ((Z - 12) ** 2 + (Y - 13) ** 2 + (X - 21) ** 2 < 16)


def scan(seed=0):
    values = 100.0 * ORGAN + np.random.default_rng(seed).normal(0, 10, GRID.shape)
    return Volume(values[None].astype(np.int16), GRID, "scan")


LABELS = LabelMap((ORGAN & ~BITE)[None].astype(np.uint8), GRID, (Segment("Liver", 1), Segment("Cyst", 2)))


def click(index, positive=True, segment="Liver"):
    return Point(segment, positive, GRID.index_to_ras(index))


MENDING = click((12, 13, 20))


@pytest.fixture
def recorded(tmp_path):
    with JournaledSession.begin(scan(), LABELS, tmp_path / "journal") as session:
        yield session


def same(session):
    return np.array_equal(session.session.labels.layers, session.journal.labels().layers)


def test_the_journal_follows_every_step(recorded):
    recorded.apply(MENDING, CorrectionSettings(8))
    assert recorded.session.labels.mask(LABELS.segments[0])[BITE].mean() > 0.8
    assert same(recorded)
    box = Box((0, 0, 0), (2, 2, 2))
    recorded.edit(LabelUpdate(box, np.zeros(box.shape, np.uint8), np.full(box.shape, 2, np.uint8)))
    assert same(recorded)
    for step in (recorded.undo, recorded.undo, recorded.redo):
        assert step() is not None
        assert same(recorded)
    assert [entry.kind for entry in recorded.journal.entries()] == ["correction", "edit", "undo", "undo", "redo"]
    assert recorded.redo() is not None
    assert recorded.redo() is None
    assert recorded.journal.prompts("Liver") == recorded.session.prompts


def test_a_resumed_session_is_as_if_it_had_never_stopped(tmp_path):
    with JournaledSession.begin(scan(), LABELS, tmp_path / "one") as whole:
        whole.apply(MENDING, CorrectionSettings(8))
        whole.apply(click((12, 13, 9), positive=False), CorrectionSettings(5))
        whole.undo()
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    with (
        JournaledSession.resume(scan(), tmp_path / "one") as again,
        JournaledSession.resume(scan(), tmp_path / "two") as b,
    ):
        assert np.array_equal(again.session.labels.layers, whole.session.labels.layers)
        assert [prompt.point_ras.tolist() for prompt in again.session.prompts] == [MENDING.point_ras.tolist()]
        line = Scribble("Liver", True, GRID.index_to_ras([(12, 9, 5), (12, 15, 5)]))
        first, second = again.apply(line, CorrectionSettings(6)), whole.session.apply(line, CorrectionSettings(6))
        assert np.array_equal(first.after, second.after)
        assert b.redo() is not None
        while b.undo() is not None:
            pass
        assert np.array_equal(b.session.labels.layers, LABELS.layers)
        assert same(b)


def test_another_scan_is_refused_and_the_journal_is_free_again(tmp_path, recorded):
    recorded.close()
    with pytest.raises(InvalidInputError, match="not the one that the journal"):
        JournaledSession.resume(scan(seed=1), tmp_path / "journal")
    JournaledSession.resume(scan(), tmp_path / "journal").close()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits the size of files")
def test_what_cannot_be_recorded_does_not_happen(recorded):
    import resource

    recorded.apply(MENDING, CorrectionSettings(8))
    before = recorded.session.labels.layers
    size = (recorded.journal.folder / "journal.jsonl").stat().st_size
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, limit[1]))
    try:
        for step in (recorded.undo, lambda: recorded.apply(click((12, 13, 9), positive=False), CorrectionSettings(5))):
            with pytest.raises(VolumeFileError, match="not in the journal"):
                step()
            assert np.array_equal(recorded.session.labels.layers, before)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert recorded.undo() is not None
    assert same(recorded)


@pytest.fixture
def files(tmp_path):
    write_volume(scan(), tmp_path / "scan.nrrd")
    write_segmentation(LABELS, tmp_path / "scan.seg.nrrd", {"model": "brain-mr", "model_version": "1"})
    write_prompts((MENDING,), tmp_path / "prompts.json")
    return {"image": tmp_path / "scan.nrrd", "labels": tmp_path / "scan.seg.nrrd", "prompts": tmp_path / "prompts.json"}


@pytest.mark.parametrize("journal", [None, "journal"])
def test_files_are_corrected(tmp_path, files, journal):
    folder = journal and tmp_path / journal
    report = correct_files(CorrectRequest(tmp_path / "out.seg.nrrd", **files, journal=folder))
    written = read_labelmap(tmp_path / "out.seg.nrrd")
    assert written.mask(written.segment("Liver"))[BITE].mean() > 0.8
    assert report["prompts"][0]["changed_voxels"] == (written.layers != LABELS.layers).sum() > 0
    assert 6 <= report["prompts"][0]["radius_mm"] <= 26
    provenance = read_provenance(tmp_path / "out.seg.nrrd")
    assert provenance["model"] == "brain-mr"
    assert provenance["corrected_by"].startswith("DeepSegment")
    if folder:
        with Journal.open(folder) as known:
            assert np.array_equal(known.labels().layers, written.layers)


def test_labels_with_turned_axes_are_corrected_on_the_grid_of_the_image(tmp_path, files):
    turned = LabelMap(GRID.view(LABELS.layers, "PIL"), GRID.oriented("PIL")[0], LABELS.segments)
    write_segmentation(turned, files["labels"])
    correct_files(CorrectRequest(tmp_path / "out.seg.nrrd", **files))
    assert read_labelmap(tmp_path / "out.seg.nrrd").layers[0][BITE].mean() > 0.8


def test_a_journal_is_written_as_it_is_or_corrected_on(tmp_path, files):
    folder, out = tmp_path / "journal", tmp_path / "out.seg.nrrd"
    correct_files(CorrectRequest(out, **files, journal=folder, radius_mm=8))
    first = read_labelmap(out).layers
    report = correct_files(CorrectRequest(out, journal=folder, resume=True, replace=True))
    assert report["prompts"] == []
    assert np.array_equal(read_labelmap(out).layers, first)
    assert read_provenance(out)["model"] == "brain-mr"
    write_prompts((click((12, 13, 9), positive=False),), files["prompts"])
    more = {"image": files["image"], "prompts": files["prompts"], "journal": folder, "resume": True, "radius_mm": 5}
    report = correct_files(CorrectRequest(out, **more, replace=True))
    assert len(report["prompts"]) == 1
    with Journal.open(folder) as journal:
        assert len(journal.prompts("Liver")) == 2
        assert np.array_equal(journal.labels().layers, read_labelmap(out).layers)


@pytest.mark.parametrize(
    "known",
    [
        {},
        {"image": "a", "labels": "b"},
        {"image": "a", "prompts": "c"},
        {"journal": "j", "resume": True, "labels": "b"},
        {"journal": "j", "resume": True, "image": "a"},
        {"journal": "j", "resume": True, "prompts": "c"},
        {"resume": True},
    ],
)
def test_requests_that_lack_something_say_so(tmp_path, known):
    paths = {key: value if value is True else tmp_path / value for key, value in known.items()}
    with pytest.raises(InvalidInputError, match=r"needed|brings its labels"):
        CorrectRequest(tmp_path / "out.seg.nrrd", **paths)


def test_a_prompt_for_an_unknown_segment_changes_no_file(tmp_path, files):
    write_prompts((click((12, 13, 20), segment="Spleen"),), files["prompts"])
    with pytest.raises(InvalidInputError, match="no segment named 'Spleen'"):
        correct_files(CorrectRequest(tmp_path / "out.seg.nrrd", **files))
    assert not (tmp_path / "out.seg.nrrd").exists()


@pytest.mark.parametrize("radius_mm", [float("nan"), 1e9, 0.0, -1.0])
def test_a_radius_without_sense_is_refused_before_files_are_read(tmp_path, radius_mm):
    missing = {name: tmp_path / name for name in ("image", "labels", "prompts")}
    with pytest.raises(InvalidInputError, match="edit radius"):
        CorrectRequest(tmp_path / "out.seg.nrrd", **missing, radius_mm=radius_mm)


@pytest.mark.parametrize(
    ("output", "journal"),
    [("o.seg.nrrd", "o.seg.nrrd/j"), ("o.nii.gz", "o.labels.json"), ("o.seg.nrrd", "O.SEG.NRRD"), ("j/o.nrrd", "j")],
)
def test_a_journal_in_the_way_of_the_output_is_refused_before_the_work(tmp_path, files, output, journal):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InvalidInputError):
        correct_files(CorrectRequest(tmp_path / output, **files, journal=tmp_path / journal))
    assert sorted(tmp_path.rglob("*")) == before


def test_the_provenance_counts_the_corrections_that_hold(tmp_path, files):
    again = click((12, 13, 9), positive=False)
    with JournaledSession.begin(scan(), LABELS, tmp_path / "counted", model={"corrections": "3"}) as session:
        for prompt in (MENDING, again, MENDING):
            session.apply(prompt)
        session.undo()
    journal = {"journal": tmp_path / "counted", "resume": True}
    correct_files(CorrectRequest(tmp_path / "as-it-is.seg.nrrd", **journal))
    assert read_provenance(tmp_path / "as-it-is.seg.nrrd")["corrections"] == "5"
    more = {"image": files["image"], "prompts": files["prompts"]}
    correct_files(CorrectRequest(tmp_path / "more.seg.nrrd", **journal, **more))
    assert read_provenance(tmp_path / "more.seg.nrrd")["corrections"] == "6"
