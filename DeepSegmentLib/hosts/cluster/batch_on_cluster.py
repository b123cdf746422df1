"""The cases of a batch as tasks of a Dask cluster: none lost where a worker is, none done twice."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from DeepSegmentLib import errors
from DeepSegmentLib.errors import DeepSegmentError, InvalidInputError, MissingPackageError, ResourceError
from DeepSegmentLib.hosts.worker.batch_jobs import request_to_json
from DeepSegmentLib.hosts.worker.case_runner import failed_report

from .case_task import case_message, stop_cases, work_on_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from distributed import Client, Future

    from DeepSegmentLib.service.batch.plan_cases import Case

_CONNECT_S = 15.0
_WORKERS_S = 60.0
"""How long the first worker is waited for: clusters that grow by need start some."""

_LOST = 1  # exit code of a case whose workers ended


class ClusterBatch:
    """Works cases on the workers of a scheduler. Use as a context: at its end nothing of the batch runs any more.

    Args:
        address: Of the scheduler, such as `tcp://host:8786`.
        seen: A file in the folder of results, by which workers know that they see the same folder.

    Raises:
        MissingPackageError: Dask is not installed here.
        InvalidInputError: The address is none.
        ResourceError: No scheduler answers there.
    """

    def __init__(self, address: str, seen: Path) -> None:
        self._address, self._seen, self._batch = address, seen, uuid4().hex
        self._client = _connect(address)
        self._futures: dict[Future[str], int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(Exception):  # such as where the scheduler is gone; it is the end in any case
            if self._futures:
                self._client.cancel(list(self._futures), force=True)
                self._client.run(stop_cases, self._batch, on_error="ignore")
        self._client.close()

    def work(
        self, cases: Sequence[Case], on_count: Callable[[int, float], None], *, skip_existing: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Work cases; the report of each, in their order.

        Args:
            cases: Which.
            on_count: Told how many have ended, in how many seconds.
            skip_existing: As of `work_case`.

        Raises:
            DeepSegmentError: The model cannot be run, or workers have another release of the library.
            ResourceError: There is no worker, or the scheduler is gone.
        """
        from distributed import as_completed

        begun, ended = time.monotonic(), 0
        on_count(0, 0.0)
        for number, case in enumerate(cases):
            self._submit(number, case, skip_existing=skip_existing)
        self._wait_for_workers()
        waiting: dict[int, dict[str, Any]] = {}  # for cases before them
        for ready, future in enumerate(as_completed(list(self._futures), loop=self._client.loop), 1):
            number = self._futures.pop(future)
            waiting[number] = self._report(cases[number], future)
            on_count(ready, time.monotonic() - begun)
            while ended in waiting:
                yield waiting.pop(ended)
                ended += 1

    def _submit(self, number: int, case: Case, *, skip_existing: bool) -> None:
        """Make a case a task whose key is the case: while it is known, the same is not done twice."""
        message = case_message(case, self._batch, self._seen, skip_existing=skip_existing)
        request = json.dumps(request_to_json(case.request)).encode()
        key = f"deepsegment-{hashlib.sha256(request).hexdigest()}"
        self._futures[self._client.submit(work_on_worker, message, key=key, pure=False)] = number

    def _wait_for_workers(self) -> None:
        try:
            self._client.wait_for_workers(1, timeout=_WORKERS_S)
        except TimeoutError as error:
            raise ResourceError(
                f"the scheduler at {self._address} has no worker; start some: dask worker {self._address}"
            ) from error

    def _report(self, case: Case, future: Future[str]) -> dict[str, Any]:
        from distributed import KilledWorker

        if future.status == "cancelled":
            raise ResourceError(
                f"the scheduler at {self._address} is gone; start it again, --skip-existing goes on from there"
            )
        error = future.exception()
        if isinstance(error, KilledWorker):
            return failed_report(case, "every worker that it was given to ended, one after the other", _LOST)
        if error is not None:
            raise DeepSegmentError(
                f"the workers of {self._address} cannot run DeepSegment ({type(error).__name__}: {error}); install the "
                "same release there as here"
            )
        answer: dict[str, Any] = json.loads(future.result())
        if "fatal" in answer:
            raise getattr(errors, answer["fatal"])(answer["message"])
        return answer


def _connect(address: str) -> Client:
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingPackageError(
            "working on several machines needs Dask; install it: pip install 'distributed>=2024.8'"
        ) from error
    try:
        return Client(address, timeout=_CONNECT_S, set_as_default=False)
    except ValueError as error:
        raise InvalidInputError(
            f"{address!r} is no address of a scheduler ({error}); tcp://host:8786 is one"
        ) from error
    except OSError as error:
        raise ResourceError(
            f"no scheduler answers at {address}; start one: dask scheduler, and give the address that it tells"
        ) from error
