"""How long a command takes before it does anything: medians, beside a Python that does nothing.

    python Testing/benchmarks/start.py [--runs N]

Wall times depend on what else the machine does, processor times less so, and the modules that are counted not at all.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

COMMANDS = (
    ("--help",),
    *((name, "--help") for name in ("segment", "correct", "models", "evaluate", "export", "train", "diagnose")),
    ("models", "list"),
    ("models", "info", "brain-mr"),
)
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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    bare, bare_cpu = seconds([sys.executable, "-c", "pass"], runs)
    rows = {"python -c pass": {"seconds": round(bare, 3), "of the processor": round(bare_cpu, 3)}}
    for words in COMMANDS:
        took, cpu = seconds([sys.executable, "-m", "DeepSegmentLib", *words], runs)
        counted = subprocess.run([sys.executable, "-c", _COUNT, *words], check=True, capture_output=True, text=True)
        modules = int(counted.stderr.split()[-1])
        row = {"seconds": round(took, 3), "of the processor": round(cpu, 3), "times bare Python": round(took / bare, 1)}
        row["modules"] = modules
        rows["deepsegment " + " ".join(words)] = row
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
