"""What a worker of a cluster does: one case, in a process of its own, as a batch on one machine does it."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from DeepSegmentLib import __version__
from DeepSegmentLib.errors import Cancelled, DeepSegmentError, ModelError
from DeepSegmentLib.files.models import read_spec
from DeepSegmentLib.hosts.worker.batch_jobs import request_from_json, request_to_json
from DeepSegmentLib.hosts.worker.case_runner import HOPELESS, CaseRunner, failed_report, sweep_folders
from DeepSegmentLib.hosts.worker.client import WorkerClient
from DeepSegmentLib.service.batch.plan_cases import Case
from DeepSegmentLib.service.catalogue import find_model

if TYPE_CHECKING:
    from DeepSegmentLib.service.segment import SegmentRequest

_STOP_S = 10.0
"""How long the end of cases is waited for that were told to stop."""

_clients: dict[int, WorkerClient] = {}  # by thread; the process of each keeps its model
_running: dict[int, str] = {}  # the batch that a thread works for
_stopped: set[str] = set()  # batches


def case_message(case: Case, batch: str, seen: Path, *, skip_existing: bool) -> str:
    """What `work_on_worker` takes: JSON of plain values.

    Args:
        case: What to do; its paths become absolute.
        batch: Names the batch, for `stop_cases`.
        seen: A file that is there wherever the folder of results is the same.
        skip_existing: As of `work_case`. A case that may have been written by a worker that is gone is never done
            again unless results are to be replaced.
    """
    entry = find_model(case.request.model)
    by_name = entry.name.casefold() == case.request.model.casefold()
    model = case.request.model if by_name else str(entry.path.absolute())
    return json.dumps(
        {
            "library": __version__,
            "batch": batch,
            "case": case.name,
            "request": request_to_json(case.request) | {"model": model},
            "skip_existing": skip_existing or not case.request.replace,
            "seen": str(seen.absolute()),
            "sha256": read_spec(entry.path).weights_sha256,
        }
    )


def work_on_worker(message: str) -> str:
    """Work the case of a `case_message`; its report as JSON, or the `error` that no other case would escape."""
    document = json.loads(message)
    if document["library"] != __version__:
        return _hopeless(DeepSegmentError(f"{_here()} has DeepSegment {__version__}, not {document['library']}"))
    case, batch = Case(document["case"], request_from_json(document["request"])), document["batch"]
    unseen = _unseen(case.request, Path(document["seen"]))
    if unseen:
        return json.dumps(failed_report(case, unseen))
    thread, begun = threading.get_ident(), time.monotonic()
    _running[thread] = batch
    try:
        _check_model(case.request.model, document["sha256"])
        report = _work(case, _clients.setdefault(thread, WorkerClient()), document)
    except HOPELESS as error:
        return _hopeless(type(error)(f"{_here()}: {error}"))
    finally:
        del _running[thread]
    return json.dumps(report | {"case_seconds": time.monotonic() - begun})


def _work(case: Case, client: WorkerClient, document: dict[str, Any]) -> dict[str, Any]:
    def on_progress(*_: object) -> None:
        if document["batch"] in _stopped:
            raise Cancelled("stopped")

    try:
        return CaseRunner(client).work_alone(case, on_progress, skip_existing=document["skip_existing"])
    except Cancelled:
        client.close()
        sweep_folders((case,))
        return failed_report(case, "stopped", Cancelled.exit_code)


async def stop_cases(batch: str) -> None:
    """Stop what this worker does for a batch, and wait until nothing of it is half-written."""
    _stopped.add(batch)
    for thread in [thread for thread, works_for in _running.items() if works_for == batch]:
        client = _clients.get(thread)
        number = None if client is None else client.process_id
        if number is not None:
            with suppress(OSError):
                os.kill(number, signal.SIGTERM)
    end = time.monotonic() + _STOP_S
    while batch in _running.values() and time.monotonic() < end:
        await asyncio.sleep(0.05)


def _unseen(request: SegmentRequest, seen: Path) -> str:
    """What cannot be seen from here, in words; empty for nothing."""
    for path in (request.source, *request.channels, seen):
        if not os.path.lexists(path):
            what = "the results" if path == seen else path.name
            return (
                f"{what} cannot be seen in {path.parent} by {_here()}; inputs and results must lie in folders that "
                "every worker sees by the same path, such as those of a network drive"
            )
    return ""


def _check_model(name: str, sha256: str) -> None:
    """Refuse another model of the same name: its results would not be those of the others.

    Raises:
        ModelError: It is not there, or is another one.
    """
    if read_spec(find_model(name).path).weights_sha256 != sha256:
        raise ModelError(f"model {name} has other weights there; bring the same one to all machines (models pack)")


def _hopeless(error: DeepSegmentError) -> str:
    return json.dumps({"fatal": type(error).__name__, "message": str(error)})


def _here() -> str:
    return f"the worker on {platform.node()}"
