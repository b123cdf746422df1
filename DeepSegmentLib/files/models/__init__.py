"""Model folders on disk."""

from .archive import unpacked
from .folder import (
    CARD_FILE,
    MODEL_FILES,
    SPEC_FILE,
    WEIGHTS_FILE,
    copy_model,
    load_model,
    new_folder,
    problem_with_weights,
    read_card,
    read_spec,
    save_model,
    verify_model,
    write_model,
    write_spec,
)

__all__ = [
    "CARD_FILE",
    "MODEL_FILES",
    "SPEC_FILE",
    "WEIGHTS_FILE",
    "copy_model",
    "load_model",
    "new_folder",
    "problem_with_weights",
    "read_card",
    "read_spec",
    "save_model",
    "unpacked",
    "verify_model",
    "write_model",
    "write_spec",
]
