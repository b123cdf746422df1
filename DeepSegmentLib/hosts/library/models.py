"""Models by name, and one kept loaded."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.hosts.warm_model import WarmModels
from DeepSegmentLib.service.catalogue import find_model

from .python_words import in_python_words
from .volumes import file_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from DeepSegmentLib.networks.model_spec import ModelSpec
    from DeepSegmentLib.networks.runtime import Model


class WarmModel:
    """A model that stays loaded: `segment` takes it for a name, and begins at once. See `load_model`.

    Attributes:
        folder: Where its files are.
        device: What it was asked to run on.
        spec: What it needs and gives.

    Example:
        >>> [segment.name for segment in load_model("brain-mr", device="cpu").spec.segments][:2]
        ['Cerebral white matter', 'Cerebral cortex']
    """

    def __init__(self, folder: Path, device: str) -> None:
        self.folder, self.device = folder, device
        self._models = WarmModels()
        self.spec: ModelSpec = self._models.load(folder, device).spec

    def __repr__(self) -> str:
        return f"WarmModel({self.spec.name} {self.spec.version} on {self.device}, segments: {len(self.spec.segments)})"

    @property
    def load(self) -> Callable[[Path, str], Model]:
        """Gives the model without reading it again; of another device, where this one ran out of memory."""
        return self._models.load


@in_python_words
def load_model(model: str | PathLike[str] = "brain-mr", *, device: str = "auto") -> WarmModel:
    """Load a model, to segment many volumes with it.

    Args:
        model: Its name, see `list_models`, or its folder.
        device: "auto" (a CUDA device if there is one, else the CPU), "cpu", "cuda", "cuda:1" or "mps".

    Returns:
        What `segment` takes for `model`.

    Raises:
        ModelError: There is none, or it is damaged.
        InvalidInputError: There is no such kind of device.
        ResourceError: The device is not there.

    Example:
        >>> load_model("brain-mr", device="cpu")
        WarmModel(brain-mr 0.1.0 on cpu, segments: 15)
    """
    return WarmModel(model_folder(model), str(device))


def model_folder(model: str | PathLike[str]) -> Path:
    """The folder of a model by its name or itself.

    Raises:
        ModelError: There is none, or it is damaged.
        InvalidInputError: This is neither a name nor a folder.
    """
    if not isinstance(model, str | PathLike):
        raise InvalidInputError(f"a model is its name, its folder or what load_model gives; got {model!r}")
    return find_model(file_path(model)).path
