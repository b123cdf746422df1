"""How fast models were on this machine: a small file in the user's data folder."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.atomic import write_text
from DeepSegmentLib.files.models.places import user_folder
from DeepSegmentLib.files.opening import read_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from DeepSegmentLib.networks.model_spec import ModelSpec

_MOST_ENTRIES = 200
_MOST_BYTES = 1 << 20


def speeds_file() -> Path:
    """Where the record is."""
    return user_folder() / "speeds.json"


def known_speed(spec: ModelSpec, device: str) -> float | None:
    """Seconds that a forward pass takes with all that belongs to it, or None while unknown.

    Args:
        spec: The model.
        device: As it was asked for, such as "auto", or as it was used.
    """
    known = _read().get(_key(spec, device))
    return None if known is None else known[0] / known[1]


def record_speed(spec: ModelSpec, device: str, *, seconds: float, passes: int) -> None:
    """Note how fast a run was; what was known before counts half as much each time.

    A record that cannot be read is begun anew, and one that cannot be written is left.

    Args:
        spec: The model.
        device: As it was asked for, or as it was used.
        seconds: How long the run took.
        passes: Its forward passes of the network.
    """
    speeds, key = _read(), _key(spec, device)
    before = speeds.pop(key, (0.0, 0.0))
    speeds[key] = (before[0] / 2 + seconds, before[1] / 2 + passes)
    newest = dict(list(speeds.items())[-_MOST_ENTRIES:])
    with suppress(OSError, VolumeFileError):
        speeds_file().parent.mkdir(parents=True, exist_ok=True)
        write_text(speeds_file(), json.dumps(newest, indent=1) + "\n")


def _key(spec: ModelSpec, device: str) -> str:
    return f"{spec.name} {spec.version} {spec.weights_sha256[:12]} {device}"


def _read() -> dict[str, tuple[float, float]]:
    """Seconds and passes; lines that make no sense are passed over."""
    try:
        document = json.loads(read_bytes(speeds_file(), largest=_MOST_BYTES), parse_int=float)
    except (OSError, ValueError, RecursionError, VolumeFileError):
        return {}
    lines = document.items() if isinstance(document, dict) else ()
    return {key: (pair[0], pair[1]) for key, pair in lines if _is_speed(pair)}


def _is_speed(pair: Any) -> bool:
    if not isinstance(pair, list) or [type(n) for n in pair] != [float, float]:
        return False
    seconds, passes = pair
    return math.isfinite(seconds) and math.isfinite(passes) and seconds > 0 and passes >= 1
