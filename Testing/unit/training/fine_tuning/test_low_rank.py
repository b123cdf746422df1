"""Additions of low rank: nothing at first, the same answer when they are merged, names of before."""

from dataclasses import replace

import pytest
import torch
from foreign_models.monai_networks import pairs
from model_examples import TINY_UNET

from DeepSegmentLib.networks.runtime.building import build, module_from_weights, weights_of
from DeepSegmentLib.training.fine_tuning.heads import head_axes
from DeepSegmentLib.training.fine_tuning.low_rank import merge_low_rank
from DeepSegmentLib.training.fine_tuning.rates import begin_tuning
from DeepSegmentLib.training.fine_tuning.settings import FineTuning

LIGHT = ("UNet", "BasicUNet 2D", "DynUNet 2D", "SegResNet 2D")
SPECS = {pair.name: (pair.spec, pair.shape) for pair in pairs() if pair.name.startswith(LIGHT)}
SPECS["ours"] = (replace(TINY_UNET, deep_supervision=True), (1, TINY_UNET.in_channels, 16, 16, 16))


@pytest.fixture(params=SPECS, scope="module")
def case(request):
    return SPECS[request.param]


def _network(spec):
    torch.manual_seed(0)
    return build(spec).eval()


def _patch(shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_low_rank_changes_nothing_at_first_and_is_merged_into_the_weights(case):
    spec, shape = case
    network, patch = _network(spec), _patch(shape)
    names, before = list(network.state_dict()), network(patch)
    begin_tuning(network, FineTuning("low_rank", rank=2), head_axes(spec))
    torch.testing.assert_close(network(patch), before, atol=1e-5, rtol=1e-5)
    for name, parameter in network.named_parameters():
        if name.endswith("addition.up"):
            parameter.normal_(std=0.05)
    learned = network(patch)
    assert not torch.allclose(learned, before, atol=1e-3)
    merged = merge_low_rank(network)
    torch.testing.assert_close(merged(patch), learned, atol=1e-4, rtol=1e-4)
    assert list(merged.state_dict()) == names
    again = module_from_weights(spec, weights_of(merged)).eval()
    assert torch.equal(again(patch), merged(patch))


@pytest.mark.parametrize("method", ["full", "decoder", "heads", "low_rank"])
def test_the_groups_hold_what_learns_once_and_heads_always_do(case, method):
    spec, _ = case
    network, heads = _network(spec), set(head_axes(spec))
    groups = begin_tuning(network, FineTuning(method, warm_up=7, encoder_rate=0.5), heads)
    grouped = [id(each) for group in groups for each in group["params"]]
    learning = {name: id(each) for name, each in network.named_parameters() if each.requires_grad}
    assert sorted(grouped) == sorted(learning.values())
    assert heads & {name for name, _ in network.named_parameters()} <= set(learning)
    assert groups[0]["begin"] == 0
    if method == "heads":
        assert set(learning) <= heads
    if method in ("decoder", "heads"):
        assert len(learning) < len(list(network.parameters()))
