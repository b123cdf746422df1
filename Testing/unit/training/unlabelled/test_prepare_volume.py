"""Volumes without labels on the network's grid: seen as cases are, and nothing is known of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from model_examples import TINY_UNET, model_spec

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.training.cases.labelled_case import LabelledCase
from DeepSegmentLib.training.cases.prepare_case import prepare_case
from DeepSegmentLib.training.cases.stored_case import load, store
from DeepSegmentLib.training.fitting.partial_losses import LossSettings, PartialLoss
from DeepSegmentLib.training.unlabelled.prepare_volume import prepare_volume


def _volume(channels=1, shape=(9, 10, 11)):
    voxels = np.random.default_rng(0).normal(100, 20, (channels, *shape)).astype(np.float32)
    return Volume(voxels, Geometry.from_spacing(shape, (1.5, 1, 1)))


def test_the_image_is_that_of_a_case_with_the_same_volume():
    volume, spec = _volume(), model_spec()
    labels = np.ones((1, *volume.geometry.shape), np.uint8)
    segment = Segment(spec.parts[0].segments[0], 1)
    case = LabelledCase("case_0001", volume, LabelMap(labels, volume.geometry, (segment,)), {segment.name: ()})
    labelled, found = prepare_case(case, spec, spec.parts[0]), prepare_volume("x", volume, spec, spec.parts[0])
    assert np.array_equal(found.image, labelled.image)
    assert found.spacing_mm == labelled.spacing_mm
    assert found.labels.shape == labelled.labels.shape
    assert len(found.places) == len(labelled.places)
    assert not found.labels.any()


@pytest.mark.parametrize("output", ["labels", "regions"])
def test_who_takes_it_for_a_case_learns_nothing(tmp_path, output):
    spec = model_spec(output=output, network=replace(TINY_UNET, out_channels=2 + (output == "labels")))
    store(prepare_volume("x", _volume(), spec, spec.parts[0]), tmp_path / "x")
    case = load(tmp_path / "x", check=True)
    known = torch.tensor([[[*map(float, row.classes), row.weight] for row in case.known]])
    logits = torch.randn(1, len(case.places), *case.shape, requires_grad=True)
    labels, regions = (torch.from_numpy(np.array(each))[None].long() for each in (case.labels, case.regions))
    loss = PartialLoss(LossSettings(), output)([logits], labels, regions, known)
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_another_number_of_channels_is_refused():
    spec = model_spec()
    with pytest.raises(InvalidInputError, match="volume x has 2 channels, the model 1"):
        prepare_volume("x", _volume(2), spec, spec.parts[0])
