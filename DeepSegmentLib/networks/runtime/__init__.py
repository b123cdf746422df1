"""Run networks: a batch of patches in, features or logits out.

This, `architectures` and `graphs` are all of the layer that imports torch.
"""

from .building import build, check_weights, module_from_weights, weights_of
from .devices import available_devices, choose_device, choose_devices, is_out_of_memory
from .network import (
    Ensemble,
    Head,
    Model,
    Network,
    SideBySide,
    StoredNetwork,
    begin_run,
    copies_of,
    engine_of,
    logits_of,
    notes_of,
    on_array,
)
from .timed_network import TimedNetwork
from .torch_network import TorchNetwork, padded_extent

__all__ = [
    "Ensemble",
    "Head",
    "Model",
    "Network",
    "SideBySide",
    "StoredNetwork",
    "TimedNetwork",
    "TorchNetwork",
    "available_devices",
    "begin_run",
    "build",
    "check_weights",
    "choose_device",
    "choose_devices",
    "copies_of",
    "engine_of",
    "is_out_of_memory",
    "logits_of",
    "module_from_weights",
    "notes_of",
    "on_array",
    "padded_extent",
    "weights_of",
]
