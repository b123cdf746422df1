"""OpenVINO, with which networks are computed faster on many CPUs: is it installed, could it be, how large is it.

Diagnose asks where NumPy is missing, too: what needs it is imported when it is used.
"""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from DeepSegmentLib.networks.back_ends.engine import version_of

if TYPE_CHECKING:
    from pathlib import Path

PACKAGE = "openvino"

# Wheels of OpenVINO 2026.4.1 for Python 3.12, by system and processor: bytes, as https://pypi.org/pypi/openvino/json
# told them in November 2026. Those for 3.10 to 3.14 are as large to one in a thousand.
_WHEEL_BYTES = {
    ("Linux", "x86_64"): 59_144_434,
    ("Linux", "aarch64"): 30_332_437,
    ("Windows", "AMD64"): 84_964_415,
    ("Darwin", "arm64"): 33_341_733,
}
# As these wheels say it: manylinux_2_28_x86_64, manylinux_2_35_aarch64.
_LEAST_GLIBC = {"x86_64": (2, 28), "aarch64": (2, 35)}
_NOT_NOW = "install openvino"


def installed_version() -> str:
    """Empty where it is not installed; nothing is imported for it."""
    return version_of(PACKAGE)


def download_mb() -> int | None:
    """Size of what pip would download, in megabytes; None where there is no wheel for this system and processor."""
    system, processor = platform.system(), platform.machine()
    size = _WHEEL_BYTES.get((system, processor))
    if size is None or (system == "Linux" and _glibc() < _LEAST_GLIBC[processor]):
        return None
    return round(size / 1e6)


def _glibc() -> tuple[int, ...]:
    """Its version; nothing where another library is in its place."""
    name, found = platform.libc_ver()
    return tuple(int(n) for n in found.split(".") if n.isdecimal()) if name == "glibc" else ()


def is_worth_offering() -> bool:
    """Whether it is not installed, could be, and the user has not said that it shall not."""
    if installed_version() or download_mb() is None:
        return False
    from DeepSegmentLib.files.remembered import remembered

    return _NOT_NOW not in remembered(_answers())


def decline() -> None:
    """Remember that the user does not want to be asked again."""
    from DeepSegmentLib.files.remembered import remember

    remember(_answers(), {_NOT_NOW: f"not now, {datetime.now(UTC).date().isoformat()}"})


def _answers() -> Path:
    from DeepSegmentLib.files.models.places import user_folder

    return user_folder() / "answers.json"


def how_to_install() -> str:
    """What is told where it is not installed."""
    size = download_mb()
    if size is None:
        return "not installed; there is none for this system and processor"
    return f"not installed; often faster on the CPU, a download of {size} MB: pip install {PACKAGE}"
