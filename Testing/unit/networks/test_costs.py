"""What a network costs is counted as the network itself would count it, without making it."""

import math
import time
from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st
from model_examples import TINY_UNET, unet_specs
from torch import nn

from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.costs import count_operations, count_weights, peak_features

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def convolutions_of(network):
    return [module for module in network.modules() if isinstance(module, CONVOLUTIONS)]


@given(unet_specs(encoder="plain", attention=False))
def test_weights_are_those_of_the_convolutions(spec):
    assert count_weights(spec) == sum(each.weight.numel() for each in convolutions_of(UNet(spec)))


@given(unet_specs())
def test_no_more_weights_are_counted_than_there_are(spec):
    assert count_weights(spec) <= sum(each.numel() for each in UNet(spec).parameters())


@given(unet_specs(encoder="plain", attention=False), st.integers(1, 2))
def test_operations_are_those_of_the_convolutions_that_run(spec, times):
    """Each output voxel takes all weights; of a transposed convolution, those of one place of its kernel."""
    counted = []

    def count(module, _inputs, output):
        places = math.prod(module.kernel_size) if isinstance(module, nn.ConvTranspose2d | nn.ConvTranspose3d) else 1
        counted.append(module.weight.numel() // places * output[0, 0].numel())

    network = UNet(spec).eval()
    for module in convolutions_of(network):
        module.register_forward_hook(count)
    extent = [2 * times * step for step in spec.divisor]
    with torch.inference_mode():
        network(torch.zeros(1, spec.in_channels, *extent))
    assert count_operations(spec, math.prod(extent)) == sum(counted)


def test_features_that_are_wide_only_deep_in_the_network_are_counted():
    wide = replace(TINY_UNET, features=(1, 1 << 16), strides=((1, 1, 1),) * 2)
    assert peak_features(wide, 1000) >= (1 << 16) * 1000


def test_the_largest_network_is_counted_at_once():
    stages = 16
    huge = replace(
        TINY_UNET,
        features=(1 << 16,) * stages,
        kernel_sizes=((31, 31, 31),) * stages,
        strides=((1, 1, 1),) * stages,
        encoder_blocks=(100,) * stages,
        decoder_blocks=(100,) * (stages - 1),
    )
    start = time.process_time()
    assert count_operations(huge, 1 << 30) > 1e25
    assert time.process_time() - start < 0.5
