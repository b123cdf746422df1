"""The torch module of a spec and its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from DeepSegmentLib.data.progress import check_stop
from DeepSegmentLib.errors import ModelError
from DeepSegmentLib.networks.architectures import MONAI_NETWORKS
from DeepSegmentLib.networks.architectures.unet import UNet
from DeepSegmentLib.networks.unet_spec import UNetSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from DeepSegmentLib.networks.network_spec import NetworkSpec


def weights_of(module: nn.Module) -> dict[str, NDArray[Any]]:
    """Copies of all parameters and buffers by name, on the CPU."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in module.state_dict().items()}


_BUILDERS: dict[type, Callable[[Any], nn.Module]] = {UNetSpec: UNet, **MONAI_NETWORKS}
"""What builds the network of a spec, by the spec's type."""


def build(network: NetworkSpec) -> nn.Module:
    """The torch module of a spec, with weights as torch draws them."""
    return _BUILDERS[type(network)](network)


def module_from_weights(network: NetworkSpec, weights: Mapping[str, NDArray[Any]]) -> nn.Module:
    """The module of a spec with these weights, the inverse of `weights_of`; other float types become float32.

    Raises:
        ModelError: A weight is missing, superfluous, of another shape or type, or not finite; the message names it.
    """
    module, expected = _checked_module(network, weights)
    state = {name: torch.from_numpy(_plain(weights[name])) for name in expected}
    module.load_state_dict(state, assign=True)
    return module


def check_weights(network: NetworkSpec, weights: Mapping[str, NDArray[Any]]) -> None:
    """Refuse weights that are not those of the network; no copy of them is made.

    Raises:
        ModelError: As `module_from_weights`.
    """
    _checked_module(network, weights)


def _checked_module(
    network: NetworkSpec, weights: Mapping[str, NDArray[Any]]
) -> tuple[nn.Module, Mapping[str, Tensor]]:
    """The module without memory behind its weights, and what these must look like."""
    module = _empty_module(network, len(weights))
    expected = module.state_dict()
    for name in sorted(expected.keys() ^ weights.keys()):
        raise ModelError(f"weight {name!r} is {'missing' if name in expected else 'not part of the network'}")
    for name, tensor in expected.items():
        _check_weight(name, weights[name], tensor)
    return module, expected


def _empty_module(network: NetworkSpec, weights: int) -> nn.Module:
    """The network without memory behind its weights, so that a hostile spec costs nothing."""
    if sum((*getattr(network, "encoder_blocks", ()), *getattr(network, "decoder_blocks", ()))) > weights:
        raise ModelError(f"the network has more blocks than the {weights} weights that there are")
    try:
        with torch.device("meta"):
            return build(network)
    except (RuntimeError, OverflowError, TypeError) as error:
        raise ModelError(f"the network is too large: {str(error).splitlines()[0]}") from error


def _plain(weight: NDArray[Any]) -> NDArray[Any]:
    """A copy that can be written, of the types that torch computes with here: float32 and int64."""
    check_stop()
    return np.array(weight, dtype=np.float32 if weight.dtype.kind == "f" else np.int64)


def _check_weight(name: str, weight: NDArray[Any], expected: Tensor) -> None:
    if weight.shape != tuple(expected.shape):
        raise ModelError(f"weight {name!r} must have shape {tuple(expected.shape)}, got {weight.shape}")
    if weight.dtype not in ([np.float32, np.float16] if expected.is_floating_point() else [np.int64]):
        raise ModelError(f"weight {name!r} has the unsupported type {weight.dtype}")
    if not np.isfinite(weight).all():
        raise ModelError(f"weight {name!r} has NaN or infinite values")
