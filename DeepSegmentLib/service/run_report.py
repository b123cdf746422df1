"""What a run says of itself: the provenance that its result carries, and the report for programs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from DeepSegmentLib import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from DeepSegmentLib.data import Volume
    from DeepSegmentLib.networks.model_spec import ModelSpec
    from DeepSegmentLib.networks.runtime import Model
    from DeepSegmentLib.segmentation.outputs import Prediction, PredictSettings


@dataclass(frozen=True, eq=False)
class Run:
    """A finished prediction and how it was made.

    Attributes:
        prediction: What came out.
        model: The model that made it.
        device: Where it ran in the end.
        notes: What had to be changed on the way, and what speaks against the result, for the user.
        seconds: How long the prediction took, without loading the model.
        passes: Forward passes of the network, those of mirrored tiles included.
        subset: The segments that were kept; None for all.
    """

    prediction: Prediction
    model: Model
    device: str
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    passes: int = 0
    subset: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        spec = self.model.spec
        return f"Run({spec.name} {spec.version} on {self.device}, {self.seconds:.1f} s) of {self.prediction.label_map}"


def provenance(run: Run, settings: PredictSettings) -> dict[str, str]:
    """What a result carries with it: model, version, checksum, parameters, device, library version, date."""
    spec = run.model.spec
    return {
        "model": spec.name,
        "model_version": spec.version,
        "model_sha256": spec.weights_sha256,
        "parameters": json.dumps(parameters(settings, spec, run.subset)),
        "device": run.device,
        "library": f"DeepSegment {__version__}",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def parameters(settings: PredictSettings, spec: ModelSpec, subset: tuple[str, ...] | None = None) -> dict[str, Any]:
    """What of the settings changes the labels, as JSON; the subset where there is one.

    An overlap that was not asked for is that of the model; where its stages differ, null.
    """
    own = {stage.tiling.overlap for stage in spec.stages}
    overlap = next(iter(own)) if settings.overlap is None and len(own) == 1 else settings.overlap
    region = None if settings.region_ras is None else settings.region_ras.tolist()
    return {
        "overlap": overlap,
        "mirror": settings.mirror,
        "clean_up": settings.clean_up,
        "any_spacing": settings.any_spacing,
        "region_ras": region,
    } | ({} if subset is None else {"subset": list(subset)})


def run_report(run: Run) -> dict[str, Any]:
    """The numbers of a run: device, engine, notes, tiles and the volume of each segment in ml."""
    return {
        "device": run.device,
        "engine": run.model.engine,
        "notes": list(run.notes),
        "tiles": run.prediction.tiles,
        "volumes_ml": {name: round(ml, 3) for name, ml in run.prediction.label_map.volumes_ml().items()},
    }


def file_report(
    run: Run, volume: Volume, source: Path, settings: PredictSettings, subset: tuple[str, ...] | None
) -> dict[str, Any]:
    """The report of a run on a file: what was read, by which model and parameters, and all of `run_report`."""
    spec, geometry, made = run.model.spec, volume.geometry, provenance(run, settings)
    return {
        "library": made["library"],
        "created": made["created"],
        "input": {
            "path": str(source),
            "channels": volume.channels,
            "shape_kji": list(geometry.shape),
            "spacing_kji_mm": list(geometry.spacing_mm),
            "orientation": geometry.orientation,
        },
        "model": {"name": spec.name, "version": spec.version, "sha256": spec.weights_sha256, "license": spec.license},
        "parameters": parameters(settings, spec, subset),
    } | run_report(run)
