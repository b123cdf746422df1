"""What this machine computes with: processor, bfloat16, OpenVINO."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path
from typing import Any

import torch


@cache
def processor_name() -> str:
    """As Linux tells it, or the system; perhaps no more than "x86_64"."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


@cache
def has_bfloat16() -> bool:
    """Whether torch's kernels for bfloat16 run on this processor; an unknown one has none."""
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # there is no public name
    except (AttributeError, RuntimeError):
        return False


@cache
def has_matrix_units() -> bool:
    """Whether the processor multiplies matrices of bfloat16 (AMX), several times as fast as vectors of float32."""
    try:
        return bool(torch.cpu._is_amx_tile_supported())  # there is no public name
    except (AttributeError, RuntimeError):
        return False


@cache
def openvino_core() -> Any:
    """OpenVINO, the same one as long as the process lives.

    On processors with AMX it gives the thread that calls it a stack for signals, and frees that when it is let go,
    perhaps in another thread: the next signal, such as Ctrl-C, would end the process.
    """
    import openvino

    return openvino.Core()


def openvino_has_bfloat16() -> bool:
    """Whether OpenVINO computes in bfloat16 here; one that cannot be loaded, for lack of memory too, does not."""
    try:
        return "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    except Exception:  # RuntimeError or ImportError, whatever is missing
        return False
