"""`deepsegment models list`, `info`, `verify` and `remove`: the models that are here."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import ModelError
from DeepSegmentLib.files.safe_names import plain
from DeepSegmentLib.hosts.command.terminal import size_on_disk, table
from DeepSegmentLib.plurals import counted

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from DeepSegmentLib.files.models.known_models import KnownModel
    from DeepSegmentLib.networks.model_spec import Focus, ModelSpec, Part
    from DeepSegmentLib.networks.stage_spec import StageSpec
    from DeepSegmentLib.service.catalogue import ModelEntry


def add_name(parser: argparse.ArgumentParser) -> None:
    """Give a parser the name of a model."""
    parser.add_argument("model", metavar="NAME", help="model name")


def entry_document(entry: ModelEntry) -> dict[str, Any]:
    """An entry of the catalogue as JSON."""
    return {
        "name": entry.name,
        "version": entry.version,
        "path": str(entry.path),
        "bundled": entry.bundled,
        "description": entry.description,
        "license": entry.license,
        "damage": entry.damage,
        "kind": entry.kind,
        "bytes": entry.bytes,
    }


def _list(_: argparse.Namespace) -> tuple[Any, str]:
    from DeepSegmentLib.service.catalogue import list_models

    entries = list_models()
    return [entry_document(entry) for entry in entries], _table(entries)


def _table(entries: Sequence[ModelEntry]) -> str:
    """The catalogue as a table."""
    rows = [
        (entry.name, entry.version, "bundled" if entry.bundled else "added", entry.license, _about(entry))
        for entry in entries
    ]
    return table(("name", "version", "origin", "licence", "what it finds"), rows) if rows else "no models"


def _about(entry: ModelEntry) -> str:
    return f"DAMAGED: {entry.damage}" if entry.damage else entry.description


def _info(options: argparse.Namespace) -> tuple[Any, str]:
    from DeepSegmentLib.files.models import read_spec
    from DeepSegmentLib.files.models.known_models import known_model
    from DeepSegmentLib.networks.model_json import spec_to_json
    from DeepSegmentLib.service.catalogue import find_model

    try:
        entry = find_model(options.model)
    except ModelError:
        if (known := known_model(options.model)) is None:
            raise
        return asdict(known), _offer(known)
    spec = read_spec(entry.path)
    return entry_document(entry) | {"spec": spec_to_json(spec)}, _card(entry, spec)


def _offer(known: KnownModel) -> str:
    """What the publisher of a model says that is not here."""
    sizes = [file.bytes or 0 for file in known.files]
    size = size_on_disk(sum(sizes)) if all(sizes) else "size not said"
    how = f"deepsegment models get {known.name} ({size})" if sizes else "by hand, then deepsegment models add FILE"
    lines = (
        f"{known.name}, licence {licence_of(known)}{f', {known.licence_url}' if known.licence_url else ''}",
        known.title,
        known.description,
        f"input: {known.modality}",
        f"from: {known.source}",
        f"not here yet; get it: {how}",
        "",
        f"segments: {', '.join(known.structures)}",
        "",
        f"please cite: {known.citation}" if known.citation else "",
    )
    return "\n".join(map(plain, lines)).rstrip()


def licence_of(known: KnownModel) -> str:
    """The licence of a known model, with its limits."""
    limits = ("non-commercial" if known.non_commercial else "", "key" if known.needs_key else "")
    told = ", ".join(filter(None, limits))
    return f"{known.licence or '?'} ({told})" if told else known.licence or "?"


def _card(entry: ModelEntry, spec: ModelSpec) -> str:
    """What a model is, its segments, and its card."""
    from DeepSegmentLib.files.models import read_card

    channels = ", ".join(f"{each.name} ({each.modality})" if each.modality else each.name for each in spec.channels)
    origin = f", made from {spec.provenance['origin']}" if "origin" in spec.provenance else ""
    size = f"{size_on_disk(entry.bytes)}, {counted(len(spec.weights), 'weights file')}"
    head = (
        f"{spec.name} {spec.version}, licence {spec.license}",
        spec.description,
        f"input: {channels}",
        f"kind: {entry.kind}{origin}",
        f"size: {size}",
        *([f"faster variant: {spec.coarse_model}, taken by --fast"] if spec.coarse_model else []),
        *_parts(spec),
        *([] if spec.focus is None else [_focus(spec.focus)]),
    )
    segments = table(("segment", "code"), [(each.name, _code(each)) for each in spec.segments])
    return "\n".join([*map(plain, head), "", segments, "", *read_card(entry.path).splitlines()]).rstrip()


def _parts(spec: ModelSpec) -> list[str]:
    """The networks: each stage of each part in a line."""
    return [f"{_place(spec.parts, n)}{_stage(stage)}" for n, part in enumerate(spec.parts) for stage in part.stages]


def _focus(focus: Focus) -> str:
    return f"looks {focus.margin_mm:g} mm round {', '.join(focus.segments)}, as {focus.model} finds it"


def _place(parts: Sequence[Part], n: int) -> str:
    named = f"part {n + 1} of {len(parts)} ({counted(len(parts[n].segments), 'segment')}), " if len(parts) > 1 else ""
    return f"{named}stage: " if len(parts[n].stages) > 1 else f"{named}network: "


def _stage(stage: StageSpec) -> str:
    steps = [("own" if step is None else f"{step:g}") for step in reversed(stage.spacing_mm or (None,) * 3)]
    patch = " x ".join(map(str, reversed(stage.patch_shape)))
    spacing = "own spacing" if stage.spacing_mm is None else f"{' x '.join(steps)} mm"
    members = f", {counted(len(stage.weights), 'member')}" if len(stage.weights) > 1 else ""
    return f"{stage.network.architecture}, {stage.network.dimensions}D, patches of {patch} voxels at {spacing}{members}"


def _code(segment: Any) -> str:
    terminology = segment.terminology
    return f"{terminology.type.scheme} {terminology.type.value}" if terminology else ""


def _verify(options: argparse.Namespace) -> tuple[Any, str]:
    from DeepSegmentLib.service.catalogue import verify

    entry = verify(options.model)
    return entry_document(entry), f"{entry.name} {entry.version} is complete and unchanged"


def _remove(options: argparse.Namespace) -> tuple[Any, str]:
    from DeepSegmentLib.service.catalogue import remove_model

    gone = remove_model(options.model)
    return {
        "removed": gone.name,
        "bytes": gone.bytes,
    }, f"removed {gone.name}, {size_on_disk(gone.bytes)} are free again"


def _no_options(_: argparse.ArgumentParser) -> None:
    return


ACTIONS = (
    ("list", "all models, bundled and added", _no_options, _list),
    ("info", "what a model segments, where it came from, its licence and its card", add_name, _info),
    ("verify", "check a model's files against its checksums", add_name, _verify),
    ("remove", "delete an added model, and what was downloaded of it", add_name, _remove),
)
