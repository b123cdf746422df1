"""Which cases trials learn from, and which they are judged by: both among those that are learned from in the end.

Held-out cases have no say in which trial is best, or else the comparison on them would be of a recipe that was chosen
by them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from DeepSegmentLib.data.folds import in_random_order
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.service.training.candidate import digest_of, learned_digests, unlabelled_digests

if TYPE_CHECKING:
    from collections.abc import Sequence

    from DeepSegmentLib.files.projects import CaseRecord
    from DeepSegmentLib.service.training.case_recipe import CaseRecipe

_SHARE = 0.25
_FEWEST = 2  # patients


def with_inner_split(recipe: CaseRecipe, records: Sequence[CaseRecord]) -> CaseRecipe:
    """The recipe of trials: a quarter of the patients that are learned from, one at least, is what they are judged by.

    Nobody of whom the parent has learned is among these.

    Args:
        recipe: Of the training that is tuned, with the names of its cases.
        records: Of the project's cases.

    Raises:
        InvalidInputError: There are fewer than two patients to learn from, or the parent knows them all.
    """
    learned = [record for record in records if record.name in recipe.cases]
    patients = sorted({record.group for record in learned})
    known = learned_digests(recipe) | unlabelled_digests(recipe.model)
    familiar = {record.group for record in learned if digest_of(record) in known}
    strangers = [patient for patient in patients if patient not in familiar]
    if len(patients) < _FEWEST or not strangers:
        raise InvalidInputError(
            f"trials need cases of two patients that are not held out, one of them new to the model that they begin "
            f"from; there are {len(patients)}, {len(strangers)} of them new: collect more"
        )
    count = min(max(1, round(_SHARE * len(patients))), len(patients) - 1)
    judges = in_random_order(strangers, (recipe.training.seed, 11))[:count]
    judging = tuple(record.name for record in learned if record.group in judges)
    return replace(
        recipe,
        cases=tuple(name for name in recipe.cases if name not in judging),
        held_out=(*recipe.held_out, *judging),
        watched=judging,
    )
