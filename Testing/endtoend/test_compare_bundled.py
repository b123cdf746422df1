"""The bundled model against a copy of it whose weights were damaged: the comparison tells which is which."""

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.files.models import read_spec
from DeepSegmentLib.files.models.folder import write_model
from DeepSegmentLib.service.catalogue import find_model
from DeepSegmentLib.service.learning.compare import CompareRequest, compare_models
from DeepSegmentLib.service.segment import segment_volume
from DeepSegmentLib.training.cases.labelled_case import LabelledCase


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """The bundled model with noise on all that its network learned."""
    source = find_model("brain-mr").path
    spec = read_spec(source)
    weights = load_file(source / spec.stages[0].weights[0].file)
    rng = np.random.default_rng(0)
    noisy = {
        name: (each + rng.normal(0, 0.2 * float(each.std()) + 1e-6, each.shape)).astype(np.float32)
        for name, each in weights.items()
    }
    folder = tmp_path_factory.mktemp("models") / "brain-noisy"
    write_model(folder, replace(spec, name="brain-noisy"), iter([noisy]), card="# noisy\n")
    return folder


def _head():
    """Something like a head, with what the bundled model finds in it for the truth."""
    place = np.indices((24, 24, 24)) - 11.5
    radius = np.sqrt((place**2).sum(0))
    voxels = np.where(radius < 11, 60.0, 0) + np.where(radius < 7, 40.0, 0)
    voxels += np.random.default_rng(0).normal(0, 3, radius.shape)
    volume = Volume(voxels[None].astype(np.float32), Geometry.from_spacing(radius.shape, (4, 4, 4)))
    labels = segment_volume(volume, "brain-mr").prediction.label_map
    drawn = {each.name: () for each in labels.segments if (labels.layers[each.layer] == each.value).any()}
    return LabelledCase("case_0001", volume, labels, drawn)


def test_noise_on_the_weights_is_told_as_a_loss(damaged, tmp_path):
    case = _head()
    found = compare_models(CompareRequest("brain-mr", str(damaged), pictures=tmp_path), [case], 1)
    assert found.segments == tuple(case.drawn)
    assert all(pair.old.dice == pair.old.nsd == 1 for pair in found.cases[0].segments)
    whole = found.findings()[0]
    assert whole.is_worse
    assert whole.dice.new < 0.98
    assert (tmp_path / "case_0001.png").stat().st_size > 1000
