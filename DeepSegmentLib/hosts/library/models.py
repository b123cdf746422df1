"""Models by name, one kept loaded; adding models, known ones from the web too."""

from __future__ import annotations

from functools import partial
from os import PathLike
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.models.importers.door import Words
from DeepSegmentLib.hosts.warm_model import WarmModels
from DeepSegmentLib.service import catalogue
from DeepSegmentLib.service.catalogue import find_model
from DeepSegmentLib.service.models import get_model as known

from .progress import shown
from .python_words import in_python_words
from .volumes import file_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from DeepSegmentLib.data import ProgressCallback
    from DeepSegmentLib.networks.back_ends.engine import Precision
    from DeepSegmentLib.networks.model_spec import ModelSpec
    from DeepSegmentLib.networks.runtime import Model
    from DeepSegmentLib.service.catalogue import ModelEntry
    from DeepSegmentLib.service.models.get_model import AvailableModel


class WarmModel:
    """A model that stays loaded: `segment` takes it for a name, and begins at once. See `load_model`.

    Attributes:
        folder: Where its files are.
        device: What it was asked to run on.
        precision: How it computes on the CPU.
        spec: What it needs and gives.

    Example:
        >>> [segment.name for segment in load_model("brain-mr", device="cpu").spec.segments][:2]
        ['Cerebral white matter', 'Cerebral cortex']
    """

    def __init__(self, folder: Path, device: str, precision: Precision) -> None:
        self.folder, self.device, self.precision = folder, device, precision
        self._models = WarmModels()
        self.spec: ModelSpec = self._models.load(folder, device, precision).spec

    def __repr__(self) -> str:
        return f"WarmModel({self.spec.name} {self.spec.version} on {self.device}, segments: {len(self.spec.segments)})"

    @property
    def load(self) -> Callable[[Path, str], Model]:
        """Gives the model without reading it again; of another device, where this one ran out of memory."""
        return partial(self._models.load, precision=self.precision)


@in_python_words
def load_model(
    model: str | PathLike[str] = "brain-mr", *, device: str = "auto", precision: Precision = "checked"
) -> WarmModel:
    """Load a model, to segment many volumes with it.

    Args:
        model: Its name, see `list_models`, or its folder.
        device: "auto" ("cuda" if there is a CUDA device, else the CPU), "cpu", "cuda" (all CUDA devices that are alike
            and idle), "cuda:1" (that one) or "mps".
        precision: On the CPU, see `segment`.

    Returns:
        What `segment` takes for `model`.

    Raises:
        ModelError: There is none, or it is damaged.
        InvalidInputError: There is no such kind of device, or no such precision.
        ResourceError: The device is not there.

    Example:
        >>> load_model("brain-mr", device="cpu")
        WarmModel(brain-mr 0.1.0 on cpu, segments: 15)
    """
    return WarmModel(model_folder(model), str(device), precision)


def model_folder(model: str | PathLike[str]) -> Path:
    """The folder of a model by its name or itself.

    Raises:
        ModelError: There is none, or it is damaged.
        InvalidInputError: This is neither a name nor a folder.
    """
    if not isinstance(model, str | PathLike):
        raise InvalidInputError(f"a model is its name, its folder or what load_model gives; got {model!r}")
    return find_model(file_path(model)).path


@in_python_words
def add_model(
    *sources: str | PathLike[str],
    name: str = "",
    license: str = "",  # noqa: A002 - as in the specs of models
    folds: Sequence[str | int] = (),
    configuration: str = "",
    details: Mapping[str, Any] | None = None,
    accept_licence: bool = False,
    progress: bool | ProgressCallback | None = None,
) -> ModelEntry:
    """Add a model of any known kind to the user's models: converted, run once, and complete or not at all.

    Args:
        sources: A folder, a zip, a .pt, .pth, .ts or .onnx file; several where they make one model.
        name: Of the model here; what the source says where it is empty.
        license: Of the weights, where the source does not say it.
        folds: Of nnU-Net: these members only.
        configuration: Of nnU-Net: which one, such as "3d_fullres", where there are several.
        details: Of a graph (TorchScript, ONNX): what it takes and gives.
        accept_licence: Whether you agree to a licence that is not for every use.
        progress: As in `segment`.

    Returns:
        Its line in the list of models.

    Raises:
        ModelError: It is of no known kind, damaged, does not run, or its name is taken; the licence is not accepted.
        InvalidInputError: A source is not there, or a word does not suit it.
        ResourceError: The disk has too little room.
        Cancelled: Raised by `progress`.

    Example:
        >>> add_model("no-such-folder", name="liver")
        Traceback (most recent call last):
        DeepSegmentLib.errors.InvalidInputError: no-such-folder does not exist; give the folder or the file of a model
    """
    words = Words(name, "", license, tuple(map(str, folds)), configuration, details or {})
    paths = [file_path(source) for source in sources]
    if not paths:
        raise InvalidInputError("name a folder or a file of a model")
    with shown(progress) as tell:
        return catalogue.add_model(paths, words, tell, agrees=lambda _: accept_licence)


def available_models(*words: str) -> tuple[AvailableModel, ...]:
    """Known models that can be downloaded by `get_model`: all, or those that all these words tell of. Offline.

    Args:
        words: An organ, "CT" or "MR", part of a name.

    Returns:
        What their publishers say, and what of each is here.

    Raises:
        ModelError: The list that came with DeepSegment is damaged.

    Example:
        >>> {model.known.modality for model in available_models("liver", "MR")}
        {'MR'}
    """
    return known.available_models(words)


@in_python_words
def get_model(
    name: str,
    *,
    accept_licence: bool = False,
    accept_change: bool = False,
    progress: bool | ProgressCallback | None = None,
) -> ModelEntry:
    """Download a known model and add it to the user's models; goes on where it was stopped.

    Args:
        name: See `available_models`.
        accept_licence: Whether you agree to a licence that is not for every use.
        accept_change: Whether a file may be another than the one that was downloaded earlier.
        progress: As in `segment`.

    Returns:
        Its line in the list of models.

    Raises:
        ModelError: There is no such model, it is there already, what came is none, or the licence is not accepted.
        DownloadError: It cannot be downloaded.
        ResourceError: The disk has too little room.
        Cancelled: Raised by `progress`.

    Example:
        >>> get_model("totalseg-face")  # doctest: +IGNORE_EXCEPTION_DETAIL
        Traceback (most recent call last):
        DeepSegmentLib.errors.ModelError: totalseg-face can only be got by hand
    """
    with shown(progress) as tell:
        return known.get_model(name, tell, agrees=lambda _: accept_licence, accept_change=accept_change)
