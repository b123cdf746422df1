"""A pass of a network can be stopped in the middle, whatever computes it, and its memory is free then."""

import gc
import time
import weakref

import pytest
import torch
from model_examples import TINY_UNET
from stop_examples import LAW_S, StopAfter, assert_stops
from torch import nn

from DeepSegmentLib.data.progress import check_stop, is_work_left, silent, watching
from DeepSegmentLib.errors import Cancelled
from DeepSegmentLib.networks.back_ends.engine import Engine
from DeepSegmentLib.networks.graph_spec import GraphSpec
from DeepSegmentLib.networks.graphs import Graph, _TorchScript
from DeepSegmentLib.networks.measured_costs import MeasuredCosts
from DeepSegmentLib.networks.runtime import TorchNetwork

PATCH = torch.zeros(1, 1, 8, 8, 8)


class Slow(nn.Module):
    """A layer that takes a while."""

    def __init__(self, seconds: float = 0.3) -> None:
        super().__init__()
        self.seconds = seconds
        self.seen: list[weakref.ref[torch.Tensor]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result = x + 1
        self.seen.append(weakref.ref(result))
        time.sleep(self.seconds)
        return result


class SlowGraph(nn.Module):
    """A graph that takes some seconds."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(500_000):
            x = x + 1
        return x


@pytest.mark.parametrize("engine", [None, Engine()], ids=["torch", "chosen"])
@pytest.mark.parametrize("seconds", [0.05, 0.5, 1.0])
def test_between_layers(engine, seconds):
    module = nn.Sequential(*(Slow() for _ in range(100)))
    network = TorchNetwork(module, TINY_UNET, torch.device("cpu"), engine)
    assert_stops(lambda: network(PATCH), seconds)
    time.sleep(0.3)
    gc.collect()
    assert [ref() for layer in module for ref in layer.seen if ref() is not None] == []


def test_within_a_layer_that_takes_long():
    layers = Slow(1.0), Slow(0.0), Slow(30.0)
    network = TorchNetwork(nn.Sequential(*layers), TINY_UNET, torch.device("cpu"))
    assert_stops(lambda: network(PATCH))  # who waits is free at once, the memory when the layer is done
    assert not layers[1].seen


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_not_waited_for_and_goes_on_to_the_end_of_its_pass():
    spec = GraphSpec(1, 1, (8, 8, 8), MeasuredCosts(1, 1, 1))
    graph = Graph(_TorchScript(torch.jit.script(SlowGraph().eval())), spec)
    network, stop = TorchNetwork(graph, spec, torch.device("cpu")), StopAfter(0.1)
    with pytest.raises(Cancelled), watching(stop):
        network(PATCH)
    assert 0 <= time.monotonic() - stop.wished < LAW_S
    while is_work_left():
        time.sleep(0.05)


def test_an_undisturbed_pass_is_the_same_watched_or_not():
    network = TorchNetwork(nn.Conv3d(1, 3, 3, padding=1), TINY_UNET, torch.device("cpu"))
    expected = network(PATCH)
    with watching(silent):
        assert torch.equal(network(PATCH), expected)
        assert not network(PATCH).requires_grad


def test_within_openvino():
    pytest.importorskip("openvino")
    from DeepSegmentLib.networks.back_ends.body import Body
    from DeepSegmentLib.networks.back_ends.openvino_graph import openvino_graph

    layers = [nn.Conv3d(16, 16, 3, padding=1) for _ in range(100)]
    body = Body(nn.Sequential(nn.Conv3d(1, 16, 1), *layers), headless=False).eval()
    patch = torch.ones(1, 1, 48, 48, 48)
    run = openvino_graph(body, patch, "float32", torch.zeros(1, 1, 4, 4, 4))
    for seconds in (0.05, 0.1, 0.3):  # what was stopped can be asked again
        assert_stops(lambda: [(run(patch), check_stop()) for _ in range(1000)], seconds)
    with torch.inference_mode():
        torch.testing.assert_close(run(patch), body(patch), atol=1e-4, rtol=1e-4)
