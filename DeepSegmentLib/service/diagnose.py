"""What this machine and its packages are, and what to do about what is wrong: a report to copy into a question."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from DeepSegmentLib import __version__
from DeepSegmentLib.imaging.memory import available_memory_bytes, total_memory_bytes

from .catalogue import list_models, user_models_folder

Row = tuple[str, str]

_PACKAGES = ("numpy", "scipy", "SimpleITK", "scikit-image", "safetensors", "pillow", "torch")
_LITTLE_MEMORY = 4 << 30
_LITTLE_DISK = 2 << 30


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
    findings = []
    for name in _PACKAGES:
        try:
            rows.append((name, version(name)))
        except PackageNotFoundError:
            rows.append((name, "not installed"))
            findings.append(Finding(f"the package {name} is not installed", f"pip install {name}"))
    return "Software", rows, findings


def _devices() -> _Part:
    driver = _nvidia_driver()
    rows = [("NVIDIA driver", driver or "none found")]
    try:
        import torch
    except Exception as error:  # a broken torch raises anything, OSError for missing libraries too
        remedy = "reinstall torch as pytorch.org says for this machine"
        return "Devices", rows, [Finding(f"torch cannot be imported: {error}", remedy)]
    rows.append(("torch built for", f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU only"))
    for n in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        properties = torch.cuda.get_device_properties(n)
        rows.append((f"cuda:{n}", f"{properties.name}, {properties.total_memory / (1 << 30):.1f} GB"))
    rows.append(("Apple MPS", "available" if torch.backends.mps.is_available() else "no"))
    rows.append(("CPU threads of torch", str(torch.get_num_threads())))
    return "Devices", rows, _device_findings(torch, driver)


def _device_findings(torch: Any, driver: str) -> list[Finding]:
    if not driver:
        return []
    if torch.version.cuda is None:
        remedy = "to use the GPU, install the CUDA build of torch (in 3D Slicer: the PyTorch extension)"
        return [Finding(f"there is an NVIDIA GPU (driver {driver}), but torch is a CPU build", remedy)]
    if not torch.cuda.is_available():
        remedy = "update the driver, or install a torch build for an older CUDA"
        return [Finding(f"driver {driver} is too old for torch's CUDA {torch.version.cuda}", remedy)]
    return [_no_kernels(torch, n) for n in range(torch.cuda.device_count()) if not _has_kernels(torch, n)]


def _has_kernels(torch: Any, n: int) -> bool:
    """Whether the build has code for a GPU: kernels run on later GPUs of the same major architecture too."""
    major, _ = torch.cuda.get_device_capability(n)
    return any(kernel.split("_")[1].startswith(str(major)) for kernel in torch.cuda.get_arch_list())


def _no_kernels(torch: Any, n: int) -> Finding:
    major, minor = torch.cuda.get_device_capability(n)
    problem = f"torch has no kernels for cuda:{n} (sm_{major}{minor}); it has {', '.join(torch.cuda.get_arch_list())}"
    return Finding(problem, "install a newer torch, or run with --device cpu")


def _nvidia_driver() -> str:
    """Version of the NVIDIA driver; empty where there is none."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return ""
    query = [command, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.splitlines()[0].strip() if done.returncode == 0 and done.stdout.strip() else ""


def _machine() -> _Part:
    available, total = available_memory_bytes(), total_memory_bytes()
    folder = Path(tempfile.gettempdir())
    disk = shutil.disk_usage(folder).free
    rows = [
        ("cores", str(_usable_cores())),
        ("memory", f"{_size(available)} free of {_size(total)}"),
        (f"disk at {folder}", f"{_size(disk)} free"),
    ]
    findings = []
    if available is not None and available < _LITTLE_MEMORY:
        findings.append(Finding(f"only {_size(available)} of memory are free", "close programs before large volumes"))
    if disk < _LITTLE_DISK:
        findings.append(Finding(f"only {_size(disk)} are free at {folder}", "delete files, or set TMPDIR elsewhere"))
    return "Machine", rows, findings


def _usable_cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _size(size: int | None) -> str:
    return "unknown" if size is None else f"{size / (1 << 30):.1f} GB"


def _models() -> _Part:
    entries = list_models()
    rows = [("added models", str(user_models_folder()))]
    rows += [(entry.name, entry.version or f"damaged: {entry.damage}") for entry in entries]
    findings = [Finding(f"model {e.name} is damaged: {e.damage}", f"delete {e.path}") for e in entries if e.damage]
    return "Models", rows, findings
