"""The process that opens cases: the name of a door and a case in, a line of JSON out, under a limit of memory.

It may die of a case; the runner sees that and starts another.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .cases import Case
from .door import Door, OtherVoxelsError

ROOM_BYTES = 2 << 30
"""What a case may take beyond what the intact ones need."""

_TAKEN_MB = 500
_LOCK = ".deepsegment.lock"  # stays, by design: files/lock.py


def serve(doors: Mapping[str, Door]) -> None:
    """Answer until the input ends; the first line out tells what came of the intact cases."""
    replies = os.fdopen(os.dup(1), "w", encoding="ascii")
    _be_quiet()
    warnings.simplefilter("ignore")
    intact = {name: [open_case(door, seed) for seed in door.seeds()] for name, door in doors.items()}
    limit_memory(ROOM_BYTES)
    _reply(replies, {"intact": intact, "base_mb": _peak_mb()})
    for line in sys.stdin:
        name, _, text = line.partition(" ")
        _reply(replies, open_case(doors[name], Case.from_json(text)))


def open_case(door: Door, case: Case) -> dict[str, Any]:
    """Write a case to a folder of its own, open it, and tell what came of it."""
    home = Path.cwd()
    folder = Path(tempfile.mkdtemp(prefix="case-"))
    inside = folder / "case"
    inside.mkdir()
    (folder / "outside.txt").write_text("untouched")
    try:
        case.write(inside)
        before, start = _names(inside), time.perf_counter()
        _forget_peak()
        os.chdir(inside)
        found = _outcome(door, inside, case)
        found |= {"seconds": round(time.perf_counter() - start, 4), "peak_mb": _peak_mb()}
        left = sorted(_names(inside) - before) if found["outcome"] == "refused" else []
        hidden = [name for name in left if Path(name).name.startswith(".") and Path(name).name != _LOCK]
        if hidden:
            found |= {"outcome": "left behind", "error": f"{hidden[0]}; {found['error']}"}
        if not (folder / "outside.txt").is_file() or (folder / "outside.txt").read_text() != "untouched":
            found |= {"outcome": "outside", "error": f"a file outside was changed; {found['error']}"}
        return found
    finally:
        os.chdir(home)
        shutil.rmtree(folder, ignore_errors=True)


def _outcome(door: Door, folder: Path, case: Case) -> dict[str, Any]:
    from DeepSegmentLib.errors import DeepSegmentError, ResourceError

    try:
        door.use(folder, case)
    except ResourceError as error:
        # Files that truly are as large as they claim may be refused by the system, if that was asked at once.
        taken = _peak_mb() - _resident_mb() > _TAKEN_MB
        return {"outcome": "memory" if taken and _ran_out(error) else "refused", "error": str(error)[:500]}
    except DeepSegmentError as error:
        return {"outcome": "memory" if _ran_out(error) else "refused", "error": str(error)[:500]}
    except MemoryError as error:
        return {"outcome": "memory", "error": _where(error)}
    except OtherVoxelsError as error:
        return {"outcome": "other voxels", "error": str(error)}
    except Exception as error:
        return {"outcome": "memory" if _ran_out(error) else "traceback", "error": _where(error)}
    return {"outcome": "accepted", "error": ""}


def _ran_out(error: BaseException | None) -> bool:
    """Whether memory ran out below an error."""
    while error is not None:
        if isinstance(error, MemoryError) or "std::bad_alloc" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _where(error: BaseException) -> str:
    """Type, message and the last lines of the library that an error went through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "DeepSegmentLib" in frame.filename] or frames
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in ours[:-4:-1])
    return f"{type(error).__name__}: {str(error)[:300]} ({places})"


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def limit_memory(room: int) -> None:
    """Let this process grow by so many bytes beyond the most it has had (Linux)."""
    peak = _status("VmPeak")
    if peak:
        resource.setrlimit(resource.RLIMIT_AS, (1024 * peak + room, resource.RLIM_INFINITY))


def _status(key: str) -> int:
    """A number of /proc/self/status, in kB; 0 where there is none."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1])
    return 0


def _peak_mb() -> int:
    return (_status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) // 1024


def _resident_mb() -> int:
    return _status("VmRSS") // 1024


def _forget_peak() -> None:
    """Let the peak of resident memory begin anew (proc(5), clear_refs)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _be_quiet() -> None:
    """Keep whatever a library prints away from the replies; what C code writes while dying goes to standard error."""
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - for the whole life of the process
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable()


def _reply(replies: Any, document: dict[str, Any]) -> None:
    replies.write(json.dumps(document) + "\n")
    replies.flush()


if __name__ == "__main__":
    from .doors import DOORS

    serve({name: DOORS[name] for name in sys.argv[1:]})
