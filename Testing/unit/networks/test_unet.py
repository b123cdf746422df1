"""The U-Net: shapes, gradients, and agreement with the package that nnU-Net builds its networks with."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from foreign_models.nnunet import foreign_network
from hypothesis import given
from hypothesis import strategies as st
from model_examples import TINY_UNET, unet_specs
from torch import Tensor, nn

from DeepSegmentLib.files.models.exporters.nnunet_plans import architecture_of_plans
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.unet_spec import UNetSpec


def random_input(spec: UNetSpec, times: tuple[int, ...] = (2, 2, 2), batch: int = 1) -> Tensor:
    """Whose extent is a multiple of the divisor."""
    extent = [step * n for step, n in zip(spec.divisor, times, strict=False)]
    return torch.randn(batch, spec.in_channels, *extent, generator=torch.Generator().manual_seed(0))


@given(unet_specs(), st.tuples(*[st.integers(1, 2)] * 3), st.integers(1, 2))
def test_logits_have_the_size_of_the_input(spec: UNetSpec, times: tuple[int, int, int], batch: int) -> None:
    unet = UNet(spec).eval()
    x = random_input(spec, times, batch)
    if x.shape[2:] == spec.divisor:  # one voxel at the coarsest stage, which norms refuse; see TorchNetwork
        x = torch.cat((x, x), dim=-1)
    with torch.inference_mode():
        assert unet(x).shape == (batch, spec.out_channels, *x.shape[2:])
        assert unet.features(x).shape == (batch, spec.features[0], *x.shape[2:])


@given(unet_specs())
def test_deep_supervision_halves_as_the_strides_do(spec: UNetSpec) -> None:
    unet = UNet(spec).eval()
    x = random_input(spec)
    with torch.inference_mode():
        outputs = unet.forward_all(x)
        torch.testing.assert_close(outputs[0], unet(x))
    assert len(outputs) == len(spec.features) - 1
    assert outputs[0].shape[2:] == x.shape[2:]
    for (fine, coarse), stride in zip(pairwise(outputs), spec.strides[1:], strict=False):
        assert coarse.shape[:2] == fine.shape[:2]
        assert [n * step for n, step in zip(coarse.shape[2:], stride, strict=True)] == list(fine.shape[2:])


@given(unet_specs())
def test_gradients_reach_every_parameter(spec: UNetSpec) -> None:
    torch.manual_seed(0)
    unet = UNet(spec).train()
    # At least two voxels along every axis of the coarsest stage, so that no norm flattens it.
    sum(out.square().sum() for out in unet.forward_all(random_input(spec, (2, 2, 2), batch=2))).backward()  # type: ignore[union-attr]
    missing = [name for name, parameter in unet.named_parameters() if parameter.grad is None]
    assert missing == []
    assert all(torch.isfinite(parameter.grad).all() for parameter in unet.parameters() if parameter.grad is not None)


def test_the_attention_gate_weighs_the_skip_connection() -> None:
    unet = UNet(replace(TINY_UNET, attention=True)).eval()
    gate = unet.decoder[0].gate
    skip = torch.randn(1, 3, 2, 2, 2)
    with torch.inference_mode():
        weighed = gate(skip, torch.randn(1, 3, 2, 2, 2)) / skip
    assert torch.all((weighed > 0) & (weighed < 1))
    torch.testing.assert_close(weighed, weighed[:, :1].expand_as(weighed))


@given(unet_specs(norm="group"))
def test_group_norm_does_not_mix_a_batch(spec: UNetSpec) -> None:
    unet = UNet(spec).train()
    x = random_input(spec, batch=2)
    torch.testing.assert_close(unet(x)[:1], unet(x[:1]), rtol=1e-4, atol=1e-5)


def foreign_unet(spec: UNetSpec) -> Any:
    """The same topology from dynamic-network-architectures."""
    pytest.importorskip("dynamic_network_architectures.architectures.unet")
    return foreign_network(architecture_of_plans(spec), spec.in_channels, spec.out_channels)


def take_weights(unet: UNet, foreign: Any) -> None:
    """Copy parameters and buffers part by part; within a part both packages have them in the same order."""
    decoder = foreign.decoder
    parts = [(foreign.encoder, unet.encoder)]
    for ours, up, convs, head in zip(
        unet.decoder, decoder.transpconvs, decoder.stages, decoder.seg_layers, strict=True
    ):
        parts += [(up, ours.up), (convs, ours.convs), (head, ours.head)]
    with torch.no_grad():
        for theirs, mine in parts:
            for source, target in zip(state(theirs), state(mine), strict=True):
                target.copy_(source)


def state(module: nn.Module) -> list[Tensor]:
    """Parameters, then buffers, each once."""
    return [*module.parameters(), *module.buffers()]


@given(unet_specs(attention=False, norm="instance") | unet_specs(attention=False, norm="batch"))
def test_it_is_the_network_of_dynamic_network_architectures(spec: UNetSpec) -> None:
    foreign, unet = foreign_unet(spec), UNet(spec).eval()
    foreign.decoder.deep_supervision = True
    assert sum(p.numel() for p in unet.parameters()) == sum(p.numel() for p in foreign.parameters())
    take_weights(unet, foreign)
    x = random_input(spec)
    with torch.inference_mode():
        expected, outputs = foreign(x), unet.forward_all(x)
    assert len(outputs) == len(expected)
    for mine, theirs in zip(outputs, expected, strict=True):
        scale = float(theirs.abs().max()) + 1.0
        np.testing.assert_allclose(mine.numpy() / scale, theirs.numpy() / scale, atol=1e-5)


def test_it_has_as_many_parameters_as_the_default_nnunet() -> None:
    features = (32, 64, 128, 256, 320, 320)
    spec = UNetSpec(
        1, 3, features, ((1, 3, 3), *[(3, 3, 3)] * 5), ((1, 1, 1), (1, 2, 2), *[(2, 2, 2)] * 4), (2,) * 6, (2,) * 5
    )
    with torch.device("meta"):
        sizes = [sum(p.numel() for p in net.parameters()) for net in (foreign_unet(spec), UNet(spec))]
    assert sizes[0] == sizes[1] > 25_000_000
