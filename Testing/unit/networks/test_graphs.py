"""Graphs as networks: logits come back, any batch goes, every network of ours can be written as one."""

import numpy as np
import pytest
import torch
from foreign_models.graphs import Small, save_onnx
from hypothesis import given, settings
from hypothesis import strategies as st
from model_examples import random_patches, unet_specs
from torch import nn

from DeepSegmentLib.errors import InvalidInputError, ModelError, ResourceError
from DeepSegmentLib.networks.graph_spec import GraphSpec
from DeepSegmentLib.networks.graphs import Graph, load_onnx, logits_of
from DeepSegmentLib.networks.measured_costs import MeasuredCosts
from DeepSegmentLib.networks.monai_specs import (
    BasicUNetSpec,
    MonaiUNetSpec,
    SegResNetDSSpec,
    SegResNetSpec,
    SwinUNETRSpec,
    UNETRSpec,
)
from DeepSegmentLib.networks.onnx_export import export_network
from DeepSegmentLib.networks.runtime import TorchNetwork, build, on_array

COSTS = MeasuredCosts(1, 1, 1)


def spec(**changes):
    return GraphSpec(**({"in_channels": 1, "out_channels": 2, "fixed_shape": (8, 8, 8), "costs": COSTS} | changes))


logit_lists = st.lists(st.floats(-14, 14), min_size=3, max_size=3)


@given(logit_lists)
def test_logits_come_back_from_a_softmax_up_to_a_constant(values):
    logits = torch.tensor(values)[None, :, None]
    found = logits_of(logits.softmax(1), "softmax")
    seen = logits.softmax(1) > 1e-6
    shift = found - logits
    assert (shift[seen] - shift[seen][0]).abs().max() < 1e-2
    assert found.argmax(1).item() in torch.nonzero(logits[0, :, 0] >= logits.max() - 1e-3).flatten().tolist()


@given(logit_lists)
def test_logits_come_back_from_a_sigmoid(values):
    logits = torch.tensor(values)[None, :, None]
    found = logits_of(logits.sigmoid(), "sigmoid")
    assert (found - logits).abs().max() < 1 + 0.1 * logits.abs().max()
    assert ((found > 0) == (logits.sigmoid() > 0.5)).all()


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_certain_probabilities_stay_finite(kind):
    assert torch.isfinite(logits_of(torch.tensor([[0.0, 1.0]]), kind)).all()


class OnlyTwo(nn.Module):
    """Refuses any other batch."""

    def forward(self, x):
        assert len(x) == 2
        return torch.cat([x, 2 * x], 1)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_batch_that_is_built_in_is_honoured(count):
    network = TorchNetwork(Graph(OnlyTwo(), spec(batch=2)), spec(batch=2), torch.device("cpu"))
    patches = random_patches(count, 1, 8, 8, 8)
    np.testing.assert_array_equal(on_array(network, patches), np.concatenate([patches, 2 * patches], 1))


def test_an_onnx_graph_gives_what_torch_gives(tmp_path):
    module = Small(channels=2, classes=3).eval()
    network = TorchNetwork(
        Graph(
            load_onnx(save_onnx(tmp_path / "g.onnx", module).read_bytes(), "cpu"), spec(in_channels=2, out_channels=3)
        ),
        spec(in_channels=2, out_channels=3),
        torch.device("cpu"),
    )
    patches = random_patches(2, 2, 8, 8, 8)
    with torch.inference_mode():
        expected = module(torch.from_numpy(patches)).numpy()
    np.testing.assert_allclose(on_array(network, patches), expected, atol=1e-5)


def test_too_little_memory_is_a_resource_error():
    class Hungry(nn.Module):
        def forward(self, x):
            raise MemoryError("Failed to allocate memory for requested buffer")

    network = TorchNetwork(Graph(Hungry(), spec()), spec(), torch.device("cpu"))
    with pytest.raises(ResourceError, match="out of memory on cpu"):
        on_array(network, random_patches(1, 1, 8, 8, 8))


def test_what_does_not_suit_is_an_error_of_the_model(tmp_path):
    graph = load_onnx(save_onnx(tmp_path / "g.onnx", Small()).read_bytes(), "cpu")
    with pytest.raises(ModelError, match=r"\(1, 1, 9, 8, 8\)"):
        graph(torch.zeros(1, 1, 9, 8, 8))
    with pytest.raises(ModelError, match="onnxruntime"):
        load_onnx(b"\x08\x07nonsense", "cpu")


@pytest.mark.parametrize(
    "wrong",
    [{"in_channels": 0}, {"fixed_shape": (8,)}, {"fixed_shape": (0, 8, 8)}, {"gives": "labels"}, {"batch": -1},
     {"out_channels": 1, "gives": "softmax"}],
)  # fmt: skip
def test_an_impossible_spec_is_refused(wrong):
    with pytest.raises(InvalidInputError):
        spec(**wrong)


@settings(max_examples=6)
@given(unet_specs(), st.integers(8, 11))
def test_any_unet_becomes_a_graph(tmp_path_factory, network, n):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("onnx") / "g.onnx"
    extent = (n, 8, 8)[: network.dimensions]
    assert export_network(build(network), network, extent, path) < 1e-4
    patches = random_patches(1, network.in_channels, *extent)
    assert load_onnx(path.read_bytes(), "cpu")(torch.from_numpy(patches)).shape[2:] == patches.shape[2:]


MONAI = {
    "UNet": MonaiUNetSpec(1, 2, 3, (4, 8), ((2, 2, 2),), (3, 3, 3), (3, 3, 3), residual_units=1),
    "BasicUNet": BasicUNetSpec(1, 2, 3, (4, 4, 4, 4, 8, 4)),
    "SegResNet": SegResNetSpec(1, 2, 3, features=8, blocks_down=(1, 1), blocks_up=(1,)),
    "SegResNetDS": SegResNetDSSpec(1, 2, ((1, 1, 1), (2, 2, 2)), features=8, blocks_down=(1, 1), blocks_up=(1,)),
    "UNETR": UNETRSpec(1, 2, (16, 16, 16), hidden=24, mlp=24, heads=2),
}


def test_a_network_of_windows_is_refused(tmp_path):
    network = SwinUNETRSpec(1, 2, 3, features=12, heads=(1, 1, 2, 2), depths=(1, 1, 1, 1))
    with pytest.raises(ModelError, match="cannot be written as an ONNX graph"):
        export_network(build(network), network, (32, 32, 32), tmp_path / "g.onnx")


@pytest.mark.parametrize("name", MONAI)
def test_networks_of_monai_become_graphs(name, tmp_path):
    torch.manual_seed(0)
    network = MONAI[name]
    extent = (32, 32, 32) if name == "BasicUNet" else (16, 16, 16)
    assert export_network(build(network), network, extent, tmp_path / "g.onnx") < 1e-4
