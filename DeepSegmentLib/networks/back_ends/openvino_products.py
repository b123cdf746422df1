"""Convolutions in float32 from products of bfloat16, which processors with matrix units compute many times faster.

A float32 number is a bfloat16 and a rest, of which a second bfloat16 keeps eight more digits. Of the four products of
two such sums the one of both rests is below what float32 keeps; the others are three convolutions, added in float32.

References:
    Henry, Tang, Heinecke, Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision Computations,
    ARITH 2019.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .machine import openvino_core
from .openvino_norms import negative

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FEW_CHANNELS = 8
"""Convolutions of fewer are quick in float32."""
_LARGEST = float(np.finfo(np.float32).max)
# A graph with one node whose precision OpenVINO is to leave alone: its Python has no other way to say so.
_MARKED_GRAPH = """<net name="marked" version="11"><layers>
<layer id="0" name="in" type="Parameter" version="opset1"><data shape="1" element_type="f32"/>
<output><port id="0" precision="FP32"><dim>1</dim></port></output></layer>
<layer id="1" name="marked" type="ReLU" version="opset1"><rt_info><attribute name="precise" version="0"/></rt_info>
<input><port id="0" precision="FP32"><dim>1</dim></port></input>
<output><port id="1" precision="FP32"><dim>1</dim></port></output></layer>
<layer id="2" name="out" type="Result" version="opset1">
<input><port id="0" precision="FP32"><dim>1</dim></port></input></layer></layers>
<edges><edge from-layer="0" from-port="0" to-layer="1" to-port="0"/>
<edge from-layer="1" from-port="1" to-layer="2" to-port="0"/></edges></net>"""


def with_products_of_parts(model: Any, finest: tuple[int, ...] | None = None) -> None:
    """Change a graph in float32 so that, compiled with bfloat16 as hint, its convolutions are products of bfloat16.

    All else stays in float32, and so does what is added up. OpenVINO rewrites some layers when it compiles, and forgets
    that they are to stay: pools are rewritten here before, others (batch and group norms) are rounded after all.

    Args:
        model: OpenVINO's graph.
        finest: Extent (k, j, i) of what is computed from all three products; what gives another one is computed from
            rounded numbers alone. None for all.
    """
    for node in model.get_ordered_ops():
        if node.get_type_name() in ("AvgPool", "MaxPool"):
            _replace_pool(node)
    rests: dict[tuple[int, int], Any] = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Convolution" and _is_worth(node):
            extent = tuple(int(n) for n in node.get_output_shape(0))[2:]
            exact = finest is None or extent == finest
            node.output(0).replace(_products(node, rests if exact else None).output(0))
    for node in model.get_ordered_ops():
        if not _is_rounded(node):
            _keep_precision(node)


def _replace_pool(node: Any) -> None:
    """By one in the form that OpenVINO computes, where it has that form."""
    from openvino import opset1 as ops

    how = node.get_attributes()
    if how["rounding_type"] in ("floor", "ceil") and set(how.get("dilations", [1])) == {1}:
        source, options = node.input_value(0), [how[name] for name in ("strides", "pads_begin", "pads_end", "kernel")]
        if node.get_type_name() == "MaxPool":
            pool = ops.max_pool(source, *options, how["rounding_type"], how["auto_pad"])
        else:
            pool = ops.avg_pool(source, *options, how["exclude-pad"], how["rounding_type"], how["auto_pad"])
        node.output(0).replace(pool.output(0))


def _is_worth(node: Any) -> bool:
    weight = node.input_value(1).get_node()
    return bool(weight.get_type_name() == "Constant" and weight.get_output_shape(0)[1] >= _FEW_CHANNELS)


def _products(node: Any, rests: dict[tuple[int, int], Any] | None) -> Any:
    """What a convolution gives, in float32; of rounded numbers alone where rests are not asked for."""
    from openvino import op
    from openvino import opset8 as ops

    source, weight = node.input_value(0), node.input_value(1).get_node().get_data()
    how = node.get_attributes()
    options = [how[name] for name in ("strides", "pads_begin", "pads_end", "dilations")]

    def product(left: Any, right: Any) -> Any:
        return ops.convolution(left, right, *options)

    def in_float32(result: Any) -> Any:
        """A convolution gives the type of what it is fused with, and nothing is changed by this."""
        return ops.clamp(result, -_LARGEST, _LARGEST)

    def constant(numbers: NDArray[np.float32]) -> Any:
        return op.Constant(numbers, shared_memory=False)  # `ops.constant` makes a list of all numbers

    if rests is None:
        return in_float32(product(source, constant(weight)))
    rounded, rest = map(constant, parts(weight))
    small = in_float32(product(_rest(source, rests), rounded))
    return ops.add(product(source, rounded), ops.add(product(source, rest), small))


def parts(array: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What bfloat16 keeps of numbers, and what it keeps of the rest of them; both as float32."""
    whole = torch.from_numpy(np.array(array, dtype=np.float32))
    rounded = whole.bfloat16().float()
    return rounded.numpy(), (whole - rounded).bfloat16().float().numpy()


def _rest(source: Any, rests: dict[tuple[int, int], Any]) -> Any:
    """What bfloat16 does not keep of a result; made once, and before results are joined, as those share it."""
    from openvino import opset8 as ops

    node = source.get_node()
    key = node.get_instance_id(), source.get_index()
    if key not in rests:
        if _joins_channels(node):
            each = [_rest(node.input_value(n), rests) for n in range(node.get_input_size())]
            rests[key] = ops.concat(each, 1)
        else:
            rounded = ops.convert(ops.convert(source, "bf16"), "f32")
            rests[key] = ops.add(source, negative(rounded))
    return rests[key]


def _joins_channels(node: Any) -> bool:
    return bool(node.get_type_name() == "Concat" and node.get_attributes()["axis"] == 1)


def _is_rounded(node: Any) -> bool:
    """Whether a node is left to the hint: our convolutions, and what is joined for them only, as they round it."""
    kind = node.get_type_name()
    if kind == "Convolution":
        return _is_worth(node)
    after = [target.get_node() for target in node.output(0).get_target_inputs()] if _joins_channels(node) else []
    return kind in ("Parameter", "Constant", "Result") or bool(after and all(map(_is_rounded, after)))


def _keep_precision(node: Any) -> None:
    name, mark = _mark()
    node.set_rt_info(mark, name)


@cache
def _mark() -> tuple[str, Any]:
    """Name and value of the mark that OpenVINO knows a node by whose precision stays."""
    graph = openvino_core().read_model(_MARKED_GRAPH.encode(), b"")
    marked = next(node for node in graph.get_ordered_ops() if node.get_friendly_name() == "marked")
    ((name, mark),) = marked.get_rt_info().items()
    return name, mark
