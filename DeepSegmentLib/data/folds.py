"""Cases parted by patient: volumes of one patient are never on both sides."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.plurals import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def in_random_order(patients: Iterable[str], seed: int | Sequence[int]) -> tuple[str, ...]:
    """Each patient once, in an order that depends on the seed and not on the order in which they are given.

    Example:
        >>> in_random_order(["b", "a", "a"], 0) == in_random_order(["a", "b"], 0)
        True
    """
    known = sorted(set(patients))
    return tuple(known[n] for n in np.random.default_rng(seed).permutation(len(known)))


def make_folds(patients: Mapping[str, str], count: int, seed: int) -> tuple[tuple[str, ...], ...]:
    """Part cases into folds that are about equally large.

    Patients come in a random order, those with most cases first, and each goes to the smallest fold: a fold has no more
    cases than the smallest one and one patient together.

    Args:
        patients: The patient of each case, by the name of the case; any text that tells patients apart.
        count: Of folds, at least 2.
        seed: Another one gives other folds.

    Returns:
        Names of the cases of each fold, sorted. Each case is in one fold.

    Raises:
        InvalidInputError: There are fewer than 2 folds, or fewer patients than folds.

    Example:
        >>> make_folds({"a": "Doe", "b": "Doe", "c": "Roe", "d": "Poe"}, 2, seed=0)
        (('a', 'b'), ('c', 'd'))
    """
    of_patient = defaultdict(list)
    for case, patient in patients.items():
        of_patient[patient].append(case)
    if count < 2:
        raise InvalidInputError(f"cases are parted into 2 folds or more, got {count}")
    if len(of_patient) < count:
        there = counted(len(of_patient), "patient")
        raise InvalidInputError(f"there are {there} for {count} folds; ask for fewer folds, or add cases")
    folds: list[list[str]] = [[] for _ in range(count)]
    for patient in sorted(in_random_order(of_patient, seed), key=lambda each: -len(of_patient[each])):
        min(folds, key=len).extend(of_patient[patient])
    return tuple(tuple(sorted(fold)) for fold in folds)
