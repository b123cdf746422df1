"""How long runs took on this machine, step by step, and how long the next one will: a small file of the user.

A run is its start (reading the weights, compiling), the passes of the networks, and all around these (preparing the
volume, blending, labels, clean-up). The first takes the same each time, the second goes with the number of passes, the
third with the voxels of the volume.
"""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.atomic import write_text
from DeepSegmentLib.files.models.places import user_folder
from DeepSegmentLib.files.opening import read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from DeepSegmentLib.networks.model_spec import ModelSpec
    from DeepSegmentLib.networks.runtime import TimedNetwork

_MOST_ENTRIES = 200
_MOST_BYTES = 1 << 20
_LEAST_START_S = 0.2
"""A start that took less was none: the model was loaded already."""
_COMPILING_PART, _GUESS = 1 / 8, 0.05
"""Of the first patch of a run that compared back ends, what compiling the chosen one took, about; and how little that
counts beside a start that was measured. (38 and 37 s, and 5.0 and 3.4 s in the next runs, of brain-mr and of an nnU-Net
model of 5 million weights on a busy machine.)"""


@dataclass(frozen=True)
class Taken:
    """What a run took, or several of them in sum.

    Attributes:
        start_s: Seconds until the networks ran at their pace.
        starts: Runs that began with that; 0 where the model was loaded already, and a small part of a run where it is a
            guess.
        passes_s: Seconds of all passes, at this pace.
        passes: How many there were.
        around_s: Seconds of all else.
        voxels: Of the volume.
    """

    start_s: float
    starts: float
    passes_s: float
    passes: float
    around_s: float
    voxels: float

    def seconds(self, passes: int, voxels: int) -> float:
        """How long a run of a loaded model will take."""
        return self.passes_s / self.passes * passes + self.around_s / self.voxels * voxels

    @property
    def seconds_to_start(self) -> float:
        """How long loading the model takes, as far as known."""
        return self.start_s / self.starts if self.starts else 0.0

    @property
    def seconds_a_pass(self) -> float:
        """How long one pass takes."""
        return self.passes_s / self.passes


def taken_by(
    networks: Sequence[TimedNetwork], *, seconds: float, loading_s: float, voxels: int, compared: bool
) -> Taken | None:
    """What a run took; None where it says nothing of the next one.

    Args:
        networks: Those that were run.
        seconds: Of the whole prediction.
        loading_s: Before it.
        voxels: Of the volume.
        compared: Whether back ends were compared in it, and will not be again.
    """
    ran = [network for network in networks if network.passes]
    if not ran or (compared and min(network.passes for network in ran) < 2):
        return None
    reading = sum(network.reading_s or 0.0 for network in ran)
    first = sum(network.first_s for network in ran)
    start = loading_s + reading + first * (_COMPILING_PART if compared else 1.0)
    around = seconds - reading - sum(network.seconds for network in ran)
    paced = sum(network.pace_s * network.passes for network in ran)
    starts = (_GUESS if compared else 1.0) if start > _LEAST_START_S else 0.0
    return Taken(
        start * starts,
        starts,
        max(paced, 1e-6),
        float(sum(network.passes for network in ran)),
        max(around, 1e-6),
        float(voxels),
    )


def speeds_file() -> Path:
    """Where the record is."""
    return user_folder() / "speeds.json"


def known_runs(spec: ModelSpec, device: str) -> Taken | None:
    """What runs of a model took, the last ones counting most; None while there was none.

    Args:
        spec: The model.
        device: As it was asked for, such as "auto", or as it was used.
    """
    return _read().get(_key(spec, device))


def record_run(spec: ModelSpec, devices: Iterable[str], taken: Taken | None) -> None:
    """Note what a run took; what was known before counts half as much each time.

    A record that cannot be read is begun anew, and one that cannot be written is left.

    Args:
        spec: The model.
        devices: As one was asked for, and as it was used.
        taken: What it took; None notes nothing.
    """
    if taken is None:
        return
    speeds = _read()
    for key in {_key(spec, device) for device in devices}:
        before = speeds.pop(key, None)
        speeds[key] = taken if before is None else Taken(*map(_joined, astuple(before), astuple(taken)))
    newest = {key: astuple(each) for key, each in [*speeds.items()][-_MOST_ENTRIES:]}
    with suppress(OSError, VolumeFileError):
        speeds_file().parent.mkdir(parents=True, exist_ok=True)
        write_text(speeds_file(), json.dumps(newest, indent=1) + "\n")


def _joined(before: float, now: float) -> float:
    return before / 2 + now


def _key(spec: ModelSpec, device: str) -> str:
    return f"{spec.name} {spec.version} {spec.weights_sha256[:12]} {device}"


def _read() -> dict[str, Taken]:
    """What is known; lines that make no sense are passed over."""
    try:
        document = json.loads(read_bytes(speeds_file(), largest=_MOST_BYTES), parse_int=float)
    except (OSError, ValueError, RecursionError, VolumeFileError):
        return {}
    lines = document.items() if isinstance(document, dict) else ()
    return {key: Taken(*line) for key, line in lines if _is_taken(line)}


def _is_taken(line: Any) -> bool:
    if not isinstance(line, list) or [type(n) for n in line] != [float] * len(fields(Taken)):
        return False
    start_s, starts, *others = line
    return all(math.isfinite(n) for n in line) and min(start_s, starts) >= 0 and min(others) > 0
