"""Configurations of bundles from JSON or YAML: plain data, bounded, or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import MissingPackageError, ModelError, VolumeFileError
from DeepSegmentLib.files.opening import read_bytes, read_json

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

_LARGEST = 1 << 20
"""Bytes; those of the model zoo have less than 20,000."""

_MOST_EVENTS = 20_000
_DEEPEST = 60
_PLAIN_TAG = "tag:yaml.org,2002:"


def read_configuration(path: Path) -> dict[str, Any]:
    """The object that a `.json`, `.yaml` or `.yml` file holds.

    Raises:
        ModelError: It is damaged, too large or too deep, no object, or YAML that is more than plain data: tags, anchors
            or aliases.
        MissingPackageError: It is YAML, and there is no reader for it.
    """
    try:
        document = read_json(path, largest=_LARGEST) if path.suffix == ".json" else _yaml(path)
    except VolumeFileError as error:
        raise ModelError(str(error)) from error
    if not isinstance(document, dict):
        raise ModelError(f"{path} holds a {type(document).__name__}, not an object with keys")
    return document


def _yaml(path: Path) -> Any:
    yaml = _yaml_package()
    try:
        text = read_bytes(path, largest=_LARGEST).decode("utf-8")
        _check_events(path, yaml, text)
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no UTF-8, or a date that is none
        said = " ".join(str(error).split())[:300]
        raise ModelError(f"{path} is no YAML that can be read: {said}; mend it") from error


def _check_events(path: Path, yaml: ModuleType, text: str) -> None:
    """Refuse what is more than plain data before anything is made of it."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if count > _MOST_EVENTS or depth > _DEEPEST:
            raise ModelError(f"{path} has more than {_MOST_EVENTS} entries, or is nested deeper than {_DEEPEST}")
        if getattr(event, "anchor", None) is not None:
            raise ModelError(f"{path} uses the YAML anchor or alias {event.anchor[:60]!r}; write the value out")
        tag = getattr(event, "tag", None)
        if tag is not None:
            shown = tag.removeprefix(_PLAIN_TAG)[:60]
            raise ModelError(f"{path} uses the YAML tag {shown!r}, which could run code; it was not opened")


def _yaml_package() -> ModuleType:
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise MissingPackageError("this bundle is written in YAML; install its reader: pip install pyyaml") from error
    package: ModuleType = yaml
    return package
