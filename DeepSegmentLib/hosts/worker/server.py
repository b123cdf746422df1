"""The worker process: one job at a time, the last model kept warm."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import traceback
from dataclasses import replace
from multiprocessing import AuthenticationError
from multiprocessing.connection import Listener, answer_challenge, deliver_challenge
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NoReturn

from DeepSegmentLib.errors import Cancelled, DeepSegmentError, ResourceError

from .arrays import remove_arrays, remove_folder
from .messages import (
    Failed,
    FilesJob,
    FilesResult,
    Finished,
    Progressed,
    SegmentJob,
    SegmentResult,
    Stopped,
    decode_job,
    encode_event,
)

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from DeepSegmentLib.data import Progress
    from DeepSegmentLib.service.warm import WarmModels

    from .messages import Event, Job

# Progress that the owner has not read stays in the connection's buffer, which holds some two hundred messages.
_SAY_EVERY_S = 0.1


def main() -> int:
    """Read what the owner says on standard input, serve it, and end with it."""
    line = b"" if os.isatty(0) else _read_line()
    if not line:
        sys.stderr.write("the worker is started by DeepSegment itself; the command for people is deepsegment\n")
        return 2
    return _serve(**json.loads(line))


def _serve(address: str, key: str, folder: str, idle_s: float) -> NoReturn:
    place = Path(folder)
    threading.Thread(target=_end_with_owner, args=(place,), daemon=True).start()
    _stand_back()
    listener = Listener(address)
    with contextlib.suppress(Empty):
        connection = _admit(listener, bytes.fromhex(key), idle_s)
        listener.close()
        Worker(connection, place).serve(idle_s)
    _leave(place)


def _read_line() -> bytes:
    """One line of standard input, past Python's buffer, which is not to be shared with the thread that waits there."""
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(0, 1)
        if not part:
            return b""
        line += part
    return line


def _end_with_owner(folder: Path) -> None:
    """Wait until the owner's end of standard input is closed: it is gone, however it went."""
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    _leave(folder)


def _leave(folder: Path) -> NoReturn:
    """End at once, whatever other threads do, and leave nothing behind."""
    remove_folder(folder)
    os._exit(0)


def _stand_back() -> None:
    """Let the owner go first: on the processors, and in staying alive when Linux runs out of memory."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("800", encoding="ascii")
    if hasattr(os, "nice"):
        os.nice(5)


def _admit(listener: Listener, key: bytes, patience_s: float) -> Connection:
    """The first connection that knows the key; each is asked by a thread, as a silent one must not keep others out.

    Raises:
        queue.Empty: None came in time.
    """
    admitted: SimpleQueue[Connection] = SimpleQueue()

    def ask(connection: Connection) -> None:
        try:
            deliver_challenge(connection, key)
            answer_challenge(connection, key)
        except (AuthenticationError, EOFError, OSError) as error:
            sys.stderr.write(f"refused a connection: {error!r}\n")
            connection.close()
        else:
            admitted.put(connection)

    def listen() -> None:
        while True:
            try:
                threading.Thread(target=ask, args=(listener.accept(),), daemon=True).start()
            except OSError:  # the visitor left at once, or the listener was closed
                time.sleep(0.01)

    threading.Thread(target=listen, daemon=True).start()
    return admitted.get(timeout=max(1.0, patience_s))


class _Channel:
    """Sends the events of one job and looks for the wish to stop it.

    Args:
        connection: To the owner.
        folder: Where arrays go.
        number: Of the job.
    """

    def __init__(self, connection: Connection, folder: Path, number: int) -> None:
        self._connection, self._folder, self._number = connection, folder, number
        self._stage, self._said = "", 0.0

    def send(self, event: Event) -> None:
        """Tell the owner; waits where it has not read what was said before."""
        self._connection.send_bytes(encode_event(event, self._number, self._folder))

    def on_progress(self, progress: Progress) -> None:
        """Tell the owner, though not more often than it looks.

        Raises:
            Cancelled: The owner wants the job to stop.
        """
        now = time.monotonic()
        if progress.stage != self._stage or now - self._said >= _SAY_EVERY_S:
            self.send(Progressed(progress))
            self._stage, self._said = progress.stage, now
        while self._connection.poll(0):
            message = json.loads(self._connection.recv_bytes())
            if message["kind"] == "cancel" and message["number"] == self._number:
                raise Cancelled("stopped")


class Worker:
    """Serves one owner.

    Args:
        connection: To the owner.
        folder: Where arrays go.
    """

    def __init__(self, connection: Connection, folder: Path) -> None:
        self._connection, self._folder = connection, folder
        self._models: WarmModels | None = None

    def serve(self, idle_s: float) -> None:
        """Work until the owner is gone, or has had nothing to do for `idle_s` seconds."""
        try:
            while self._connection.poll(idle_s):
                message = json.loads(self._connection.recv_bytes())
                if message["kind"] != "cancel":  # of a job that ended meanwhile
                    self._work(message)
        except (EOFError, ConnectionError):
            return

    def _work(self, message: dict[str, Any]) -> None:
        channel = _Channel(self._connection, self._folder, message["number"])
        try:
            channel.send(self._run(decode_job(message, self._folder), channel))
        except (EOFError, ConnectionError):
            raise
        except Cancelled:
            channel.send(Stopped())
        except DeepSegmentError as error:
            self._fail(channel, error)
        except MemoryError:
            self._fail(channel, ResourceError("memory ran out; close other programs, or segment a smaller region"))
        except Exception as error:
            traceback.print_exc()
            self._fail(channel, DeepSegmentError(f"this is a fault of DeepSegment, please report it: {error!r}"))

    def _fail(self, channel: _Channel, error: DeepSegmentError) -> None:
        remove_arrays(self._folder)  # those of a result that is told in part only
        channel.send(Failed(error))

    def _run(self, job: Job, channel: _Channel) -> Event:
        # The library's heavy parts are imported by the first job, so that a worker answers as soon as it is there.
        from DeepSegmentLib.service.warm import WarmModels

        self._models = self._models or WarmModels()
        run = _segment if isinstance(job, SegmentJob) else _segment_files
        return Finished(run(job, self._models, channel))  # type: ignore[arg-type]


def _segment(job: SegmentJob, models: WarmModels, channel: _Channel) -> SegmentResult:
    from DeepSegmentLib.segmentation.review import most_uncertain_places
    from DeepSegmentLib.service.segmenting import provenance, run_report, segment_volume

    run = segment_volume(
        job.volume,
        job.model,
        device=job.device,
        settings=job.settings,
        on_progress=channel.on_progress,
        load=models.load,
    )
    prediction = run.prediction
    uncertain = prediction.uncertainty
    return SegmentResult(
        prediction.label_map,
        prediction.probabilities,
        uncertain,
        [] if uncertain is None else most_uncertain_places(uncertain).points_ras,
        provenance(run, job.settings),
        run_report(run),
    )


def _segment_files(job: FilesJob, models: WarmModels, channel: _Channel) -> FilesResult:
    from DeepSegmentLib.service.requests import plan_requests
    from DeepSegmentLib.service.segmenting import SegmentRequest, segment_folder

    target = Path(job.target)
    request = SegmentRequest(Path(job.source), target, job.model, job.device, job.settings, report=target)
    planned = plan_requests(request)
    requests = [replace(request, report=None)] if planned == [request] else planned
    return FilesResult(segment_folder(requests, channel.on_progress, skip_existing=job.skip_existing, load=models.load))
