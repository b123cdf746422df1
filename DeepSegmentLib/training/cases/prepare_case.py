"""Bring a case to the network's grid and intensities, exactly as a volume is brought there to be segmented."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.data.geometry import mask_of_boxes
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.segmentation.prepare import prepare
from DeepSegmentLib.segmentation.regrid import labels_to_network

from .prepared_case import Known, PreparedCase

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from DeepSegmentLib.networks.model_spec import ModelSpec, Part

    from .labelled_case import LabelledCase

MOST_ROWS = 16
"""Kinds of places in a case, by what is known there; one row is kept for what lies outside of it."""

_PLACES = 4096
_UNREVIEWED = 0.25


def prepare_case(
    case: LabelledCase,
    spec: ModelSpec,
    part: Part,
    *,
    unreviewed: float = _UNREVIEWED,
    on_step: Callable[[], None] = lambda: None,
) -> PreparedCase:
    """A case as the network of a part sees it.

    Args:
        case: With the voxels of all channels.
        spec: Of the model that is trained.
        part: Which of its parts; its last stage is what is trained.
        unreviewed: How much voxels outside the reviewed boxes count, 0 to 1: they are the old model's answer.
        on_step: Called between the steps; may raise `Cancelled`.

    Raises:
        InvalidInputError: The case has another number of channels, or its boxes make too many different places.
    """
    stage = part.stages[-1]
    if case.volume.channels != len(spec.channels):
        raise InvalidInputError(
            f"case {case.name!r} has {case.volume.channels} channels, the model {len(spec.channels)}: "
            + ", ".join(channel.name for channel in spec.channels)
        )
    prepared = prepare(case.volume, stage, on_step=on_step)
    source, target = prepared.oriented.crop(prepared.box), prepared.volume.geometry
    crop = prepared.box.to_slices()
    orientation = stage.orientation_of(case.volume.geometry.orientation)

    def on_network(layer: NDArray[Any]) -> NDArray[Any]:
        oriented = np.ascontiguousarray(case.volume.geometry.view(layer, orientation)[crop])
        return labels_to_network(oriented, source, target, stage, on_step)

    regions, known = _regions(case, spec, part, unreviewed)
    regions = on_network(regions) if len(known) > 1 else np.zeros(target.shape, np.uint8)
    labels = np.stack([on_network(layer) for layer in _layers(case, spec, part)])
    places = _places(labels, regions, known, spec.output)
    image = np.asarray(prepared.volume.voxels, np.float32)
    return PreparedCase(case.name, case.group, image, labels, regions, known, target.spacing_mm, places)


def _layers(case: LabelledCase, spec: ModelSpec, part: Part) -> list[NDArray[Any]]:
    """What the network should answer, on the volume's grid: one layer of labels, or one for each region."""
    masks = (_mask(case, name) for name in part.segments)
    if spec.output == "regions":
        return [mask.astype(np.uint8) for mask in masks]
    labels = np.zeros(case.volume.geometry.shape, np.uint8 if len(part.segments) < 256 else np.uint16)
    for value, mask in enumerate(masks, start=1):
        labels[mask] = value
    return [labels]


def _mask(case: LabelledCase, name: str) -> NDArray[np.bool_]:
    """The voxels of a drawn segment where somebody looked for it; none of one that was not drawn."""
    shape, masks = case.volume.geometry.shape, case.label_map.masks
    if name not in case.drawn or name not in masks:
        return np.zeros(shape, np.bool_)
    boxes = case.drawn[name]
    return masks[name] & mask_of_boxes(shape, boxes) if boxes else masks[name]


def _regions(
    case: LabelledCase, spec: ModelSpec, part: Part, unreviewed: float
) -> tuple[NDArray[np.uint8], tuple[Known, ...]]:
    """Rows on the volume's grid, and what they mean."""
    background = spec.output == "labels"
    rows = np.zeros(case.volume.geometry.shape, np.int64)
    known = [Known((True,) * background + tuple(name in case.drawn for name in part.segments))]
    for channel, name in enumerate(part.segments, start=int(background)):
        boxes = case.drawn.get(name, ())
        if boxes:
            rows, known = _split(rows, known, mask_of_boxes(rows.shape, boxes), _unknown(channel))
    if case.reviewed is not None:
        rows, known = _split(rows, known, mask_of_boxes(rows.shape, case.reviewed), _weighing(unreviewed))
    if len(known) >= MOST_ROWS:
        raise InvalidInputError(
            f"case {case.name!r}: the boxes in which segments were looked for make {len(known)} kinds of places, and "
            f"{MOST_ROWS - 1} are possible; give segments that were drawn together the same boxes"
        )
    return rows.astype(np.uint8), tuple(known)


def _unknown(channel: int) -> Callable[[Known], Known]:
    return lambda known: Known((*known.classes[:channel], False, *known.classes[channel + 1 :]), known.weight)


def _weighing(weight: float) -> Callable[[Known], Known]:
    return lambda known: Known(known.classes, weight * known.weight)


def _split(
    rows: NDArray[np.int64], known: list[Known], inside: NDArray[np.bool_], outside: Callable[[Known], Known]
) -> tuple[NDArray[np.int64], list[Known]]:
    """Part each kind of places into those inside, of which nothing changes, and those outside."""
    codes, numbers = np.unique(rows * 2 + ~inside, return_inverse=True)
    table = [outside(known[code // 2]) if code % 2 else known[code // 2] for code in codes.tolist()]
    return numbers.reshape(rows.shape), table


def _places(
    labels: NDArray[Any], regions: NDArray[np.uint8], known: Sequence[Known], output: str
) -> tuple[NDArray[np.int32], ...]:
    """Some voxels of each channel, evenly picked in the order of the array."""
    channels = len(known[0].classes)
    chosen = []
    for channel in range(channels):
        if output == "labels" and channel == 0:
            chosen.append(np.empty((0, 3), np.int32))
            continue
        mask = labels[0] == channel if output == "labels" else labels[channel] > 0
        told = np.array([row.classes[channel] and row.weight > 0 for row in known])
        if not told.all():
            mask = mask & told[regions]
        found = np.flatnonzero(mask)
        few = found[:: max(1, -(-len(found) // _PLACES))]
        chosen.append(np.stack(np.unravel_index(few, mask.shape), axis=1).astype(np.int32))
    return tuple(chosen)
