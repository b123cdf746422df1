"""MONAI's networks: the same logits from the same weights, for each of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from foreign_models.monai_networks import Pair, pairs
from model_examples import TINY_UNET
from torch import nn

from DeepSegmentLib.errors import ModelError
from DeepSegmentLib.files.models.importers.monai.convert import measured, weights_for
from DeepSegmentLib.files.models.importers.monai.weights import renamed
from DeepSegmentLib.networks import runtime
from DeepSegmentLib.networks.architectures.measuring import measure_costs
from DeepSegmentLib.networks.architectures.swin_transformer import (
    from_windows,
    merged_places,
    relative_places,
    shift_mask,
    to_windows,
)
from DeepSegmentLib.networks.costs import count_operations, count_weights, peak_features
from DeepSegmentLib.networks.monai_specs import SegResNetSpec, SwinUNETRSpec

PAIRS = {pair.name: pair for pair in pairs()}


@pytest.fixture(params=PAIRS, scope="module")
def pair(request: pytest.FixtureRequest) -> Pair:
    return PAIRS[request.param]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_the_logits_are_those_of_monai(pair: Pair) -> None:
    pytest.importorskip("monai")
    theirs = pair.theirs()
    ours = runtime.module_from_weights(pair.spec, weights_for(pair.spec, theirs.state_dict())).eval()
    patch = torch.randn(pair.shape, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected, logits = theirs(patch), ours(patch)
    assert logits.shape == (pair.shape[0], pair.spec.out_channels, *pair.shape[2:])
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


def test_costs_are_measured_without_numbers(pair: Pair) -> None:
    spec = measured(pair.spec, pair.shape[2:])
    with torch.device("meta"):
        module = runtime.build(spec)
    voxels = int(np.prod(pair.shape[2:]))
    assert count_weights(spec) == sum(weight.numel() for weight in module.parameters())
    assert count_operations(spec, voxels) > count_weights(spec) / 100
    assert peak_features(spec, voxels) >= (spec.in_channels + spec.out_channels) * voxels


def test_operations_of_a_unet_are_those_of_its_arithmetic() -> None:
    with torch.device("meta"):
        module = runtime.build(TINY_UNET)
    costs = measure_costs(module, 1, (16, 16, 16))
    assert costs.operations_per_voxel * 16**3 == pytest.approx(count_operations(TINY_UNET, 16**3), rel=0.01)


def test_feature_maps_are_those_that_are_held_and_what_a_convolution_lays_out_anew() -> None:
    with torch.device("meta"):
        module = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv3d(4, 2, 1))
    costs = measure_costs(module, 1, (8, 8, 8))
    assert costs.features_per_voxel == (4 + 2) + (4 + 2)  # input and output of the last one, and both once more


def test_a_missing_weight_is_named() -> None:
    spec = SegResNetSpec(1, 2)
    weights = runtime.weights_of(runtime.build(spec))
    del weights["head.bias"]
    with pytest.raises(ModelError, match=r"'head\.bias' is missing"):
        runtime.module_from_weights(spec, weights)


def test_an_input_that_no_window_divides_is_padded_and_cut() -> None:
    spec = SwinUNETRSpec(1, 2, 2, 12, (2, 2, 2, 2), window=(5, 3))
    module = runtime.build(spec).eval()
    network = runtime.TorchNetwork(module, spec, torch.device("cpu"))
    assert runtime.on_array(network, np.zeros((1, 1, 2, 70, 90), np.float32)).shape == (1, 2, 2, 70, 90)


# Windows ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("extent", "window"), [((6, 4, 9), (2, 4, 3)), ((6, 9), (3, 3))])
def test_windows_and_back_is_identity(extent: tuple[int, ...], window: tuple[int, ...]) -> None:
    x = torch.randn(2, *extent, 5)
    windows = to_windows(x, window)
    assert windows.shape == (x[..., 0].numel() // np.prod(window), np.prod(window), 5)
    assert torch.equal(from_windows(windows, window, (2, *extent)), x)


def test_relative_places_are_numbered_by_offset() -> None:
    places = relative_places((2, 3))
    assert places.shape == (6, 6)
    assert len(places.unique()) == 3 * 5
    assert (places.diagonal() == places[0, 0]).all()


def test_without_a_shift_nothing_is_forbidden_and_with_one_only_strangers_are() -> None:
    assert (shift_mask((4, 6), (2, 3), (0, 0), torch.device("cpu")) == 0).all()
    mask = shift_mask((4, 6), (2, 3), (1, 0), torch.device("cpu"))
    assert mask.shape == (4, 6, 6)
    assert (mask[:2] == 0).all()
    assert (mask[2:] < 0).any()
    assert (mask.diagonal(dim1=1, dim2=2) == 0).all()


def test_all_merging_takes_each_neighbour_once_and_the_published_one_does_not() -> None:
    spec = SwinUNETRSpec(1, 2)
    assert len({*merged_places(spec)}) == 8
    assert len({*merged_places(replace(spec, merging="v2"))}) == 8
    assert len({*merged_places(replace(spec, merging="published"))}) == 6


def test_weights_for_training_only_are_dropped() -> None:
    pair = PAIRS["SegResNetDS 3D"]
    names = renamed(pair.spec, {"up_layers.0.head.weight": 0, "up_layers.2.head.weight": 1})
    assert names == {"head.weight": 1}
