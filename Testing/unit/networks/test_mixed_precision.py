"""Float16 while its range suffices, then bfloat16 or float32; all of it on the CPU, as a GPU would do it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_examples import TINY_UNET, model_spec, random_patches

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.runtime import (
    Ensemble,
    SideBySide,
    StoredNetwork,
    TorchNetwork,
    begin_run,
    engine_of,
    notes_of,
    torch_network,
)
from DeepSegmentLib.networks.runtime.mixed_precision import MixedPrecision, precisions_of
from DeepSegmentLib.segmentation.predict import predict

CPU = torch.device("cpu")
AMPERE = (torch.float16, torch.bfloat16, torch.float32)
TURING = (torch.float16, torch.float32)
NOTE = "numbers became too large for float16 on cpu; continued in "


@pytest.fixture
def on_a_card(monkeypatch):
    """Networks on the CPU compute as on a card."""

    def card(precisions=AMPERE):
        monkeypatch.setattr(torch_network, "precisions_of", lambda _: precisions)

    card()
    return card


def network(factor=1.0, spec=TINY_UNET):
    """A U-Net whose first weights are so many times as large: the norm after them takes that away again."""
    torch.manual_seed(0)
    unet = UNet(spec)
    with torch.no_grad():
        next(unet.parameters()).mul_(factor)
    return TorchNetwork(unet, spec, CPU)


def patches(seed=0):
    return torch.from_numpy(random_patches(1, 1, 8, 8, 8, seed=seed))


def volume(shape=(9, 10, 11)):
    voxels = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    return Volume(voxels, Geometry.from_spacing(shape, (1, 1, 1)), "noise")


def test_what_fits_into_float16_stays_there(on_a_card):
    run = network()
    close = run(patches())
    assert (engine_of(run), notes_of(run)) == ("torch float16", [])
    on_a_card((torch.float32,))
    exact = network()(patches())
    assert 0 < (close - exact).abs().max() < 0.02
    assert close.dtype == torch.float32


@pytest.mark.parametrize(
    ("precisions", "name", "error"), [(AMPERE, "bfloat16", 0.2), (TURING, "float32", 1e-4)], ids=["ampere", "turing"]
)
@pytest.mark.parametrize("factor", [1e6, 3e5], ids=["weights", "activations"])
def test_what_is_too_large_for_float16_goes_on_in_what_is_large_enough(on_a_card, precisions, name, error, factor):
    on_a_card((torch.float32,))
    exact = network(factor)(patches())
    on_a_card(precisions)
    run = network(factor)
    found = run(patches())
    assert torch.isfinite(found).all()
    assert (found - exact).abs().max() < error
    assert (engine_of(run), notes_of(run)) == (f"torch {name}", [NOTE + name])


def test_the_rest_of_a_run_does_not_try_float16_again_and_the_next_run_does():
    seen = []

    def body(x):
        seen.append(torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32)
        return x * (float("inf") if seen[-1] == torch.float16 and x.max() > 1 else 1)

    mixed = MixedPrecision(body, CPU, AMPERE)
    small, large = torch.full((1, 1), 0.5), torch.full((1, 1), 2.0)
    for x in (small, large, small):
        assert torch.equal(mixed(x), x)
    assert seen == [torch.float16, torch.float16, torch.bfloat16, torch.bfloat16]
    mixed.begin_run()
    assert (mixed.note, mixed.name) == ("", "torch float16")
    mixed(small)
    assert seen[4:] == [torch.float16]


@given(st.sampled_from([AMPERE, TURING]), st.integers(0, 2), st.sampled_from([np.inf, -np.inf, np.nan]))
def test_results_are_finite_wherever_one_precision_gives_finite_ones(precisions, good, value):
    """And where none does, the last one's are given: who asked will see."""

    def body(x):
        return x if len(mixed._left) <= good else x * value

    mixed = MixedPrecision(body, CPU, precisions)
    assert bool(torch.isfinite(mixed(torch.ones(2, 2))).all()) == (good > 0)
    assert len(mixed._left) == max(1, min(good, len(precisions)))


def test_what_is_made_of_networks_tells_and_forgets_for_all_of_them(on_a_card):
    good, bad = network(), network(1e6)
    stored = StoredNetwork(lambda: SideBySide([Ensemble([good, bad]), Ensemble([good, bad])]))
    begin_run(stored)
    assert notes_of(stored) == []
    stored(patches())
    assert notes_of(stored) == [NOTE + "bfloat16"]
    assert engine_of(stored) == "torch float16, torch bfloat16"
    begin_run(stored)
    assert notes_of(stored) == notes_of(lambda patches: patches) == []
    assert engine_of(stored) == "torch float16"


def test_a_run_says_so_each_time(on_a_card):
    spec = model_spec()
    run = network(1e6)
    first, second = (predict(volume(), spec, [run]) for _ in range(2))
    assert first.notes == second.notes == (NOTE + "bfloat16",)
    assert np.array_equal(first.label_map.layers, second.label_map.layers)
    assert predict(volume(), spec, [network()]).notes == ()


def test_a_network_that_overflows_everywhere_is_refused_as_before(on_a_card):
    run = network()
    with torch.no_grad():
        for weight in run.module.parameters():
            weight.fill_(3e38)
    with pytest.raises(InvalidInputError, match="gave NaN or infinite logits"):
        predict(volume(), model_spec(), [run])


@pytest.mark.parametrize(("major", "expected"), [(7, TURING), (8, AMPERE), (9, AMPERE)])
def test_cards_before_ampere_only_imitate_bfloat16(major, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (major, 5))
    assert precisions_of(torch.device("cuda", 1)) == expected
    assert precisions_of(CPU) == precisions_of(torch.device("mps")) == (torch.float32,)
