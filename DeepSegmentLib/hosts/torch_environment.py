"""What torch's libraries are told by environment variables, before they are loaded."""

from __future__ import annotations

import os

_WORDS = {
    # Threads that wait for others let go of the processor instead of spinning: with other programs running, a run takes
    # half the time.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Operations that Apple's GPUs lack run on the CPU, one by one.
    "PYTORCH_ENABLE_MPS_FALLBACK": "1",
}


def prepare_for_torch() -> None:
    """Set what the user has not set; for processes of our own, before torch is imported."""
    for name, word in _WORDS.items():
        os.environ.setdefault(name, word)
