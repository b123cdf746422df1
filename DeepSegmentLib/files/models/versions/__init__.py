"""Earlier versions of the user's models, and the exchange of one for another."""

from .kept import KeptVersion, kept_versions, versions_folder
from .swap import INCOMING, changing_versions, finish_swaps, swap_in

__all__ = [
    "INCOMING",
    "KeptVersion",
    "changing_versions",
    "finish_swaps",
    "kept_versions",
    "swap_in",
    "versions_folder",
]
