"""A network that learns from volumes without labels: it gains by them, goes on exactly, ignores them if told so."""

import pytest
import torch

from DeepSegmentLib.errors import Cancelled
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.unet_spec import UNetSpec
from DeepSegmentLib.training.fitting.fit import Hooks, fit
from DeepSegmentLib.training.fitting.partial_losses import LossSettings, PartialLoss
from DeepSegmentLib.training.fitting.settings import TrainSettings
from DeepSegmentLib.training.unlabelled.patches import SideBySide, UnlabelledPatch
from DeepSegmentLib.training.unlabelled.pseudo_labels import PseudoLabels
from DeepSegmentLib.training.unlabelled.settings import UnlabelledSettings

N = 10
KNOWN = torch.tensor([[1.0, 1, 1], [0, 0, 0]])


def _network(output="labels"):
    torch.manual_seed(1)
    channels = 1 if output == "regions" else 2
    spec = UNetSpec(1, channels, (4, 8), ((3, 3, 3),) * 2, ((1, 1, 1), (2, 2, 2)), (1, 1), (1,), deep_supervision=True)
    return UNet(spec)


def _ball(seed, noise=0.1):
    numbers = torch.Generator().manual_seed(seed)
    grid = torch.stack(torch.meshgrid(*[torch.arange(float(N))] * 3, indexing="ij"))
    middle = torch.rand(3, generator=numbers) * (N - 4) + 2
    truth = (((grid - middle[:, None, None, None]) ** 2).sum(0) < 6).long()
    return 2 * truth[None].float() + noise * torch.randn(1, N, N, N, generator=numbers), truth


def _cases(iteration):
    """Four clear images, over and over."""
    image, truth = _ball(iteration % 4)
    return image, truth[None], torch.zeros_like(truth), KNOWN


def _regions(iteration):
    image, labels, regions, known = _cases(iteration)
    return image, labels, regions, known[:, 1:]


def _unlabelled(iteration):
    """Forty other ones, which the student sees in noise."""
    plain, _ = _ball(1000 + iteration % 40)
    noise = torch.randn(plain.shape, generator=torch.Generator().manual_seed(iteration))
    return UnlabelledPatch(plain + 0.8 * noise, plain, torch.ones(N, N, N, dtype=torch.bool))


def _fit(path, source, *, weight=None, steps=6, output="labels", **hooks):
    settings = TrainSettings(steps, 2, 0.01, 5, average=0.95, checkpoint_every=4, workers=0)
    lesson = None
    if weight is not None:
        plain = PartialLoss(LossSettings(dice=0, balance=0), output)
        lesson = PseudoLabels(UnlabelledSettings(weight=weight, threshold=0.9, ramp_up=0.2), plain, output)
    hooks = Hooks(unlabelled=lesson, **hooks)
    return fit(_network(output), source, settings, path, hooks, loss=PartialLoss(LossSettings(), output))


def _same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.network.parameters(), other.network.parameters(), strict=True))


def _dice(fitted):
    both = total = 0
    for seed in range(30):
        image, truth = _ball(5000 + seed, noise=0.8)
        with torch.no_grad():
            found = fitted.network(image[None]).argmax(1)[0]
        both, total = both + 2 * int((found * truth).sum()), total + int(found.sum() + truth.sum())
    return both / total


def test_what_no_case_showed_is_learned_from_volumes_without_labels(tmp_path):
    alone = _fit(tmp_path / "alone.pt", _cases, steps=80)
    taught = _fit(tmp_path / "taught.pt", SideBySide(_cases, _unlabelled), weight=2.0, steps=80)
    assert _dice(taught) > _dice(alone) + 0.08


@pytest.mark.parametrize("output", ["labels", "regions"])
def test_a_weight_of_nothing_is_a_training_without_them_to_the_last_bit(tmp_path, output):
    cases = _cases if output == "labels" else _regions
    alone = _fit(tmp_path / "alone.pt", cases, output=output)
    beside = _fit(tmp_path / "beside.pt", SideBySide(cases, _unlabelled), weight=0.0, output=output)
    taught = _fit(tmp_path / "taught.pt", SideBySide(cases, _unlabelled), weight=50.0, output=output)
    assert _same(alone, beside)
    assert alone.loss == beside.loss
    assert not _same(alone, taught)


def test_a_stopped_training_goes_on_as_if_never_stopped(tmp_path):
    """The teacher is the average, which the checkpoint has."""
    source = SideBySide(_cases, _unlabelled)
    whole = _fit(tmp_path / "whole.pt", source, weight=9.0)

    def stop(step):
        if step.iteration == 3:
            raise Cancelled("stopped by the user")

    with pytest.raises(Cancelled):
        _fit(tmp_path / "parts.pt", source, weight=9.0, on_step=stop)
    parts = _fit(tmp_path / "parts.pt", source, weight=9.0)
    assert _same(whole, parts)
    assert whole.loss == parts.loss
