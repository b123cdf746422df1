"""Our own model folders."""

from typing import ClassVar

import torch
from model_examples import model_spec

from conformance.peak_memory import more_bytes_a_voxel
from conformance.suite import ModelSuite, cut, lost
from DeepSegmentLib.files.models import save_model
from DeepSegmentLib.networks.architectures.unet import UNet


class TestOwn(ModelSuite):
    kind = "DeepSegment model"
    damages: ClassVar = {
        "weights cut": cut("weights.safetensors", r"weights\.safetensors has SHA-256"),
        "no weights": lost("weights.safetensors", r"weights\.safetensors is missing"),
        "no spec": lost("model.json", "is no model of a known kind"),
        "a spec cut": cut("model.json", r"model\.json: not valid JSON"),
    }

    @staticmethod
    def make(folder):
        torch.manual_seed(0)
        spec = model_spec(provenance={"made": "for a test"})
        save_model(folder / "tiny", spec, UNet(spec.stages[0].network), card="# Tiny\n")
        return [folder / "tiny"]

    def test_memory_that_torch_does_not_give_back_is_seen(self, model):
        assert more_bytes_a_voxel(model.folder, keeps=True) > more_bytes_a_voxel(model.folder) + 0.5 * 3 * 4
