"""OpenVINO, where it is installed: a network traced by torch, converted in memory and compiled for one shape.

Never by `openvino.convert_model`, which goes through OpenVINO's telemetry: nothing is sent from here.
"""

from __future__ import annotations

import contextlib
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from DeepSegmentLib.data.progress import check_stop, waited_for

from .body import drop_idle_biases, sharing_copy
from .machine import openvino_core
from .openvino_norms import with_exact_norms
from .openvino_products import with_products_of_parts

if TYPE_CHECKING:
    from collections.abc import Callable

Arithmetic = Literal["float32", "bfloat16", "bfloat16x3", "bfloat16x3-finest"]
"""What convolutions are computed in: one type, or float32 from products of bfloat16; the latter in all of the network,
or where it has the full extent, with bfloat16 below."""
_WAIT_MS = 20


def openvino_graph(body: nn.Module, x: Tensor, arithmetic: Arithmetic, example: Tensor) -> Callable[[Tensor], Tensor]:
    """What computes a body by OpenVINO for patches of the shape of one; float32 in, float32 with channels last out.

    Args:
        body: What to compute.
        x: Patches (batch, channel, ...).
        arithmetic: What its convolutions are computed in.
        example: A patch to trace with: small where the layers are the same for any extent.

    Raises:
        RuntimeError: A layer has no counterpart in OpenVINO.
    """
    import openvino

    model = _converted(body, example)
    model.reshape(list(x.shape))
    if arithmetic != "bfloat16":
        with_exact_norms(model)
    if arithmetic in ("bfloat16x3", "bfloat16x3-finest"):
        finest = tuple(x.shape[2:]) if arithmetic == "bfloat16x3-finest" else None
        with_products_of_parts(model, finest)
    _put_channels_last(model)
    kind = "f32" if arithmetic == "float32" else "bf16"
    hints = {"INFERENCE_PRECISION_HINT": kind, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = waited_for(partial(openvino_core().compile_model, model, "CPU", hints))
    request = compiled.create_infer_request()
    shape = tuple(request.get_output_tensor(0).shape)

    def run(patches: Tensor) -> Tensor:
        # A new array each time, which OpenVINO fills: its own one would change with the next patch.
        out = torch.empty(shape, dtype=torch.float32)
        request.set_output_tensor(0, openvino.Tensor(out.numpy(), shared_memory=True))
        given = np.ascontiguousarray(patches.numpy())
        request.start_async([given], share_inputs=True)
        _wait_for(request)
        return out.movedim(-1, 1)

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


def _put_channels_last(model: Any) -> None:
    """Give the result as (batch, ..., channel), as it is in memory anyway, instead of turning it round."""
    from openvino import opset8 as ops

    result = model.get_results()[0]
    axes = [0, *range(2, len(result.get_output_shape(0))), 1]
    result.input(0).replace_source_output(ops.transpose(result.input_value(0), np.array(axes)).output(0))
    model.validate_nodes_and_infer_types()
