"""Our models as trained folders of nnU-Net: read again they are the same; what nnU-Net does otherwise is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from foreign_models.nnunet import foreign_network
from hypothesis import given
from hypothesis import strategies as st
from model_examples import TINY_UNET, model_spec, unet_specs

from DeepSegmentLib.data import Segment
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.models.exporters.nnunet import export_nnunet
from DeepSegmentLib.files.models.folder import load_model, write_model
from DeepSegmentLib.files.models.importers import Words
from DeepSegmentLib.files.models.importers.nnunet import IMPORTER
from DeepSegmentLib.imaging.intensity import Normalization
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.model_spec import Channel, ModelSpec, Part
from DeepSegmentLib.networks.runtime import on_array
from DeepSegmentLib.networks.stage_spec import Resampling, StageSpec, Tiling, WeightsFile

AS_NNUNET = Resampling(volume_order=3, logits_order=1, antialias=False, keep_extent=True, thick_axis_from=3.0)
TWO_FOLDS = (WeightsFile("weights.safetensors"), WeightsFile("weights-2.safetensors"))


@st.composite
def fitting_stages(draw) -> StageSpec:
    """Stages of which nnU-Net does everything just so."""
    norm = draw(st.sampled_from(["instance", "batch"]))
    network = draw(unet_specs(attention=False, norm=norm, deep_supervision=False, out_channels=3))
    planes = network.dimensions == 2
    length = st.floats(0.3, 6)
    spacing = (None if planes else draw(length), draw(length), draw(length))
    order = st.integers(0, 3)
    patch = draw(st.tuples(*[st.integers(4, 40)] * 3))
    return StageSpec(
        patch_shape=(1, *patch[1:]) if planes else patch,
        network=network,
        normalizations=tuple(draw(st.lists(FITTING, min_size=network.in_channels, max_size=network.in_channels))),
        weights=TWO_FOLDS[: draw(st.integers(1, 2))],
        spacing_mm=draw(st.sampled_from([spacing, None])),
        orientation=draw(st.sampled_from([None, "RAS"])),
        axes=draw(st.permutations(range(3)).map(tuple)),
        crop="nonzero",
        normalize="before",
        resampling=Resampling(
            draw(order), draw(order), antialias=False, keep_extent=True,
            thick_axis_from=draw(st.none() | st.floats(1, 9)),
            thick_volume_order=draw(order), thick_logits_order=draw(order),
        ),
        tiling=Tiling(0.5, "spread", "truncated_gaussian"),
        mirror_axes=tuple(sorted(draw(st.sets(st.sampled_from([1, 2] if planes else [0, 1, 2]))))),
    )  # fmt: skip


FITTING = st.sampled_from(
    [
        Normalization("none"),
        Normalization("zscore"),
        Normalization("zscore", over="filled_nonzero"),
        Normalization("window", low=-100.0, high=300.0, mean=40.0, std=7.5),
        Normalization("percentile", low=0, high=100),
    ]
)


def model_of(stage: StageSpec, **changes) -> ModelSpec:
    channels = tuple(Channel(f"channel {n}", "") for n in range(len(stage.normalizations)))
    segments = (Segment("one", 1), Segment("two", 2))
    parts = (Part(("one", "two"), (stage,)),)
    return model_spec(channels=channels, segments=segments, parts=parts, **changes)


def written(spec: ModelSpec, folder) -> ModelSpec:
    states = []
    for n, _ in enumerate(spec.weights):
        torch.manual_seed(n)
        states.append({name: tensor.numpy() for name, tensor in UNet(spec.stages[0].network).state_dict().items()})
    return write_model(folder, spec, iter(states), card="")


@given(stage=fitting_stages())
def test_what_is_written_is_read_as_the_same_stage(stage, tmp_path_factory):
    folder = tmp_path_factory.mktemp("round trip")
    spec = written(model_of(stage), folder / "ours")
    trained = export_nnunet(folder / "ours", folder / "theirs")
    back = IMPORTER.convert([trained], folder / "back", Words())
    expected = stage if stage.spacing_mm is not None else replace(stage, resampling=back.stages[0].resampling)
    assert replace(back.stages[0], weights=stage.weights) == expected
    assert [segment.name for segment in back.segments] == ["one", "two"]
    assert [file.sha256 for file in back.weights] == [file.sha256 for file in spec.weights]


def fitting(**changes) -> StageSpec:
    stage = StageSpec(
        (8, 8, 8), TINY_UNET, (Normalization("zscore"),), spacing_mm=(1.0, 1.0, 1.0), orientation=None, crop="nonzero",
        resampling=AS_NNUNET,
    )  # fmt: skip
    return replace(stage, **changes)


def test_the_network_of_the_plans_takes_the_weights_and_gives_the_same_logits(tmp_path):
    written(model_of(fitting()), tmp_path / "ours")
    trained = export_nnunet(tmp_path / "ours", tmp_path / "theirs")
    plans = json.loads((trained / "plans.json").read_text())
    theirs = foreign_network(plans["configurations"]["3d_fullres"]["architecture"], 1, 3)
    checkpoint = torch.load(trained / "fold_0" / "checkpoint_final.pth", weights_only=True)
    theirs.load_state_dict(checkpoint["network_weights"])
    x = np.random.default_rng(0).normal(size=(1, 1, 8, 8, 8)).astype(np.float32)
    with torch.inference_mode():
        expected = theirs(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(on_array(load_model(tmp_path / "ours", "cpu").networks[0], x), expected, atol=1e-5)


@pytest.mark.parametrize("values", [(1, 2, 3), (3, 1, 2)])
def test_regions_keep_their_order_and_what_they_become(values, tmp_path):
    segments = tuple(Segment(f"region {value}", value) for value in values)
    parts = (Part(tuple(each.name for each in segments), (fitting(),)),)
    written(model_spec(segments=segments, parts=parts, output="regions"), tmp_path / "ours")
    back = IMPORTER.convert([export_nnunet(tmp_path / "ours", tmp_path / "theirs")], tmp_path / "back", Words())
    assert back.output == "regions"
    assert [(each.name, each.value) for each in back.segments] == [(each.name, each.value) for each in segments]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"network": replace(TINY_UNET, attention=True)}, "attention"),
        ({"network": replace(TINY_UNET, norm="group")}, "group norm"),
        ({"normalizations": (Normalization("percentile", low=1, high=99),)}, "percentile"),
        ({"normalizations": (Normalization("zscore", over="nonzero"),)}, "nonzero"),
        ({"normalizations": (Normalization("window", low=0, high=1, clip=False),)}, "clip=False"),
        ({"orientation": "LPS"}, "LPS"),
        ({"crop": "content"}, "content"),
        ({"normalize": "after"}, "after resampling"),
        ({"resampling": Resampling()}, "averages"),
        ({"spacing_mm": (None, 1.0, 1.0)}, "spacing"),
    ],
)
def test_what_nnunet_does_otherwise_is_refused_by_name(changes, said, tmp_path):
    written(model_of(fitting(**changes)), tmp_path / "ours")
    with pytest.raises(InvalidInputError, match=said):
        export_nnunet(tmp_path / "ours", tmp_path / "theirs")
    assert not (tmp_path / "theirs").exists()


def test_names_that_nnunet_reserves_are_refused(tmp_path):
    segments = (Segment("ignore", 1), Segment("two", 2))
    written(model_spec(segments=segments, parts=(Part(("ignore", "two"), (fitting(),)),)), tmp_path / "ours")
    with pytest.raises(InvalidInputError, match="ignore"):
        export_nnunet(tmp_path / "ours", tmp_path / "theirs")


def test_models_of_several_stages_are_refused(tmp_path):
    second = fitting(network=replace(TINY_UNET, in_channels=3), weights=TWO_FOLDS[1:])
    spec = model_spec(parts=(Part(("left", "right"), (fitting(), second)),))
    states = [
        {name: tensor.numpy() for name, tensor in UNet(stage.network).state_dict().items()} for stage in spec.stages
    ]
    write_model(tmp_path / "ours", spec, iter(states), card="")
    with pytest.raises(InvalidInputError, match="2 stages"):
        export_nnunet(tmp_path / "ours", tmp_path / "theirs")
