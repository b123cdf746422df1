"""Memory of one network on the CPU: by torch alone, by one back end, and while all are compared.

    python Testing/benchmarks/estimates/back_end_memory.py

Each line is a process of its own: what it had before the first patch (the libraries and the weights), what two passes
added, and beside it the weights and the feature maps as `networks.costs` counts them. `service.preflight` and
`segmentation.needs` take their figures from here.
"""

from __future__ import annotations

import math
import multiprocessing

MIB = 1 << 20
NETWORKS = (
    ((8, 32, 64, 128, 160), 16, (64, 80, 64), 1),
    ((32, 64, 128, 256), 3, (48, 32, 48), 2),
    ((32, 64, 128, 256, 320, 320), 20, (96, 96, 96), 2),
    ((16, 32, 64, 128), 5, (128, 128, 128), 2),
)
"""Features of the stages, classes, extent of a patch, convolutions of a stage."""
MODES = (None, "torch-channels-last float32", "openvino float32", "openvino bfloat16", "compare")


class Choice:
    """A record that knows one back end for everything, or nothing."""

    def __init__(self, name: str | None) -> None:
        self._name = name

    def known(self, _: str) -> str | None:
        return self._name

    def keep(self, key: str, choice: str) -> None:
        """Nothing is kept."""


def measure(network: tuple, mode: str | None) -> str:
    """One line."""
    import torch

    from DeepSegmentLib.imaging.memory import peak_memory_bytes
    from DeepSegmentLib.networks.architectures.unet import UNet
    from DeepSegmentLib.networks.back_ends.engine import Engine
    from DeepSegmentLib.networks.costs import count_weights, peak_features
    from DeepSegmentLib.networks.runtime import TorchNetwork
    from DeepSegmentLib.networks.unet_spec import UNetSpec
    from DeepSegmentLib.service import segment  # noqa: F401 - all that a run loads

    features, classes, patch, blocks = network
    n = len(features)
    strides = ((1, 1, 1), *((2, 2, 2),) * (n - 1))
    spec = UNetSpec(1, classes, features, ((3, 3, 3),) * n, strides, (blocks,) * n, (blocks,) * (n - 1))
    torch.manual_seed(0)
    engine = Engine("checked", Choice(None if mode == "compare" else mode)) if mode else None
    runs = TorchNetwork(UNet(spec), spec, torch.device("cpu"), engine)
    patches = torch.randn(1, 1, *patch)
    before = peak_memory_bytes() or 0
    for _ in range(2):
        runs(patches)
    added = (peak_memory_bytes() or 0) - before
    return (
        f"{features} {'x'.join(map(str, patch))}, {mode or 'torch alone'}: {before // MIB} MiB before, "
        f"{added // MIB} added; weights {4 * count_weights(spec) // MIB}, "
        f"features {4 * peak_features(spec, math.prod(patch)) // MIB}; {runs.engine}"
    )


def main() -> None:
    """Print a line for each network and mode."""
    for network in NETWORKS:
        for mode in MODES:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(pool.apply(measure, (network, mode)), flush=True)


if __name__ == "__main__":
    main()
