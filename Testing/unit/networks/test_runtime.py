"""Running patches on a device."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_examples import TINY_UNET, random_patches, unet_specs
from numpy.typing import NDArray
from strategies import shapes

from DeepSegmentLib.data import Index
from DeepSegmentLib.errors import DeepSegmentError, InvalidInputError, ModelError, ResourceError
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.back_ends import choice
from DeepSegmentLib.networks.back_ends.engine import Engine, Precision
from DeepSegmentLib.networks.runtime import (
    Ensemble,
    StoredNetwork,
    TorchNetwork,
    available_devices,
    choose_device,
    choose_devices,
    engine_of,
    is_out_of_memory,
    module_from_weights,
    on_array,
    padded_extent,
    weights_of,
)
from DeepSegmentLib.networks.unet_spec import UNetSpec

CPU = torch.device("cpu")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def network(spec: UNetSpec = TINY_UNET) -> TorchNetwork:
    torch.manual_seed(0)
    return TorchNetwork(UNet(spec), spec, CPU)


def close(found: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@given(unet_specs(), shapes(9), st.integers(1, 3))
def test_any_patch_gives_finite_logits_of_its_shape(spec: UNetSpec, shape: Index, batch: int) -> None:
    logits = on_array(network(spec), random_patches(batch, spec.in_channels, *shape))
    assert logits.dtype == np.float32
    assert logits.shape == (batch, spec.out_channels, *shape)
    assert np.isfinite(logits).all()


@given(unet_specs(dimensions=3), shapes(9))
def test_padding_here_is_padding_by_hand(spec: UNetSpec, shape: Index) -> None:
    run = network(spec)
    patches = random_patches(1, spec.in_channels, *shape)
    edges = [(0, full - n) for full, n in zip(padded_extent(shape, spec.divisor), shape, strict=True)]
    padded = np.pad(patches, [(0, 0), (0, 0), *edges])
    k, j, i = shape
    np.testing.assert_array_equal(on_array(run, patches), on_array(run, padded)[:, :, :k, :j, :i])


@given(unet_specs(dimensions=3))
def test_patches_that_fit_go_through_unchanged(spec: UNetSpec) -> None:
    run = network(spec)
    patches = random_patches(1, spec.in_channels, *(2 * step for step in spec.divisor))
    with torch.no_grad():
        np.testing.assert_array_equal(on_array(run, patches), run.module(torch.from_numpy(patches)).numpy())


@given(unet_specs(), shapes(6), st.integers(2, 3))
def test_a_batch_equals_one_by_one(spec: UNetSpec, shape: Index, batch: int) -> None:
    run = network(spec)
    patches = random_patches(batch, spec.in_channels, *shape)
    close(on_array(run, patches), np.concatenate([on_array(run, patch[None]) for patch in patches]))


@given(unet_specs(dimensions=2), shapes(6))
def test_a_2d_network_sees_plane_by_plane(spec: UNetSpec, shape: Index) -> None:
    run = network(spec)
    patches = random_patches(2, spec.in_channels, *shape)
    planes = [on_array(run, np.ascontiguousarray(patches[:, :, k : k + 1])) for k in range(shape[0])]
    close(on_array(run, patches), np.concatenate(planes, axis=2))


@given(shapes(40), shapes(8))
def test_the_padded_extent_is_the_least_that_works(extent: Index, divisor: Index) -> None:
    padded = padded_extent(extent, divisor)
    assert all(full % step == 0 for full, step in zip(padded, divisor, strict=True))
    coarsest = [full // step for full, step in zip(padded, divisor, strict=True)]
    assert max(coarsest) > 1
    excess = [full - n for full, n in zip(padded, extent, strict=True)]
    assert all(0 <= more < step for more, step in zip(excess, divisor, strict=True)) or coarsest == [1, 1, 2]


def test_it_leaves_the_patches_alone_and_takes_any_layout() -> None:
    run = network()
    patches = random_patches(1, 1, 4, 4, 4)
    expected = on_array(run, patches)
    mirrored = np.flip(np.ascontiguousarray(np.flip(patches, 4)), 4)
    mirrored.flags.writeable = False
    np.testing.assert_array_equal(on_array(run, mirrored), expected)
    np.testing.assert_array_equal(patches, random_patches(1, 1, 4, 4, 4))


def test_a_read_only_view_is_copied_without_a_warning() -> None:
    patches = random_patches(1, 1, 4, 4, 4)
    patches.flags.writeable = False
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        assert on_array(network(), patches).shape == (1, 3, 4, 4, 4)
    finally:
        torch.set_warn_always(before)


def test_it_evaluates_without_gradients() -> None:
    unet = UNet(replace(TINY_UNET, norm="batch")).train()
    run = TorchNetwork(unet, unet.spec, CPU)
    before = [buffer.clone() for buffer in unet.buffers()]
    on_array(run, random_patches(2, 1, 4, 4, 4))
    assert not unet.training
    assert all(torch.equal(old, new) for old, new in zip(before, unet.buffers(), strict=True))
    assert all(parameter.grad is None for parameter in unet.parameters())


@pytest.mark.parametrize(
    "patches",
    [
        np.zeros((1, 1, 4, 4, 4)),
        np.zeros((1, 4, 4, 4), np.float32),
        np.zeros((1, 2, 4, 4, 4), np.float32),
        np.zeros((0, 1, 4, 4, 4), np.float32),
        np.zeros((1, 1, 4, 0, 4), np.float32),
    ],
    ids=lambda patches: f"{patches.dtype}-{patches.shape}",
)
def test_other_arrays_are_refused(patches: NDArray[np.float32]) -> None:
    with pytest.raises(InvalidInputError, match=r"float32 of shape \(batch, 1, k, j, i\), got "):
        on_array(network(), patches)


class Greedy(UNet):
    """Asks torch for more memory than addresses exist for."""

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return x.new_empty(2**46)


class Broken(UNet):
    """Has a bug."""

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return x @ x.new_ones(3, 3, 3, 99)


def test_too_little_memory_for_torch_is_a_resource_error() -> None:
    with pytest.raises(ResourceError, match=r"out of memory on cpu for 1 patch\(es\) of \(4, 4, 4\).*smaller"):
        TorchNetwork(Greedy(TINY_UNET), TINY_UNET, CPU)(torch.from_numpy(random_patches(1, 1, 4, 4, 4)))


def test_too_little_memory_for_numpy_is_a_resource_error() -> None:
    with pytest.raises(ResourceError, match="out of memory on cpu"):
        network()(torch.zeros(1).expand(1, 1, 2**15, 2**15, 2**15))


def test_bugs_are_not_dressed_up() -> None:
    with pytest.raises(RuntimeError) as caught:
        TorchNetwork(Broken(TINY_UNET), TINY_UNET, CPU)(torch.from_numpy(random_patches(1, 1, 4, 4, 4)))
    assert not isinstance(caught.value, DeepSegmentError)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9.06 GB)"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (MemoryError(), True),
        (RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_out_of_memory_is_told_from_other_errors(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_auto_takes_a_device_that_is_there() -> None:
    device = choose_device()
    assert str(device) in available_devices()
    assert device.type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_every_available_device_can_be_chosen() -> None:
    for name in available_devices():
        assert str(choose_device(name)) == name
        assert torch.ones(1, device=choose_device(name)).item() == 1


@pytest.mark.parametrize("name", ["cuda:99", *[name for name in ("cuda:0", "mps") if name not in available_devices()]])
def test_a_device_that_is_not_there_is_a_resource_error(name: str) -> None:
    with pytest.raises(ResourceError, match=f"device '{name}' is not there; torch .* finds: cpu.*Use one of these"):
        choose_device(name)


@pytest.mark.parametrize("name", ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "tpu:0"])
def test_unknown_devices_are_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match="unknown device"):
        choose_device(name)


@dataclass
class Card:
    """A CUDA device that is not there."""

    name: str = "one"
    total_memory: int = 8
    free: int = 8


@pytest.mark.parametrize(
    ("cards", "shared"),
    [
        ([Card()], [0]),
        ([Card(), Card(free=4), Card()], [0, 1, 2]),
        ([Card(free=1), Card(), Card(free=3), Card("other"), Card(total_memory=9, free=9)], [0, 1]),
        ([Card(), Card(free=-1), Card()], [0, 2]),
    ],
)
def test_devices_that_are_alike_and_idle_share_the_work(
    cards: list[Card], shared: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def memory(n: int) -> tuple[int, int]:
        if cards[n].free < 0:
            raise RuntimeError("CUDA-capable device(s) is/are busy or unavailable")
        return cards[n].free, cards[n].total_memory

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(cards))
    monkeypatch.setattr(torch.cuda, "get_device_properties", cards.__getitem__)
    monkeypatch.setattr(torch.cuda, "mem_get_info", memory)
    for name in ("auto", "cuda"):
        assert choose_devices(name) == tuple(torch.device("cuda", n) for n in shared)
    last = len(cards) - 1
    assert choose_devices(f"cuda:{last}") == (torch.device("cuda", last),)
    assert choose_devices("cpu") == (CPU,)


@pytest.mark.gpu
@needs_cuda
def test_cuda_agrees_with_the_cpu() -> None:
    patches = random_patches(2, 1, 6, 7, 8)
    expected = on_array(network(), patches)
    np.testing.assert_allclose(
        on_array(TorchNetwork(network().module, TINY_UNET, choose_device("cuda")), patches), expected, atol=0.05
    )


@given(unet_specs())
def test_weights_out_and_in_again_are_the_same_network(spec: UNetSpec) -> None:
    run = network(spec)
    again = TorchNetwork(module_from_weights(spec, weights_of(run.module)), spec, CPU)
    patches = random_patches(1, spec.in_channels, 4, 4, 4)
    np.testing.assert_array_equal(on_array(again, patches), on_array(run, patches))


@given(unet_specs())
def test_half_weights_become_float32(spec: UNetSpec) -> None:
    weights = {
        name: weight.astype(np.float16) if weight.dtype == np.float32 else weight
        for name, weight in weights_of(UNet(spec)).items()
    }
    unet = module_from_weights(spec, weights)
    assert {parameter.dtype for parameter in unet.parameters()} == {torch.float32}
    assert all(np.array_equal(weights_of(unet)[name], weight) for name, weight in weights.items())


def test_weights_are_copies() -> None:
    unet = UNet(TINY_UNET)
    weights = weights_of(unet)
    again = module_from_weights(TINY_UNET, weights)
    for weight in weights.values():
        weight[...] = 7
    assert not any((parameter == 7).any() for net in (unet, again) for parameter in net.parameters())


def test_a_restored_network_can_be_trained_on() -> None:
    unet = module_from_weights(TINY_UNET, weights_of(UNet(TINY_UNET))).train()
    unet(torch.randn(1, 1, 4, 4, 4)).sum().backward()
    assert all(parameter.requires_grad for parameter in unet.parameters())


HEAD = "decoder.0.head.weight"


@pytest.mark.parametrize(
    ("name", "weight", "message"),
    [
        (HEAD, None, "'decoder.0.head.weight' is missing"),
        ("extra", np.zeros(3, np.float32), "'extra' is not part of the network"),
        (HEAD, np.zeros((2, 3, 1, 1, 1), np.float32), r"must have shape \(3, 3, 1, 1, 1\), got \(2, 3, 1, 1, 1\)"),
        (HEAD, np.zeros((3, 3, 1, 1, 1)), "unsupported type float64"),
        (HEAD, np.zeros((3, 3, 1, 1, 1), np.int64), "unsupported type int64"),
        (HEAD, np.full((3, 3, 1, 1, 1), np.nan, np.float32), "NaN or infinite"),
    ],
)
def test_weights_that_do_not_fit_are_refused(name: str, weight: NDArray[np.float32] | None, message: str) -> None:
    weights = weights_of(UNet(TINY_UNET))
    if weight is None:
        del weights[name]
    else:
        weights[name] = weight
    with pytest.raises(ModelError, match=message):
        module_from_weights(TINY_UNET, weights)


@pytest.mark.parametrize(
    "spec",
    [
        replace(TINY_UNET, encoder_blocks=(100, 1)),
        replace(TINY_UNET, features=(1 << 16, 1 << 16)),
        replace(TINY_UNET, kernel_sizes=((3, 3, 3), (31, 31, 31)), features=(1 << 16, 1 << 16)),
    ],
    ids=["blocks", "features", "kernel"],
)
def test_the_largest_spec_costs_nothing(spec: UNetSpec) -> None:
    with pytest.raises(ModelError, match=r"network|must have shape"):
        module_from_weights(spec, weights_of(UNet(TINY_UNET)))


@pytest.mark.parametrize("precision", ["checked", "float32", "bfloat16"])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_every_precision_gives_logits_like_those_of_torch(
    precision: Precision, dimensions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "_WORTH_S", 0.0)
    kernels, strides = ((3,) * dimensions,) * 2, ((1,) * dimensions, (2,) * dimensions)
    spec = UNetSpec(1, 3, (6, 8), kernels, strides, (1, 1), (1,))
    torch.manual_seed(0)
    module = UNet(spec)
    run, plain = TorchNetwork(module, spec, CPU, Engine(precision)), TorchNetwork(module, spec, CPU)
    for shape in ((12, 15, 9), (12, 15, 9), (5, 4, 3)):
        patches = random_patches(1, 1, *shape)
        found, expected = on_array(run, patches), on_array(plain, patches)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=0.3 if run.engine.endswith("bfloat16") else 1e-4)


def test_what_computes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert network().engine == "torch float32"
    run = TorchNetwork(UNet(TINY_UNET), TINY_UNET, CPU, Engine("float32"))
    assert engine_of(Ensemble([run, run])) == ""
    on_array(run, random_patches(1, 1, 4, 4, 4))
    assert run.engine == "torch float32"  # so small a patch is worth no other
    stored = StoredNetwork(lambda: Ensemble([run, network()]))
    assert engine_of(stored) == ""
    on_array(stored, random_patches(1, 1, 4, 4, 4))
    assert engine_of(stored) == "torch float32"
    assert engine_of(lambda patches: patches) == ""


def test_out_of_memory_in_a_back_end_is_told_as_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    run = TorchNetwork(UNet(TINY_UNET), TINY_UNET, CPU, Engine("float32"))

    def full(_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("Exception from src/inference/src/cpp/infer_request.cpp:223: std::bad_alloc")

    monkeypatch.setattr(run._chosen, "_body", full)
    with pytest.raises(ResourceError, match="out of memory on cpu for 1 patch"):
        run(torch.zeros(1, 1, 4, 4, 4))
