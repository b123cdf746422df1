"""The worker process as the panel sees it: submit, be told, cancel."""

import os
import shutil
import sys

import qt

POLL_MS = 50
"""How often a busy worker is asked for news; an idle one is not asked at all."""


def pythonExecutable():
    """The Python that runs the worker: `PythonSlicer` in Slicer, this one elsewhere."""
    return shutil.which("PythonSlicer") or sys.executable


class JobRunner:
    """Sends jobs to the worker process and hands its events to a function, all in the main thread.

    No thread is used: Python threads do not run while Slicer waits for its user.
    """

    def __init__(self):
        from DeepSegmentLib.hosts.worker.client import (
            WorkerClient,
        )  # now and not at the first click, which must be quick

        command = [pythonExecutable(), "-m", "DeepSegmentLib.hosts.worker"]
        self._client, self._onEvent = WorkerClient(command, environment=dict(os.environ)), None
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MS)
        self._timer.connect("timeout()", self._poll)

    @property
    def busy(self):
        """Whether a job is under way."""
        return self._client.busy

    @property
    def processID(self):
        """Number of the worker process, or None."""
        return self._client.process_id

    def submit(self, job, onEvent):
        """Start a job; its events go to `onEvent`, the last of them is Finished, Failed, Stopped or Died.

        Raises:
            InvalidInputError: Another job is under way.
            ResourceError: There is no room for the volume.
        """
        self._client.submit(job)
        self._onEvent = onEvent
        self._timer.start()

    def cancel(self, patience=None):
        """Ask the job to stop; `Stopped` follows within about a second.

        Args:
            patience: Seconds that it may take to stop by itself; None for those of `WorkerClient.cancel`.
        """
        self._client.cancel(*(() if patience is None else (patience,)))

    def close(self):
        """End the process and free its memory, without an event; the next job starts it anew."""
        self._timer.stop()
        self._client.close()

    def _poll(self):
        for event in self._client.poll():
            self._onEvent(event)
        if not self._client.busy:
            self._timer.stop()
