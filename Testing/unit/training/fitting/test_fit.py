"""The loop: learns, resumes as if never stopped, leaves no half-written checkpoint."""

import math
import sys

import pytest
import torch

from DeepSegmentLib.errors import Cancelled, InvalidInputError
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.unet_spec import UNetSpec
from DeepSegmentLib.training.fitting.checks import Check, Checked
from DeepSegmentLib.training.fitting.fit import Hooks, fit
from DeepSegmentLib.training.fitting.settings import TrainSettings


def _network(*, deep=True):
    torch.manual_seed(0)
    spec = UNetSpec(1, 2, (4, 8), ((3, 3, 3),) * 2, ((1, 1, 1), (2, 2, 2)), (1, 1), (1,), deep_supervision=deep)
    return UNet(spec)


def _source(iteration):
    """Bright balls on a dark, noisy ground."""
    noise = torch.Generator().manual_seed(iteration)
    grid = torch.stack(torch.meshgrid(*[torch.arange(8.0)] * 3, indexing="ij"))
    centre = torch.rand(3, generator=noise) * 4 + 2
    target = (((grid - centre[:, None, None, None]) ** 2).sum(0) < 6).long()
    return target[None].float() + 0.3 * torch.randn(1, 8, 8, 8, generator=noise), target


def _settings(iterations, **more):
    return TrainSettings(
        **{"learning_rate": 0.01, "warm_up": 5, "average": 0.9, "workers": 0, "checkpoint_every": 7, **more},
        iterations=iterations,
    )


def test_it_learns(tmp_path):
    losses = []
    network = fit(
        _network(), _source, _settings(60), tmp_path / "state.pt", Hooks(on_step=lambda step: losses.append(step.loss))
    ).network
    assert len(losses) == 60
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
    image, target = _source(10_000)
    with torch.no_grad():
        found = network(image[None]).argmax(1)[0]
    assert 2 * (found * target).sum() / (found.sum() + target.sum()) > 0.8


@pytest.mark.parametrize("deep", [True, False])
def test_a_stopped_training_goes_on_as_if_never_stopped(tmp_path, deep):
    whole = fit(_network(deep=deep), _source, _settings(20), tmp_path / "whole.pt", Hooks())

    def stop(step):
        if step.iteration == 17:
            raise Cancelled("stopped by the user")

    with pytest.raises(Cancelled):
        fit(_network(deep=deep), _source, _settings(20), tmp_path / "parts.pt", Hooks(on_step=stop))
    seen = []
    parts = fit(
        _network(deep=deep),
        _source,
        _settings(20),
        tmp_path / "parts.pt",
        Hooks(on_step=lambda step: seen.append(step.iteration)),
    )
    assert seen == [18, 19, 20]  # not after the checkpoint of step 14
    for a, b in zip(whole.network.state_dict().values(), parts.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert (parts.iterations, parts.loss, parts.device) == (20, whole.loss, "cpu")
    assert parts.seconds > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts.pt", "whole.pt"]


def test_a_stopped_training_remembers_how_good_it_was(tmp_path):
    found = iter([0.25, 0.5, 0.75])
    check = Check(5, lambda _: ({"Ball": (now := next(found))}, (now, 1.0)))

    def stop(step):
        if step.iteration == 12:
            raise Cancelled("stopped by the user")

    with pytest.raises(Cancelled):
        fit(_network(), _source, _settings(15), tmp_path / "state.pt", Hooks(on_step=stop, check=check))
    fitted = fit(_network(), _source, _settings(15), tmp_path / "state.pt", Hooks(check=check))
    assert fitted.checks == tuple(
        Checked(step, {"Ball": dice}, (dice, 1.0)) for step, dice in ((5, 0.25), (10, 0.5), (15, 0.75))
    )


def test_a_finished_training_gives_its_result_again(tmp_path):
    first = fit(_network(), _source, _settings(8), tmp_path / "state.pt", Hooks())
    again = fit(
        _network(),
        _source,
        _settings(8),
        tmp_path / "state.pt",
        Hooks(on_step=lambda _: pytest.fail("a step was made")),
    )
    assert all(torch.equal(a, b) for a, b in zip(first.network.parameters(), again.network.parameters(), strict=True))
    assert (again.iterations, again.loss, again.seconds) == (first.iterations, first.loss, first.seconds)


def test_samples_made_in_a_second_process_are_the_same(tmp_path):
    alone = fit(_network(), _source, _settings(4), tmp_path / "alone.pt", Hooks())
    helped = fit(_network(), _source, _settings(4, workers=1), tmp_path / "helped.pt", Hooks())
    assert all(torch.equal(a, b) for a, b in zip(alone.network.parameters(), helped.network.parameters(), strict=True))


_COPIED = False


def _source_of_new_processes(iteration):
    image, target = _source(iteration)
    return image * float("nan") if _COPIED else image, target


def test_processes_that_make_samples_are_new_and_no_copies_of_one_that_may_have_threads(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "_COPIED", True)
    fitted = fit(_network(), _source_of_new_processes, _settings(2, workers=1), tmp_path / "state.pt", Hooks())
    assert math.isfinite(fitted.loss)


@pytest.mark.parametrize("wrong", [{"iterations": 0}, {"iterations": 1, "average": 1.0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(InvalidInputError):
        TrainSettings(**wrong)


def test_frozen_batch_norms_keep_their_statistics(tmp_path):
    spec = UNetSpec(1, 2, (4, 8), ((3, 3, 3),) * 2, ((1, 1, 1), (2, 2, 2)), (1, 1), (1,), norm="batch")
    torch.manual_seed(0)
    network = UNet(spec)
    network.encoder.requires_grad_(False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    after = fit(network, _source, _settings(3), tmp_path / "state.pt", Hooks()).network.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert not [name for name in changed if name.startswith("encoder.")]
    assert [name for name in changed if name.startswith("decoder.") and name.endswith("running_mean")]
