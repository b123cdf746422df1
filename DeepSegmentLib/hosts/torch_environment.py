"""What torch's libraries and the C library are told before torch is loaded and threads begin."""

from __future__ import annotations

import os

from DeepSegmentLib.imaging.memory import use_one_heap

_WORDS = {
    # Threads that wait for others spin for some microseconds only, then let go of the processor: with other programs
    # running, or with OpenVINO's own threads, they would hold up what they wait for. GNU's OpenMP; LLVM's and Intel's.
    "GOMP_SPINCOUNT": "20000",
    "KMP_BLOCKTIME": "1",
    # Large arrays lie in large pages, where Linux has them: a fresh one costs a third of the time.
    "THP_MEM_ALLOC_ENABLE": "1",
    # Operations that Apple's GPUs lack run on the CPU, one by one.
    "PYTORCH_ENABLE_MPS_FALLBACK": "1",
}


def prepare_for_torch() -> None:
    """Set what the user has not set; for processes of our own, before torch is imported."""
    for name, word in _WORDS.items():
        os.environ.setdefault(name, word)
    use_one_heap()
