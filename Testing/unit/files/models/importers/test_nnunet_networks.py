"""Networks of nnU-Net: the same logits here and in the package that nnU-Net builds them with."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign_models.nnunet import (
    architecture,
    as_compiled,
    checkpoint_of,
    configuration,
    foreign_network,
    refused_by_name,
)
from hypothesis import given
from hypothesis import strategies as st
from model_examples import unet_specs
from torch import nn

from DeepSegmentLib.errors import ModelError
from DeepSegmentLib.files.models.exporters.nnunet_plans import architecture_of_plans
from DeepSegmentLib.files.models.importers.foreign_json import Entries
from DeepSegmentLib.files.models.importers.nnunet.architectures import Architecture, architecture_of
from DeepSegmentLib.files.models.importers.nnunet.weight_names import all_names, foreign_name
from DeepSegmentLib.files.models.importers.nnunet.weights import read_weights
from DeepSegmentLib.networks.architectures.unet import UNet

NETWORKS = unet_specs(attention=False, norm="instance") | unet_specs(attention=False, norm="batch")


def entries(document):
    return Entries(Path("plans.json"), document)


def read(described, in_channels=1, out_channels=3, **changes) -> Architecture:
    return architecture_of(entries(configuration(architecture=described) | changes), in_channels, out_channels)


def our_network(found: Architecture, checkpoint: Path) -> UNet:
    network = UNet(found.spec).eval()
    weights = read_weights(checkpoint, found)
    network.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in weights.items()})
    return network


def assert_same_logits(ours: nn.Module, theirs: nn.Module, found: Architecture, *, seed: int = 0) -> None:
    extent = [2 * step for step in found.spec.divisor]
    x = torch.randn(1, found.spec.in_channels, *extent, generator=torch.Generator().manual_seed(seed))
    with torch.inference_mode():
        expected, got = theirs(x), ours(x)
    scale = float(expected.abs().max()) + 1.0
    np.testing.assert_allclose(got.numpy() / scale, expected.numpy() / scale, atol=1e-5)


def check(described, folder: Path, in_channels=1, out_channels=3) -> Architecture:
    """Read a network and compare it with the one that the plans describe."""
    found = read(described, in_channels, out_channels)
    theirs = foreign_network(described, in_channels, out_channels)
    torch.save(checkpoint_of(theirs, "3d_fullres"), folder / "checkpoint_final.pth")
    assert_same_logits(our_network(found, folder / "checkpoint_final.pth"), theirs, found)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("network")


@given(NETWORKS)
def test_plans_that_were_written_are_read_as_the_same_network(spec):
    found = read(architecture_of_plans(spec), spec.in_channels, spec.out_channels)
    assert found.spec == replace(spec, attention=False, deep_supervision=False)
    assert (found.conv_bias, found.affine) == (True, True)


@given(spec=NETWORKS)
def test_any_network_gives_the_logits_that_it_gives_there(spec, folder):
    check(architecture_of_plans(spec), folder, spec.in_channels, spec.out_channels)


@given(NETWORKS)
def test_weights_get_all_the_names_that_are_asked_for_there(spec):
    state = {
        each: tensor for name, tensor in UNet(spec).state_dict().items() for each in all_names(foreign_name(name, spec))
    }
    theirs = foreign_network(architecture_of_plans(spec), spec.in_channels, spec.out_channels)
    theirs.load_state_dict(state)
    ours = UNet(spec).eval()
    ours.load_state_dict({name: state[foreign_name(name, spec)] for name in ours.state_dict()})
    assert_same_logits(ours, theirs, Architecture(spec, conv_bias=True, affine=True))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"conv_bias": False},
        {"norm_op_kwargs": None},
        {"norm_op_kwargs": {"affine": False, "eps": 1e-3}, "conv_bias": False},
        {"norm_op": "torch.nn.modules.batchnorm.BatchNorm3d", "norm_op_kwargs": {"momentum": 0.2}},
        {"nonlin": "torch.nn.modules.activation.ReLU", "nonlin_kwargs": None},
        {"nonlin_kwargs": {"negative_slope": 0.2}},
        {"dropout_op": "torch.nn.Dropout3d", "dropout_op_kwargs": {"p": 0.5}},
        {"kernel_sizes": 3, "strides": [1, 2, 2], "features_per_stage": 4},
        {"kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]], "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]]},
    ],
)
@pytest.mark.parametrize("residual", [False, True])
def test_every_argument_is_followed(changes, residual, folder):
    check(architecture(residual=residual, **changes), folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"stem_channels": 7},
        {"block": "dynamic_network_architectures.building_blocks.residual.BottleneckD", "bottleneck_channels": 3},
        {
            "block": "dynamic_network_architectures.building_blocks.residual.BottleneckD",
            "bottleneck_channels": [2, 3, 4],
            "stem_channels": 5,
            "conv_bias": False,
        },
    ],
)
def test_stems_and_bottlenecks(changes, folder):
    described = architecture(residual=True, **changes)
    described["_kw_requires_import"].append("block")
    check(described, folder)


def old_plans(name):
    """A configuration as nnU-Net wrote it before version 2.5."""
    plans = configuration()
    del plans["architecture"]
    return plans | {
        "UNet_class_name": name,
        "UNet_base_num_features": 4,
        "unet_max_num_features": 6,
        "n_conv_per_stage_encoder": [2, 2, 2],
        "n_conv_per_stage_decoder": [2, 2],
        "num_pool_per_axis": [2, 2, 2],
        "pool_op_kernel_sizes": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
        "conv_kernel_sizes": [[3, 3, 3]] * 3,
    }


@pytest.mark.parametrize("name", ["PlainConvUNet", "ResidualEncoderUNet"])
def test_older_plans_describe_the_same_networks(name):
    residual = name == "ResidualEncoderUNet"
    blocks = {"n_blocks_per_stage" if residual else "n_conv_per_stage": [2, 2, 2]}
    newer = architecture(residual=residual, **blocks, features_per_stage=[4, 6, 6], n_conv_per_stage_decoder=[2, 2])
    assert architecture_of(entries(old_plans(name)), 1, 3) == read(newer)


def test_batch_norm_of_the_trainer_takes_the_place_of_the_plans_norm(folder):
    described = architecture(norm_op="torch.nn.modules.batchnorm.BatchNorm3d")
    theirs = foreign_network(described, 1, 3)
    torch.save(checkpoint_of(theirs, "3d_fullres"), folder / "checkpoint_final.pth")
    found = architecture_of(entries(configuration()), 1, 3, batch_norm=True)
    assert_same_logits(our_network(found, folder / "checkpoint_final.pth"), theirs, found)


def test_weights_of_a_wrapped_network_are_found(folder):
    theirs = foreign_network(architecture(), 1, 3)
    checkpoint = checkpoint_of(theirs, "3d_fullres", network_weights=as_compiled(theirs.state_dict()))
    torch.save(checkpoint, folder / "checkpoint_final.pth")
    found = read(architecture())
    assert_same_logits(our_network(found, folder / "checkpoint_final.pth"), theirs, found)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"network_class_name": "dynamic_network_architectures.architectures.primus.Primus"}, "Primus"),
        ({"network_class_name": "os.system"}, "os.system"),
        ({"network_class_name": "mine.PlainConvUNet"}, "mine.PlainConvUNet"),
        ({"network_class_name": 7}, "network_class_name"),
        ({"arch_kwargs": []}, "arch_kwargs"),
    ],
)
def test_other_networks_are_refused_by_name(changes, said):
    with pytest.raises(ModelError, match=said):
        read(architecture() | changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"squeeze_excitation": True}, "squeeze_excitation"),
        ({"nonlin_first": True}, "nonlin_first"),
        ({"norm_op": None}, "norm_op"),
        ({"norm_op": "torch.nn.GroupNorm"}, "GroupNorm"),
        ({"norm_op": "torch.nn.InstanceNorm2d"}, "InstanceNorm2d"),
        ({"norm_op_kwargs": {"eps": 1e-5, "track_running_stats": True}}, "track_running_stats"),
        ({"norm_op_kwargs": {"mystery": 1}}, "mystery"),
        ({"nonlin": "torch.nn.GELU"}, "GELU"),
        ({"nonlin": None}, "nonlin"),
        ({"conv_op": "torch.nn.Conv1d"}, "Conv1d"),
        ({"kernel_sizes": [[3, 3, 3]]}, "kernel_sizes"),
        ({"kernel_sizes": [[2, 2, 2]] * 3}, "odd"),
        ({"kernel_sizes": [["3"] * 3] * 3}, "kernel_sizes"),
        ({"strides": [[2, 2, 2]] * 3}, "first stage"),
        ({"n_stages": 10**9}, "n_stages"),
        ({"features_per_stage": [4, 6, 10**9]}, "features"),
        ({"features_per_stage": [4, 6, None]}, "features_per_stage"),
        ({"n_conv_per_stage_decoder": []}, "decoder_blocks"),
    ],
)
def test_arguments_that_cannot_be_followed_are_refused_by_name(changes, said):
    with pytest.raises(ModelError, match=said):
        read(architecture(**changes))


@given(st.sampled_from(sorted(architecture()["arch_kwargs"])), st.sampled_from([None, [], {}, "x", -1, 0, True, 1e9]))
def test_odd_arguments_are_refused_or_understood(key, value):
    with refused_by_name("plans.json"):
        assert read(architecture(**{key: value})).spec.dimensions == 3


def changed(checkpoint, name, tensor):
    """A checkpoint with a weight that is another, or, for None, missing."""
    weights = dict(checkpoint["network_weights"])
    if tensor is None:
        del weights[name]
    else:
        weights[name] = tensor
    return checkpoint | {"network_weights": weights}


HEAD = "decoder.seg_layers.1.weight"


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        (HEAD, None),
        (HEAD, torch.zeros(4, 4, 1, 1, 1)),
        ("encoder.stages.0.0.convs.0.conv.bias", None),
        ("encoder.stages.0.0.convs.1.norm.weight", None),
        ("encoder.stages.9.0.convs.0.conv.bias", torch.zeros(3)),
    ],
)
def test_weights_that_do_not_fit_the_plans_are_named(name, tensor, folder):
    path = folder / "checkpoint_final.pth"
    torch.save(changed(checkpoint_of(foreign_network(architecture(), 1, 3), "3d_fullres"), name, tensor), path)
    with pytest.raises(ModelError, match=name.replace(".", r"\.")) as error:
        read_weights(path, read(architecture()))
    assert str(path) in str(error.value)
    assert "plans.json" in str(error.value)


def test_heads_that_only_training_needs_may_be_missing(folder):
    path, theirs = folder / "checkpoint_final.pth", foreign_network(architecture(), 1, 3)
    torch.save(changed(checkpoint_of(theirs, "3d_fullres"), "decoder.seg_layers.0.weight", None), path)
    found = read(architecture())
    assert_same_logits(our_network(found, path), theirs, found)
