"""What our engine is compared with: other ways to answer the same prompt, in the same domain, under the same contract.

Every method sees the task as the engine reads it, and may change only what the engine may change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from robot import CaseCanvas
from scipy import ndimage

from DeepSegmentLib.correction.correct import Correction, correct, preview
from DeepSegmentLib.correction.rules.constraints import look
from DeepSegmentLib.correction.settings import CorrectionSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cases import Case

    from DeepSegmentLib.correction.rules.constraints import Task
    from DeepSegmentLib.data import Prompt

    Answer = Callable[[Case, Task], np.ndarray]

ERODED_VOXELS = 2
BRUSH_PARTS = 0.5


def nothing(_case: Case, task: Task) -> np.ndarray:
    """The mask stays as it is."""
    return np.zeros(task.box.shape, dtype=bool)


def oracle(case: Case, task: Task) -> np.ndarray:
    """Everything in reach becomes right."""
    return case.truth[task.box.to_slices()] == task.side


def brush(_case: Case, task: Task) -> np.ndarray:
    """A ball of half the edit radius."""
    return task.domain.distance_mm <= BRUSH_PARTS * task.domain.radius_mm


def growcut(_case: Case, task: Task) -> np.ndarray:
    """Slicer's Grow from seeds (vtkImageGrowCutSegment), seeded with the eroded previous mask."""
    import host  # noqa: F401 - it finds slicer-core
    import slicer
    from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
    from vtkmodules.vtkCommonCore import VTK_SHORT, VTK_UNSIGNED_CHAR
    from vtkmodules.vtkCommonDataModel import vtkImageData

    def image(array: np.ndarray, kind: int) -> vtkImageData:
        data = vtkImageData()
        data.SetDimensions(*array.shape[::-1])
        data.SetSpacing(*task.domain.spacing_mm[::-1])
        data.GetPointData().SetScalars(numpy_to_vtk(array.ravel(), deep=True, array_type=kind))
        return data

    values = task.domain.channels[0]
    low, high = np.percentile(values, (0.5, 99.5))
    scaled = np.clip((values - low) / max(high - low, 1e-6) * 1000, -500, 1500).astype(np.int16)
    grower = slicer.vtkImageGrowCutSegment()
    grower.SetIntensityVolume(image(scaled, VTK_SHORT))
    grower.SetSeedLabelVolume(image(_seeds(task).astype(np.uint8), VTK_UNSIGNED_CHAR))
    grower.Update()
    return vtk_to_numpy(grower.GetOutput().GetPointData().GetScalars()).reshape(task.box.shape) == 1


def watershed(_case: Case, task: Task) -> np.ndarray:
    """scikit-image's watershed of the gradient from the same seeds."""
    from skimage.segmentation import watershed as flood

    step = [1.0 / task.domain.finest_mm * size for size in task.domain.spacing_mm]
    slope = ndimage.gaussian_gradient_magnitude(task.domain.channels[0], [1 / s for s in step])
    return flood(slope, _seeds(task)) == 1


def random_walker(_case: Case, task: Task) -> np.ndarray:
    """scikit-image's random walker on the domain and one voxel around it."""
    from skimage.segmentation import random_walker as walker

    seeds = _seeds(task)
    around = ndimage.binary_dilation(task.domain.open_to_change, iterations=ERODED_VOXELS + 2)
    seeds[~around] = -1
    if not (seeds == 0).any() or not ((seeds == 1).any() and (seeds == 2).any()):
        return task.domain.must
    spacing = np.asarray(task.domain.spacing_mm) / task.domain.finest_mm
    values = task.domain.channels[0]
    spread = float(values[around].std()) or 1.0
    return walker((values / spread).astype(np.float64), seeds, beta=130, mode="cg_j", spacing=spacing) == 1


def _seeds(task: Task) -> np.ndarray:
    """1: the stroke and the inner part of what is right; 2: the inner part of all that cannot change; 0: open."""
    domain = task.domain
    seeds = np.zeros(task.box.shape, dtype=np.int32)
    seeds[ndimage.binary_erosion(domain.target, iterations=ERODED_VOXELS, border_value=1)] = 1
    other = ~domain.target & ~domain.open_to_change
    seeds[ndimage.binary_erosion(other, iterations=ERODED_VOXELS, border_value=1)] = 2
    seeds[domain.near] = 1
    if not (seeds == 2).any():
        seeds[other] = 2
    return seeds


BASELINES: dict[str, Answer] = {
    "nothing": nothing,
    "brush": brush,
    "GrowCut": growcut,
    "watershed": watershed,
    "random walker": random_walker,
    "oracle": oracle,
}
ENGINE = {"correct": correct, "preview": preview}


def answer(
    name: str, case: Case, mask: np.ndarray, asked: tuple[Prompt, float], earlier: Sequence[Prompt]
) -> Correction:
    """What a method makes of a prompt.

    Args:
        name: Of a baseline, or "correct" or "preview" of the engine.
        case: What is corrected.
        mask: Its mask as it is now.
        asked: The prompt and the edit radius in mm.
        earlier: The prompts before.
    """
    prompt, radius_mm = asked
    settings, canvas = CorrectionSettings(radius_mm=radius_mm), CaseCanvas(case, mask)
    if name in ENGINE:
        return ENGINE[name](canvas, prompt, settings, earlier)
    task = look(canvas, prompt, settings, earlier)
    taken = task.domain.must | (task.domain.free & BASELINES[name](case, task))
    return Correction(task.box, task.before, np.where(taken, task.side, task.before))
