"""Make a candidate the model in use, once it is compared; and bring the one before back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import ModelError, NotProvenError
from DeepSegmentLib.files.leftovers import hidden_folder
from DeepSegmentLib.files.models import read_spec, verify_model, write_spec
from DeepSegmentLib.files.models.folder import CARD_FILE, copy_model, read_card
from DeepSegmentLib.files.models.origin import bytes_of
from DeepSegmentLib.files.models.places import user_models_folder
from DeepSegmentLib.files.models.versions import INCOMING, changing_versions, kept_versions, swap_in, versions_folder
from DeepSegmentLib.files.output_checks import check_room
from DeepSegmentLib.networks.model_spec import check_name
from DeepSegmentLib.plurals import counted
from DeepSegmentLib.service.catalogue import find_model, list_models

from .comparison import Comparison, read_comparison

if TYPE_CHECKING:
    from pathlib import Path

    from DeepSegmentLib.files.models.versions import KeptVersion
    from DeepSegmentLib.networks.model_spec import ModelSpec
    from DeepSegmentLib.service.catalogue import ModelEntry

    from .comparison import SegmentFinding


@dataclass(frozen=True)
class Promoted:
    """What is in use now.

    Attributes:
        name: Of the model.
        version: Of the model in use.
        before: Version that was in use before; empty where there was none.
        path: Its folder.
    """

    name: str
    version: str
    before: str
    path: Path


def promote(candidate: Path, *, name: str = "", comparison: Path | None = None, anyway: bool = False) -> Promoted:
    """Put a candidate into the user's models; one of the same name is kept as an earlier version.

    Whatever happens, the old or the new model is in its place, complete.

    Args:
        candidate: Model folder.
        name: Of the model; empty for that of the candidate.
        comparison: File of its comparison; None where there is none.
        anyway: The second yes: also if it is worse on some segment, or was not compared.

    Raises:
        NotProvenError: It is worse somewhere beyond chance or lacks a segment, or was not compared, not with the model
            that it would replace or not on all cases, and `anyway` is not said.
        ModelError: The candidate is damaged, or a bundled model has the name.
        ResourceError: The disk has too little room.
        VolumeFileError: The comparison cannot be read, or the folder of the models cannot be written.
    """
    spec = verify_model(candidate)
    wanted = name or spec.name
    check_name("name", wanted)
    found = _comparison_of(spec, comparison)
    if not anyway:
        _check_proven(spec, found, _in_use(wanted))
    _in_use(wanted)  # refuses the names of bundled models before anything is written
    root = user_models_folder()
    check_room({root / wanted: bytes_of(candidate)})
    with changing_versions(root):
        return _put_in_use(candidate, replace(spec, name=wanted), found, root)


def _put_in_use(candidate: Path, spec: ModelSpec, found: Comparison | None, root: Path) -> Promoted:
    there = _in_use(spec.name)
    folder = there.path.name if there else spec.name
    promoted = _told(replace(spec, version=_free_version(spec.version, root, folder, there)), found)
    incoming = _made(candidate, promoted, found, versions_folder(root, folder))
    if there is None:
        _move(incoming, root / folder)
        return Promoted(spec.name, promoted.version, "", root / folder)
    swap_in(root, folder, incoming, _version_of(there))
    return Promoted(spec.name, promoted.version, _version_of(there), there.path)


def _made(candidate: Path, spec: ModelSpec, found: Comparison | None, home: Path) -> Path:
    """The complete folder of the version to come, beside the versions that are kept."""
    incoming = home / f"{INCOMING}-{spec.version}"
    with hidden_folder(incoming) as fresh:
        copy_model(candidate, fresh)
        write_spec(fresh, spec)
        (fresh / CARD_FILE).write_text(_card(read_card(candidate), found), encoding="utf-8", newline="\n")
        fresh.rename(incoming)
    return incoming


def _version_of(entry: ModelEntry) -> str:
    return entry.version or "damaged"


def _comparison_of(spec: ModelSpec, path: Path | None) -> Comparison | None:
    """The comparison of just these weights."""
    if path is None or not path.exists():
        return None
    found = read_comparison(path)
    return found if found.new.sha256 == spec.weights_sha256 else None


def _check_proven(spec: ModelSpec, found: Comparison | None, there: ModelEntry | None) -> None:
    if found is None:
        raise NotProvenError(
            f"{spec.name} {spec.version} was not compared on held-out cases: compare first, or say that it shall be "
            "used anyway (--anyway)"
        )
    if len(found.cases) < found.planned:
        raise NotProvenError(
            f"{spec.name} {spec.version} was compared on {len(found.cases)} of {counted(found.planned, 'case')}: "
            "compare the rest, or say that it shall be used anyway (--anyway)"
        )
    if there is not None and not there.damage:
        _check_same(spec, found, there)
    told = [loss_in_words(finding) for finding in found.findings() if finding.is_worse]
    told += [f"it no longer has {name}" for name in found.lost]
    if told:
        raise NotProvenError(
            f"{spec.name} {spec.version} is worse than {found.old.name} {found.old.version}: {'; '.join(told)}. Say "
            "that it shall be used anyway (--anyway), or train on with more cases"
        )


def _check_same(spec: ModelSpec, found: Comparison, there: ModelEntry) -> None:
    """Proof against some other model says nothing of the one that is replaced."""
    if found.old.sha256 != read_spec(there.path).weights_sha256:
        against = f"{found.old.name} {found.old.version}" if found.old.name else "no other model"
        raise NotProvenError(
            f"{spec.name} {spec.version} was compared with {against}, and {there.name} {there.version} is in use: "
            f"compare with that (--with {there.name}), or say that it shall be used anyway (--anyway)"
        )
    if not found.findings():
        raise NotProvenError(
            f"{spec.name} {spec.version} and {there.name} {there.version} have no segment in common that was drawn in "
            "the cases, so nothing is proven: compare on other cases, or say that it shall be used anyway (--anyway)"
        )


def loss_in_words(finding: SegmentFinding) -> str:
    """What got worse, and by how much."""
    metric, found = ("Dice", finding.dice) if finding.dice.verdict != "no difference" else ("surface Dice", finding.nsd)
    beyond = "" if found.verdict == "worse" else ", on too few cases to be sure"
    return f"{finding.name or 'all together'}: {metric} {found.old:.3f} to {found.new:.3f}{beyond}"


def _in_use(name: str) -> ModelEntry | None:
    folded = name.casefold()
    for entry in list_models():
        if folded in (entry.name.casefold(), entry.path.name.casefold()):
            if entry.bundled:
                raise ModelError(
                    f"model {entry.name!r} came with DeepSegment and stays; give the new one another name (--name)"
                )
            return entry
    return None


def _free_version(version: str, root: Path, name: str, there: ModelEntry | None) -> str:
    """The candidate's version, or the next one that no version of the model has had."""
    taken = {kept.version for kept in kept_versions(root, name)} | ({there.version} if there else set())
    while version in taken:
        head, _, last = version.rpartition(".")
        version = f"{head}.{int(last) + 1}" if head and last.isdecimal() else f"{version}.1"
    return version


def _told(spec: ModelSpec, found: Comparison | None) -> ModelSpec:
    """With what the comparison measured."""
    if found is None:
        return spec
    scores = [finding for finding in found.findings() if finding.name]
    dice = ", ".join(f"{each.name} {each.dice.new:.3f}" for each in scores)
    return replace(spec, provenance={**spec.provenance, "compared_cases": str(len(found.cases)), "dice": dice})


def _card(text: str, found: Comparison | None) -> str:
    if found is None:
        return f"{text.rstrip()}\n\n## Comparison\n\nNone was made before this model was promoted.\n"
    against = f"{found.old.name} {found.old.version}" if found.old.name else "nothing"
    rows = [
        f"| {each.name or 'all together'} | {each.dice.old:.3f} | {each.dice.new:.3f} | {each.dice.low:+.3f} to "
        f"{each.dice.high:+.3f} | {each.dice.verdict} |"
        for each in found.findings()
    ]
    table = "\n".join(["| segment | Dice before | Dice | difference, 95 % | |", "|---|---|---|---|---|", *rows])
    told = f"On {counted(len(found.cases), 'held-out case')}, against {against}, before this model was promoted:"
    return f"{text.rstrip()}\n\n## Comparison\n\n{told}\n\n{table}\n"


def _move(incoming: Path, target: Path) -> None:
    try:
        incoming.rename(target)
    except OSError as error:
        raise ModelError(f"{incoming} cannot be moved to {target}: {error.strerror or error}") from error


def earlier_versions(name: str) -> tuple[KeptVersion, ...]:
    """The versions of one of the user's models that are kept, the last one first.

    Raises:
        ModelError: There is no such model.
    """
    return kept_versions(user_models_folder(), _users(name).path.name)


def _users(name: str) -> ModelEntry:
    """One of the user's models, a damaged one too: it is what an earlier version is brought back for."""
    entry = _in_use(name)
    return find_model(name) if entry is None else entry


def roll_back(name: str, version: str = "") -> Promoted:
    """Bring an earlier version of a model back; the one in use is kept, and can come back in the same way.

    Args:
        name: Of the model.
        version: Which one; empty for the one that was put aside last.

    Raises:
        ModelError: There is no such model or version, it is damaged, or the model came with DeepSegment.
        VolumeFileError: The folder of the models cannot be written.
    """
    root, folder = user_models_folder(), _users(name).path.name
    _chosen(name, version)
    with changing_versions(root):
        chosen, entry = _chosen(name, version), _users(name)
        verify_model(chosen.folder)
        swap_in(root, folder, chosen.folder, _version_of(entry))
    spec = read_spec(root / folder)
    return Promoted(spec.name, spec.version, _version_of(entry), root / folder)


def _chosen(name: str, version: str) -> KeptVersion:
    kept = earlier_versions(name)
    for each in kept:
        if version in ("", each.version):
            return each
    told = ", ".join(each.version for each in kept) or "none"
    raise ModelError(f"model {name!r} has no earlier version {version or 'at all'}; kept are: {told}")
