"""Places within a pass of a network where it can be stopped: before each layer.

On a CPU a pass of a large patch takes seconds. OpenVINO and onnxruntime have means of their own; a TorchScript graph
goes on to the end of its pass.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch.nn.modules.module import register_module_forward_pre_hook

from DeepSegmentLib.data.progress import check_stop

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def stops_at_layers() -> Iterator[None]:
    """While the block lasts, `check_stop` is called before each layer.

    By a hook for all modules, since those of single ones are in the way of tracing; other threads are not asked.
    """
    handle = register_module_forward_pre_hook(_ask)
    try:
        yield
    finally:
        handle.remove()


def _ask(_: Any, __: Any) -> None:
    check_stop()
