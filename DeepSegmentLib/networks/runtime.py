"""Run networks: a batch of patches in, logits out.

This and `architectures` are all of the layer that imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch.nn import functional

from DeepSegmentLib.errors import InvalidInputError, ModelError, ResourceError

from .architectures import MONAI_NETWORKS
from .architectures.unet import UNet
from .unet_spec import UNetSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from .model_spec import ModelSpec
    from .network_spec import NetworkSpec

# What torch, cuDNN, cuBLAS and Metal say when memory runs out without raising torch.OutOfMemoryError.
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


class Network(Protocol):
    """The seam between prediction and what computes: one method wide."""

    def __call__(self, patches: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Logits of a batch of patches.

        Args:
            patches: Array (batch, channel, k, j, i), normalized; any extent along k, j, i.

        Returns:
            Array (batch, out_channel, k, j, i).

        Raises:
            ResourceError: There is too little memory for this batch; a smaller one may work.
        """


@dataclass(frozen=True, eq=False)
class Model:
    """Networks together with what they need and give.

    Attributes:
        spec: What they need and give.
        networks: One for each of `spec.stages`, in their order.
        device: Where they run, such as "cpu".
    """

    spec: ModelSpec
    networks: Sequence[Network]
    device: str = "cpu"

    def __repr__(self) -> str:
        return f"Model({self.spec.name} {self.spec.version} on {self.device}, segments: {len(self.spec.segments)})"


class Ensemble:
    """Several networks as one: the mean of their logits."""

    def __init__(self, members: Sequence[Network]) -> None:
        """Take one member or more; all have the same inputs and outputs."""
        self.members = tuple(members)

    def __call__(self, patches: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Mean logits (batch, out_channel, k, j, i), summed up in the members' order."""
        first, *others = self.members
        total = first(patches)
        for member in others:
            total = total + member(patches)
        return np.asarray(total / np.float32(len(self.members))) if others else total


class StoredNetwork:
    """A network that is read when its first patches come, so that one that nobody asks costs nothing."""

    def __init__(self, load: Callable[[], Network]) -> None:
        """Take the way to read it."""
        self._load = load
        self._network: Network | None = None

    def __call__(self, patches: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Its logits.

        Raises:
            ModelError: It cannot be read.
        """
        if self._network is None:
            self._network = self._load()
        return self._network(patches)


class TorchNetwork:
    """A torch module on a device, behind the `Network` seam.

    Float32 throughout, except on CUDA, where convolutions run in float16 (`torch.autocast`). Patches whose extent the
    network's `divisor` does not divide are padded with zeros on the far side and the logits cut back. A 2D network sees
    the planes (j, i) one by one.
    """

    def __init__(self, module: nn.Module, spec: NetworkSpec, device: torch.device) -> None:
        """Take a module over: it is moved to the device and put into evaluation mode.

        Args:
            module: Its `forward` gives logits (batch, out_channels, ...) of its input's extent.
            spec: What it was built from.
            device: Where it shall run.
        """
        self.module = module.to(device).eval()
        self.spec = spec
        self.device = device

    def __call__(self, patches: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Logits (batch, out_channel, k, j, i) of patches (batch, channel, k, j, i).

        Raises:
            InvalidInputError: Patches of another type, or another number of axes or channels.
            ResourceError: Out of memory.
        """
        self._check(patches)
        try:
            return self._logits(patches)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Outside the handler, whose traceback would still hold the tensors.
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        raise ResourceError(
            f"out of memory on {self.device} for {len(patches)} patch(es) of {patches.shape[2:]} voxels; "
            "use a smaller batch or patch, or the device cpu"
        )

    def _check(self, patches: NDArray[np.float32]) -> None:
        channels = self.spec.in_channels
        if patches.dtype != np.float32 or patches.ndim != 5 or patches.shape[1] != channels or not patches.size:
            raise InvalidInputError(
                f"patches must be float32 of shape (batch, {channels}, k, j, i), "
                f"got {patches.dtype} of shape {patches.shape}"
            )

    @torch.inference_mode()
    def _logits(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        x = torch.from_numpy(np.require(patches, requirements=["C", "W"])).to(self.device)
        if self.spec.dimensions == 3:
            return _to_numpy(self._forward(x))
        logits = self._forward(x.transpose(1, 2).flatten(0, 1))
        return _to_numpy(logits.reshape(len(x), x.shape[2], *logits.shape[1:]).transpose(1, 2))

    def _forward(self, x: Tensor) -> Tensor:
        """Logits at the extent of `x`, padded on the way where needed."""
        extent = x.shape[2:]
        wanted = getattr(self.spec, "fixed_shape", None) or padded_extent(extent, self.spec.divisor)
        missing = [n - have for n, have in zip(wanted, extent, strict=True)]
        if min(missing) < 0:
            raise InvalidInputError(f"this network takes patches of {tuple(wanted)} voxels, got {tuple(extent)}")
        padded = functional.pad(x, [edge for n in reversed(missing) for edge in (0, n)])
        with torch.autocast(self.device.type, dtype=torch.float16, enabled=self.device.type == "cuda"):
            logits: Tensor = self.module(padded)
        inner: tuple[Any, ...] = (..., *(slice(n) for n in extent))
        return logits[inner]


def _to_numpy(logits: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = logits.float().cpu().numpy()
    return np.ascontiguousarray(array)


def padded_extent(extent: Sequence[int], divisor: Sequence[int]) -> list[int]:
    """The smallest multiple of `divisor` that holds `extent` and leaves two voxels or more to the coarsest stage.

    Instance and group norm need a second voxel there to have a variance; torch refuses a single one.

    Example:
        >>> padded_extent((5, 16, 1), (4, 8, 1)), padded_extent((3, 8, 1), (4, 8, 1))
        ([8, 16, 1], [4, 8, 2])
    """
    padded = [-(-n // step) * step for n, step in zip(extent, divisor, strict=True)]
    if padded == list(divisor):
        padded[-1] *= 2
    return padded


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch (or Python) says that memory ran out."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error).lower() for phrase in _OUT_OF_MEMORY)


def choose_device(name: str = "auto") -> torch.device:
    """The torch device of this name.

    "auto" is the first CUDA device, or else the CPU. Apple's "mps" has to be asked for by name: not every torch
    release has all 3D layers for it.

    Args:
        name: "auto", "cpu", "cuda", "cuda:1" or "mps".

    Raises:
        InvalidInputError: There is no device of this kind anywhere.
        ResourceError: This machine, or this build of torch, does not have it.
    """
    known = available_devices()
    if name == "auto":
        return torch.device("cuda:0" if "cuda:0" in known else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or not (number.isdecimal() if ":" in name else True):
        raise InvalidInputError(f'unknown device {name!r}; known: "auto", "cpu", "cuda", "cuda:1" (and so on), "mps"')
    wanted = f"cuda:{number or 0}" if kind == "cuda" else kind
    if wanted not in known:
        raise ResourceError(
            f"device {name!r} is not there; torch {torch.__version__} finds: {', '.join(known)}. "
            f"Use one of these or auto; a GPU needs its driver and a torch build for it"
        )
    return torch.device(wanted)


def available_devices() -> tuple[str, ...]:
    """Names of the devices that `choose_device` would give, such as ("cpu", "cuda:0")."""
    cuda = [f"cuda:{n}" for n in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return ("cpu", *cuda, *mps)


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
    return np.array(weight, dtype=np.float32 if weight.dtype.kind == "f" else np.int64)


def _check_weight(name: str, weight: NDArray[Any], expected: Tensor) -> None:
    if weight.shape != tuple(expected.shape):
        raise ModelError(f"weight {name!r} must have shape {tuple(expected.shape)}, got {weight.shape}")
    if weight.dtype not in ([np.float32, np.float16] if expected.is_floating_point() else [np.int64]):
        raise ModelError(f"weight {name!r} has the unsupported type {weight.dtype}")
    if not np.isfinite(weight).all():
        raise ModelError(f"weight {name!r} has NaN or infinite values")
