"""How long reading intact volumes takes, beside SimpleITK and beside the reader of another revision.

    python Testing/benchmarks/reading.py --revision ffea3de --json Testing/benchmarks/results/reading.json

Each round reads each file with each reader, in another order each time, in processes that stay; what counts are the
medians over the rounds of the ratios within a round, which a busy machine changes less than times. The volume is a
smoothed noise of 16 bits with an empty border, as a CT has it, and its labels are one tissue of it.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy import ndimage

REPOSITORY = Path(__file__).resolve().parents[2]
SHAPE = (160, 256, 256)
OURS = "from DeepSegmentLib.files.volumes import read_volume as read"
THEIRS = "import SimpleITK as sitk\nread = lambda path: sitk.GetArrayFromImage(sitk.ReadImage(str(path)))"
SERVER = """
import sys, time
from pathlib import Path
{read}
for line in sys.stdin:
    path = Path(line.strip())
    began = time.perf_counter()
    read(path)
    print(time.perf_counter() - began, flush=True)
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--revision", help="of git; its reader is measured too")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        readers = {"ours": Reader(OURS, REPOSITORY), "SimpleITK": Reader(THEIRS, REPOSITORY)}
        if options.revision:
            readers[options.revision] = Reader(OURS, _checked_out(options.revision, folder / "old"))
        paths = _write_volumes(folder)
        times = _measure(readers, paths, options.rounds)
    results = {path.name: _summary(times[path]) for path in paths}
    print(json.dumps(results, indent=2))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


class Reader:
    """A process that reads the files it is told."""

    def __init__(self, read, root):
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER.format(read=read)],
            cwd=root,
            env=os.environ | {"PYTHONPATH": str(root)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def seconds(self, path):
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def _checked_out(revision, folder):
    folder.mkdir()
    archive = subprocess.run(
        ["git", "archive", revision, "DeepSegmentLib"], cwd=REPOSITORY, capture_output=True, check=True
    )
    subprocess.run(["tar", "-x"], cwd=folder, input=archive.stdout, check=True)
    return folder


def _write_volumes(folder):
    from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
    from DeepSegmentLib.files.segmentations.labelmaps import write_segmentation
    from DeepSegmentLib.files.volumes import write_volume

    grid = Geometry.from_spacing(SHAPE, (1, 1, 1))
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(0, 1, SHAPE), 1)
    inside = np.indices(SHAPE)[2] > SHAPE[2] // 4
    values = np.where(inside, noise * 400, -1000).astype(np.int16)
    labels = (ndimage.gaussian_filter(noise, 4) > 0.02).astype(np.uint8)
    paths = [folder / f"ct{suffix}" for suffix in (".nrrd", ".mha", ".nii.gz", ".nii")]
    for path in paths:
        write_volume(Volume(values[None], grid), path)
    write_volume(Volume(values[None].astype(np.float32), grid), folder / "float.nrrd")
    write_segmentation(LabelMap(labels[None], grid, (Segment("a", 1),)), folder / "labels.seg.nrrd")
    write_volume(Volume(labels[None], grid), folder / "labels.mha")
    small = Geometry.from_spacing((16, 16, 16), (1, 1, 1))
    write_volume(Volume(values[None, :16, :16, -16:], small), folder / "small.nrrd")
    return [*paths, *(folder / name for name in ("float.nrrd", "labels.seg.nrrd", "labels.mha", "small.nrrd"))]


def _measure(readers, paths, rounds):
    times = {path: {name: [] for name in readers} for path in paths}
    for n in range(rounds + 1):
        for path in paths:
            for name in random.sample(list(readers), len(readers)):
                seconds = readers[name].seconds(path)
                if n:  # the first time, everything is loaded
                    times[path][name].append(seconds)
    return times


def _summary(times):
    ours = times["ours"]
    ratios = {
        f"ours / {name}": round(statistics.median(a / b for a, b in zip(ours, theirs, strict=True)), 3)
        for name, theirs in times.items()
        if name != "ours"
    }
    return {f"{name} ms": round(1000 * statistics.median(each), 2) for name, each in times.items()} | ratios


if __name__ == "__main__":
    main()
