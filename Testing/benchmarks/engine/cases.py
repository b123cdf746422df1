"""What is compared: a network, a volume, a number of classes and a patch, named in one word."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

SPACING_MM = 1.5
"""Of the networks' grid."""

SHORT = "tiny-48-5-16"
DEFAULT = (
    "plain-192-5", "plain-192-40", "trained-192-40", "plain-192-117",
    "plain-256-40", "plain-256-40-96", "plain-256-117",
    "residual-192-40", "residual-256-40", "plain-300-40", "plain-300-117", "plain-531-40", "plain-531-117",
)  # fmt: skip
DEPTHS = tuple(f"pointwise-512x512x{depth}-117" for depth in (300, 600, 1200))
"""A network of 1x1x1 kernels, so that the memory is that of the engine and these do not take hours."""
LINEAR = tuple(f"plain-256x256x{depth}-40" for depth in (192, 288, 384, 480, 576))
"""1, 2, 3, 4 and 5 layers of tiles, whose overlap is the same."""

# Extent (i, j, k) in voxels and their size in mm, as files have them.
_VOLUMES = {
    "48": ((48, 48, 48), (1.0, 1.0, 1.0)),
    "192": ((192, 192, 192), (1.0, 1.0, 1.0)),
    "256": ((256, 256, 192), (1.0, 1.0, 1.0)),
    "300": ((512, 512, 300), (0.8, 0.8, 1.0)),
    "531": ((512, 512, 531), (0.8, 0.8, 1.0)),
}
_PATCHES = {"48": 16, "192": 96}
_PATCH = 128
_NAME = re.compile(r"(tiny|pointwise|plain|trained|residual)-(\d+|\d+x\d+x\d+)-(\d+)(?:-(\d+))?")


@dataclass(frozen=True)
class Case:
    """One line of the comparison.

    Attributes:
        name: NETWORK-VOLUME-CLASSES or NETWORK-VOLUME-CLASSES-PATCH.
        network: "plain", "trained" (the same, weights of which are not random), "residual", "pointwise" or "tiny".
        volume: Name of the volume.
        size: Its extent (i, j, k), in voxels.
        spacing_mm: Size of these, likewise.
        classes: With background.
        patch: Edge of the patch, in voxels of the networks' grid.
    """

    name: str
    network: str
    volume: str
    size: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    classes: int
    patch: int

    @property
    def model(self) -> str:
        """Name of the model, which serves several volumes."""
        return f"{self.network}-{self.classes}-{self.patch}"

    def volume_file(self, work: Path) -> Path:
        """Where its volume lies, named as nnU-Net wants it."""
        return work / "volumes" / f"{self.volume}_0000.nii.gz"

    def model_folder(self, work: Path) -> Path:
        """Where its model lies."""
        return work / "models" / self.model

    def exported_folder(self, work: Path) -> Path:
        """Where its model lies as nnU-Net has them."""
        return work / "exported" / self.model


def case_of(name: str) -> Case:
    """The case of a name, such as "plain-192-40" or "plain-256x256x288-40-96".

    Raises:
        ValueError: The name is of another form.
    """
    found = _NAME.fullmatch(name)
    if not found:
        raise ValueError(f"a case is named NETWORK-VOLUME-CLASSES or NETWORK-VOLUME-CLASSES-PATCH, not {name!r}")
    network, volume, classes, patch = found.groups()
    size, spacing = _VOLUMES.get(volume) or _sized(volume)
    return Case(name, network, volume, size, spacing, int(classes), int(patch or _PATCHES.get(volume, _PATCH)))


def _sized(volume: str) -> tuple[tuple[int, int, int], tuple[float, float, float]]:
    if "x" not in volume:
        raise ValueError(f"a volume is one of {', '.join(_VOLUMES)} or has three extents, not {volume!r}")
    i, j, k = (int(n) for n in volume.split("x"))
    return (i, j, k), (0.8, 0.8, 1.0) if i >= 512 else (1.0, 1.0, 1.0)
