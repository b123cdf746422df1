"""What a training makes: a model folder that tells what it was made of."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from DeepSegmentLib import __version__
from DeepSegmentLib.files.models.folder import write_model
from DeepSegmentLib.plurals import counted
from DeepSegmentLib.training.fitting.state import RECENT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from DeepSegmentLib.files.projects import CaseRecord
    from DeepSegmentLib.networks.model_spec import ModelSpec
    from DeepSegmentLib.training.fitting.fit import Fitted

    from .case_recipe import CaseRecipe

_DIGITS_OF_A_CASE = 12


def write_candidate(folder: Path, recipe: CaseRecipe, records: Sequence[CaseRecord], fitted: Fitted) -> dict[str, Any]:
    """Write the candidate of a training.

    Args:
        folder: Must not exist yet.
        recipe: By which it was trained.
        records: The cases that it learned from.
        fitted: What the training gave.

    Returns:
        What was measured, see `train_on_project`.
    """
    from DeepSegmentLib.networks.runtime.building import weights_of

    report = _report(recipe, records, fitted)
    provenance = {**recipe.model.provenance, **{name: str(value) for name, value in report.items()}}
    provenance |= _parentage(recipe) | {"case_digests": ",".join(map(digest_of, records))}
    provenance |= told_digests(unlabelled_digests=unlabelled_digests(recipe.model) | _unlabelled(recipe))
    spec = replace(recipe.model, provenance=provenance)
    write_model(folder, spec, iter([weights_of(fitted.network)]), card=_card(recipe, report, fitted), half=True)
    dice = {name: round(value, 4) for name, value in fitted.checks[-1].dice.items()} if fitted.checks else {}
    return {"training": spec.name, "output": str(folder), "good_enough": fitted.good_enough, "dice": dice, **report}


def digest_of(record: CaseRecord) -> str:
    """By what a model knows a case again that it learned from: part of the digest of the volume's voxels."""
    digest: str = record.volume_digest[:_DIGITS_OF_A_CASE]
    return digest


def learned_digests(recipe: CaseRecipe) -> frozenset[str]:
    """Of all cases that the parent learned from, as far as it tells."""
    return frozenset(recipe.model.provenance.get("parent_case_digests", "").split(",")) - {""}


def unlabelled_digests(model: ModelSpec) -> frozenset[str]:
    """Of all volumes without labels that a model or its parents learned from, as far as it tells."""
    return frozenset(model.provenance.get("unlabelled_digests", "").split(",")) - {""}


def told_digests(**digests: frozenset[str]) -> dict[str, str]:
    """Digests by what they are of, as a model tells them; nothing of what there is none."""
    return {name: ",".join(sorted(each)) for name, each in digests.items() if each}


def _unlabelled(recipe: CaseRecipe) -> frozenset[str]:
    volumes = recipe.unlabelled.volumes if recipe.unlabelled else ()
    return frozenset(volume.digest[:_DIGITS_OF_A_CASE] for volume in volumes)


def _parentage(recipe: CaseRecipe) -> dict[str, str]:
    parent = recipe.parent
    if parent is None:
        return {}
    return {"parent": parent.name, "parent_version": parent.version, "parent_sha256": parent.sha256}


def _report(recipe: CaseRecipe, records: Sequence[CaseRecord], fitted: Fitted) -> dict[str, Any]:
    fingerprint = sha256("".join(sorted(map(digest_of, records))).encode()).hexdigest()
    return {
        "cases": len(records),
        "patients": len({record.group for record in records}),
        "data_sha256": fingerprint,
        **({"unlabelled": len(recipe.unlabelled.volumes)} if recipe.unlabelled else {}),
        "iterations": fitted.iterations,
        "loss": round(fitted.loss, 4),
        "seconds": round(fitted.seconds, 1),
        "device": fitted.device,
        "recipe_sha256": recipe.sha256,
        "deepsegment_version": __version__,
        "trained": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def _card(recipe: CaseRecipe, report: dict[str, Any], fitted: Fitted) -> str:
    """The text for people; what is not measured is not claimed."""
    model, parent = recipe.model, recipe.parent
    begun = f"{parent.name} {parent.version}" if parent else "random weights"
    rows = [
        ("begun from", begun),
        ("cases, patients", f"{report['cases']}, {report['patients']}"),
        *([("volumes without labels", report["unlabelled"])] if "unlabelled" in report else []),
        ("iterations", report["iterations"]),
        ("loss", f"{report['loss']} (mean of the last {min(RECENT, report['iterations'])})"),
        ("time of the iterations", f"{report['seconds']} s on {report['device']}"),
        ("recipe (SHA-256)", report["recipe_sha256"]),
        ("data (SHA-256)", report["data_sha256"]),
        ("DeepSegment", report["deepsegment_version"]),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    names = ", ".join(segment.name for segment in model.segments)
    return (
        f"# {model.name} {model.version}\n\n{model.description}\n\nSegments: {names}.\n\n## This training\n\n"
        f"| | |\n|---|---|\n{table}\n\n{_measured(fitted)}\n"
    )


def _measured(fitted: Fitted) -> str:
    if not fitted.checks:
        return "How well it segments was not measured in the training: a comparison on held-out cases tells it."
    last = fitted.checks[-1]
    scores = ", ".join(f"{name} {value:.3f}" for name, value in last.dice.items())
    return (
        f"Dice on {counted(len(last.by_case), 'held-out case')} at its end, on the network's grid: {scores}. "
        "A comparison measures it on all held-out cases, with intervals."
    )
