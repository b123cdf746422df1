"""What is said before a run, against what the run takes: memory and time of the whole process.

    python Testing/benchmarks/estimates/estimates.py brain-mr=.cache/colin27/ch2.nii.gz brain-mr=other.nii.gz@2
    python Testing/benchmarks/estimates/estimates.py brain-mr=noise:400x512x512

Each MODEL=FILE is segmented by the command in a process of its own, thrice by a user of whom nothing is known before
the first: then back ends are compared and no time can be told; the second and third go by what was remembered.
`noise:KxJxI` is a volume of noise with voxels of 0.8 mm. Ratios are what was said by what was.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GIB = 1 << 30


def write_noise(path: Path, shape: tuple[int, ...]) -> None:
    """A volume that has something everywhere, so that nothing of it is cropped."""
    import numpy as np

    from DeepSegmentLib.data import Geometry
    from DeepSegmentLib.files.volumes.writing import write_image

    voxels = np.random.default_rng(0).integers(1, 1000, (1, *shape), dtype=np.int16)
    write_image(voxels, Geometry.from_spacing(shape, (0.8, 0.8, 0.8)), path)


def run_once(model: str, source: Path, folder: Path, environment: dict[str, str]) -> dict[str, object]:
    """The report of a run, with the seconds that the process took."""
    report = folder / "report.json"
    command = [sys.executable, "-m", "DeepSegmentLib", "segment", str(source), str(folder / "out.seg.nrrd")]
    command += ["--model", model, "--device", "cpu", "--report", str(report), "--replace", "--quiet"]
    begun = time.perf_counter()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return json.loads(report.read_text()) | {"process_s": time.perf_counter() - begun}


def line(n: int, report: dict) -> str:
    """What was said and what was."""
    memory, seconds = report["memory"], report["seconds"]
    said, was = memory["estimated_bytes"], memory["peak_bytes"]
    told, took = report["estimated_s"], seconds["segment"]
    time_told = "no time said" if told is None else f"{told:.1f} s said ({told / took:.2f})"
    return (
        f"  run {n}: {said / GIB:.2f} GiB said, {was / GIB:.2f} used ({said / was:.2f}); "
        f"{time_told}, {took:.1f} taken, {report['process_s']:.1f} the process; {report['engine']}"
    )


def main() -> None:
    """Print the runs of each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="+", metavar="MODEL=FILE")
    parser.add_argument("--models", help="folder of added models")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    for case in options.cases:
        model, _, source = case.partition("=")
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            if source.startswith("noise:"):
                shape = tuple(int(n) for n in source.removeprefix("noise:").split("x"))
                write_noise(folder / "noise.nrrd", shape)
            path = folder / "noise.nrrd" if source.startswith("noise:") else Path(source)
            environment = os.environ | {"XDG_DATA_HOME": str(folder / "home")}
            environment |= {"DEEPSEGMENT_MODELS": options.models} if options.models else {}
            print(f"{model} on {source}")
            for n in range(options.runs):
                print(line(n + 1, run_once(model, path, folder, environment)), flush=True)


if __name__ == "__main__":
    main()
