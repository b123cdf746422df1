"""What a segmentation takes of memory, of all libraries together: the peak of a process that does nothing else.

Processes are forked from one that has imported everything and computed nothing, so that each costs a moment.
"""

from __future__ import annotations

import math
import multiprocessing
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.files.models import read_spec
from DeepSegmentLib.imaging.memory import peak_memory_bytes
from DeepSegmentLib.segmentation.outputs import PredictSettings
from DeepSegmentLib.segmentation.predict import predict

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext
    from pathlib import Path

    from DeepSegmentLib.data import Index

_PATIENCE_S = 120.0
_SHAPES = (64, 64, 64), (192, 64, 64)


def more_bytes_a_voxel(folder: Path, *, keeps: bool = False) -> float:
    """By how much the peak grows with each voxel of a volume, with the model of a folder whose networks cost nothing.

    Args:
        folder: Of the model.
        keeps: Whether the networks keep all that they give, as a fault of prediction would.
    """
    work = partial(_peak_of, folder, keeps=keeps)
    with _context().Pool(1, maxtasksperchild=1) as processes:
        small, large = processes.map_async(work, _SHAPES, chunksize=1).get(_PATIENCE_S)
    return (large - small) / (math.prod(_SHAPES[1]) - math.prod(_SHAPES[0]))


@cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _peak_of(folder: Path, shape: Index, *, keeps: bool) -> int:
    torch.set_num_threads(1)  # others would keep some memory of their own
    spec = read_spec(folder)
    voxels = np.random.default_rng(0).normal(60, 250, (len(spec.channels), *shape)).astype(np.float32)
    networks = [_Constant(stage.network.out_channels, keeps=keeps) for stage in spec.stages]
    predict(
        Volume(voxels, Geometry.from_spacing(shape, (1, 1, 1))), spec, networks, settings=PredictSettings(overlap=0)
    )
    return peak_memory_bytes() or 0


class _Constant:
    """A network that costs nothing itself."""

    device, head = torch.device("cpu"), None

    def __init__(self, classes: int, *, keeps: bool) -> None:
        self._classes, self._keeps = classes, keeps
        self._kept: list[torch.Tensor] = []

    def __call__(self, patches: torch.Tensor) -> torch.Tensor:
        logits = torch.arange(self._classes, dtype=torch.float32)[None, :, None, None, None]
        result = logits.expand(len(patches), -1, *patches.shape[2:]).contiguous()
        self._kept += [result] * self._keeps
        return result
