"""Try two models on the same cases: what is drawn there judges them, and only where somebody looked."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.data import Box, Progress
from DeepSegmentLib.data.geometry import mask_of_boxes
from DeepSegmentLib.data.progress import silent, tell_part
from DeepSegmentLib.errors import DeepSegmentError, InvalidInputError
from DeepSegmentLib.evaluation.metrics import compare_masks
from DeepSegmentLib.files.models import load_model, read_spec
from DeepSegmentLib.files.segmentations.grids_and_layers import match_grid
from DeepSegmentLib.service.catalogue import find_model
from DeepSegmentLib.service.segment import segment_volume

from .case_picture import draw_case
from .comparison import Comparison, Judged, JudgedCase, Scores, SegmentPair, read_comparison, write_comparison

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from DeepSegmentLib.data import LabelMap, ProgressCallback
    from DeepSegmentLib.networks.runtime import Model
    from DeepSegmentLib.training.cases.labelled_case import LabelledCase

TOLERANCE_MM = 2.0
"""Largest surface distance that counts as agreement, unless the user says otherwise."""


@dataclass(frozen=True)
class CompareRequest:
    """What is compared.

    Attributes:
        old: Name or folder of the old model; empty for none: then the new one is only measured.
        new: Name or folder of the new model.
        tolerance_mm: See `Scores.nsd`.
        device: As for `segment_volume`.
        results: File of the comparison; cases that it has already are not tried again, as long as both models are the
            same. None to keep nothing.
        pictures: Folder for a picture of each case; None for none.
    """

    old: str
    new: str
    tolerance_mm: float = TOLERANCE_MM
    device: str = "auto"
    results: Path | None = None
    pictures: Path | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance_mm < math.inf:
            raise InvalidInputError(f"the tolerance must be 0 mm or more, got {self.tolerance_mm}")


def compare_models(
    request: CompareRequest, cases: Iterable[LabelledCase], count: int, on_progress: ProgressCallback = silent
) -> Comparison:
    """Compare two models.

    Args:
        request: Which ones, and how.
        cases: One in memory at a time.
        count: How many they are, for the progress.
        on_progress: May raise `Cancelled`; what was tried is kept.

    Raises:
        ModelError: A model is not there, or damaged.
        InvalidInputError: There is no case.
        DeepSegmentError: A case cannot be read or segmented; those before are kept.
    """
    begun = replace(_begun(request), planned=count)
    done = {(case.name, case.truth): case for case in begun.cases}
    loaded: dict[tuple[Path, str], Model] = {}

    def load(folder: Path, device: str) -> Model:
        if (folder, device) not in loaded:
            loaded[folder, device] = load_model(folder, device)
        return loaded[folder, device]

    found: list[JudgedCase] = []
    for n, case in enumerate(cases):
        on_progress(Progress(f"compare on {case.name}, {n + 1} of {count}", n / count))
        part = _part_of(on_progress, n, count)
        truth = _truth_digest(case)
        judged = done.get((case.name, truth))
        found.append(judged or replace(_judge(request, case, load, part), truth=truth))
        if request.results is not None:
            write_comparison(replace(begun, cases=tuple(found)), request.results)
    if not found:
        raise InvalidInputError("there is no held-out case to compare on; hold some out, or name cases (--cases)")
    return replace(begun, cases=tuple(found))


def _part_of(on_progress: ProgressCallback, n: int, count: int) -> ProgressCallback:
    return lambda event: tell_part(on_progress, n / count, (n + 1) / count, event)


def _judged(name: str) -> Judged:
    if not name:
        return Judged()
    spec = read_spec(find_model(name).path)
    told = spec.provenance
    return Judged(spec.name, spec.version, spec.weights_sha256, told.get("trained", ""), told.get("cases", ""))


def _begun(request: CompareRequest) -> Comparison:
    """An earlier run with the same models, to go on with; or a new one."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    fresh = Comparison(_judged(request.old), _judged(request.new), request.tolerance_mm, (), now)
    if request.results is None or not request.results.exists():
        return fresh
    try:
        earlier = read_comparison(request.results)
    except DeepSegmentError:
        return fresh
    same = (earlier.old, earlier.new, earlier.tolerance_mm) == (fresh.old, fresh.new, fresh.tolerance_mm)
    return earlier if same else fresh


def _truth_digest(case: LabelledCase) -> str:
    """By which it is known whether the labels of a case are those of before."""
    labels = case.label_map
    told = f"{labels.segments} {sorted(case.drawn.items())} {case.reviewed} {case.group} {labels.layers.shape}"
    digest = blake2b(told.encode(), digest_size=16)
    digest.update(np.ascontiguousarray(labels.layers).data)
    return digest.hexdigest()


def _judge(
    request: CompareRequest, case: LabelledCase, load: Callable[[Path, str], Model], on_progress: ProgressCallback
) -> JudgedCase:
    """Try both models on a case."""
    found: list[dict[str, NDArray[np.bool_]]] = []
    for name in (request.old, request.new):
        if not name:
            found.append({})
            continue
        run = segment_volume(case.volume, name, device=request.device, load=load, on_progress=on_progress)
        found.append(_masks(match_grid(run.prediction.label_map, case.volume.geometry)))
    truth = _masks(case.label_map)
    pairs = []
    for name in case.drawn:
        if not any(name.casefold() in masks for masks in found):
            continue
        looked = _where_looked(case, name)
        right = truth.get(name.casefold(), np.zeros(looked.shape, np.bool_))
        scores = [_scores(right, masks.get(name.casefold()), looked, case, request.tolerance_mm) for masks in found]
        pairs.append(SegmentPair(name, *scores))
    picture = draw_case(case, truth, found, request.pictures) if request.pictures is not None else ""
    return JudgedCase(case.name, case.group, tuple(pairs), picture=picture)


def _masks(label_map: LabelMap) -> dict[str, NDArray[np.bool_]]:
    """The segments by name, without capitals."""
    masks: dict[str, NDArray[np.bool_]] = {}
    for name, mask in label_map.masks.items():
        folded = name.casefold()
        masks[folded] = mask | masks[folded] if folded in masks else mask
    return masks


def _where_looked(case: LabelledCase, name: str) -> NDArray[np.bool_]:
    """The voxels in which somebody looked for a segment."""
    shape = case.volume.geometry.shape
    everywhere = (Box.of_shape(shape),)
    reviewed = everywhere if case.reviewed is None else case.reviewed
    return mask_of_boxes(shape, case.drawn[name] or everywhere) & mask_of_boxes(shape, reviewed)


def _scores(
    truth: NDArray[np.bool_],
    found: NDArray[np.bool_] | None,
    looked: NDArray[np.bool_],
    case: LabelledCase,
    tolerance_mm: float,
) -> Scores | None:
    if found is None:
        return None
    scores = compare_masks(truth & looked, found & looked, case.volume.geometry.spacing_mm, tolerance_mm)
    distance = scores.hausdorff95_mm
    return Scores(scores.dice, scores.nsd, distance if math.isfinite(distance) else None)
