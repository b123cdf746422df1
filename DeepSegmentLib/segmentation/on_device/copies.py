"""The copies of a network, each of which works by itself: a thread for each device."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from DeepSegmentLib.networks.runtime import Network

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Copies(Generic[Question, Answer]):
    """Asks the copies of a network, the least busy one each time.

    A single one on a processor is asked in the thread that wants the answer, as there is nothing else to compute with.
    To be used in a `with` statement, at whose end what was not begun is forgotten and what was begun is waited for.
    """

    def __init__(self, copies: Sequence[Network], work: Callable[[Network, Question], Answer]) -> None:
        """Take one copy or more, and what to do with one for an answer."""
        self._work = work
        self._at_once = len(copies) > 1 or copies[0].device.type == "cuda"
        self._threads = {copy: ThreadPoolExecutor(1, f"tiles on {copy.device}") for copy in copies}
        self._asked: dict[Network, list[Future[Answer]]] = {copy: [] for copy in copies}

    @property
    def most_asked(self) -> int:
        """Questions to have open: one for each copy and one more, so that none is idle while answers are looked at."""
        return len(self._asked) + self._at_once

    def ask(self, question: Question) -> tuple[Network, Callable[[], Answer]]:
        """The copy that works at it, and what waits for the answer or raises what went wrong; to be called once."""
        if not self._at_once:
            (copy,) = self._asked
            return copy, partial(self._work, copy, question)
        for answers in self._asked.values():
            answers[:] = [answer for answer in answers if not answer.done()]
        copy = min(self._asked, key=lambda each: len(self._asked[each]))
        answer = self._threads[copy].submit(self._work, copy, question)
        self._asked[copy] = [*self._asked.pop(copy), answer]  # at the end: of equals, the one asked longest ago is next
        return copy, answer.result

    def leave_out(self, copy: Network) -> bool:
        """Ask this one no more; whether there are others."""
        others = [each for each in self._asked if each is not copy]
        if others:
            self._asked.pop(copy, None)
        return bool(others)

    def __contains__(self, copy: Network) -> bool:
        return copy in self._asked

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads.values():
            thread.shutdown(cancel_futures=True)
