"""What the figures were measured on: processor, memory, versions, commit; and what it can do at best.

    python Testing/benchmarks/engine/machine.py

prints the ceilings as JSON: products of matrices and a convolution of the networks' kind, by torch.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

REPOSITORY = Path(__file__).resolve().parents[3]
PACKAGES = ("nnunetv2", "monai", "dynamic-network-architectures", "torch", "numpy", "scikit-image", "SimpleITK")
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16", "amx_int8")
_EDGE = 4096
_REPEATS = 5
_VERSIONS = """
import json, sys
from importlib.metadata import PackageNotFoundError, version
found = {"Python": sys.version.split()[0]}
for name in sys.argv[1:]:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
print(json.dumps(found))
"""


def machine() -> dict[str, Any]:
    """Processor, its instructions that matter here, memory and system."""
    import psutil

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    told = dict(reversed([[part.strip() for part in line.split(":", 1)] for line in lines if ":" in line]))
    flags = told.get("flags", "").split()
    return {
        "processor": told.get("model name") or platform.processor() or platform.machine(),
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "flags": [flag for flag in _FLAGS if flag in flags],
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
    }


def own_versions() -> dict[str, str]:
    """Of this process's environment."""
    from DeepSegmentLib import __version__

    found = {"DeepSegmentLib": __version__, "Python": platform.python_version()}
    for name in (*PACKAGES[2:], "openvino"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def peer_versions(python: str) -> dict[str, str]:
    """Of another environment."""
    done = subprocess.run([python, "-c", _VERSIONS, *PACKAGES], check=True, capture_output=True, text=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def commit() -> str:
    """Of the tree that is measured; "+" where it has changes."""
    told = ["git", "-C", str(REPOSITORY), "describe", "--always", "--abbrev=10", "--dirty=+", "--exclude=*"]
    done = subprocess.run(told, check=False, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def measured_ceilings() -> dict[str, Any]:
    """What a process of its own finds that this machine can do at best; the load before it."""
    load = os.getloadavg()
    done = subprocess.run([sys.executable, __file__], check=True, capture_output=True, text=True)
    return json.loads(done.stdout) | {"load": [round(each, 2) for each in load]}


def ceilings() -> dict[str, float]:
    """The best of some repeats, in thousand million operations a second; a multiplication and an addition are two."""
    import torch

    found = {}
    for name, kind in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        a, b = torch.randn(2, _EDGE, _EDGE).to(kind)
        found[f"matrices {name}"] = _best(lambda a=a, b=b: a @ b, 2 * _EDGE**3)
        layer = torch.nn.Conv3d(128, 128, 3, padding=1).to(kind, memory_format=torch.channels_last_3d)
        x = torch.randn(1, 128, 48, 48, 48).to(kind).to(memory_format=torch.channels_last_3d)
        found[f"convolution {name}"] = _best(lambda layer=layer, x=x: layer(x), 2 * 128 * 128 * 27 * 48**3)
    return found


def _best(work: Callable[[], Any], operations: int) -> float:
    import torch

    seconds = []
    with torch.inference_mode():
        work()
        for _ in range(_REPEATS):
            begun = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - begun)
    return round(operations / min(seconds) / 1e9, 1)


if __name__ == "__main__":
    print(json.dumps(ceilings()))
