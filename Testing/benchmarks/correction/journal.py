"""What a journal costs: to begin, to record a correction, to read again.

    python Testing/benchmarks/correction/journal.py --json Testing/benchmarks/results/journal.json

Corrections are those of the engine on a phantom the size of a CT (400x512x512), at the edit radii of the robot user.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
from cases import Case, phantom
from robot import Robot

from DeepSegmentLib.correction.session import CorrectionSession
from DeepSegmentLib.correction.settings import CorrectionSettings
from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.files.journal import LINES_FILE, START_FILE, Journal, volume_checksum

SHAPE = (400, 512, 512)


def large(case: Case) -> tuple[Case, Volume, LabelMap]:
    """A case in the middle of a volume of `SHAPE`: the case anew, the volume, and the labels."""
    rng = np.random.default_rng(0)
    geometry = Geometry.from_spacing(SHAPE, (1.0, 0.8, 0.8))
    start = [(n - m) // 2 for n, m in zip(SHAPE, case.truth.shape, strict=True)]
    part = tuple(slice(a, a + m) for a, m in zip(start, case.truth.shape, strict=True))
    image = rng.normal(0, 20, SHAPE).astype(np.int16)
    image[part] = case.image
    masks = np.zeros((2, *SHAPE), dtype=bool)
    masks[0][part], masks[1][part] = case.truth, case.start
    labels = LabelMap(masks[1:].astype(np.uint8), geometry, (Segment("segment", 1),))
    volume = Volume(image[None], geometry)
    return Case(case.name, case.kind, image, geometry, masks[0], masks[1]), volume, labels


def timed(act, *arguments):
    """What a call gives, and its seconds."""
    begun = time.perf_counter()
    result = act(*arguments)
    return result, time.perf_counter() - begun


def record(journal: Journal, session: CorrectionSession, case: Case, count: int) -> tuple[list[float], list[int]]:
    """Seconds of each record and the bytes that it adds."""
    seconds, sizes, lines = [], [], journal.folder / LINES_FILE
    for n in range(count):
        mask = session.labels.layers[0] == 1
        prompt, radius = Robot("scribble" if n % 2 else "click").prompt(case, mask, np.random.default_rng([7, n]))
        settings = CorrectionSettings(radius_mm=radius)
        update = session.apply(prompt, settings)
        size = lines.stat().st_size
        seconds.append(timed(journal.record, prompt, settings, update, prompt.segment)[1])
        sizes.append(lines.stat().st_size - size)
    return seconds, sizes


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corrections", type=int, default=40)
    parser.add_argument("--folder", type=Path, help="on the disk to measure (default: that of temporary files)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    case, volume, labels = large(phantom(900)[0])
    with tempfile.TemporaryDirectory(dir=options.folder) as parent:
        folder = Path(parent) / "journal"
        checksum, hashing = timed(volume_checksum, volume)
        journal, beginning = timed(lambda: Journal.create(folder, labels, volume_checksum=checksum))
        with journal:
            session = CorrectionSession(volume, labels)
            seconds, sizes = record(journal, session, case, options.corrections)
        journal, opening = timed(Journal.open, folder)
        with journal:
            again, reading = timed(journal.labels)
        exact = np.array_equal(again.layers, session.labels.layers)
        start_bytes = (folder / START_FILE).stat().st_size
    figures = {
        "machine": f"{platform.system()}, {os.cpu_count()} processors, Python {platform.python_version()}",
        "voxels": list(SHAPE),
        "checksum of the int16 volume, seconds": round(hashing, 3),
        "begin, seconds": round(beginning, 3),
        "start labels, kilobytes": round(start_bytes / 1e3, 1),
        "corrections": len(sizes),
        "record, milliseconds p50, p90, max": [
            round(1e3 * x, 2) for x in (*np.percentile(seconds, (50, 90)), max(seconds))
        ],
        "kilobytes per correction p50, p90, max": [
            round(float(x) / 1e3, 2) for x in (*np.percentile(sizes, (50, 90)), max(sizes))
        ],
        "open, seconds": round(opening, 3),
        "labels, seconds": round(reading, 3),
        "labels exact": bool(exact),
    }
    print(json.dumps(figures, indent=1))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
