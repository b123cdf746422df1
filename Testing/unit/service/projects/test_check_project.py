"""What the check of a project tells: words in headers, islands, segments nobody knows, and never one fault too few."""

import gzip
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import label as pieces_of

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.errors import Cancelled
from DeepSegmentLib.files.projects import create_project
from DeepSegmentLib.networks.model_spec import Channel
from DeepSegmentLib.service.projects.check_project import _labels, check_project
from DeepSegmentLib.service.projects.project import Collecting, collect_case
from DeepSegmentLib.training.cases.labelled_case import LabelledCase

GRID = Geometry.from_spacing((6, 8, 9), (2, 1, 1))


def _silent(event):
    """Nobody listens."""


def _pair(seed=0, mask=None):
    voxels = np.random.default_rng(seed).integers(0, 99, (1, *GRID.shape)).astype(np.int16)
    labels = np.zeros((1, *GRID.shape), np.uint8)
    labels[0, 1:4, 1:5, 2:6] = 1
    return Volume(voxels, GRID), LabelMap(labels if mask is None else mask[None], GRID, (Segment("Cyst", 1),))


@pytest.fixture
def folder(tmp_path):
    create_project(tmp_path / "p", "p", (Channel("volume", ""),))
    return tmp_path / "p"


def _found(folder, held_out=()):
    return [(each.case, each.kind) for each in check_project(folder, held_out, _silent)]


def test_a_sound_project_has_nothing_to_tell(folder):
    for seed in range(2):
        collect_case(folder, *_pair(seed), Collecting(patient=f"patient {seed}"))
    assert _found(folder) == []
    assert _found(folder, ["case_0001"]) == []


def test_a_patient_leaks_only_where_some_of_their_cases_are_held_out(folder):
    for seed in range(3):
        collect_case(folder, *_pair(seed), Collecting(patient="Doe" if seed < 2 else ""))
    assert _found(folder, ["case_0002", "case_0003"]) == [("case_0001, case_0002", "leak")]
    assert _found(folder, ["case_0001", "case_0002"]) == []


def test_words_that_somebody_put_into_a_header_are_told_beside_all_else(folder):
    collect_case(folder, *_pair(), Collecting(absent=("Tumour",)))
    path = folder / "cases" / "case_0001" / "volume_0000.nii.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[148:156] = b"Doe^John"
    path.write_bytes(gzip.compress(bytes(content)))
    found = {each.kind: each.text for each in check_project(folder, (), _silent)}
    assert set(found) == {"identifier", "empty"}
    assert "Doe^John" in found["identifier"]
    assert "Tumour" in found["empty"]


def test_a_segment_that_the_project_does_not_know_is_told(folder):
    collect_case(folder, *_pair(), Collecting())
    path = folder / "project.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"segments": []}))
    assert _found(folder) == [("case_0001", "table")]


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b\x08", b"\x1f\x8b" + b"\xff" * 40, b"no gzip"])
def test_a_damaged_volume_is_told_and_hides_no_other_case(folder, content):
    collect_case(folder, *_pair(1), Collecting())
    collect_case(folder, *_pair(2), Collecting(absent=("Tumour",)))
    (folder / "cases" / "case_0001" / "volume_0000.nii.gz").write_bytes(content)
    assert _found(folder) == [("case_0001", "damaged"), ("case_0002", "empty")]


def test_a_folder_without_a_record_is_told(folder):
    (folder / "cases" / "case_0007").mkdir(parents=True)
    (folder / "cases" / "case_0008").write_text("a file")
    (folder / "cases" / "notes").mkdir()
    assert _found(folder) == [("case_0007", "damaged"), ("case_0008", "damaged")]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.6))
def test_islands_are_those_that_another_implementation_finds(seed, filled):
    mask = (np.random.default_rng(seed).random(GRID.shape) < filled).astype(np.uint8)
    mask[0, 0, 0] = 1
    mask[3:, 2:, 2:] = 1
    volume, labels = _pair(mask=mask)
    found = list(_labels(LabelledCase("a", volume, labels, {"Cyst": ()})))
    sizes = np.bincount(pieces_of(mask, connectivity=3).ravel())[1:]
    small = [size for size in sizes if size < 0.05 * sizes.max()]
    assert [each.kind for each in found] == ["island"] * bool(small)
    if small:
        assert f"({sum(small) * 2 / 1000:.3f} ml" in found[0].text
        assert ("a small piece" if len(small) == 1 else f"{len(small)} small pieces") in found[0].text


def test_the_place_of_an_island_is_told_in_ras(folder):
    mask = np.zeros(GRID.shape, np.uint8)
    mask[1:5, 0:5, 0:6], mask[5, 7, 8] = 1, 1
    collect_case(folder, *_pair(mask=mask), Collecting())
    (found,) = check_project(folder, (), _silent)
    r, a, s = GRID.index_to_ras((5, 7, 8))
    assert found.text.endswith(f"{r:.0f}, {a:.0f}, {s:.0f} mm (RAS)")


def test_it_can_be_stopped_and_tells_where_it_is(folder):
    for seed in range(2):
        collect_case(folder, *_pair(seed), Collecting())
    told = []

    def stop(event):
        told.append(event.fraction)
        if len(told) == 2:
            raise Cancelled("stopped by the user")

    with pytest.raises(Cancelled):
        check_project(folder, (), stop)
    assert told == [0, 0.5]
