"""OpenVINO, where it is installed: a network traced by torch, converted in memory and compiled for one shape.

Never by `openvino.convert_model`, which goes through OpenVINO's telemetry: nothing is sent from here.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from DeepSegmentLib.data.progress import check_stop, waited_for

from .body import drop_idle_biases, sharing_copy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_WAIT_MS = 20
_EDGES = (8, 6, 4, 2, 3, 5, 7)
"""Of the blocks that are averaged before the whole is, longest first where it divides an axis."""
_FEW_VOXELS = 4096
"""So many are averaged at once without losing digits."""


def openvino_graph(body: nn.Module, x: Tensor, dtype: torch.dtype, example: Tensor) -> Callable[[Tensor], Tensor]:
    """What computes a body by OpenVINO for patches of the shape of one; takes and gives float32.

    Args:
        body: What to compute.
        x: Patches (batch, channel, ...).
        dtype: float32 or bfloat16.
        example: A patch to trace with: small where the layers are the same for any extent.

    Raises:
        RuntimeError: A layer has no counterpart in OpenVINO.
    """
    import openvino

    model = _converted(body, example)
    model.reshape(list(x.shape))
    if dtype == torch.float32:
        _with_exact_norms(model)
    kind = "f32" if dtype == torch.float32 else "bf16"
    hints = {"INFERENCE_PRECISION_HINT": kind, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = waited_for(partial(openvino.Core().compile_model, model, "CPU", hints))
    request = compiled.create_infer_request()
    shape = tuple(request.get_output_tensor(0).shape)

    def run(patches: Tensor) -> Tensor:
        # A new array each time, which OpenVINO fills: its own one would change with the next patch.
        out = torch.empty(shape, dtype=torch.float32)
        request.set_output_tensor(0, openvino.Tensor(out.numpy(), shared_memory=True))
        given = np.ascontiguousarray(patches.numpy())
        request.start_async([given], share_inputs=True)
        _wait_for(request)
        return out

    return run


def _wait_for(request: Any) -> None:
    """Wait until a request is done, or end it where the work shall stop."""
    try:
        while not request.wait_for(_WAIT_MS):
            check_stop()
    except BaseException:
        request.cancel()
        with contextlib.suppress(RuntimeError):  # "was cancelled"
            request.wait()  # no longer: it writes into arrays that are free after this
        raise


def _converted(body: nn.Module, example: Tensor) -> Any:
    """The traced body as OpenVINO's graph."""
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    module = sharing_copy(body)
    drop_idle_biases(module)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of Python's numbers in a trace; results are compared anyway
        traced = torch.jit.trace(module, example, check_trace=False)  # type: ignore[no-untyped-call]
        decoder = TorchScriptPythonDecoder(traced)
        reader = FrontEndManager().load_by_framework("pytorch")
        graph = reader.convert(reader.load(decoder))
        del decoder  # no sooner: the graph is read from it
    return graph


def _with_exact_norms(model: Any) -> None:
    """Instance norms by averages of blocks: OpenVINO's own adds up all voxels in a row, and loses digits."""
    for node in model.get_ordered_ops():
        if node.get_type_name() == "MVN":
            source = node.input(0).get_source_output()
            shape = [int(n) for n in source.get_shape()]
            if len(shape) in (4, 5):
                exact = _norm(source, shape[2:], node.get_attributes()["eps"])
                for target in node.output(0).get_target_inputs():
                    target.replace_source_output(exact.output(0))


def _norm(source: Any, extent: Sequence[int], eps: float) -> Any:
    from openvino import opset8 as ops

    far = ops.subtract(source, _mean(source, extent))
    variance = _mean(ops.multiply(far, far), extent)
    return ops.multiply(far, ops.divide(np.float32(1), ops.sqrt(ops.add(variance, np.float32(eps)))))


def _mean(source: Any, extent: Sequence[int]) -> Any:
    from openvino import opset8 as ops

    if math.prod(extent) > _FEW_VOXELS:
        edges = [next((edge for edge in _EDGES if n % edge == 0), 1) for n in extent]
        nothing = [0] * len(extent)
        source = ops.avg_pool(source, edges, nothing, nothing, edges, exclude_pad=False)
    return ops.reduce_mean(source, np.arange(2, 2 + len(extent)), keep_dims=True)
