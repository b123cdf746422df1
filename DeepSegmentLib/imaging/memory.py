"""How much memory there is, and how much this process has used. Standard library only."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def available_memory_bytes() -> int | None:
    """Memory that can be had without swapping, or None where the system does not tell.

    On Linux a container's own limit counts.
    """
    if sys.platform == "win32":
        return _windows_available()
    known = [size for size in (_linux_available(), _cgroup_left()) if size is not None]
    return min(known) if known else _sysconf("SC_AVPHYS_PAGES")


def total_memory_bytes() -> int | None:
    """Memory of the machine, or None where the system does not tell."""
    return _windows_status()[0] if sys.platform == "win32" else _sysconf("SC_PHYS_PAGES")


def resident_memory_bytes() -> int | None:
    """Memory that this process has now, or None where the system does not tell (it does on Linux)."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError, IndexError):
        return None


def peak_memory_bytes() -> int | None:
    """Largest resident memory of this process so far, or None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes on macOS, KiB elsewhere: getrusage(2)


def _linux_available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    sizes = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return sizes[0] if sizes else None


def _cgroup_left() -> int | None:
    """What the container's limit (cgroup v2) leaves; None without a limit."""
    try:
        limit = (_CGROUP / "memory.max").read_text(encoding="ascii").strip()
        used = int((_CGROUP / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return max(0, int(limit) - used + _cgroup_cache()) if limit.isdecimal() else None


def _cgroup_cache() -> int:
    """What of the container's memory holds files that were read and gives way at once (cgroup v2, memory.stat)."""
    try:
        lines = (_CGROUP / "memory.stat").read_text(encoding="ascii").splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
    except (OSError, ValueError, IndexError):
        return 0


def _sysconf(pages: str) -> int | None:
    try:
        return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows, or a name that macOS lacks
        return None


def _windows_available() -> int | None:
    return _windows_status()[1]


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of the Windows API."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        ("total", ctypes.c_uint64),
        ("available", ctypes.c_uint64),
        ("rest", ctypes.c_uint64 * 5),
    )


def _windows_status() -> tuple[int | None, int | None]:
    """Total and available physical memory."""
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    kernel = getattr(ctypes, "windll", None)
    if kernel is None or not kernel.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None, None
    return status.total, status.available
