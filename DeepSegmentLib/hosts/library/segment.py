"""Segment a volume, in any of its forms."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.data import Progress
from DeepSegmentLib.data.progress import watching
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.input_stamp import input_stamp
from DeepSegmentLib.segmentation.outputs import PredictSettings
from DeepSegmentLib.service.catalogue import faster_model
from DeepSegmentLib.service.models.back_ends_record import load_model as load_folder
from DeepSegmentLib.service.run_report import provenance
from DeepSegmentLib.service.segment import segment_volume

from .models import WarmModel, model_folder
from .progress import shown
from .python_words import in_python_words
from .segmentations import Segmentation
from .volumes import read_volume, volume_files

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from os import PathLike
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from DeepSegmentLib.data import ProgressCallback
    from DeepSegmentLib.networks.back_ends.engine import Precision
    from DeepSegmentLib.networks.runtime import Model

    from .volumes import VolumeLike


@in_python_words
def segment(
    volume: VolumeLike,
    model: str | PathLike[str] | WarmModel = "brain-mr",
    *,
    device: str = "auto",
    subset: str | Collection[str] | None = None,
    series: str | None = None,
    progress: bool | ProgressCallback | None = None,
    overlap: float | None = None,
    mirror: bool = False,
    region_ras: ArrayLike | None = None,
    probabilities: str | Collection[str] = (),
    uncertainty: bool = False,
    clean_up: bool = True,
    any_spacing: bool = False,
    fast: bool = False,
    precision: Precision | None = None,
) -> Segmentation:
    """Find the structures that a model knows.

    Args:
        volume: In any form, see `read_volume`; a list where the model needs several channels, in its order.
        model: Name of a model, see `list_models`; a model folder; or one that is kept loaded, see `load_model`.
        device: "auto" ("cuda" if there is a CUDA device, else the CPU), "cpu", "cuda" (all CUDA devices that are alike
            and idle), "cuda:1" (that one) or "mps".
        subset: Names of the segments that are wanted, in letters of any case; all if None.
        series: Which DICOM series, where a folder holds several: its UID, number or description.
        progress: True for a bar; or a function that receives `Progress`, and may raise `Cancelled` to stop.
        overlap: Least shared fraction of neighbouring tiles, 0 to 0.95: more is slower, and smoother. None for what
            the model says.
        mirror: Average over mirror images: slower, and often smoother.
        region_ras: Two opposite corners (2, 3) in RAS mm; only voxels between them get labels.
        probabilities: Names of the segments whose probability maps are wanted, too; "all" for every segment.
        uncertainty: Whether the entropy map is wanted, too.
        clean_up: Whether the model's post-processing is applied.
        any_spacing: Whether the spacing is right although hardly any scan has it.
        fast: Whether the coarser, faster model that the model names is taken in its place.
        precision: Of the arithmetic on the CPU: "float32"; "checked", which takes bfloat16 where this processor is
            faster with it and the labels are the same, but for less than one in a thousand voxels; "bfloat16",
            whatever comes of it. None for "checked", or what the loaded model has.

    Returns:
        Named segments on the volume's grid. `notes` says where the volume does not suit the model.

    Raises:
        InvalidInputError: The volume does not fit the model, or an argument is out of range.
        VolumeFileError: A file cannot be read.
        ModelError: The model, or with `fast` the one that it names, is not there, or damaged.
        ResourceError: The device is not there, or there is too little memory.
        Cancelled: Raised by `progress`.

    Example:
        >>> import numpy as np
        >>> head = (np.random.default_rng(0).normal(size=(16, 16, 16)), np.diag([2, 2, 2, 1]))
        >>> result = segment(head, "brain-mr", device="cpu", subset=["Thalamus"])
        >>> result.labels.shape, list(result.masks)
        ((16, 16, 16), ['Thalamus'])
    """
    settings = PredictSettings(
        overlap=overlap,
        mirror=mirror,
        region_ras=None if region_ras is None else _corners(region_ras),
        probabilities=_names(probabilities),
        uncertainty=uncertainty,
        clean_up=clean_up,
        any_spacing=any_spacing,
    )
    folder, device, load = _chosen(model, str(device), precision, fast=fast)
    files = volume_files(volume)
    stamp = {"input": input_stamp(files, series)} if files else {}
    with shown(progress) as tell:
        with watching(tell):
            tell(Progress("read", 0.0))
            read = read_volume(volume, series=series)
        run = segment_volume(
            read,
            str(folder),
            device=device,
            settings=settings,
            subset=None if subset is None else _names(subset),
            on_progress=tell,
            load=load,
        )
    found = run.prediction
    return Segmentation(
        found.label_map,
        provenance(run, settings) | stamp,
        (*read.notes, *run.notes),
        found.probabilities,
        found.uncertainty,
        files,
    )


def _chosen(
    model: str | PathLike[str] | WarmModel, device: str, precision: Precision | None, *, fast: bool
) -> tuple[Path, str, Callable[[Path, str], Model]]:
    """The folder of a model, the device and what loads it."""
    if not isinstance(model, WarmModel):
        folder = model_folder(model)
        load = partial(load_folder, precision=precision or "checked")
        return (faster_model(folder).path if fast else folder), device, load
    if fast:
        raise InvalidInputError("fast=True is for models by name; load the faster model by load_model, and give that")
    if device not in ("auto", model.device):
        raise InvalidInputError(
            f"the model was loaded for the device {model.device!r}, not {device!r}; load it for that"
        )
    if precision not in (None, model.precision):
        raise InvalidInputError(
            f"the model was loaded for the precision {model.precision!r}, not {precision!r}; load it for that"
        )
    return model.folder, model.device, model.load


def _names(names: str | Collection[str]) -> tuple[str, ...]:
    """One name, or several."""
    given: object = [names] if isinstance(names, str) else names
    if not isinstance(given, Iterable) or [name for name in given if not isinstance(name, str)]:
        raise InvalidInputError(f"segments are chosen by their names, got {names!r}; they are in load_model().spec")
    return tuple(map(str, given))


def _corners(region_ras: ArrayLike) -> NDArray[np.float64]:
    try:
        return np.array(region_ras, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"region_ras must be two corners (2, 3) in RAS mm, got {region_ras!r}") from error
