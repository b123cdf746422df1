"""Correct a segmentation by prompts."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from typing import TYPE_CHECKING

from DeepSegmentLib.correction.session import CorrectionSession
from DeepSegmentLib.correction.settings import CorrectionSettings
from DeepSegmentLib.data import Prompt
from DeepSegmentLib.data.name_lookup import known_names
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.output_checks import Output, check_outputs, inputs_of
from DeepSegmentLib.files.prompts import read_prompts
from DeepSegmentLib.files.prompts import write_prompts as write_prompt_file
from DeepSegmentLib.files.segmentations.grids_and_layers import match_grid
from DeepSegmentLib.service.correct import apply_prompts, corrected_provenance

from .python_words import in_python_words
from .segmentations import Segmentation, read_segmentation
from .volumes import file_path, read_volume, volume_files

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from DeepSegmentLib.correction.settings import Mode

    from .segmentations import SegmentationLike
    from .volumes import VolumeLike


@in_python_words
def correct(
    volume: VolumeLike,
    segmentation: SegmentationLike,
    prompts: Prompt | Sequence[Prompt] | str | PathLike[str],
    *,
    radius_mm: float | None = None,
    mode: Mode = "fix",
    overwrite: bool = False,
    aggressiveness: float = 0.5,
    locked: str | Collection[str] = (),
    series: str | None = None,
) -> Segmentation:
    """Correct a segmentation where prompts say that it is wrong, and nowhere else.

    For a look before each change, and for undo, see `CorrectionSession`.

    Args:
        volume: What was segmented, in any form, see `read_volume`.
        segmentation: In any form, see `read_segmentation`; on the volume's grid.
        prompts: A `Point`, `Scribble`, `BoxPrompt` or `Lasso`, several of them, or the path of a JSON file of prompts.
        radius_mm: How far from a prompt labels may change; None for a radius that fits each error.
        mode: "fix" corrects the segment at the prompt, "grow" makes it anew from all prompts.
        overwrite: Segments may take voxels of other segments.
        aggressiveness: How eager to change, from 0 (only what is certain) to 1.
        locked: Names of segments that must not change, in letters of any case.
        series: Which DICOM series, where a folder holds several: its UID, number or description.

    Returns:
        The segments after all prompts; `notes` names the prompts that changed nothing. What was given stays as it is.

    Raises:
        InvalidInputError: Volume and segmentation do not fit each other, a prompt names an unknown or locked segment or
            lies outside, or an argument is out of range.
        VolumeFileError: A file cannot be read.

    Example:
        >>> import numpy as np
        >>> from DeepSegmentLib import Geometry, LabelMap, Point, Segment
        >>> head = np.pad(np.full((5, 5, 5), 100), 2)
        >>> nothing = LabelMap(np.zeros((1, 9, 9, 9), np.uint8), Geometry((9, 9, 9), np.eye(4)), (Segment("Cyst", 1),))
        >>> bool(correct((head, np.eye(4)), nothing, Point("Cyst", True, (4, 4, 4))).masks["Cyst"][4, 4, 4])
        True
    """
    settings = CorrectionSettings(aggressiveness=aggressiveness, mode=mode, overwrite=overwrite)
    asked = _prompts(prompts)
    read, given = read_volume(volume, series=series), read_segmentation(segmentation)
    names = [locked] if isinstance(locked, str) else locked
    kept = known_names(names, list(given.masks), "no segment named") if names else ()
    session = CorrectionSession(read, match_grid(given.label_map, read.geometry), locked=kept)
    steps = apply_prompts(session, asked, settings, radius_mm)
    idle = [prompt for prompt, step in zip(asked, steps, strict=True) if not step["changed_voxels"]]
    return Segmentation(
        session.labels,
        corrected_provenance(given.provenance, len(asked)),
        (*given.notes, *(f"{prompt} changed nothing{_WHY_NOTHING}" for prompt in idle)),
        given.probabilities,
        given.uncertainty,
        volume_files(volume) or given.volume_files,
    )


_WHY_NOTHING = ": it is so already, or other segments have the voxels (overwrite=True takes them)"


def _prompts(prompts: Prompt | Sequence[Prompt] | str | PathLike[str]) -> tuple[Prompt, ...]:
    if isinstance(prompts, str | PathLike):
        return read_prompts(file_path(prompts))
    several = (prompts,) if isinstance(prompts, Prompt) or not isinstance(prompts, Iterable) else tuple(prompts)
    for prompt in several:
        if not isinstance(prompt, Prompt):
            raise InvalidInputError(f"a prompt is a Point, Scribble, BoxPrompt or Lasso; got {prompt!r}")
    return several


@in_python_words
def write_prompts(prompts: Prompt | Sequence[Prompt], path: str | PathLike[str], *, replace: bool = False) -> None:
    """Write prompts to a JSON file, which `correct` and `deepsegment correct --prompts` read.

    Args:
        prompts: Such as those of a `CorrectionSession`.
        path: Where: a .json.
        replace: A file that exists may be replaced.

    Raises:
        InvalidInputError: The file exists, or something is no prompt.
        VolumeFileError: The file cannot be written.

    Example:
        >>> import json, tempfile
        >>> from pathlib import Path
        >>> from DeepSegmentLib import Point
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_prompts([Point("Cyst", True, (4, 4, 4))], f"{folder}/clicks.json")
        ...     json.loads(Path(folder, "clicks.json").read_text())[0]["points_ras"]
        [[4.0, 4.0, 4.0]]
    """
    known, target = _prompts(prompts), file_path(path)
    check_outputs([Output(target, (".json",))], inputs_of([]), replace=replace)
    write_prompt_file(known, target)
