"""Processes that train together: each with its part of every batch, one that decides for all.

Each process has the whole network. Gradients are averaged, and what the loss sums up over a batch is summed up over all
parts of it: a step is that of one process with the whole batch, up to rounding. Only running statistics of batch norms
are those of the first process. It alone decides when to end, and writes; the others follow it.

References:
    Li et al., PyTorch Distributed: Experiences on Accelerating Data Parallel Training, VLDB 2020.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from DeepSegmentLib.errors import Cancelled, InvalidInputError, ResourceError

from .launch import launch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch.distributed.distributed_c10d import Store

Result = TypeVar("Result")

_PATIENCE = timedelta(days=7)  # the first one may prepare cases for long; that one is gone shows at once
_GO_ON, _END, _STOP = 0.0, 1.0, 2.0


@contextmanager
def joined() -> Iterator[None]:
    """While the block lasts, this process trains with those that it was launched with; alone where there is none.

    Raises:
        InvalidInputError: The environment of the launcher is not complete.
        ResourceError: The others cannot be reached.
    """
    if launch().count == 1:
        yield
        return
    on_gpu = own_device().type == "cuda"
    if on_gpu:
        torch.cuda.set_device(own_device())
    with _in_touch():
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
            store=_meeting_place(),
            rank=launch().rank,
            world_size=launch().count,
            timeout=_PATIENCE,
        )
    try:
        yield
    finally:
        distributed.destroy_process_group()


def _meeting_place() -> Store:
    """Where the processes find each other; apart from that of those before, where the launcher begins them again."""
    from torch.distributed.distributed_c10d import PrefixStore  # not in every build of torch
    from torch.distributed.rendezvous import rendezvous

    try:
        store: Store = next(rendezvous("env://"))[0]
    except ValueError as error:
        raise InvalidInputError(f"the processes do not find each other: {error}") from error
    return PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)


def count() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if _is_joined() else 1


def rank() -> int:
    """The number of this one, from 0."""
    return distributed.get_rank() if _is_joined() else 0


def own_device() -> torch.device:
    """Where this process trains: on a GPU of its own (CUDA), or on the processor where there are fewer."""
    place = launch().local_rank
    return torch.device("cuda", place) if place < torch.cuda.device_count() else torch.device("cpu")


def share_of(batch_size: int, processes: int) -> int:
    """The samples of a batch that are those of one of so many processes.

    Raises:
        InvalidInputError: They cannot share it evenly.
    """
    if batch_size % processes:
        raise InvalidInputError(
            f"{processes} processes cannot share batches of {batch_size} evenly; make batch_size in the recipe a "
            f"multiple of {processes}, or launch another number of processes"
        )
    return batch_size // processes


def by_the_first(work: Callable[[], Result]) -> Result:
    """What the first process makes of some work, told to all, which wait for it.

    Raises:
        Cancelled: In the others, where it did not succeed; the first one raises the error itself.
    """
    if count() == 1:
        return work()
    if rank() == 0:
        try:
            result = work()
        except BaseException:
            _tell([False, None])
            raise
        _tell([True, result])
        return result
    succeeded, told = _tell([False, None])
    if not succeeded:
        raise _follow()
    return told  # type: ignore[no-any-return]


class Lead:
    """What the first process says before each step, for all to make the same ones."""

    def __init__(self) -> None:
        self._others_wait = count() > 1

    def goes_on(self, *, over: bool, seconds: float) -> tuple[bool, float]:
        """Whether there is another step, and the seconds that all steps took so far: what the first process has.

        Raises:
            Cancelled: In the others, where the first one stopped.
        """
        if not self._others_wait:
            return not over, seconds
        word, seconds = self._say(_END if over else _GO_ON, seconds)
        if word == _STOP:
            raise _follow()
        return word == _GO_ON, seconds

    def stop(self) -> None:
        """Let the others stop, too, between two steps; says nothing where they wait for no word."""
        if self._others_wait and rank() == 0:
            self._say(_STOP, 0.0)

    def _say(self, word: float, seconds: float) -> tuple[float, float]:
        message = torch.tensor([word, seconds], dtype=torch.float64)
        with _in_touch():
            distributed.broadcast(message, 0)
        word, seconds = message.tolist()
        self._others_wait = word == _GO_ON
        return word, seconds


def begin_alike(networks: list[nn.Module], iteration: int) -> None:
    """Let all begin with the weights of the first process.

    Raises:
        InvalidInputError: Not all have read the same checkpoint.
    """
    if count() == 1:
        return
    if iteration != by_the_first(lambda: iteration):
        raise InvalidInputError(
            "the processes do not see the same checkpoint; all machines need the folder of the project at the same path"
        )
    with _in_touch(), torch.no_grad():
        for values in (each for network in networks for each in network.state_dict().values()):
            whole = values.contiguous()
            distributed.broadcast(whole, 0)
            values.copy_(whole)


def average_gradients(network: nn.Module) -> None:
    """Where several processes train together, all make the same step."""
    if count() == 1:
        return
    for parameter in network.parameters():
        if parameter.grad is not None:
            parameter.grad = _over_all(parameter.grad) / count()


def summed(values: Tensor) -> Tensor:
    """The sum of the values that all processes have; gradients are those of the loss that all compute from it."""
    return values if count() == 1 else _Summed.apply(values)  # type: ignore[no-untyped-call]


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        return _over_all(values)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return gradient * count()  # the sum of what all have, which is the same; the average follows


def _over_all(values: Tensor) -> Tensor:
    total = values.contiguous().clone()
    with _in_touch():
        distributed.all_reduce(total)
    return total


def _tell(message: list[Any]) -> list[Any]:
    with _in_touch():
        distributed.broadcast_object_list(message, 0)
    return message


def _is_joined() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def _follow() -> Cancelled:
    return Cancelled("stopped, as the first of the processes that train together has")


@contextmanager
def _in_touch() -> Iterator[None]:
    """What torch says of a connection, in words."""
    try:
        yield
    except RuntimeError as error:
        first = [*str(error).strip().splitlines(), type(error).__name__][0].rpartition("] ")[2]
        raise ResourceError(
            f"the connection to the other processes of this training is broken ({first[:200]}); begin "
            "it again, it goes on"
        ) from error
