"""How long a command takes before it does anything: medians, beside a Python that does nothing.

    python Testing/benchmarks/start.py [--runs N]

Times depend on what else the machine does; the modules that are imported do not, and are counted too.
"""

import argparse
import json
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
    """Median of the wall time."""
    taken = []
    for _ in range(runs):
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    bare = seconds([sys.executable, "-c", "pass"], runs)
    rows = {"python -c pass": {"seconds": round(bare, 3)}}
    for words in COMMANDS:
        took = seconds([sys.executable, "-m", "DeepSegmentLib", *words], runs)
        counted = subprocess.run([sys.executable, "-c", _COUNT, *words], check=True, capture_output=True, text=True)
        modules = int(counted.stderr.split()[-1])
        row = {"seconds": round(took, 3), "times bare Python": round(took / bare, 1), "modules": modules}
        rows["deepsegment " + " ".join(words)] = row
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
