"""DeepSegment: local deep-learning segmentation of medical volumes.

    from DeepSegmentLib import Point, correct, export, load_model, read_volume, segment

Importing this package loads nothing, not even NumPy; each name brings what it needs when it is first used. Index order
is (k, j, i), space is RAS millimetres, and a volume or a segmentation may be given in any form that people have it in:
see `read_volume` and `read_segmentation`. What a user can act on is raised as a `DeepSegmentError`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .correction.session import CorrectionSession
    from .correction.settings import CorrectionSettings
    from .data import BoxPrompt, Geometry, LabelMap, Lasso, Point, Progress, Scribble, Segment, Volume
    from .errors import (
        Cancelled,
        DeepSegmentError,
        DownloadError,
        InvalidInputError,
        MissingPackageError,
        ModelError,
        ResourceError,
        VolumeFileError,
    )
    from .hosts.library.correct import correct, write_prompts
    from .hosts.library.evaluate import evaluate, measure
    from .hosts.library.export import export
    from .hosts.library.models import WarmModel, add_model, available_models, get_model, load_model
    from .hosts.library.segment import segment
    from .hosts.library.segmentations import Segmentation, read_segmentation, write_segmentation
    from .hosts.library.volumes import read_volume, to_nibabel, to_sitk, write_volume
    from .service.catalogue import list_models, remove_model

__version__ = "0.1.0"

__all__ = [
    "BoxPrompt",
    "Cancelled",
    "CorrectionSession",
    "CorrectionSettings",
    "DeepSegmentError",
    "DownloadError",
    "Geometry",
    "InvalidInputError",
    "LabelMap",
    "Lasso",
    "MissingPackageError",
    "ModelError",
    "Point",
    "Progress",
    "ResourceError",
    "Scribble",
    "Segment",
    "Segmentation",
    "Volume",
    "VolumeFileError",
    "WarmModel",
    "add_model",
    "available_models",
    "correct",
    "evaluate",
    "export",
    "get_model",
    "list_models",
    "load_model",
    "measure",
    "read_segmentation",
    "read_volume",
    "remove_model",
    "segment",
    "to_nibabel",
    "to_sitk",
    "write_prompts",
    "write_segmentation",
    "write_volume",
]

_NAMES = {
    "correction.session": "CorrectionSession",
    "correction.settings": "CorrectionSettings",
    "data": "BoxPrompt Geometry LabelMap Lasso Point Progress Scribble Segment Volume",
    "errors": "Cancelled DeepSegmentError DownloadError InvalidInputError MissingPackageError ModelError "
    "ResourceError VolumeFileError",
    "hosts.library.correct": "correct write_prompts",
    "hosts.library.evaluate": "evaluate measure",
    "hosts.library.export": "export",
    "hosts.library.volumes": "read_volume to_nibabel to_sitk write_volume",
    "hosts.library.models": "WarmModel add_model available_models get_model load_model",
    "hosts.library.segmentations": "Segmentation read_segmentation write_segmentation",
    "hosts.library.segment": "segment",
    "service.catalogue": "list_models remove_model",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}


if not TYPE_CHECKING:  # or else type checkers would find whatever name is asked for

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)  # asked for once
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
