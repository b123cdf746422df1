"""Run a model once before it is let in: whether its weights, its network and its outputs belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.errors import DeepSegmentError, ModelError

from .folder import members_of, read_spec
from .weights import SAFETENSORS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from DeepSegmentLib.data import Index
    from DeepSegmentLib.networks.runtime import Network
    from DeepSegmentLib.networks.stage_spec import StageSpec


def try_out(folder: Path, on_member: Callable[[int, int], None]) -> None:
    """Read every weights file, one at a time, and run its network on one small random patch, on the CPU.

    Args:
        folder: Of the model.
        on_member: Told before each how many are done and how many there are; may raise `Cancelled`.

    Raises:
        ChecksumError: A weights file has another SHA-256.
        ModelError: One cannot be read, or does not give finite numbers of the shape that the spec says.
        MissingPackageError: A package that the network needs is not installed.
    """
    count = len(read_spec(folder).weights)
    members = members_of(folder, "cpu")
    for n in range(count):
        on_member(n, count)
        stage, file, network = next(members)
        try:
            _run(stage, network)
        except DeepSegmentError as error:
            raise type(error)(f"{folder / file}: {error}") from error
        del network


def _run(stage: StageSpec, network: Network) -> None:
    from DeepSegmentLib.networks.runtime import on_array

    spec, extent = stage.network, try_out_extent(stage)
    patch = np.random.default_rng(0).standard_normal((1, spec.in_channels, *extent), dtype=np.float32)
    try:
        logits = on_array(network, patch)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise ModelError(f"the network cannot be run on {extent} voxels: {str(error)[:300]}") from error
    wanted = (1, spec.out_channels, *extent)
    if logits.shape != wanted:
        raise ModelError(f"the network gives an array of {logits.shape}, its description says {wanted}")
    if not np.isfinite(logits).all():
        raise ModelError("the network gives no finite numbers for a random patch; its weights are damaged")


def try_out_extent(stage: StageSpec) -> Index:
    """A small patch (k, j, i) that the network can take: memory stays small, whatever it was trained on.

    Graphs (TorchScript, ONNX) may have the extent of their patch built in, and get that.
    """
    fixed = getattr(stage.network, "fixed_shape", None) is not None
    if fixed or not all(file.file.endswith(SAFETENSORS) for file in stage.weights):
        return stage.patch_shape
    divisor = (1,) * (3 - len(stage.network.divisor)) + tuple(stage.network.divisor)
    k, j, i = (min(n, 2 * step) if n > 1 else 1 for n, step in zip(stage.patch_shape, divisor, strict=True))
    return k, j, i
