"""Results corrected by the robot user of the corrections' benchmark, with a journal, as the panel does it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1] / "correction"))
from robot import Robot

from DeepSegmentLib.correction.session import CorrectionSession
from DeepSegmentLib.correction.settings import CorrectionSettings
from DeepSegmentLib.files.journal import Journal, volume_checksum
from DeepSegmentLib.files.segmentations.grids_and_layers import match_grid
from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap, write_segmentation
from DeepSegmentLib.files.volumes import read_volume

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from DeepSegmentLib.data import Geometry, LabelMap

    Masks = Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class Asked:
    """One structure of a case, as the robot looks at it."""

    truth: NDArray[np.bool_]
    geometry: Geometry


@dataclass(frozen=True)
class Corrected:
    """What a case took.

    Attributes:
        prompts: For each structure how many.
        before: Dice of each structure as the model had it.
        after: Dice after the corrections.
    """

    prompts: dict[str, int]
    before: dict[str, float]
    after: dict[str, float]

    @property
    def drawn(self) -> tuple[str, ...]:
        """The structures that may be learned from: what is empty after all corrections was missed, not drawn."""
        return tuple(name for name, value in self.after.items() if value > 0)


def mask_of(labels: LabelMap, name: str) -> NDArray[np.bool_]:
    """The voxels of a segment."""
    segment = next(each for each in labels.segments if each.name == name)
    return np.asarray(labels.layers[segment.layer] == segment.value)


def dice(truth: NDArray[np.bool_], mask: NDArray[np.bool_]) -> float:
    """Of two masks, of which the first is not empty."""
    return float(2 * (truth & mask).sum() / (truth.sum() + mask.sum()))


def correct_case(
    volume_file: Path, result: Path, truth: Masks, folder: Path, *, most_prompts: int, seed: int
) -> Corrected:
    """Correct the result of a model until the robot finds nothing worth a click, or has made its prompts.

    Args:
        volume_file: The volume.
        result: What the model made of it.
        truth: For each structure that was drawn its right mask, on the volume's grid.
        folder: New; gets the corrected labels `labels.seg.nrrd` and the `journal`.
        most_prompts: For each structure.
        seed: Of what the robot does at random.
    """
    volume = read_volume(volume_file)
    labels = match_grid(read_labelmap(result), volume.geometry)
    names = [segment.name for segment in labels.segments if segment.name in truth]
    before = {name: round(dice(truth[name], mask_of(labels, name)), 4) for name in names}
    folder.mkdir(parents=True)
    prompts = dict.fromkeys(names, 0)
    with Journal.create(folder / "journal", labels, volume_checksum=volume_checksum(volume)) as journal:
        session = CorrectionSession(volume, labels)
        for turn in range(most_prompts):
            for n, name in enumerate(names):
                rng = np.random.default_rng([seed, turn, n])
                prompts[name] += correct_once(session, journal, name, Asked(truth[name], volume.geometry), rng)
    write_segmentation(session.labels, folder / "labels.seg.nrrd")
    after = {name: round(dice(truth[name], mask_of(session.labels, name)), 4) for name in names}
    return Corrected(prompts, before, after)


def correct_once(
    session: CorrectionSession, journal: Journal, name: str, asked: Asked, rng: np.random.Generator
) -> int:
    """One correction of a structure; 0 where nothing is worth one."""
    # Clicks and strokes in turns, as people mix them.
    robot = Robot("scribble" if rng.random() < 0.5 else "click")
    found = robot.prompt(asked, mask_of(session.labels, name), rng)  # type: ignore[arg-type]
    if found is None:
        return 0
    prompt, settings = replace(found[0], segment=name), CorrectionSettings(radius_mm=found[1])
    journal.record(prompt, settings, session.apply(prompt, settings), name)
    return 1


def drawn_masks(labels_file: Path, values: Mapping[int, str], volume_file: Path) -> Masks:
    """The structures that a reference has, on the volume's grid."""
    labels = match_grid(read_labelmap(labels_file), read_volume(volume_file).geometry)
    return {values[each.value]: np.asarray(labels.layers[each.layer] == each.value) for each in labels.segments}
