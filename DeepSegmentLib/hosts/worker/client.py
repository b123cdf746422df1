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
from multiprocessing.connection import Client
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import DeepSegmentLib
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.imaging.memory import available_memory_bytes

from .arrays import START_FILE, make_folder, remove_folder
from .messages import Died, Failed, Finished, Progressed, Stopped, decode_event, encode_job

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from multiprocessing.connection import Connection

    from .messages import Event, Job

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
        self._lifeline: Connection | None = None
        self._folder = Path()
        self._address, self._key = "", b""
        self._job: bytes | None = None
        self._number = 0
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
            ResourceError: There is no room for the volume.
        """
        if self._busy:
            raise InvalidInputError("a job is under way; cancel it first")
        if self.process_id is None or (self._connection is not None and self._is_cut()):
            self.close()
            self._start()
        self._number += 1
        self._job = encode_job(job, self._number, self._folder)
        self._busy, self._give_up_at = True, None

    def poll(self) -> list[Event]:
        """The events since the last call; does not wait."""
        if not self._busy:
            return []
        try:
            events = self._advance()
        except (EOFError, ConnectionError):
            events = self._end(self._died())
        return events

    def cancel(self) -> None:
        """Ask the job to stop; `Stopped` follows within about a second, as the process is killed if it must be."""
        if not self._busy or self._give_up_at is not None:
            return
        self._give_up_at = time.monotonic() + CANCEL_S
        if self._job is None and self._connection is not None:
            message = json.dumps({"kind": "cancel", "number": self._number}).encode()
            with contextlib.suppress(OSError):
                self._connection.send_bytes(message)

    def close(self) -> None:
        """End the process at once and free its memory; without an event. The next job starts a new one."""
        for connection in (self._connection, self._lifeline):
            if connection is not None:
                connection.close()
        if self._process is not None:
            _kill_tree(self._process)
            remove_folder(self._folder)
        self._process = self._connection = self._lifeline = self._job = self._give_up_at = None
        self._busy = False

    def _start(self) -> None:
        self._folder = make_folder()
        self._address = rf"\\.\pipe\deepsegment-{uuid4().hex}" if os.name == "nt" else str(self._folder / "socket")
        self._key = secrets.token_bytes(32)
        # The key is in a file that only this user can read, and not in the command, which everyone can; not on standard
        # input either, as the launcher that PythonSlicer is need not hand it on.
        start = {"address": self._address, "key": self._key.hex(), "idle_s": self._idle_s}
        (self._folder / START_FILE).write_text(json.dumps(start), encoding="utf-8")
        with (self._folder / _LOG).open("wb") as log:
            self._process = subprocess.Popen(
                [*self._command, str(self._folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=os.name == "posix",
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )

    def _advance(self) -> list[Event]:
        if self._connection is None:
            self._connect()
        if self._job is not None and self._give_up_at is not None:  # not sent yet, so nothing has to stop
            return self._end(Stopped())
        if self._connection is not None:
            self._send_job()
            events = self._receive()
            if not self._busy:
                return events
        else:
            events = []
        if self._process is None or self._process.poll() is not None:
            return events + self._end(self._died())
        if self._give_up_at is not None and time.monotonic() >= self._give_up_at:
            self.close()
            return [*events, Stopped()]
        return events

    def _connect(self) -> None:
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):  # not listening yet
            self._connection = Client(self._address, authkey=self._key)
            # Nothing goes through this one; its end tells the worker, whatever it does, that its owner is gone.
            self._lifeline = Client(self._address, authkey=self._key)

    def _send_job(self) -> None:
        if self._job is not None and self._connection is not None:
            self._connection.send_bytes(self._job)
            self._job = None

    def _receive(self) -> list[Event]:
        events: list[Event] = []
        while self._busy and self._connection is not None and self._connection.poll(0):
            document = json.loads(self._connection.recv_bytes())
            if document["number"] == self._number:
                events += self._take(decode_event(document, self._folder))
        return events

    def _take(self, event: Event) -> list[Event]:
        """An event as the owner gets it: after `cancel` nothing but the end counts."""
        if isinstance(event, Progressed):
            return [] if self._give_up_at is not None else [event]
        ended_by_itself = isinstance(event, Finished | Failed)
        return self._end(Stopped() if ended_by_itself and self._give_up_at is not None else event)

    def _end(self, event: Event) -> list[Event]:
        if isinstance(event, Died):
            if self._give_up_at is not None:
                event = Stopped()
            self.close()
        self._busy, self._job, self._give_up_at = False, None, None
        return [event]

    def _is_cut(self) -> bool:
        """Whether the worker closed the connection, as an idle one does before it ends."""
        try:
            return self._connection is None or bool(self._connection.poll(0))
        except (OSError, EOFError):
            return True

    def _died(self) -> Died:
        """Why the process is gone, from its exit code and the end of its log."""
        code: int | None = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._process.wait(timeout=0.2)
        with contextlib.suppress(OSError):
            lines = (self._folder / _LOG).read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
            return Died(_cause(code, lines))
        return Died(_cause(code, []))


def _cause(code: int | None, log: list[str]) -> str:
    available = available_memory_bytes()
    free = "" if available is None else f" ({available / 1e9:.1f} GB are free now)"
    if code == -getattr(signal, "SIGKILL", 9):
        text = f"The worker was killed, mostly because memory ran out{free}. Close other programs or choose a region."
    elif code is not None and code < 0:
        text = f"The worker crashed ({signal.Signals(-code).name}). Try the device cpu; Diagnose tells what fits."
    else:
        text = f"The worker ended unexpectedly (exit code {code})."
    return "\n".join([text, *log])


def with_library(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with the folder of this library on PYTHONPATH."""
    root = str(Path(DeepSegmentLib.__file__).resolve().parent.parent)
    paths = [root, *(path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path and path != root)]
    return {**environment, "PYTHONPATH": os.pathsep.join(paths)}


def _kill_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all it started, and wait until it is gone."""
    with contextlib.suppress(OSError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            command: list[Any] = ["taskkill", "/T", "/F", "/PID", str(process.pid)]
            flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
            subprocess.run(command, check=False, capture_output=True, creationflags=flags)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=2.0)
