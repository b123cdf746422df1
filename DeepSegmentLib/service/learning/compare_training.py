"""Compare a training's candidate with the model it began from, on the cases that it held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from DeepSegmentLib.data.progress import silent
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.models import SPEC_FILE, read_spec
from DeepSegmentLib.service.catalogue import find_model
from DeepSegmentLib.service.projects.project import case_records, labelled_cases
from DeepSegmentLib.service.training.candidate import digest_of, unlabelled_digests
from DeepSegmentLib.service.training.case_recipe import read_case_recipe
from DeepSegmentLib.service.training.train_request import CANDIDATE, COMPARISON, RECIPE, TRAININGS

from .compare import TOLERANCE_MM, CompareRequest, compare_models
from .comparison import PAGE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from DeepSegmentLib.data import ProgressCallback

    from .comparison import Comparison

_PICTURES = "pictures"


@dataclass(frozen=True)
class Compared:
    """What was done.

    Attributes:
        comparison: What came out.
        page: Where the page of a training belongs; None for models that no training of the project made.
        pictures: Folder of the cases' pictures; None likewise.
    """

    comparison: Comparison
    page: Path | None
    pictures: Path | None


def compare_on_project(
    project: Path,
    new: str,
    old: str | None = None,
    names: tuple[str, ...] = (),
    *,
    tolerance_mm: float = TOLERANCE_MM,
    device: str = "auto",
    on_progress: ProgressCallback = silent,
) -> Compared:
    """Compare two models on cases of a project.

    Args:
        project: Its folder.
        new: Name of a training of the project, or name or folder of a model.
        old: Name or folder of a model; "none" for none; None for the one that the training began from.
        names: Of cases, of any status; empty for those that the training holds out.
        tolerance_mm: See `Scores.nsd`.
        device: As for `segment_volume`.
        on_progress: May raise `Cancelled`; what was tried of a training is kept.

    Raises:
        InvalidInputError: The training is not finished, or the new model learned from a case.
        DeepSegmentError: See `compare_models`.
    """
    training = project / TRAININGS / new
    recipe = read_case_recipe(training / RECIPE) if (training / RECIPE).exists() else None
    model = str(training / CANDIDATE) if recipe else new
    if recipe and not (training / CANDIDATE / SPEC_FILE).exists():
        raise InvalidInputError(f"the training {new} is not finished: deepsegment train {project} --name {new}")
    if old is None:
        old = recipe.parent.name if recipe and recipe.parent else "none"
    cases = names or (recipe.held_out if recipe else ())
    if not cases:
        raise InvalidInputError("there is no held-out case to compare on; hold some out, or name cases (--cases)")
    request = CompareRequest(
        "" if old == "none" else old,
        model,
        tolerance_mm,
        device,
        training / COMPARISON if recipe else None,
        training / _PICTURES if recipe else None,
    )
    _check_not_learned(project, cases, model)
    statuses = tuple({record.status for record in case_records(project)})
    found = compare_models(request, labelled_cases(project, cases, statuses), len(cases), on_progress)
    return Compared(found, training / PAGE if recipe else None, request.pictures)


def _check_not_learned(project: Path, cases: Sequence[str], model: str) -> None:
    """What a model learned from proves nothing; a model of somebody else does not tell what that was."""
    spec = read_spec(find_model(model).path)
    learned = {*spec.provenance.get("case_digests", "").split(","), *unlabelled_digests(spec)}
    wrong = [each.name for each in case_records(project) if each.name in cases and digest_of(each) in learned]
    if wrong:
        raise InvalidInputError(
            f"the new model learned from {', '.join(wrong)}: what it does there proves nothing; name other cases "
            "(--cases)"
        )
