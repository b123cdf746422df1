"""Trials are judged by patients that they do not learn from, and never by held-out ones."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_examples import model_spec

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.projects import CaseRecord, DrawnSegment, StatusChange
from DeepSegmentLib.service.training.candidate import digest_of
from DeepSegmentLib.service.training.case_recipe import CaseRecipe
from DeepSegmentLib.service.tuning.inner_split import with_inner_split
from DeepSegmentLib.training.fitting.settings import TrainSettings


def _records(patients):
    approved = (StatusChange("approved", "2026-01-01T00:00:00+00:00"),)
    return [
        CaseRecord(f"case_{n:04d}", "2026-01-01T00:00:00+00:00", f"{n:032x}"[::-1], ("volume_0000.nii.gz",),
                   "labels.1.seg.nrrd", (DrawnSegment("left"),), approved, patient=patient and f"{patient:016x}")
        for n, patient in enumerate(patients, start=1)
    ]  # fmt: skip


def _recipe(records, held_out=(), seed=0, known=()):
    names = tuple(record.name for record in records if record.name not in held_out)
    provenance = {"parent_case_digests": ",".join(known)} if known else {}
    return CaseRecipe(model_spec(provenance=provenance), TrainSettings(10, seed=seed), cases=names, held_out=held_out)


@given(st.lists(st.integers(1, 6), min_size=3, max_size=12), st.integers(0, 99))
def test_no_patient_is_on_both_sides_and_all_cases_stay(patients, seed):
    records = _records(patients)
    outside = {record.patient for record in records[:1]}
    held_out = tuple(record.name for record in records if record.patient in outside)
    recipe = _recipe(records, held_out, seed)
    if len({record.patient for record in records} - outside) < 2:
        with pytest.raises(InvalidInputError, match="two patients"):
            with_inner_split(recipe, records)
        return
    inner = with_inner_split(recipe, records)
    patient = {record.name: record.patient for record in records}
    assert {*inner.cases} | {*inner.watched} == {*recipe.cases}
    assert not {patient[name] for name in inner.cases} & {patient[name] for name in inner.watched}
    assert not {*inner.watched} & {*recipe.held_out}
    assert inner.held_out == (*recipe.held_out, *inner.watched)
    assert inner.cases
    assert inner.watched
    assert with_inner_split(recipe, records) == inner


@given(st.integers(0, 99))
def test_nobody_whom_the_parent_knows_judges(seed):
    records = _records([1, 2, 3, 4])
    known = [digest_of(record) for record in records[:3]]
    assert with_inner_split(_recipe(records, seed=seed, known=known), records).watched == ("case_0004",)
    with pytest.raises(InvalidInputError, match="0 of them new"):
        with_inner_split(_recipe(records[:3], seed=seed, known=known), records)


def test_the_seed_chooses_who_judges():
    records = _records(range(1, 9))
    recipe = _recipe(records)
    found = {with_inner_split(replace(recipe, training=TrainSettings(10, seed=n)), records).watched for n in range(9)}
    assert len(found) > 1
    assert all(len(watched) == 2 for watched in found)
