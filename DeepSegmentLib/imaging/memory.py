"""How much memory there is, and how much this process has used. Standard library only."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_CGROUP, _OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
# Limit, use, and the line of memory.stat that tells what holds files that were read and gives way at once.
_CGROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file "),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "),
)


def available_memory_bytes() -> int | None:
    """Memory that can be had without swapping, or None where the system does not tell.

    On Linux the limits of a container, a service and the shell (ulimit -v) count.
    """
    if sys.platform == "win32":
        return _windows_available()
    known = [size for size in (_linux_available(), _cgroup_left(), _limit_left()) if size is not None]
    return min(known) if known else _sysconf("SC_AVPHYS_PAGES")


def total_memory_bytes() -> int | None:
    """Memory of the machine, or None where the system does not tell."""
    return _windows_status()[0] if sys.platform == "win32" else _sysconf("SC_PHYS_PAGES")


def resident_memory_bytes() -> int | None:
    """Memory that this process has now, or None where the system does not tell (it does on Linux)."""
    return _own_memory(1)


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """While this lasts, arrays that are freed make room for the next ones, and go back to the system at its end.

    A network makes and frees arrays of a hundred megabytes with each layer; to get each from the system anew, page by
    page, can take as long as to compute it. For glibc (Linux), elsewhere nothing changes; with several at a time, the
    last one's end counts.
    """
    use_one_heap()
    _tell_allocator(+1)
    try:
        yield
    finally:
        _tell_allocator(-1)


def use_one_heap() -> None:
    """Let threads that begin after this take memory from the heap of the first one. For glibc, elsewhere nothing.

    The heaps that threads have otherwise are of 64 MB at most, and go back to the system whenever they are empty: a
    network that runs in a thread gets each of its arrays anew, whatever `freed_memory_kept` says. It stays so as long
    as the process lives.
    """
    library = _glibc()
    if library is not None:
        library.mallopt(_ARENA_MAX, 1)


def return_freed_memory() -> None:
    """Give the system back now what `freed_memory_kept` keeps, where what comes next is of other sizes."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


_keeping, _keeping_lock = 0, Lock()
# The parameters of mallopt(3), and what holds where nobody has changed them.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_USUAL = {_TRIM_THRESHOLD: 128 * 1024, _MMAP_MAX: 65_536}
_KEEPING = {_TRIM_THRESHOLD: 2**31 - 1, _MMAP_MAX: 0}


def _tell_allocator(more: int) -> None:
    global _keeping
    library = _glibc()
    with _keeping_lock:
        before, _keeping = _keeping, _keeping + more
        if library is None or bool(before) == bool(_keeping):
            return
        for parameter, value in (_KEEPING if _keeping else _USUAL).items():
            library.mallopt(parameter, value)
        if not _keeping:
            return_freed_memory()


def _glibc() -> Any:
    """The C library, where it is glibc; otherwise None."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "malloc_trim") else None


def _own_memory(column: int) -> int | None:
    """A column of /proc/self/statm in bytes: 0 all addresses, 1 what is in memory."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[column]
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


def _limit_left() -> int | None:
    """What the shell's limit of addresses leaves; None without a limit."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit, used = resource.getrlimit(resource.RLIMIT_AS)[0], _own_memory(0)
    return None if limit == resource.RLIM_INFINITY or used is None else max(0, limit - used)


def _cgroup_left() -> int | None:
    """What the limits of this process's control groups leave (cgroup v1 and v2); None without a limit."""
    left = [_left_in(group, *names) for group in {*_groups()} for names in _CGROUP_FILES]
    return min((size for size in left if size is not None), default=None)


def _groups() -> Iterator[Path]:
    """The folders of the groups that this process is in, and those around them."""
    yield from (_CGROUP, _CGROUP / "memory")
    try:
        lines = _OWN_GROUPS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not controllers or "memory" in controllers.split(","):
            root = _CGROUP / controllers if controllers else _CGROUP
            group = Path(path.lstrip("/"))
            yield from (root / part for part in (group, *group.parents))


def _left_in(group: Path, limit_file: str, used_file: str, cache: str) -> int | None:
    """What the limit of a group leaves; None without one."""
    try:
        limit = (group / limit_file).read_text(encoding="ascii").strip()
        used = int((group / used_file).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return max(0, int(limit) - used + _given_way(group, cache)) if limit.isdecimal() else None


def _given_way(group: Path, cache: str) -> int:
    """What of a group's memory holds files that were read and gives way at once."""
    try:
        lines = (group / "memory.stat").read_text(encoding="ascii").splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith(cache))
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
