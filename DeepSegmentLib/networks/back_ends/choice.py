"""Choose what computes a network: the fastest back end that gives the same labels."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import torch

from DeepSegmentLib.data.progress import check_stop
from DeepSegmentLib.imaging.memory import available_memory_bytes, return_freed_memory

from .candidates import EAGER, candidate_named, candidates
from .engine import versions
from .labels import difference, labels_of
from .machine import processor_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from .candidates import Candidate, Precision
    from .engine import Engine
    from .labels import Difference

_WORTH_S = 0.1
"""A pass that takes less is not worth the seconds that compiling takes."""
_HOPELESS = 1.5
"""A back end whose first pass takes so many times as long as the best one gets no second one."""
_ROOM = 8
"""Times the weights and the result: what two back ends at once may take beside torch. Of 31 million weights and a patch
of 96 cubed, 1.9 GB; measured was 0.9."""
_FIRST_PASS_S = 0.5
"""A first pass takes up to so many seconds more than those after it."""
_PASSES = 10
"""So many share the seconds that making a back end takes, which each process does: tiles of a volume of common size."""
_ENOUGH_FOREGROUND = 1000
"""Voxels that labels are compared on before bfloat16 is trusted: one in a thousand must be one at least."""
_MOST_DIFFERING = {"float32": 1e-4, "bfloat16": 1e-3}
"""Of all voxels, and of those of the foreground: what rounding may do, and what is promised of results."""
_SANE = 0.2
"""Of the foreground: bfloat16 that was asked for may differ from float32, but not be another network."""


class _Tried(NamedTuple):
    """A back end that works, and seconds that a pass takes, with its part of what making it took."""

    candidate: Candidate
    run: Callable[[Tensor], Tensor]
    seconds: float


class ChosenBackEnd:
    """Computes a network's body on the CPU by the back end that suits it best on this machine.

    The first patch decides among those of float32, the first one with enough foreground about bfloat16. What is
    decided is kept in the engine's record. Patches of another shape are decided for anew.

    Attributes:
        passed_over: Back ends that were not taken, and why.
    """

    def __init__(
        self,
        body: nn.Module,
        engine: Engine,
        head: Callable[[Tensor], Tensor] | None,
        example: Callable[[Tensor], Tensor] = lambda x: x,
    ) -> None:
        """Take a body, float32 on the CPU, in evaluation mode.

        Args:
            body: See `Body`.
            engine: What is asked for.
            head: Makes logits of one patch's features; None where the body gives logits.
            example: From patches, something to trace the body with.
        """
        self._body, self._engine, self._head, self._example = body, engine, head, example
        self._shape: tuple[int, ...] = ()
        self._best: _Tried | None = None
        self._decided = False
        self.passed_over: dict[str, str] = {}

    @property
    def name(self) -> str:
        """Back end and precision, such as "openvino float32"; empty before the first patch."""
        return "" if self._best is None else str(self._best.candidate)

    def __call__(self, x: Tensor) -> Tensor:
        """Features or logits of patches (batch, channel, ...), float32."""
        if tuple(x.shape) != self._shape:
            self._begin(x)
        if self._best is None:
            return self._compare_float32(x)
        result = self._best.run(x)
        if not self._decided:
            self._compare_bfloat16(x, result)
        return result

    def _begin(self, x: Tensor) -> None:
        """Patches of a new shape: what is known of them, or nothing."""
        self._shape, self._best, self._decided = tuple(x.shape), None, False
        record = self._engine.record
        known = candidate_named(record.known(self._key()) or "") if record else None
        run = None if known is None else self._made(known, x)
        if known is not None and run is not None:
            self._best, self._decided = _Tried(known, run, 0.0), True

    def _made(self, candidate: Candidate, x: Tensor) -> Callable[[Tensor], Tensor] | None:
        try:
            return candidate.make(self._body, x, self._example(x))
        except Exception as error:  # OpenVINO and torch.jit raise anything for a layer they lack
            check_stop()
            self.passed_over[str(candidate)] = f"{type(error).__name__}: {error}"
            return None

    def _compare_float32(self, x: Tensor) -> Tensor:
        result, seconds = _timed(self._body, x)
        self._best = _Tried(EAGER, self._body, seconds)
        if (seconds < _WORTH_S and self._engine.precision != "bfloat16") or not _has_room(self._body, result):
            self._decided = True
            return result
        if self._engine.precision != "bfloat16" or not candidates("bfloat16"):
            self._try_all("float32", x, self._labels(result))
            self._look_again_at_eager(x, seconds)
        self._compare_bfloat16(x, result)
        return result

    def _look_again_at_eager(self, x: Tensor, first: float) -> None:
        """Torch's first pass takes longer than later ones; where that may have decided, it gets another one."""
        if self._best is not None and EAGER is not self._best.candidate and first < self._best.seconds + _FIRST_PASS_S:
            seconds = _timed(self._body, x)[1]
            if seconds < self._best.seconds:
                self._best = _Tried(EAGER, self._body, seconds)

    def _compare_bfloat16(self, x: Tensor, result: Tensor) -> None:
        """Decide, where the labels of a result in float32 tell enough."""
        if self._engine.precision != "float32":
            labels = self._labels(result)
            enough = int((labels > 0).any(0).sum()) >= _ENOUGH_FOREGROUND
            if self._engine.precision == "checked" and not enough:
                return
            self._try_all("bfloat16", x, labels)
        self._decided = True
        return_freed_memory()
        if self._engine.record is not None:
            self._engine.record.keep(self._key(), self.name)

    def _labels(self, result: Tensor) -> Tensor:
        return labels_of(result, self._head, exclusive=self._engine.exclusive)

    def _try_all(self, precision: Precision, x: Tensor, expected: Tensor) -> None:
        """Take the fastest back end of a precision that suits, where it is faster than the best so far."""
        taken = False
        for candidate in candidates(precision):
            tried = None if candidate.is_fallback and taken else self._tried(candidate, x, expected)
            if tried is not None:
                self._best, taken = tried, True

    def _tried(self, candidate: Candidate, x: Tensor, expected: Tensor) -> _Tried | None:
        """The back end with its time, where it works, is faster than the best so far and gives the labels expected."""
        return_freed_memory()  # of the one before, whose arrays are of other sizes
        begun = time.perf_counter()
        run = self._made(candidate, x)
        if run is None or self._best is None:
            return None
        making = (time.perf_counter() - begun) / _PASSES
        try:
            result, first = _timed(run, x)
            seconds = making + (min(first, _timed(run, x)[1]) if self._is_close(making + first) else first)
        except Exception as error:  # as above; out of memory too
            check_stop()
            self.passed_over[str(candidate)] = f"{type(error).__name__}: {error}"
            return None
        reason = self._objection(candidate, seconds, difference(expected, self._labels(result)))
        if reason:
            self.passed_over[str(candidate)] = reason
            return None
        return _Tried(candidate, run, seconds)

    def _is_close(self, first: float) -> bool:
        """Whether a second pass may decide otherwise than the first one."""
        return self._best is not None and self._best.seconds <= first < _HOPELESS * self._best.seconds

    def _objection(self, candidate: Candidate, seconds: float, found: Difference) -> str:
        """Why a back end is not taken; empty where it is."""
        assert self._best is not None  # who tries it
        asked_for = self._engine.precision == "bfloat16" == candidate.precision
        limit = _SANE if asked_for else _MOST_DIFFERING[candidate.precision]
        of = found.voxels if candidate.precision == "float32" else found.foreground
        if found.differing > limit * (max(of, _ENOUGH_FOREGROUND) if asked_for else of):
            return f"{found.differing} of {found.foreground} foreground voxels differ"
        replaces = asked_for and self._best.candidate.precision == "float32"
        if seconds >= self._best.seconds and not replaces:
            return f"{seconds:.3f} s, and {self.name} {self._best.seconds:.3f} s"
        return ""

    def _key(self) -> str:
        """All that the choice depends on."""
        engine, shape = self._engine, "x".join(map(str, self._shape))
        where = f"{processor_name()}, {torch.get_num_threads()} threads"
        return f"{engine.weights_sha256} {shape} {engine.precision}; {where}; {versions()}"


def _has_room(body: nn.Module, result: Tensor) -> bool:
    """Whether there is memory enough to try others; where nobody knows, there is."""
    available = available_memory_bytes()
    needed = _ROOM * sum(each.nbytes for each in (*body.parameters(), result))
    return available is None or available >= needed


def _timed(run: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, float]:
    begun = time.perf_counter()
    result = run(x)
    return result, time.perf_counter() - begun
