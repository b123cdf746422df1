"""What learns by each method, at which rate and from when on; and that nothing else is changed by a step."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_examples import TINY_UNET, unet_specs
from torch import nn

from DeepSegmentLib.networks.runtime.building import build
from DeepSegmentLib.training.fine_tuning.heads import head_axes
from DeepSegmentLib.training.fine_tuning.low_rank import LowRank, add_low_rank, merge_low_rank
from DeepSegmentLib.training.fine_tuning.rates import begin_tuning
from DeepSegmentLib.training.fine_tuning.settings import FineTuning

METHODS = ("full", "decoder", "heads", "low_rank")
SPEC = replace(TINY_UNET, deep_supervision=True)


def _begun(spec, tuning):
    torch.manual_seed(0)
    network = build(spec)
    return network, begin_tuning(network, tuning, head_axes(spec))


def _names(network, group):
    ids = {id(each) for each in group["params"]}
    return {name for name, each in network.named_parameters() if id(each) in ids}


def _expected(name, method):
    if ".head." in name:
        return True
    if method == "low_rank":
        return ".addition." in name or _is_norm(name)
    return method == "full" or (method == "decoder" and not name.startswith("encoder."))


def _is_norm(name):
    """In our U-Net a block is a convolution, number 0, and a norm, number 1."""
    return name.split(".")[-2] == "1" and not name.endswith("layer.weight")


@pytest.mark.parametrize("method", METHODS)
def test_what_learns_is_what_the_method_says(method):
    network, _ = _begun(SPEC, FineTuning(method))
    learns = {name: each.requires_grad for name, each in network.named_parameters()}
    assert learns == {name: _expected(name, method) for name in learns}
    assert any(learns.values())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rate", [0.25, 1.0])
def test_rates_are_those_of_the_settings_and_heads_begin_at_once(method, rate):
    network, groups = _begun(SPEC, FineTuning(method, warm_up=9, encoder_rate=rate))
    for group in groups:
        names = _names(network, group)
        heads, encoder = ({part in f".{name}" for name in names} for part in (".head.", ".encoder."))
        assert len(heads) == len(encoder) == 1, "a group is of one kind"
        assert group["begin"] == (0 if True in heads else 9)
        assert group["factor"] == (rate if True in encoder and method == "full" else 1)


@settings(max_examples=15, deadline=None)
@given(unet_specs(norm="instance"), st.sampled_from(METHODS), st.integers(1, 3))
def test_a_step_changes_what_learns_and_nothing_else(spec, method, rank):
    network, groups = _begun(spec, FineTuning(method, rank=rank))
    before = {name: each.clone() for name, each in network.state_dict().items()}
    edge = [4 * step for step in spec.divisor]
    patch = torch.randn((2, spec.in_channels, *edge), generator=torch.Generator().manual_seed(1))
    optimizer = torch.optim.SGD(groups, lr=0.1)
    outputs = network.forward_all(patch)
    sum((each - torch.randn_like(each)).square().mean() for each in outputs).backward()
    optimizer.step()
    learns = {name for name, each in network.named_parameters() if each.requires_grad}
    changed = {name for name, each in network.state_dict().items() if not torch.equal(each, before[name])}
    assert changed <= learns
    assert {name for name in learns if ".head." in name} <= changed


@pytest.mark.parametrize("rank", [1, 2, 4, 99])
@pytest.mark.parametrize("kind", [nn.Conv2d, nn.Conv3d])
def test_an_addition_has_its_rank_and_is_that_of_a_small_convolution_before_a_point_wise_one(kind, rank):
    torch.manual_seed(0)
    network = nn.Sequential(kind(5, 6, 3, stride=2, padding=1))
    begin = network[0].weight.detach().clone()
    add_low_rank(network, rank)
    addition = next(each for each in network.modules() if isinstance(each, LowRank))
    nn.init.normal_(addition.up)
    patch = torch.randn(2, 5, *[8] * (2 if kind is nn.Conv2d else 3))
    convolve = nn.functional.conv2d if kind is nn.Conv2d else nn.functional.conv3d
    small = convolve(patch, addition.down, stride=2, padding=1)
    mixed = torch.einsum("or,br...->bo...", addition.up, small)
    plain = convolve(patch, begin, network[0].layer.bias, stride=2, padding=1)
    torch.testing.assert_close(network(patch), plain + mixed, atol=1e-5, rtol=1e-5)
    merge_low_rank(network)
    assert torch.linalg.matrix_rank((network[0].weight - begin).flatten(1)) == min(rank, 5)


def test_convolutions_in_groups_and_those_that_are_kept_get_no_addition():
    network = nn.Sequential(nn.Conv3d(4, 4, 3, groups=2), nn.Conv3d(4, 4, 1), nn.ConvTranspose3d(4, 4, 2))
    add_low_rank(network, 2, keep={id(network[1].weight)})
    assert [type(each) for each in network] == [nn.Conv3d, nn.Conv3d, nn.ConvTranspose3d]


def test_padding_by_mirroring_is_kept():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"))
    patch = torch.randn(1, 3, 6, 6)
    before = network(patch)
    add_low_rank(network, 2)
    torch.testing.assert_close(network(patch), before)
