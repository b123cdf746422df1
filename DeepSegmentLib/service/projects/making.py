"""How the labels of a case were made, as far as a result and the journal of its corrections tell."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from DeepSegmentLib.files.journal import LINES_FILE
from DeepSegmentLib.files.journal.reading import newest_first, read_entries, read_state
from DeepSegmentLib.files.projects import Making

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LONGEST_PAUSE_MINUTES = 5.0
"""Whoever does nothing for longer is taken to be away."""


def making_of(provenance: Mapping[str, str], journal: Path | None = None) -> Making:
    """How labels were made.

    Args:
        provenance: That a result carries, see `service.run_report.provenance`; empty for labels made by hand.
        journal: Folder of the corrections' journal; None without. Changes that were taken back do not count; the
            minutes are those between its lines, but for pauses of more than `LONGEST_PAUSE_MINUTES`.

    Raises:
        VolumeFileError: The journal is damaged.
    """
    model, version, sha256 = (provenance.get(key, "") for key in ("model", "model_version", "model_sha256"))
    if journal is None:
        return Making(model, version, sha256)
    header, state = read_state(journal / LINES_FILE)
    prompts = list(newest_first(state.done))
    times = [header.created, *(entry.time for entry, _ in read_entries(journal / LINES_FILE, header))]
    given = sum(prompt is not None for prompt in prompts)
    return Making(model, version, sha256, len(prompts), given, minutes_of(times))


def minutes_of(times: Sequence[str]) -> float:
    """Minutes from the first to the last of some moments (ISO 8601) without the long pauses between them."""
    moments = [datetime.fromisoformat(each) for each in times]
    gaps = [(after - before).total_seconds() / 60 for before, after in pairwise(moments)]
    return round(sum(gap for gap in gaps if 0 <= gap <= LONGEST_PAUSE_MINUTES), 1)
