"""Earlier versions of the user's models, and the exchange of one for another."""

from .kept import KeptVersion, kept_versions, versions_folder
from .swap import finish_swaps, swap_in

__all__ = ["KeptVersion", "finish_swaps", "kept_versions", "swap_in", "versions_folder"]
