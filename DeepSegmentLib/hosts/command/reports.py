"""Results as text for people and as JSON for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from DeepSegmentLib.files.models import read_card, read_spec
from DeepSegmentLib.files.names import plain
from DeepSegmentLib.networks.spec import spec_to_json

from .terminal import gigabytes, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from DeepSegmentLib.service.catalogue import ModelEntry


_LARGEST_CARD = 1 << 20  # bytes


def describe_run(report: dict[str, Any]) -> str:
    """What a segmentation gave: volumes, time, memory, files."""
    if "skipped" in report:
        return plain(f"{report['skipped']}: left out, {report['reason']}")
    volumes = table(("segment", "ml"), [(name, f"{ml:.1f}") for name, ml in report["volumes_ml"].items()])
    seconds, model = sum(report["seconds"].values()), report["model"]
    peak = report["memory"]["peak_bytes"]
    lines = [
        volumes,
        "",
        f"{model['name']} {model['version']} on {report['device']}: {report['tiles']} tiles, {seconds:.1f} s"
        + (f", {gigabytes(peak)} at most" if peak else ""),
        *(plain(f"note: {note}") for note in report["notes"]),
        *(plain(f"{what}: {path}") for what, path in report["outputs"].items()),
    ]
    return "\n".join(lines)


def model_entry(entry: ModelEntry) -> dict[str, Any]:
    """An entry of the catalogue as JSON."""
    return {
        "name": entry.name,
        "version": entry.version,
        "path": str(entry.path),
        "bundled": entry.bundled,
        "description": entry.description,
        "license": entry.license,
        "damage": entry.damage,
    }


def model_table(entries: Sequence[ModelEntry]) -> str:
    """The catalogue as a table."""
    rows = [
        (entry.name, entry.version, "bundled" if entry.bundled else "added", entry.license, _about(entry))
        for entry in entries
    ]
    return table(("name", "version", "origin", "licence", "what it finds"), rows) if rows else "no models"


def _about(entry: ModelEntry) -> str:
    return f"DAMAGED: {entry.damage}" if entry.damage else entry.description


def model_document(entry: ModelEntry) -> dict[str, Any]:
    """A model's whole spec as JSON."""
    return model_entry(entry) | {"spec": spec_to_json(read_spec(entry.path))}


def model_card(entry: ModelEntry) -> str:
    """What a model is, its segments, and its card."""
    spec = read_spec(entry.path)
    channels = ", ".join(f"{channel.name} ({channel.modality})" for channel in spec.channels)
    segments = table(("segment", "code"), [(each.name, _code(each)) for each in spec.segments])
    text = read_card(entry.path)
    head = (f"{spec.name} {spec.version}, licence {spec.license}", spec.description, f"input: {channels}")
    return "\n".join([*map(plain, head), "", segments, "", *text.splitlines()]).rstrip()


def _code(segment: Any) -> str:
    terminology = segment.terminology
    return f"{terminology.type.scheme} {terminology.type.value}" if terminology else ""


def score_table(scores: dict[str, Any]) -> str:
    """Scores of each case and segment as a table."""
    names = ("dice", "iou", "precision", "recall", "hausdorff95_mm", "assd_mm", "nsd")
    rows = [
        (case["case"], segment["name"], *(_number(segment.get(name)) for name in names))
        for case in scores["cases"]
        for segment in case["segments"]
    ]
    return table(("case", "segment", *names), rows)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
