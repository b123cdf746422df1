"""The owner's side of the worker: no thread, nothing that waits.

In 3D Slicer a Python thread runs only while Python code runs in the main thread, so the owner asks: `poll` from a
timer while a job is under way, and not at all otherwise.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, answer_challenge, deliver_challenge
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import DeepSegmentLib
from DeepSegmentLib.errors import DeepSegmentError, InvalidInputError, ResourceError
from DeepSegmentLib.imaging.memory import available_memory_bytes

from .jobs_and_events import Died, Failed, Finished, OfCase, Progressed, Stopped, decode_event, encode_job, voxel_bytes
from .shared_arrays import START_FILE, has_room, make_folder, remove_arrays, remove_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from multiprocessing.connection import Connection

    from .jobs_and_events import Event, Job

CANCEL_S = 0.7
"""How long a cancelled job may take to stop by itself before the process is killed."""

_LOG = "worker.log"
_LOG_LINES = 5


class WorkerClient:
    """Runs jobs in a worker process, one at a time.

    Args:
        command: Starts the worker; None for this Python.
        idle_s: How long the worker keeps its model in memory without a job, in seconds.
        environment: Of the worker; None for this process's. The library is added to its PYTHONPATH.
    """

    def __init__(
        self,
        command: Sequence[str] | None = None,
        *,
        idle_s: float = 600.0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command = list(command or (sys.executable, "-m", "DeepSegmentLib.hosts.worker"))
        self._idle_s = idle_s
        self._environment = with_library(os.environ if environment is None else environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._folder = Path()
        self._address, self._key = "", b""
        self._admitted = False  # both sides know that the other has the key
        self._reused = False  # the process was there before the job
        self._number = 0
        self._job: Job | None = None  # until it is heard of
        self._message: bytes | None = None  # the job's, until it is sent
        self._busy = False
        self._give_up_at: float | None = None

    @property
    def busy(self) -> bool:
        """Whether a job is under way: exactly one of Finished, Failed, Stopped and Died is still to come."""
        return self._busy

    @property
    def process_id(self) -> int | None:
        """Number of the worker process, or None while there is none."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def submit(self, job: Job) -> None:
        """Start a job; the worker is started where there is none. Events come from `poll`.

        Raises:
            InvalidInputError: Another job is under way.
            ResourceError: There is no room for the volume, or the worker cannot be started.
        """
        if self._busy:
            raise InvalidInputError("a job is under way; cancel it first")
        self._begin(job)
        self._busy = True

    def poll(self) -> list[Event]:
        """The events since the last call; does not wait."""
        if not self._busy:
            return []
        try:
            return self._advance()
        except (EOFError, OSError, AuthenticationError):
            return self._gone()

    def cancel(self, patience_s: float = CANCEL_S) -> None:
        """Ask the job to stop; `Stopped` follows in time, as the process is killed if it must be.

        Args:
            patience_s: How long it may take to stop by itself, in seconds; more than usual where it saves its state.
        """
        if not self._busy or self._give_up_at is not None:
            return
        self._give_up_at = time.monotonic() + patience_s
        if self._message is None and self._connection is not None:
            message = json.dumps({"kind": "cancel", "number": self._number}).encode()
            with contextlib.suppress(OSError):
                self._connection.send_bytes(message)

    def close(self) -> None:
        """End the process at once and free its memory; without an event. The next job starts a new one."""
        self._end_process()
        self._forget_job()

    def _begin(self, job: Job) -> None:
        """Have a worker and a message for it."""
        size = voxel_bytes(job)
        self._reused = self.process_id is not None and not self._is_cut() and has_room(self._folder, size)
        if not self._reused:
            self._end_process()
            self._start_process(size)
        self._number += 1
        try:
            self._message = encode_job(job, self._number, self._folder)
        except ResourceError:
            if self._folder.is_dir():
                raise
            self._end_process()  # an idle worker is leaving at this moment, and took its folder with it
            self._begin(job)
        self._job = job

    def _start_process(self, size: int) -> None:
        self._folder = make_folder(size)
        self._address = rf"\\.\pipe\deepsegment-{uuid4().hex}" if os.name == "nt" else str(self._folder / "socket")
        self._key = secrets.token_bytes(32)
        # The key is in a file that only this user can read, and not in the command, which everyone can; not on standard
        # input either, as the launcher that PythonSlicer is need not hand it on.
        start = {"address": self._address, "key": self._key.hex(), "owner": os.getpid(), "idle_s": self._idle_s}
        try:
            (self._folder / START_FILE).write_text(json.dumps(start), encoding="utf-8")
            self._process = _start([*self._command, str(self._folder)], self._environment, self._folder / _LOG)
        except OSError as error:
            remove_folder(self._folder)
            raise ResourceError(f"the worker cannot be started with {self._command[0]!r}: {error}") from error

    def _end_process(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            _kill_tree(self._process)
            remove_folder(self._folder)
        self._process = self._connection = None
        self._admitted = False

    def _forget_job(self) -> None:
        self._busy, self._job, self._message, self._give_up_at = False, None, None, None

    def _advance(self) -> list[Event]:
        ended = self.process_id is None  # before the last look at what it said
        self._connect()
        if self._message is not None and self._give_up_at is not None:  # not sent, so nothing has to stop
            remove_arrays(self._folder)
            return self._end(Stopped())
        events = self._talk() if self._admitted else []
        if not self._busy:
            return events
        if ended:
            return events + self._gone()
        if self._give_up_at is not None and time.monotonic() >= self._give_up_at:
            self._end_process()
            return [*events, *self._end(Stopped())]
        return events

    def _connect(self) -> None:
        """Get on with connecting, as far as it goes without waiting for the worker to start."""
        if self._connection is None:
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):  # not listening yet
                self._connection = Client(self._address)
        elif not self._admitted and self._connection.poll(0):
            answer_challenge(self._connection, self._key)
            deliver_challenge(self._connection, self._key)
            self._admitted = True

    def _talk(self) -> list[Event]:
        events: list[Event] = []
        if self._connection is not None and self._message is not None:
            self._connection.send_bytes(self._message)
            self._message = None
        while self._busy and self._connection is not None and self._connection.poll(0):
            message = self._connection.recv_bytes()
            self._job = None
            events += self._take(self._decode(message))
        return events

    def _decode(self, message: bytes) -> Event:
        """An event; one that cannot be read ends the process, so that it and its owner agree again."""
        try:
            return decode_event(message, self._folder)
        except DeepSegmentError as error:
            self._end_process()
            return Failed(error)

    def _take(self, event: Event) -> list[Event]:
        """An event as the owner gets it: after `cancel` nothing but the end counts."""
        if isinstance(event, Progressed | OfCase):
            return [] if self._give_up_at is not None else [event]
        ended_by_itself = isinstance(event, Finished | Failed)
        return self._end(Stopped() if ended_by_itself and self._give_up_at is not None else event)

    def _end(self, event: Event) -> list[Event]:
        self._forget_job()
        return [event]

    def _gone(self) -> list[Event]:
        """What the end of the process means for the job: nothing where it left, being idle, before it heard of it."""
        job, cancelled = self._job, self._give_up_at is not None
        died = Died(_cause(self._exit_code(), self._log()))
        self._end_process()
        if cancelled:
            return self._end(Stopped())
        if job is None or not self._reused:
            return self._end(died)
        try:
            self._begin(job)
        except DeepSegmentError as error:
            return self._end(Failed(error))
        return []

    def _is_cut(self) -> bool:
        """Whether the worker closed the connection, as an idle one does before it ends."""
        try:
            return self._connection is not None and self._admitted and self._connection.poll(0)
        except (OSError, EOFError):
            return True

    def _exit_code(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout=0.2) if self._process is not None else None
        return None

    def _log(self) -> list[str]:
        """The last lines that the worker wrote."""
        with contextlib.suppress(OSError):
            return (self._folder / _LOG).read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
        return []


def _cause(code: int | None, log: list[str]) -> str:
    """Why a process is gone, from its exit code and the end of its log."""
    available = available_memory_bytes()
    free = "" if available is None else f"; {available / 1e9:.0f} GB are free now"
    if code == -getattr(signal, "SIGKILL", 9):
        text = (
            f"The worker process was killed, by the system or by another program{free}. The system does so when memory "
            "runs out: if it happens again, close other programs or choose a region."
        )
    elif code is not None and code < 0:
        text = f"The worker crashed ({_signal_name(-code)}). Try the device cpu; Diagnose tells what fits."
    elif code is None:
        text = "The worker broke off."
    else:
        text = f"The worker ended unexpectedly (exit code {code})."
    return "\n".join([text, *log])


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have no names
        return f"signal {number}"


def with_library(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with the folder of this library on PYTHONPATH, and the current folder not on Python's path."""
    root = str(Path(DeepSegmentLib.__file__).resolve().parent.parent)
    paths = [root, *(path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path and path != root)]
    return {**environment, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}


def _start(command: list[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a process in a group of its own, without a window, and less urgent than this one."""
    flags = [getattr(subprocess, name, 0) for name in ("CREATE_NO_WINDOW", "BELOW_NORMAL_PRIORITY_CLASS")]
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=os.name == "posix",
            creationflags=sum(flags),
        )


def _kill_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all it started, and wait until it is gone."""
    if process.poll() is None:  # the number of one that is gone may be another's by now
        with contextlib.suppress(OSError):
            _kill_running_tree(process)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=2.0)


def _kill_running_tree(process: subprocess.Popen[bytes]) -> None:
    if os.name == "posix":
        os.killpg(process.pid, signal.SIGKILL)
        return
    command = ["taskkill", "/T", "/F", "/PID", str(process.pid)]
    flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
    subprocess.run(command, check=False, capture_output=True, creationflags=flags)
    process.kill()
