"""What a user is told where a volume does not suit a model, or a result does not look like one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from DeepSegmentLib.segmentation.needs import is_needed

from .of_result import cut_segments, doubts_of_result
from .of_volume import doubts_of_volume

if TYPE_CHECKING:
    from DeepSegmentLib.data import LabelMap, Volume
    from DeepSegmentLib.networks.model_spec import ModelSpec
    from DeepSegmentLib.segmentation.outputs import PredictSettings


def doubts_before(volume: Volume, spec: ModelSpec) -> tuple[str, ...]:
    """What speaks against giving the volume to the model, a sentence each."""
    return doubts_of_volume(volume, spec)


def notes_after(
    before: tuple[str, ...], volume: Volume, result: LabelMap, spec: ModelSpec, settings: PredictSettings | None
) -> tuple[str, ...]:
    """All that the user is told of volume and result: doubts, and what the field of view cuts.

    Args:
        before: What `doubts_before` said.
        volume: What was segmented.
        result: What came out, on its grid.
        spec: The model.
        settings: How it was run.
    """
    # Segments of parts that were not run are missing as those outside a region are.
    region = settings is not None and (
        settings.region_ras is not None or not all(is_needed(part, settings) for part in spec.parts)
    )
    after: tuple[str, ...] = ()
    if spec.expectations is not None:
        after = doubts_of_result(result, spec.expectations, volume, region=region)
    doubts = (*before, *after)
    if doubts:
        return (*doubts, f"Look at the result before you use it. {spec.name} is for: {spec.description}")
    cut = "" if region or spec.expectations is None else cut_segments(result)
    return (cut,) if cut else ()
