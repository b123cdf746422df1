"""Peak memory of a run against its estimate and against the array that is never made.

    python Testing/benchmarks/memory.py [--shape 400 512 512] [--classes 117] [--patch 64]
    python Testing/benchmarks/memory.py --model brain-mr --shape 181 217 181

Segments noise in a process of its own, with a tiny random network of many classes or with a model of the catalogue, so
that memory is what prediction itself needs. Run and estimate exceed each other by the ratio that is printed; the last
number is what the logits of all classes over the whole volume would take in float32.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path

GIB = 1 << 30


def measure(
    shape: tuple[int, int, int], classes: int, patch: int, known: str | None
) -> tuple[int, int, int, int, float]:
    """Classes, memory after the imports, peak, estimate (bytes), and seconds of one run."""
    import numpy as np
    import torch

    from DeepSegmentLib.data import Geometry, Segment, Volume
    from DeepSegmentLib.files.models import load_model, read_spec, save_model
    from DeepSegmentLib.imaging.intensity import Normalization
    from DeepSegmentLib.imaging.memory import peak_memory_bytes
    from DeepSegmentLib.networks.architectures.unet import UNet
    from DeepSegmentLib.networks.model_spec import Channel, ModelSpec, Part
    from DeepSegmentLib.networks.stage_spec import StageSpec
    from DeepSegmentLib.networks.unet_spec import UNetSpec
    from DeepSegmentLib.segmentation.outputs import PredictSettings
    from DeepSegmentLib.segmentation.predict import predict
    from DeepSegmentLib.service.catalogue import find_model
    from DeepSegmentLib.service.preflight import estimate

    network = UNetSpec(1, classes, (4, 4), ((1, 1, 1),) * 2, ((1, 1, 1), (2, 2, 2)), (1, 1), (1,))
    stage = StageSpec((patch,) * 3, network, (Normalization("zscore"),), spacing_mm=(1.5, 1.5, 1.5))
    spec = ModelSpec(
        name="many-classes",
        version="1",
        description="Random weights, for measuring memory.",
        license="Apache-2.0",
        channels=(Channel("noise", "CT"),),
        segments=tuple(Segment(f"s{n}", n) for n in range(1, classes)),
        parts=(Part(tuple(f"s{n}" for n in range(1, classes)), (stage,)),),
    )
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        place = find_model(known).path if known else Path(folder, "model")
        if not known:
            save_model(place, spec, UNet(network), card="")
        model = load_model(place, "cpu")
        imported = peak_memory_bytes() or 0
        voxels = np.random.default_rng(0).integers(-1000, 1000, (1, *shape), dtype=np.int16)
        volume = Volume(voxels, Geometry.from_spacing(shape, (1.0, 0.8, 0.8)))
        settings = PredictSettings(overlap=0.25)
        expected = estimate(read_spec(place), volume.geometry, settings).memory_bytes
        start = time.perf_counter()
        predict(volume, model.spec, model.networks, settings=settings)
        seconds = time.perf_counter() - start
        return model.spec.stages[0].network.out_channels, imported, peak_memory_bytes() or 0, expected, seconds


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs=3, default=(400, 512, 512))
    parser.add_argument("--classes", type=int, default=117)
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--model", help="of the catalogue, instead of a random one")
    options = parser.parse_args()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        measured = pool.apply(measure, (tuple(options.shape), options.classes, options.patch, options.model))
    classes, imported, peak, expected, seconds = measured
    k, j, i = options.shape
    never = 4 * classes * k * j * i
    print(
        f"{k}x{j}x{i}, {classes} classes: libraries {imported / GIB:.2f} GiB, peak {peak / GIB:.2f} GiB, "
        f"estimated {expected / GIB:.2f} GiB ({expected / peak:.2f} times), {seconds:.0f} s; "
        f"all logits would be {never / GIB:.1f} GiB"
    )


if __name__ == "__main__":
    main()
