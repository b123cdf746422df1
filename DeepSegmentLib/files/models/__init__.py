"""Model folders on disk."""

from .folder import (
    CARD_FILE,
    MODEL_FILES,
    SPEC_FILE,
    WEIGHTS_FILE,
    load_model,
    new_folder,
    read_spec,
    save_model,
    unpack_model,
    verify_model,
)

__all__ = [
    "CARD_FILE",
    "MODEL_FILES",
    "SPEC_FILE",
    "WEIGHTS_FILE",
    "load_model",
    "new_folder",
    "read_spec",
    "save_model",
    "unpack_model",
    "verify_model",
]
