"""What a TorchScript graph would do when it runs, by the operators of its compiled program. Nothing of it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Of torch's language itself; none of them calls Python, another process or what is outside the graph.
_LANGUAGE = frozenset(
    f"prim::{name}"
    for name in (
        "Constant", "GetAttr", "SetAttr", "ListConstruct", "ListUnpack", "TupleConstruct", "TupleUnpack", "TupleIndex",
        "TupleSlice", "DictConstruct", "If", "Loop", "NumToTensor", "Uninitialized", "unchecked_cast", "isinstance",
        "unchecked_unwrap_optional", "annotate", "device", "dtype", "layout", "data", "min", "max", "abs", "is_cuda",
        "is_cpu", "requires_grad", "RaiseException", "StringIndex", "tolist", "Guard", "shape", "grad",
    )
)  # fmt: skip

# Of tensors: all that torch offers to the public, but these, which read and write files, change how torch behaves, or
# make a tensor look at memory that is not its own.
_REFUSED = frozenset(
    f"aten::{name}" for name in ("from_file", "save", "manual_seed", "wait", "set_data", "set_", "set", "as_strided_")
)

# And these of those that begin with _, by which torch marks what is not for the public.
_INNER = frozenset(
    f"aten::_{name}"
    for name in (
        "convolution", "convolution_mode", "softmax", "log_softmax", "shape_as_tensor", "unsafe_view", "set_item",
        "reshape_alias", "native_batch_norm_legit", "native_batch_norm_legit_no_training", "upsample_nearest_exact1d",
        "upsample_nearest_exact2d", "upsample_nearest_exact3d", "scaled_dot_product_attention_math",
        "adaptive_avg_pool2d", "adaptive_avg_pool3d", "to_copy", "cast_Float", "cast_Half",
        "weight_norm", "batch_norm_impl_index",
    )
) | {"aten::__and__", "aten::__or__", "aten::__not__", "aten::__is__", "aten::__isnot__", "aten::__getitem__",
     "aten::__contains__", "aten::__derive_index", "aten::__range_length", "aten::__round_to_zero_floordiv",
     "aten::__interpolate", "aten::__upsample", "aten::__xor__", "aten::__lshift__", "aten::__rshift__"}  # fmt: skip


def check_operators(path: Path, script: Any) -> None:
    """Refuse a graph that does more than compute.

    Args:
        path: For messages.
        script: What `torch.jit.load` gave.

    Raises:
        ModelError: An operator is not among those that networks need; the message names it.
    """
    if not hasattr(script, "forward") or not hasattr(script, "inlined_graph"):
        raise ModelError(f"{path} has no function forward; save a network by torch.jit.trace or torch.jit.script")
    for kind in operators_in(script.inlined_graph):
        if not _is_harmless(kind):
            raise ModelError(
                f"{path} uses the operator {kind[:100]}, which networks do not need or which may reach outside of the "
                "graph; it was not run"
            )


def _is_harmless(kind: str) -> bool:
    if kind.startswith("aten::_"):
        return kind in _INNER
    return kind in _LANGUAGE or (kind.startswith("aten::") and kind not in _REFUSED)


def operators_in(block: Any) -> Iterator[str]:
    """The operators of a graph or block, those of blocks inside it too, each time that they occur."""
    for node in block.nodes():
        inside = [name for name in node.attributeNames() if node.kindOf(name) in ("g", "gs")]
        yield f"{node.kind()} with a graph inside" if inside else str(node.kind())
        for each in node.blocks():
            yield from operators_in(each)
