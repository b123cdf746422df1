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


class Worker:
    """Sends jobs to the worker process and hands its events to a function, all in the main thread.

    No thread is used: Python threads do not run while Slicer waits for its user.
    """

    def __init__(self, onEvent, environment=None):
        from DeepSegmentLib.hosts.worker.client import WorkerClient

        self._onEvent = onEvent
        command = [pythonExecutable(), "-m", "DeepSegmentLib.hosts.worker"]
        self._client = WorkerClient(command, environment={**os.environ, **(environment or {})})
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MS)
        self._timer.connect("timeout()", self._poll)

    @property
    def busy(self):
        """Whether a job is under way."""
        return self._client.busy

    def submit(self, job):
        """Start a job; events follow."""
        self._client.submit(job)
        self._timer.start()

    def cancel(self):
        """Ask the job to stop; `Stopped` follows within about a second."""
        self._client.cancel()

    def close(self):
        """End the process and free its memory; the next job starts it anew."""
        self._timer.stop()
        self._client.close()

    def _poll(self):
        for event in self._client.poll():
            self._onEvent(event)
        if not self._client.busy:
            self._timer.stop()
