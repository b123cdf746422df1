"""Volumes find their labels by name, whatever each kind of file ends with."""

import numpy as np
import pytest

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.datasets.named_pairs import find_pairs
from DeepSegmentLib.files.projects import create_project
from DeepSegmentLib.files.volumes import write_volume
from DeepSegmentLib.networks.model_spec import Channel
from DeepSegmentLib.service.projects.collect_pairs import PairRules, collect_pairs, named_labels
from DeepSegmentLib.service.projects.project import Collecting, labelled_cases

GRID = Geometry.from_spacing((3, 4, 5), (3, 1, 2))


def _write(path, seed=0, top=50):
    voxels = np.random.default_rng(seed).integers(0, top, (1, *GRID.shape)).astype(np.int16)
    write_volume(Volume(voxels, GRID), path)
    return voxels


def test_channels_in_files_of_their_own_are_put_together_in_their_order(tmp_path):
    first, second = (_write(tmp_path / "i" / f"a_000{n}.nii.gz", n) for n in range(2))
    _write(tmp_path / "l" / "a.nii.gz", 5, 2)
    create_project(tmp_path / "p", "p", (Channel("T1w", "MR"), Channel("T2w", "MR")))
    rules = PairRules(names={1: "Cyst"})
    pairs = find_pairs(tmp_path / "i", tmp_path / "l")
    told = []
    done = collect_pairs(tmp_path / "p", pairs, rules, Collecting("approved"), told.append)
    assert len(done.added) == len(told) == 1
    (case,) = labelled_cases(tmp_path / "p")
    assert np.array_equal(case.volume.voxels, np.concatenate([first, second]))


def test_a_pair_that_cannot_be_collected_stops_no_other_and_those_that_are_there_are_told(tmp_path):
    for name, seed in (("a", 1), ("b", 2), ("c", 3)):
        _write(tmp_path / "i" / f"{name}.nii.gz", seed)
        _write(tmp_path / "l" / f"{name}.nii.gz", seed, 2)
    (tmp_path / "l" / "b.nii.gz").write_bytes(b"no labels")
    create_project(tmp_path / "p", "p", (Channel("T1w", "MR"),))
    rules = PairRules(names={1: "Cyst"})
    pairs = find_pairs(tmp_path / "i", tmp_path / "l")
    first, second = (collect_pairs(tmp_path / "p", pairs, rules, Collecting(), lambda _: None) for _ in range(2))
    assert ([record.name for record in first.added], first.there) == (["case_0001", "case_0002"], ())
    assert (second.added, second.there) == ((), ("a", "c"))
    assert [name for name, _ in first.problems] == [name for name, _ in second.problems] == ["b"]


def test_a_value_without_a_name_is_refused_and_names_replace_those_of_the_table():
    labels = np.zeros((1, *GRID.shape), np.uint8)
    labels[0, 0, 0, :2] = 1, 2
    label_map = LabelMap(labels, GRID, (Segment("label 1", 1, (9, 8, 7)), Segment("label 2", 2)))
    with pytest.raises(InvalidInputError, match="label value 2"):
        named_labels(label_map, PairRules(names={1: "Front"}))
    named = named_labels(label_map, PairRules(names={1: "Front", 2: "Back", 3: "Top"}))
    assert [(each.name, each.value) for each in named.segments] == [("Front", 1), ("Back", 2), ("Top", 3)]
    assert named.segments[0].color == (9, 8, 7)
