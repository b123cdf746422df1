"""ONNX files of strangers: what could reach outside of them is named, and onnxruntime never sees it."""

import numpy as np
import onnx
import pytest
from foreign_models.graphs import onnx_model
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from DeepSegmentLib.errors import ModelError
from DeepSegmentLib.files.models.graphs.onnx_file import read_onnx
from DeepSegmentLib.files.models.graphs.reading import read_raw_graph


def outside(location):
    """A weight that lies in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1, 2, 1, 1, 1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def in_branch(node):
    """A condition with this node in one of its branches."""
    value = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    branch = helper.make_graph([node], "branch", [], [value])
    other = helper.make_graph([helper.make_node("Identity", ["x"], ["z"])], "other", [], [value])
    constant = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.array(True)))
    return [constant, helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=other)]


def function():
    node = helper.make_node("Add", ["a", "a"], ["b"])
    return helper.make_function("own", "twice", ["a"], ["b"], [node], [helper.make_opsetid("", 17)])


HOSTILE = {
    "weights outside": (lambda: onnx_model(initializers=[outside("../../etc/passwd")]), "'w' in another file"),
    "weights beside": (lambda: onnx_model(initializers=[outside("w.bin")]), "'w' in another file"),
    "weights outside in a branch": (
        lambda: onnx_model(in_branch(helper.make_node("Constant", [], ["z"], value=outside("w.bin")))),
        "in another file",
    ),
    "operators of others": (
        lambda: onnx_model([helper.make_node("Run", ["x"], ["y"], domain="evil.ops")]), r"'evil\.ops'",
    ),
    "operators of others in a branch": (
        lambda: onnx_model(in_branch(helper.make_node("Run", [], ["z"], domain="org.pytorch.aten"))),
        r"'org\.pytorch\.aten'",
    ),
    "functions": (lambda: onnx_model(functions=[function()]), "functions of its own"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_reaches_outside_is_named(name, tmp_path):
    make, message = HOSTILE[name]
    (tmp_path / "w.bin").write_bytes(bytes(8))
    path = tmp_path / "hostile.onnx"
    path.write_bytes(make().SerializeToString())
    with pytest.raises(ModelError, match=message) as caught:
        read_raw_graph(path, "cpu")
    assert "hostile.onnx" in str(caught.value)


def test_it_counts_what_onnx_counts(tmp_path):
    path = tmp_path / "good.onnx"
    model = onnx_model()
    path.write_bytes(model.SerializeToString())
    file = read_onnx(path)
    assert file.weights == sum(numpy_helper.to_array(each).size for each in model.graph.initializer)
    assert [(node.name, node.inputs, node.outputs) for node in file.nodes] == [
        (node.name, tuple(node.input), tuple(node.output)) for node in model.graph.node
    ]


def _problem_of(path):
    """What reading it says; None where it can be read."""
    try:
        read_onnx(path)
    except ModelError as error:
        return str(error)
    return None


@given(st.binary(max_size=60), st.integers(0, 400), st.integers(0, 255))
def test_any_bytes_are_read_or_refused(tmp_path_factory, start, place, byte):
    folder = tmp_path_factory.getbasetemp()
    content = bytearray(onnx_model().SerializeToString())
    content[place % len(content)] = byte
    for tried in (start, bytes(content)):
        path = folder / "any.onnx"
        path.write_bytes(tried)
        problem = _problem_of(path)
        assert problem is None or "any.onnx" in problem


@pytest.mark.parametrize("depth", [3, 20])
def test_graphs_in_graphs_end(depth, tmp_path):
    node = helper.make_node("Constant", [], ["z"], value=numpy_helper.from_array(np.zeros(1, "float32")))
    for _ in range(depth):
        node = in_branch(node)[1]
        node.output[0] = "z"
    path = tmp_path / "deep.onnx"
    path.write_bytes(onnx_model([node]).SerializeToString())
    if depth > 16:
        with pytest.raises(ModelError, match="deeper than 16"):
            read_onnx(path)
    else:
        assert read_onnx(path).nodes


def test_an_empty_model_is_no_graph(tmp_path):
    path = tmp_path / "empty.onnx"
    path.write_bytes(onnx.ModelProto(ir_version=8).SerializeToString())
    with pytest.raises(ModelError, match="no graph in it"):
        read_onnx(path)
