"""ONNX files, looked through before onnxruntime opens them.

An ONNX file is one message of Protocol Buffers. Of all that it may hold, this reads what could reach outside of the
file, or grow: weights in other files, operators of other libraries, functions.

References:
    onnx.proto of ONNX 1.18, whose field numbers are named below; Protocol Buffers, "Encoding".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import ModelError, VolumeFileError
from DeepSegmentLib.files.opening import read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGEST_ONNX = (1 << 31) - 1
"""Bytes: what Protocol Buffers allow for one message."""

_DEEPEST = 16
_MOST_NODES = 200_000
_MOST_AXES = 64
_VARINT_BYTES = 10
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# Field numbers of onnx.proto.
_MODEL_GRAPH, _MODEL_FUNCTIONS, _MODEL_TRAINING = 7, 25, 20
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_TYPE, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 3, 4, 5, 7
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = 5, 6, 10, 11
_ATTRIBUTE_SPARSE, _ATTRIBUTE_SPARSES = 22, 23
_TENSOR_DIMS, _TENSOR_NAME, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 1, 8, 13, 14

_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True)
class Node:
    """A node of the outermost graph: its name, and those of what goes in and comes out."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class OnnxFile:
    """A file that may be opened.

    Attributes:
        content: All of it.
        nodes: In the order they run.
        weights: Numbers in its weights.
    """

    content: bytes
    nodes: tuple[Node, ...]
    weights: int


def read_onnx(path: Path) -> OnnxFile:
    """Read a file and look through it.

    Raises:
        ModelError: It is damaged, too large, keeps weights in other files, has operators that are not ONNX's own, or
            functions; the message names it.
    """
    try:
        content = read_bytes(path, largest=LARGEST_ONNX)
    except VolumeFileError as error:
        raise ModelError(f"{error}; an ONNX file holds all its weights itself, so 2 GB is the end") from error
    look = _Look()
    try:
        look.at_model(memoryview(content))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} {error}") from error
    if not look.nodes:
        raise ModelError(f"{path} is no ONNX file: there is no graph in it; get it again from its source")
    return OnnxFile(content, tuple(look.nodes), look.weights)


class _Look:
    """Walks through the messages of a file; a `ValueError` tells what is wrong."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.weights = 0
        self._count = 0

    def at_model(self, message: memoryview) -> None:
        for field, value in _fields(message):
            if field == _MODEL_FUNCTIONS:
                raise ValueError("has functions of its own; export it with these in line")
            if field == _MODEL_TRAINING:
                raise ValueError("holds a training; export the network for inference")
            if field == _MODEL_GRAPH:
                self._at_graph(_message(value), 0)

    def _at_graph(self, message: memoryview, depth: int) -> None:
        if depth > _DEEPEST:
            raise ValueError(f"has graphs in graphs, deeper than {_DEEPEST}")
        for field, value in _fields(message):
            if field == _GRAPH_NODE:
                self._at_node(_message(value), depth)
            elif field == _GRAPH_INITIALIZER:
                self.weights += self._at_tensor(_message(value))
            elif field == _GRAPH_SPARSE:
                raise ValueError("has sparse weights; export them as usual ones")

    def _at_node(self, message: memoryview, depth: int) -> None:
        self._count += 1
        if self._count > _MOST_NODES:
            raise ValueError(f"has more than {_MOST_NODES} nodes")
        names: dict[int, list[str]] = {_NODE_INPUT: [], _NODE_OUTPUT: [], _NODE_NAME: [""], _NODE_TYPE: [""]}
        for field, value in _fields(message):
            if field in names:
                names[field].append(_text(value))
            elif field == _NODE_DOMAIN and _text(value) not in _DOMAINS:
                raise ValueError(
                    f"uses operators of {_text(value)[:100]!r}; those of ONNX itself (ai.onnx) can be run here"
                )
            elif field == _NODE_ATTRIBUTE:
                self._at_attribute(_message(value), depth)
        if depth == 0:
            self.nodes.append(Node(names[_NODE_NAME][-1], tuple(names[_NODE_INPUT]), tuple(names[_NODE_OUTPUT])))

    def _at_attribute(self, message: memoryview, depth: int) -> None:
        for field, value in _fields(message):
            if field in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
                self._at_tensor(_message(value))
            elif field in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
                self._at_graph(_message(value), depth + 1)
            elif field in (_ATTRIBUTE_SPARSE, _ATTRIBUTE_SPARSES):
                raise ValueError("has sparse weights; export them as usual ones")

    @staticmethod
    def _at_tensor(message: memoryview) -> int:
        """How many numbers it has."""
        count, name, outside, axes = 1, "?", False, 0
        for field, value in _fields(message):
            if field == _TENSOR_NAME:
                name = _text(value)
            outside |= field == _TENSOR_EXTERNAL or (field == _TENSOR_LOCATION and value != 0)
            if field == _TENSOR_DIMS:
                for size in [value] if isinstance(value, int) else _varints(value):
                    count, axes = count * size, axes + 1
                    if axes > _MOST_AXES:
                        raise ValueError(f"has a weight of more than {_MOST_AXES} axes; get it again from its source")
        if outside:
            raise ValueError(f"keeps its weight {name[:100]!r} in another file; save it as one file (up to 2 GB)")
        return count


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Field numbers and values of a message."""
    place, end = 0, len(message)
    while place < end:
        key, place = _varint(message, place)
        field, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, place = _varint(message, place)
            yield field, value
            continue
        if wire == _BYTES:
            size, place = _varint(message, place)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError("is no ONNX file, or a damaged one; get it again from its source")
        if place + size > end:
            raise ValueError("is cut off, or no ONNX file; get it again from its source")
        yield field, message[place : place + size]
        place += size


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for n, byte in enumerate(message[place : place + _VARINT_BYTES]):
        value |= (byte & 127) << (7 * n)
        if byte < 128:
            return value, place + n + 1
    raise ValueError("is no ONNX file, or a damaged one; get it again from its source")


def _varints(packed: memoryview) -> Iterator[int]:
    place = 0
    while place < len(packed):
        value, place = _varint(packed, place)
        yield value


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("is no ONNX file, or a damaged one; get it again from its source")  # noqa: TRY004 - see _Look
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_message(value)).decode("utf-8", "replace")
