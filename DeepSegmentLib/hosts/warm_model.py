"""The last model that was used, kept loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from DeepSegmentLib.files.models import read_spec
from DeepSegmentLib.service.models.back_ends_record import load_model

if TYPE_CHECKING:
    from pathlib import Path

    from DeepSegmentLib.networks.back_ends.engine import Precision
    from DeepSegmentLib.networks.runtime import Model


class WarmModels:
    """Loads models like `service.models.back_ends_record.load_model`, and the same one only once in a row."""

    def __init__(self) -> None:
        self._key: tuple[Path, str, str, str] | None = None
        self._model: Model | None = None

    def load(self, folder: Path, device: str = "auto", precision: Precision = "checked") -> Model:
        """The model of a folder on a device; a folder with other weights than before is read anew.

        Raises:
            ModelError, ResourceError, MissingPackageError: See there.
        """
        key = (folder.resolve(), device, precision, read_spec(folder).weights_sha256)
        if self._model is None or self._key != key:
            self._key = self._model = None  # two models at once may be too many
            self._model = load_model(folder, device, precision)
            self._key = key
        return self._model
