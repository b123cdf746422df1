"""A guide as a model folder: what is loaded says what was saved, and anything else is refused."""

import shutil

import numpy as np
import pytest
import torch

from DeepSegmentLib.errors import ChecksumError, ModelError
from DeepSegmentLib.networks.unet import UNet
from DeepSegmentLib.refinement.domain import Domain, distance_mm
from DeepSegmentLib.refinement.energy import belief
from DeepSegmentLib.refinement.evidence import gather
from DeepSegmentLib.refinement.guided import MOST, channels_of, lattice_of
from DeepSegmentLib.service.catalogue import bundled_models_folder
from DeepSegmentLib.service.guiding import load_guide, save_guide
from DeepSegmentLib.training.guided import guide_network


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    return UNet(guide_network()).half().float().eval()  # weights that float16 keeps


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "guide"
    save_guide(folder, network, {"steps": "0"})
    return folder


@pytest.fixture(scope="module")
def domain():
    """Noise, one half of it segmented, and a click into the other."""
    shape = (18, 20, 22)
    source = np.zeros(shape, bool)
    source[9, 10, 12] = True
    target = np.broadcast_to(np.arange(22) < 9, shape)
    distance = distance_mm(source, (1, 1, 1))
    image = np.random.default_rng(0).standard_normal((1, *shape)).astype(np.float32)
    free = (distance <= 6) & ~target & ~source
    return Domain(image, (1.0, 1.0, 1.0), free, source, source, target, np.zeros(shape, bool), distance, 6.0)


def test_what_is_loaded_says_what_was_saved(network, folder, domain):
    guide, evidence = load_guide(folder), gather(domain)
    worth = belief(evidence, domain)
    said = guide(domain, evidence, worth)
    lattice = lattice_of(domain)
    with torch.inference_mode():
        logits = network(torch.from_numpy(channels_of(domain, evidence, worth, lattice)[None]))[0, 0].numpy()
    expected = lattice.spread(np.clip(logits, -MOST, MOST)).ravel()[evidence.grid.voxels]
    np.testing.assert_allclose(said, expected, atol=1e-4)
    assert said.std() > 0
    assert np.array_equal(said, guide(domain, evidence, worth))


def test_the_card_tells_where_it_comes_from(folder):
    assert "steps: 0" in (folder / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_damaged_weights_are_refused(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "guide")
    weights = bytearray((copy / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "weights.safetensors").write_bytes(weights)
    with pytest.raises(ChecksumError, match="damaged or was exchanged"):
        load_guide(copy)


def test_a_segmentation_model_is_no_guide():
    with pytest.raises(ModelError, match="is no guide for this version"):
        load_guide(bundled_models_folder() / "brain-mr")
