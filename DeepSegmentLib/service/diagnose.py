"""What this machine and its packages are, and what to do about what is wrong: a report to copy into a question."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepSegmentLib import __version__
from DeepSegmentLib.imaging.memory import available_memory_bytes, total_memory_bytes
from DeepSegmentLib.networks.back_ends.engine import version_of

from .models import openvino_package

if TYPE_CHECKING:
    from collections.abc import Iterable

Row = tuple[str, str]

_PACKAGES = ("numpy", "scipy", "SimpleITK", "scikit-image", "safetensors", "pillow", "torch")
_LITTLE_MEMORY = 4 << 30
_LITTLE_DISK = 2 << 30
_CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True)
class Finding:
    """Something that is wrong or slow, and what helps.

    Attributes:
        problem: What is wrong.
        remedy: What the user can do.
    """

    problem: str
    remedy: str


@dataclass(frozen=True)
class Diagnosis:
    """Facts by section, and findings.

    Attributes:
        sections: Title and rows (name, value).
        findings: What is wrong; empty when nothing is.
    """

    sections: tuple[tuple[str, tuple[Row, ...]], ...]
    findings: tuple[Finding, ...]


def diagnose() -> Diagnosis:
    """Look at versions, devices, memory, disk, cores and models. Never fails; nothing leaves the machine."""
    parts = [_software(), _devices(), _machine(), _models()]
    sections = tuple((title, tuple(rows)) for title, rows, _ in parts)
    return Diagnosis(sections, tuple(finding for _, _, findings in parts for finding in findings))


def format_diagnosis(diagnosis: Diagnosis) -> str:
    """The report as plain text."""
    lines = []
    for title, rows in diagnosis.sections:
        width = max((len(name) for name, _ in rows), default=0)
        lines += [title, *(f"  {name.ljust(width)}  {value}" for name, value in rows), ""]
    if not diagnosis.findings:
        return "\n".join([*lines, "Nothing is wrong."])
    told = [f"  - {finding.problem}\n    {finding.remedy}" for finding in diagnosis.findings]
    return "\n".join([*lines, "To look at", *told])


_Part = tuple[str, list[Row], list[Finding]]


def _software() -> _Part:
    rows = [("DeepSegment", __version__), ("Python", platform.python_version()), ("platform", platform.platform())]
    rows += [(name, version_of(name) or "not installed") for name in _PACKAGES]
    rows.append((openvino_package.PACKAGE, openvino_package.installed_version() or openvino_package.how_to_install()))
    missing = [name for name in _PACKAGES if not version_of(name)]
    return (
        "Software",
        rows,
        [Finding(f"the package {name} is not installed", f"pip install {name}") for name in missing],
    )


def _devices() -> _Part:
    driver, rows = _nvidia()
    if not version_of("torch"):  # _software tells
        return "Devices", rows, []
    try:
        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of an old driver; the findings say what to do about it
            return "Devices", rows + _torch_rows(torch), _device_findings(torch, driver)
    except Exception as error:  # a broken torch raises anything, OSError for missing libraries too
        remedy = "reinstall torch as pytorch.org says for this machine"
        return "Devices", rows, [Finding(f"torch does not work: {error}", remedy)]


def _torch_rows(torch: Any) -> list[Row]:
    from DeepSegmentLib.networks.back_ends.machine import has_bfloat16

    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else f"ROCm {torch.version.hip}"
    rows = [("torch built for", built if torch.version.cuda or torch.version.hip else "CPU only")]
    for n in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        properties = torch.cuda.get_device_properties(n)
        rows.append((f"cuda:{n}", f"{properties.name}, {properties.total_memory / (1 << 30):.1f} GB"))
    rows.append(("Apple MPS", "available" if torch.backends.mps.is_available() else "no"))
    rows.append(("CPU threads of torch", str(torch.get_num_threads())))
    return [*rows, ("CPU computes in", "float32, bfloat16" if has_bfloat16() else "float32")]


def _device_findings(torch: Any, driver: str) -> list[Finding]:
    if torch.version.cuda is None:
        remedy = "to use the GPU, install the CUDA build of torch (in 3D Slicer: the PyTorch extension)"
        problem = f"there is an NVIDIA GPU (driver {driver}), but torch is a CPU build"
        return [Finding(problem, remedy)] if driver and not torch.version.hip else []
    if not torch.cuda.is_available():
        return [_unusable_gpu(torch.version.cuda, driver)] if driver else []
    found = [_no_kernels(torch.cuda.get_arch_list(), n, torch) for n in range(torch.cuda.device_count())]
    return [finding for finding in found if finding]


def _unusable_gpu(cuda: str, driver: str) -> Finding:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        return Finding(
            f"CUDA_VISIBLE_DEVICES is {hidden!r}: torch sees no GPU", "unset it, or name a GPU that is there"
        )
    remedy = "update the driver, or install a torch build for an older CUDA"
    return Finding(f"torch for CUDA {cuda} cannot use the GPU with driver {driver}", remedy)


def has_kernels(kernels: Iterable[str], major: int, minor: int) -> bool:
    """Whether a build of torch has code that runs on a GPU.

    Machine code (sm) runs on the same or a later minor version of its major version, intermediate code (compute) on
    all later ones; a suffix ties either to its own version (a) or its major version (f).

    Args:
        kernels: As `torch.cuda.get_arch_list` gives them.
        major: Compute capability of the GPU.
        minor: Likewise.

    Example:
        >>> has_kernels(["sm_80", "sm_90"], 8, 6), has_kernels(["sm_80", "sm_90"], 12, 0)
        (True, False)

    References:
        NVIDIA, CUDA C++ Programming Guide: binary and PTX compatibility, family-specific features.
    """
    return any(_runs(kernel, major, minor) for kernel in kernels)


def _runs(kernel: str, major: int, minor: int) -> bool:
    match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", kernel)
    if match is None:
        return False
    kind, suffix, built = match[1], match[4], (int(match[2]), int(match[3]))
    anywhere_later = kind == "compute" and not suffix
    within_major = suffix != "a" and built[0] == major
    return built == (major, minor) or (built <= (major, minor) and (anywhere_later or within_major))


def _no_kernels(kernels: list[str], n: int, torch: Any) -> Finding | None:
    major, minor = torch.cuda.get_device_capability(n)
    if has_kernels(kernels, major, minor):
        return None
    problem = f"torch has no kernels for cuda:{n} (sm_{major}{minor}); it has {', '.join(kernels)}"
    return Finding(problem, "install a torch build that has them, or run with --device cpu")


def _nvidia() -> tuple[str, list[Row]]:
    """Version of the NVIDIA driver, empty where there is none, and what it says of the GPUs."""
    lines = [line.split(", ") for line in _ask_nvidia().splitlines()]
    gpus = [(f"GPU {n}", ", ".join(words[1:])) for n, words in enumerate(lines) if len(words) > 1]
    driver = lines[0][0].strip() if lines else ""
    return driver, [("NVIDIA driver", driver or "none found"), *gpus]


def _ask_nvidia() -> str:
    """Driver, name and memory, a line for each GPU; empty where there is no driver."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return ""
    query = [command, "--query-gpu=driver_version,name,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, check=False, stdin=subprocess.DEVNULL)
    except (OSError, ValueError, subprocess.TimeoutExpired):  # ValueError: not text
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _machine() -> _Part:
    available, total = available_memory_bytes(), total_memory_bytes()
    rows = [
        ("cores", f"{usable_cores():g} of {os.cpu_count() or 1}"),
        ("memory", f"{_size(available)} free of {_size(total)}"),
    ]
    findings = []
    if available is not None and available < _LITTLE_MEMORY:
        findings.append(Finding(f"only {_size(available)} of memory are free", "close programs before large volumes"))
    folder = Path(tempfile.gettempdir())
    disk = free_disk_bytes(folder)
    if disk is not None and disk < _LITTLE_DISK:
        findings.append(Finding(f"only {_size(disk)} are free at {folder}", "delete files, or set TMPDIR elsewhere"))
    return "Machine", [*rows, (f"disk at {folder}", f"{_size(disk)} free")], findings


def usable_cores() -> float:
    """Cores that this process may use; a container's share (cgroup v2) may be a fraction."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = _CPU_LIMIT.read_text(encoding="ascii").split()
        return min(cores, int(quota) / int(period))
    except (OSError, ValueError, ZeroDivisionError):  # no cgroup, or its quota is "max"
        return cores


def free_disk_bytes(folder: Path) -> int | None:
    """Free space where a folder is or would be made; None where the system does not tell."""
    try:
        return shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free
    except (OSError, StopIteration):
        return None


def _size(size: int | None) -> str:
    return "unknown" if size is None else f"{size / (1 << 30):.1f} GB"


def _models() -> _Part:
    try:
        from DeepSegmentLib.files.models.places import user_models_folder

        from .catalogue import list_models

        folder, entries = user_models_folder(), list_models()
    except Exception as error:  # a package that _software misses, a folder that may not be read
        return "Models", [], [Finding(f"models cannot be listed: {error}", "install what is missing, or allow reading")]
    rows = [("added models", f"{folder}, {_size(free_disk_bytes(folder))} free")]
    rows += [(entry.name, entry.version or f"damaged: {entry.damage}") for entry in entries]
    findings = [Finding(f"model {e.name} is damaged: {e.damage}", f"delete {e.path}") for e in entries if e.damage]
    return "Models", rows, findings
