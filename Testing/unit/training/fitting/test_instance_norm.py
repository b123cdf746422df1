"""The quick norm is instance normalisation: values and gradients as torch's own, in any layout."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.unet_spec import UNetSpec
from DeepSegmentLib.training.fitting.instance_norm import ChannelsLastNorm, instance_norm, with_quick_norms


def _results(norm, x, gradient):
    x = x.clone().requires_grad_()
    norm.zero_grad()
    out = norm(x)
    out.backward(gradient)
    return out.detach(), x.grad, norm.weight.grad, norm.bias.grad


@given(
    st.integers(1, 3),
    st.integers(1, 9),
    st.lists(st.integers(2, 6), min_size=2, max_size=3),
    st.booleans(),
    st.integers(0, 99),
)
def test_values_and_gradients_are_those_of_torch(batch, channels, shape, last, seed):
    torch.manual_seed(seed)
    kind = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[len(shape)]
    norm = kind(channels, affine=True)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    layout = {2: torch.channels_last, 3: torch.channels_last_3d}[len(shape)]
    x = 3 * torch.randn(batch, channels, *shape) + 2
    gradient = torch.randn_like(x)
    x = x.to(memory_format=layout) if last else x
    for ours, theirs in zip(_results(ChannelsLastNorm(norm), x, gradient), _results(norm, x, gradient), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=2e-4)


def test_bfloat16_features_are_normed_with_float32_statistics():
    torch.manual_seed(0)
    x = (torch.randn(2, 8, 6, 6, 6) * 3 + 40).bfloat16().to(memory_format=torch.channels_last_3d)
    weight, bias = torch.randn(8), torch.randn(8)
    found = instance_norm(x, weight, bias, 1e-5)
    assert found.dtype == torch.bfloat16
    exact = nn.functional.instance_norm(x.double(), weight=weight.double(), bias=bias.double())
    torch.testing.assert_close(found.double(), exact, rtol=0.01, atol=0.02)


@pytest.mark.parametrize("encoder", ["plain", "residual"])
def test_a_network_with_quick_norms_has_the_same_weights_and_answers(encoder):
    torch.manual_seed(0)
    spec = UNetSpec(1, 2, (4, 8), ((3, 3, 3),) * 2, ((1, 1, 1), (2, 2, 2)), (1, 1), (1,), encoder=encoder)
    network = UNet(spec).eval()
    x = torch.randn(2, 1, 8, 8, 8)
    with torch.no_grad():
        before = network(x)
    names = list(network.state_dict())
    with_quick_norms(network)
    assert list(network.state_dict()) == names
    assert not any(isinstance(each, nn.InstanceNorm3d) for each in network.modules())
    with torch.no_grad():
        torch.testing.assert_close(network(x), before, rtol=1e-4, atol=1e-5)
