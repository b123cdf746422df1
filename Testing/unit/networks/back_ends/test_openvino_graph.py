"""Networks by OpenVINO."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from foreign_models.monai_networks import Pair, pairs
from model_examples import random_patches

from DeepSegmentLib.networks import runtime
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.back_ends.body import Body
from DeepSegmentLib.networks.back_ends.machine import openvino_has_bfloat16
from DeepSegmentLib.networks.back_ends.openvino_graph import openvino_graph
from DeepSegmentLib.networks.monai_specs import SwinUNETRSpec
from DeepSegmentLib.networks.unet_spec import UNetSpec

pytest.importorskip("openvino")
REPOSITORY = Path(__file__).resolve().parents[4]
# Windows that are shifted round are turned wrongly; the choice among back ends finds that and leaves them to torch.
PAIRS = {pair.name: pair for pair in pairs() if not isinstance(pair.spec, SwinUNETRSpec)}


def spec_of(dimensions: int = 3, **changes: object) -> UNetSpec:
    standard = {
        "in_channels": 2,
        "out_channels": 3,
        "features": (4, 6),
        "kernel_sizes": ((3,) * dimensions,) * 2,
        "strides": ((1,) * dimensions, (2,) * dimensions),
        "encoder_blocks": (1, 1),
        "decoder_blocks": (1,),
    }
    return UNetSpec(**standard | changes)


def body_of(spec: UNetSpec) -> Body:
    torch.manual_seed(0)
    return Body(UNet(spec), headless=True).eval()


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        (spec_of(), (1, 2, 12, 16, 20)),
        (spec_of(), (2, 2, 8, 6, 4)),
        (spec_of(encoder="residual", attention=True), (1, 2, 30, 14, 18)),
        (spec_of(norm="batch"), (1, 2, 8, 8, 8)),
        (spec_of(norm="group"), (1, 2, 8, 8, 8)),
        (spec_of(2), (5, 2, 72, 66)),
        (spec_of(2, encoder="residual"), (1, 2, 6, 8)),
    ],
    ids=str,
)
def test_float32_gives_the_features_of_torch(spec: UNetSpec, shape: tuple[int, ...]) -> None:
    body, x = body_of(spec), torch.from_numpy(random_patches(*shape))
    example = torch.zeros(1, 2, *(2 * step for step in spec.divisor))
    with torch.inference_mode():
        found, expected = openvino_graph(body, x, "float32", example)(x), body(x)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_float32_gives_the_logits_of_monais_networks(pair: Pair) -> None:
    torch.manual_seed(0)
    body = Body(runtime.build(pair.spec), headless=False).eval()
    x = torch.randn(pair.shape)
    with torch.inference_mode():
        found, expected = openvino_graph(body, x, "float32", x)(x), body(x)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)


def test_a_large_offset_is_no_noise() -> None:
    """Channels far from 0, of which OpenVINO's own norm loses the digits."""
    spec = spec_of()
    body, x = body_of(spec), torch.from_numpy(random_patches(1, 2, 48, 40, 32)) + 300
    with torch.inference_mode():
        found = openvino_graph(body, x, "float32", torch.zeros(1, 2, 4, 4, 4))(x)
        exact = body.double()(x.double())
    torch.testing.assert_close(found.double(), exact, atol=2e-3, rtol=1e-3)


def test_bfloat16_is_near() -> None:
    if not openvino_has_bfloat16():
        pytest.skip("this processor has no bfloat16")
    body, x = body_of(spec_of(features=(8, 16))), torch.from_numpy(random_patches(1, 2, 24, 24, 24))
    with torch.inference_mode():
        found, expected = openvino_graph(body, x, "bfloat16", torch.zeros(1, 2, 4, 4, 4))(x), body(x)
    assert found.dtype == torch.float32
    assert float((found - expected).square().mean().sqrt()) < 0.05 * float(expected.square().mean().sqrt())


def test_a_result_stays_when_the_next_one_comes() -> None:
    body = body_of(spec_of())
    one, other = torch.from_numpy(random_patches(1, 2, 8, 8, 8)), torch.zeros(1, 2, 8, 8, 8)
    with torch.inference_mode():
        run = openvino_graph(body, one, "float32", other)
        first = run(one)
        before = first.clone()
        assert not torch.equal(run(other), before)
    assert torch.equal(first, before)


def test_nothing_is_told_to_anyone(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO's own converter tells Intel of its use: neither it nor any connection is used."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something would be sent")

    openvino = pytest.importorskip("openvino")
    telemetry = pytest.importorskip("openvino_telemetry")
    monkeypatch.setattr(telemetry.Telemetry, "__init__", refuse)
    monkeypatch.setattr(telemetry.Telemetry, "send_event", refuse)
    monkeypatch.setattr(sys.modules["openvino.tools.ovc.telemetry_utils"], "init_ovc_telemetry", refuse, raising=False)
    monkeypatch.setattr(openvino, "convert_model", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    body, x = body_of(spec_of()), torch.zeros(1, 2, 8, 8, 8)
    with torch.inference_mode():
        assert openvino_graph(body, x, "float32", x)(x).shape == (1, 4, 8, 8, 8)


_SIGNALLED = """
import os, signal, threading, torch
from torch import nn
from DeepSegmentLib.networks.back_ends.body import Body
from DeepSegmentLib.networks.back_ends.openvino_graph import openvino_graph

body, x = Body(nn.Conv3d(1, 8, 3), headless=False).eval(), torch.zeros(1, 1, 8, 8, 8)
runs = [openvino_graph(body, x, "float32", x) for _ in range(3)]
let_go = threading.Thread(target=runs.clear)
let_go.start()
let_go.join()
heard = []
signal.signal(signal.SIGUSR1, lambda *_: heard.append("heard"))
os.kill(os.getpid(), signal.SIGUSR1)
print(*heard)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a signal that a program may send itself")
def test_signals_are_heard_after_graphs_were_let_go() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SIGNALLED], check=False, capture_output=True, text=True, cwd=REPOSITORY
    )
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr
