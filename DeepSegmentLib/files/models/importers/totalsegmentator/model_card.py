"""What people read of a model of TotalSegmentator: where it came from, and where it is run otherwise here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from DeepSegmentLib.networks.model_spec import ModelSpec

    from .tasks import Task

CITATION = (
    "Wasserthal, J. et al. TotalSegmentator: Robust Segmentation of 104 Anatomic Structures in CT Images. Radiology: "
    "Artificial Intelligence 5(5), 2023, https://doi.org/10.1148/ryai.230024. Isensee, F. et al. nnU-Net: a "
    "self-configuring method for deep learning-based biomedical image segmentation. Nat Methods 18, 203-211 (2021)."
)


def card_of(spec: ModelSpec, task: Task) -> str:
    """The text of `MODEL_CARD.md`."""
    facts = "".join(f"- {key}: {value}\n" for key, value in spec.provenance.items())
    notes = "".join(f"- {note}\n" for note in differences(task))
    names = ", ".join(f"{segment.value} {segment.name}" for segment in spec.segments)
    return (
        f"# {spec.name}\n\n{spec.description}\n\n"
        "Weights of TotalSegmentator, converted when they were added; they run without it.\n\n"
        f"## Where it came from\n\n{facts}\nLicence of the weights: {spec.license}.\n\n"
        f"## What is done otherwise than in TotalSegmentator\n\n{notes}\n"
        f"## Segments, with TotalSegmentator's label numbers\n\n{names}\n\n"
        f"## Please cite\n\n{spec.citation}\n"
    )


def differences(task: Task) -> list[str]:
    """What TotalSegmentator does otherwise, a sentence each."""
    return [
        note
        for note in (
            _cropping(task), _resampling(task), _auxiliary(task), _cleanups(task),
            task.not_done and f"Not done here: {task.not_done}.",
        )
        if note
    ]  # fmt: skip


def _cropping(task: Task) -> str:
    if not task.crop:
        return ""
    margin = " x ".join(f"{length:g}" for length in dict.fromkeys(task.crop_margin_mm))
    return (
        f"TotalSegmentator first cuts the volume to {', '.join(task.crop)}, as {task.crop_by} finds them, and {margin} "
        "mm round them. Here the network sees a little more round that; where the other model is not among yours, or "
        "you choose a region, nothing is cut off before: that takes longer, and may find something outside."
    )


def _resampling(task: Task) -> str:
    if task.spacing_mm is None:
        return ""
    return "It cuts off the fractions of resampled intensities; here they stay, and borders may differ by a voxel."


def _auxiliary(task: Task) -> str:
    if not task.auxiliary:
        return ""
    return f"It takes {', '.join(task.auxiliary)} out of its results; here they are segments as the others."


def _cleanups(task: Task) -> str:
    if not task.cleanups:
        return ""
    return "It removes small pieces on the grid of the network, and here that is done on the grid of the volume."
