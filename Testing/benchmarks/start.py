"""How long a command takes before it does anything: medians, beside a Python that does nothing.

    python Testing/benchmarks/start.py [--runs N]

Wall times depend on what else the machine does, processor times less so, and the modules that are counted not at all.
The last row is a catalogue of 60 models of real size: each with 117 coded segments in five parts.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from DeepSegmentLib.data import Code, Segment, Terminology
from DeepSegmentLib.imaging.intensity import Normalization
from DeepSegmentLib.networks.model_json import spec_to_json
from DeepSegmentLib.networks.model_spec import Channel, ModelSpec, Part
from DeepSegmentLib.networks.stage_spec import StageSpec, WeightsFile
from DeepSegmentLib.networks.unet_spec import UNetSpec

COMMANDS = (
    ("--help",),
    *(
        (name, "--help")
        for name in ("segment", "correct", "models", "evaluate", "export", "train-synthetic", "diagnose")
    ),
    ("models", "list"),
    ("models", "info", "brain-mr"),
)
MODELS, SEGMENTS = 60, 117
PARTS = ((0, 24), (24, 50), (50, 68), (68, 91), (91, 117))
_COUNT = "import runpy, sys, atexit; sys.argv = ['deepsegment', *sys.argv[1:]]\n"
_COUNT += "atexit.register(lambda: print(len(sys.modules), file=sys.stderr))\n"
_COUNT += "runpy.run_module('DeepSegmentLib', run_name='__main__')"


def seconds(command, runs):
    """Medians of the wall time and of the processor time, which depends less on what else runs."""
    walls, cpus = [], []
    for _ in range(runs):
        begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        walls.append(time.perf_counter() - begun)
        cpus.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return statistics.median(walls), statistics.median(cpus)


def write_many(folder, count):
    """Write the specs of so many models, with weights that are links to nothing large: listing reads none of them."""
    for n in range(count):
        place = folder / f"model-{n}"
        place.mkdir(parents=True)
        spec = large_spec(place.name)
        (place / "model.json").write_text(json.dumps(spec_to_json(spec), indent=2))
        for file in spec.weights:
            (place / file.file).write_bytes(b"")


def large_spec(name):
    """A spec of 117 segments, five parts and one network each."""
    segments = tuple(_segment(n) for n in range(SEGMENTS))
    return ModelSpec(
        name=name,
        version="2.0.0",
        description="Whole body, 117 structures.",
        license="Apache-2.0",
        channels=(Channel("CT", "CT"),),
        segments=segments,
        parts=tuple(_part(n, [each.name for each in segments[a:b]]) for n, (a, b) in enumerate(PARTS)),
        citation="Somebody et al., a paper, 2023",
        provenance={"kind": "TotalSegmentator model", "origin": "five files"},
    )


def _segment(n):
    code = Terminology(
        Code("SCT", "123037004", "Anatomical Structure"),
        Code("SCT", str(10_000_000 + n), f"Structure {n}"),
        Code("SCT", "7771000", "Left") if n % 2 else None,
    )
    return Segment(f"structure_{n}", n + 1, (n, 255 - n, 128), code)


def _part(n, names):
    network = UNetSpec(
        in_channels=1,
        out_channels=len(names) + 1,
        features=(32, 64, 128, 256, 320, 320),
        kernel_sizes=((3, 3, 3),) * 6,
        strides=((1, 1, 1), *((2, 2, 2),) * 5),
        encoder_blocks=(2,) * 6,
        decoder_blocks=(2,) * 5,
    )
    weights = WeightsFile("weights.safetensors" if n == 0 else f"weights-{n + 1}.safetensors", "0f" * 32)
    return Part(tuple(names), (StageSpec((128, 128, 128), network, (Normalization("window"),), (weights,)),))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    bare, bare_cpu = seconds([sys.executable, "-c", "pass"], runs)
    rows = {"python -c pass": {"seconds": round(bare, 3), "of the processor": round(bare_cpu, 3)}}
    rows |= {"deepsegment " + " ".join(words): row_of(words, runs, bare) for words in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        write_many(Path(folder), MODELS)
        time.sleep(3)  # what was written just now is not trusted to stay
        os.environ["DEEPSEGMENT_MODELS"] = folder
        subprocess.run([sys.executable, "-m", "DeepSegmentLib", "models", "list", "-q"], check=True)
        rows[f"deepsegment models list, {MODELS} models"] = row_of(("models", "list"), runs, bare)
    print(json.dumps(rows, indent=1))


def row_of(words, runs, bare):
    """What a command takes."""
    took, cpu = seconds([sys.executable, "-m", "DeepSegmentLib", *words], runs)
    counted = subprocess.run([sys.executable, "-c", _COUNT, *words], check=True, capture_output=True, text=True)
    row = {"seconds": round(took, 3), "of the processor": round(cpu, 3), "times bare Python": round(took / bare, 1)}
    return row | {"modules": int(counted.stderr.split()[-1])}


if __name__ == "__main__":
    main()
