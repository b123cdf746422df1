"""Round what a model looks: what another model of the catalogue finds in the volume before."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.data import Progress
from DeepSegmentLib.data.geometry import bounding_box
from DeepSegmentLib.errors import InvalidInputError, ModelError
from DeepSegmentLib.files.models import read_spec
from DeepSegmentLib.segmentation.outputs import PredictSettings
from DeepSegmentLib.service.catalogue import find_model, list_models

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from DeepSegmentLib.data import ProgressCallback
    from DeepSegmentLib.networks.model_spec import Focus, ModelSpec
    from DeepSegmentLib.service.catalogue import ModelEntry
    from DeepSegmentLib.service.run_report import Run


def focus_region(
    spec: ModelSpec, settings: PredictSettings, segment: Callable[..., Run], on_progress: ProgressCallback
) -> tuple[NDArray[np.float64] | None, str]:
    """The region round what another model finds, and what the user is told of it.

    Args:
        spec: Of a model with a focus.
        settings: Of its run.
        segment: `segment_volume` of the volume; asked for the other model.
        on_progress: Told, before that may take long, which model runs, or that none is there.

    Returns:
        Two opposite corners (2, 3) in RAS mm, or None where the other model is not here: all of the volume.

    Raises:
        InvalidInputError: The other model finds nothing of it.
        ModelError: The other model looks round what this one finds.
    """
    assert spec.focus is not None
    names, other = _names(spec.focus), _model_of(spec)
    if other is None:
        on_progress(Progress(f"{spec.focus.model} is not here to find where to look, all of the volume is run", 0.0))
        return None, (
            f"{spec.name} looks round {names}, as {spec.focus.model} finds it. That model is not here: the whole "
            "volume was run, which takes longer and may find something elsewhere."
        )
    on_progress(Progress(f"find where to look, with {other.name}", 0.0))
    coarse = PredictSettings(any_spacing=settings.any_spacing)
    found = segment(str(other.path), settings=coarse, subset=spec.focus.segments).prediction.label_map
    box = bounding_box(np.any(found.layers > 0, axis=0))
    if box.size == 0:
        raise InvalidInputError(
            f"{other.name} finds no {names} in the volume, round which {spec.name} looks; is it the right part of the "
            "body? With a region of your own it runs all the same (--roi)"
        )
    borders = np.array([*product(*zip(box.start, box.stop, strict=True))]) - 0.5
    corners, margin = found.geometry.index_to_ras(borders), spec.focus.margin_mm
    region = np.array([corners.min(axis=0) - margin, corners.max(axis=0) + margin])
    return region, f"Looked {margin:g} mm round {names}, as {other.name} found it."


def _model_of(spec: ModelSpec) -> ModelEntry | None:
    """The model that finds where another one looks; None where it is not here."""
    names, looking = [spec.name], spec
    entries = {entry.name: entry for entry in list_models()}
    while looking.focus is not None and looking.focus.model in entries:
        names.append(looking.focus.model)
        if len({*names}) < len(names):
            raise ModelError(
                f"each looks round what the next one finds: {', '.join(names)}; remove one of these models"
            )
        looking = read_spec(entries[names[-1]].path)
    return find_model(names[1]) if len(names) > 1 else None


def _names(focus: Focus) -> str:
    """The segments, in words."""
    *others, last = focus.segments
    return f"{', '.join(others)} or {last}" if others else last
