"""Where models are, and what else belongs to the user."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import DeepSegmentLib

if TYPE_CHECKING:
    from collections.abc import Mapping


def bundled_models_folder() -> Path:
    """Where the models that come with DeepSegment are.

    A wheel has them inside the package; a source checkout and an installed Slicer extension have them beside it.
    """
    package = Path(DeepSegmentLib.__file__).resolve().parent
    inside = package / "resources" / "Models"
    return inside if inside.is_dir() else package.parent / "Resources" / "Models"


def user_models_folder(environment: Mapping[str, str] | None = None, platform: str = sys.platform) -> Path:
    """Where added models go: `DEEPSEGMENT_MODELS`, or else the user's data folder of the platform.

    Args:
        environment: Environment variables; None for those of the process.
        platform: As `sys.platform` names it.

    References:
        XDG Base Directory Specification (Linux); Apple, File System Programming Guide; Microsoft, KNOWNFOLDERID.
    """
    variables = os.environ if environment is None else environment
    chosen = variables.get("DEEPSEGMENT_MODELS")
    return Path(chosen) if chosen else user_folder(variables, platform) / "Models"


def user_folder(environment: Mapping[str, str] | None = None, platform: str = sys.platform) -> Path:
    """Where what belongs to the user is kept; arguments as in `user_models_folder`."""
    return _data_folder(os.environ if environment is None else environment, platform) / "DeepSegment"


def downloads_folder(name: str) -> Path:
    """Where the parts of a model lie that is being downloaded: hidden among the user's models, on their disk."""
    return user_models_folder() / ".downloads" / name


def drop_empty_downloads() -> None:
    """Remove the folder of all downloads where there are none."""
    with suppress(OSError):
        downloads_folder("x").parent.rmdir()


def agreed_licences() -> Path:
    """The file of the licences that the user agreed to."""
    return user_folder() / "agreed-licences.json"


def _data_folder(variables: Mapping[str, str], platform: str) -> Path:
    if platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    if platform == "win32":
        return Path(variables.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    data_home = variables.get("XDG_DATA_HOME", "")
    # The specification says to ignore a relative path.
    return Path(data_home) if data_home.startswith("/") else Path.home() / ".local" / "share"
