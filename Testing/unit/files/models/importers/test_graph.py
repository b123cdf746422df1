"""Graphs become models: what is told of them is compared with what they do; what is exported comes back the same."""

import json

import numpy as np
import pytest
import torch
from foreign_models.graphs import ArgMax, Small, details, save_onnx, save_torchscript
from hypothesis import given, settings
from hypothesis import strategies as st
from model_examples import ArrayNetwork, model_spec, unet_specs
from torch import nn

from DeepSegmentLib.data import Geometry, Segment, Volume
from DeepSegmentLib.errors import InvalidInputError, ModelError
from DeepSegmentLib.files.models import load_model, read_spec, write_model
from DeepSegmentLib.files.models.exporters.onnx import export_onnx
from DeepSegmentLib.files.models.importers.door import Words, importer_of
from DeepSegmentLib.files.models.importers.graph import IMPORTER
from DeepSegmentLib.networks.model_spec import Channel
from DeepSegmentLib.networks.runtime import build, weights_of
from DeepSegmentLib.networks.stage_spec import WeightsFile
from DeepSegmentLib.segmentation.predict import predict

WRITERS = {".ts": save_torchscript, ".onnx": save_onnx}


def unheeded(*_):
    """Nobody watches."""


def converted(path, tmp_path, **changes):
    return IMPORTER.convert([path], tmp_path / "model", Words(details=details(**changes)))


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize(("end", "gives"), [(None, "logits"), (nn.Softmax(1), "softmax"), (nn.Sigmoid(), "sigmoid")])
def test_what_comes_out_is_seen_and_turned_back(suffix, end, gives, tmp_path):
    spec = converted(WRITERS[suffix](tmp_path / f"g{suffix}", Small(end)), tmp_path)
    assert spec.stages[0].network.gives == gives
    assert [each.file for each in spec.weights] == [f"weights{suffix}"]
    volume = Volume(
        np.random.default_rng(0).normal(size=(1, 12, 9, 10)).astype("float32"),
        Geometry.from_spacing((12, 9, 10), (1, 1, 1)),
    )
    loaded = load_model(tmp_path / "model", "cpu")
    found = predict(volume, spec, loaded.networks).label_map.layers
    plain = Small().eval()

    def network(patches):
        with torch.inference_mode():
            return plain(torch.from_numpy(np.ascontiguousarray(patches))).numpy()

    expected = predict(volume, spec, [ArrayNetwork(network)]).label_map.layers
    assert (found != expected).mean() < (0.02 if gives == "sigmoid" else 0.005)


@settings(max_examples=5)
@given(unet_specs(), st.integers(1, 2), st.integers(8, 11))
def test_an_exported_model_comes_back_with_the_same_labels(tmp_path_factory, network, members, n):
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    spec = model_spec(
        channels=tuple(Channel(str(each), "MR") for each in range(network.in_channels)),
        segments=tuple(Segment(f"s{each}", 3 * each + 1) for each in range(network.out_channels)),
        output="regions",
        network=network,
        patch_shape=(1 if network.dimensions == 2 else n, 8, 8),
        weights=tuple(WeightsFile(f"weights-{each}.safetensors") for each in range(members)),
    )
    written = write_model(folder / "own", spec, iter([weights_of(build(network)) for _ in range(members)]), card="")
    *graphs, document = export_onnx(folder / "own", folder / "onnx", unheeded)
    assert len(graphs) == members
    assert document.name == "tiny-brain.json"
    back = importer_of(graphs).convert(graphs, folder / "back", Words())
    assert [each.name for each in back.segments] == [each.name for each in written.segments]
    voxels = np.random.default_rng(0).normal(size=(network.in_channels, 10, 9, 12)).astype("float32")
    volume = Volume(voxels, Geometry.from_spacing((10, 9, 12), (1, 1, 1)))
    first, second = (
        predict(volume, spec, load_model(each, "cpu").networks).label_map.layers
        for each, spec in ((folder / "own", written), (folder / "back", back))
    )
    assert (first != second).mean() < 1e-3


@pytest.mark.parametrize("suffix", WRITERS)
def test_costs_are_those_of_the_network(suffix, tmp_path):
    spec = converted(WRITERS[suffix](tmp_path / f"g{suffix}", Small()), tmp_path)
    costs = spec.stages[0].network.costs
    assert costs.operations_per_voxel == 2 * 27
    assert costs.weights == 2 * 27 + 2
    assert 2 <= costs.features_per_voxel <= 8


def test_a_batch_that_is_built_in_is_found(tmp_path):
    spec = converted(save_onnx(tmp_path / "g.onnx", Small(), batch=False), tmp_path)
    assert spec.stages[0].network.batch == 1


def test_the_json_beside_it_is_taken(tmp_path):
    graph = save_torchscript(tmp_path / "My graph.ts", Small())
    (tmp_path / "My graph.json").write_text(json.dumps(details(spacing_mm=[2, 1, 1])))
    for sources in ([graph], [graph, tmp_path / "My graph.json"]):
        assert importer_of(sources) is IMPORTER
    spec = IMPORTER.convert([graph], tmp_path / "model", Words(license="CC0-1.0"))
    assert (spec.name, spec.license, spec.stages[0].spacing_mm) == ("My-graph", "CC0-1.0", (2.0, 1.0, 1.0))
    assert read_spec(tmp_path / "model") == spec


def test_a_2d_graph_sees_planes(tmp_path):
    graph = save_onnx(tmp_path / "g.onnx", Small(dimensions=2), extent=(8, 8))
    spec = converted(graph, tmp_path, dimensions=2, patch_shape=[1, 8, 8])
    assert spec.stages[0].network.fixed_shape == (8, 8)


def test_without_words_the_message_says_what_to_give(tmp_path):
    graph = save_torchscript(tmp_path / "g.ts", Small())
    with pytest.raises(ModelError, match=r"put g\.json beside it with channels, segments and patch_shape"):
        IMPORTER.convert([graph], tmp_path / "model", Words())


WRONG = {
    "another patch": ({"patch_shape": [8, 8, 9]}, r"takes \(any, 1, 8, 8, 8\)"),
    "more channels": ({"channels": [{"name": "a", "modality": ""}, {"name": "b", "modality": ""}]}, "takes"),
    "more segments": ({"segments": [{"name": "a", "value": 1}, {"name": "b", "value": 2}]}, "3 channels"),
    "regions": ({"output": "regions"}, "1 channels"),
    "probabilities": ({"gives": "softmax"}, "outside 0 to 1"),
    "an unknown key": ({"spacing": 1}, "unknown key 'spacing'"),
    "no segments": ({"segments": []}, "segment"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_was_told_wrongly_is_named(name, tmp_path):
    changes, message = WRONG[name]
    graph = save_onnx(tmp_path / "g.onnx", Small())
    with pytest.raises((ModelError, InvalidInputError), match=message):
        converted(graph, tmp_path, **changes)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("suffix", WRITERS)
def test_labels_are_refused(suffix, tmp_path):
    graph = WRITERS[suffix](tmp_path / f"g{suffix}", Small(ArgMax()))
    with pytest.raises(ModelError, match="gives whole numbers, so labels"):
        converted(graph, tmp_path)


def test_a_program_of_torch_export_is_refused(tmp_path):
    (tmp_path / "g.pt2").write_bytes(b"PK\x03\x04")
    with pytest.raises(ModelError, match="export the network to ONNX"):
        converted(tmp_path / "g.pt2", tmp_path)


def test_a_graph_is_not_exported_again(tmp_path):
    converted(save_onnx(tmp_path / "g.onnx", Small()), tmp_path)
    with pytest.raises(InvalidInputError, match="a graph already"):
        export_onnx(tmp_path / "model", tmp_path / "out", unheeded)
    assert not (tmp_path / "out").exists()
