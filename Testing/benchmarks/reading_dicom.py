"""How long DICOM series take to read, against another checkout of the library in the same run.

    git worktree add ../before ffea3de
    python Testing/benchmarks/reading_dicom.py --before ../before --shared ../shared/data \
        --json Testing/benchmarks/results/reading_dicom.json

Both read the same folders in turns, in processes of their own; what is told are medians of processor time and their
ratio, which does not depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "Testing"))

from dicom_series import write_slices

_READ = """
import json, sys, time
from pathlib import Path
from DeepSegmentLib.files.dicom import list_series, read_series
folder, seconds = Path(sys.argv[1]), {"list": [], "read": []}
read_series(folder)
for _ in range(int(sys.argv[2])):
    for name, act in (("list", list_series), ("read", read_series)):
        begun = time.process_time()
        act(folder)
        seconds[name].append(time.process_time() - begun)
print(json.dumps(seconds))
"""


def write_plain(folder: Path, slices: int, size: int) -> None:
    """A CT series that is not compressed, its pixels noise."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(-1000, 2000, (size, size), dtype=np.int16).tobytes()
    write_slices(folder, slices=slices, Rows=size, Columns=size, PixelData=pixels, RescaleIntercept=-1024)


def write_lossless(folder: Path, slices: int, size: int) -> None:
    """A CT series as JPEG lossless, by SimpleITK; noise of about 5 bits."""
    plain = folder / "plain"
    plain.mkdir()
    rng = np.random.default_rng(0)
    pixels = rng.normal(0, 12, (size, size)).astype(np.int16).tobytes()
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.UseCompressionOn()
    writer.SetCompressor("JPEG")
    writer.KeepOriginalImageUIDOn()
    for path in write_slices(plain, slices=slices, axes=(1, 0, 0, 0, 1, 0), Rows=size, Columns=size, PixelData=pixels):
        writer.SetFileName(str(folder / path.name))
        writer.Execute(sitk.ReadImage(str(path)))
    shutil.rmtree(plain)


def measure(library: Path, folder: Path, rounds: int) -> dict[str, list[float]]:
    """Processor seconds of each listing and reading."""
    done = subprocess.run(
        [sys.executable, "-c", _READ, folder.resolve(), str(rounds)],
        cwd=library,
        env={**os.environ, "PYTHONPATH": str(library)},
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)


def compare(before: Path, folder: Path, turns: int, rounds: int) -> dict[str, dict[str, float]]:
    """Median seconds of both, by what was done."""
    seconds: dict[str, dict[str, list[float]]] = {"before": {}, "now": {}}
    for _ in range(turns):
        for name, library in (("before", before), ("now", REPOSITORY)):
            for act, each in measure(library, folder, rounds).items():
                seconds[name].setdefault(act, []).extend(each)
    medians = {name: {act: statistics.median(each) for act, each in acts.items()} for name, acts in seconds.items()}
    return {
        act: {
            "before_s": round(medians["before"][act], 4),
            "now_s": round(medians["now"][act], 4),
            "ratio": round(medians["now"][act] / medians["before"][act], 3),
        }
        for act in medians["now"]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, required=True, help="checkout to compare with")
    parser.add_argument("--shared", type=Path, help="folder of ct_dicom/")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        series = {"plain, 200 slices of 512 x 512": (Path(temporary) / "large", 200, 512)}
        series["plain, 400 slices of 64 x 64"] = (Path(temporary) / "small", 400, 64)
        for folder, slices, size in series.values():
            folder.mkdir()
            write_plain(folder, slices, size)
        lossless = Path(temporary) / "lossless"
        lossless.mkdir()
        write_lossless(lossless, 20, 512)
        folders = {name: folder for name, (folder, _, _) in series.items()}
        folders["JPEG lossless, 20 slices of 512 x 512"] = lossless
        if options.shared:
            folders["JPEG 2000, 20 slices of 512 x 512"] = options.shared / "ct_dicom"
        results = {
            name: compare(options.before.resolve(), folder, options.turns, options.rounds)
            for name, folder in folders.items()
        }
    document = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "series": results}
    text = json.dumps(document, indent=2) + "\n"
    print(text)
    if options.json:
        options.json.write_text(text)


if __name__ == "__main__":
    main()
