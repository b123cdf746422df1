"""The law of cancelling: at any moment of any step of a segmentation it takes effect within a second."""

import time

import numpy as np
import pytest
import torch
from model_examples import TINY_UNET, model_spec
from scipy import ndimage
from stop_examples import StopAfter, stops_in_time
from torch import nn

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.imaging import components, intensity
from DeepSegmentLib.imaging.intensity import Normalization
from DeepSegmentLib.networks.model_spec import Cleanup
from DeepSegmentLib.networks.runtime import TorchNetwork
from DeepSegmentLib.segmentation.predict import predict

VOLUME = Volume(
    np.random.default_rng(0).normal(size=(1, 8, 8, 20)).astype(np.float32), Geometry.from_spacing((8, 8, 20), (1, 1, 1))
)
RUN_S = 3.0


class Slow(nn.Module):
    """A network whose passes take a second, in layers of a tenth."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(_Wait() for _ in range(10)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.layers(x), -x, 0 * x], dim=1)


class _Wait(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(0.1)
        return x


def network() -> TorchNetwork:
    return TorchNetwork(Slow(), TINY_UNET, torch.device("cpu"))


def quick(patches: torch.Tensor) -> torch.Tensor:
    return torch.cat([0 * patches, patches, -patches], dim=1)


quick.device, quick.head = torch.device("cpu"), None


@pytest.mark.parametrize("moment", np.random.default_rng(1).uniform(0, RUN_S, 5).round(2))
def test_at_any_moment_of_the_tiles(moment):
    stop = StopAfter(float(moment))
    with stops_in_time(stop):
        predict(VOLUME, model_spec(), [network()], on_progress=stop)


@pytest.mark.parametrize(
    ("module", "name", "changes"),
    [
        (intensity.np, "percentile", {"normalizations": (Normalization("percentile", 1, 99),)}),
        (ndimage, "binary_fill_holes", {"normalizations": (Normalization("zscore", over="filled_nonzero"),)}),
        (components.ndimage, "label", {"cleanups": (Cleanup("left", keep_largest=True),)}),
        (components.ndimage, "label", {"cleanups": (Cleanup("left", fill_holes=True),)}),
    ],
)
def test_in_a_step_of_one_call(monkeypatch, module, name, changes):
    original = getattr(module, name)

    def slow(*arguments, **keywords):
        time.sleep(1.5)
        return original(*arguments, **keywords)

    monkeypatch.setattr(module, name, slow)
    stop = StopAfter(0.7)
    with stops_in_time(stop):
        predict(VOLUME, model_spec(**changes), [quick], on_progress=stop)
