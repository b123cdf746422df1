"""Voxels with their place in the patient."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from DeepSegmentLib.errors import InvalidInputError

from .geometry import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .geometry import Geometry


@dataclass(frozen=True, eq=False)
class Volume:
    """One or more channels of intensities on one grid.

    Attributes:
        voxels: Array (channel, k, j, i) of real numbers; made read-only.
        geometry: Where the voxels are; its shape equals (k, j, i) of `voxels`.
        name: What the source called it; shown to the user, never interpreted.
        notes: What had to be changed on reading, as sentences for the user.
        modality: DICOM modality of all channels, such as "MR"; empty where the source does not tell.

    Example:
        >>> import numpy as np
        >>> from DeepSegmentLib.data import Geometry
        >>> Volume(np.zeros((1, 40, 30, 20), np.int16), Geometry.from_spacing((40, 30, 20), (2, 1, 1)), "head")
        Volume('head', 1 channel of int16, 40 x 30 x 20 voxels (k, j, i) of 2 x 1 x 1 mm, RAS)
    """

    voxels: NDArray[Any]
    geometry: Geometry
    name: str = ""
    notes: tuple[str, ...] = ()
    modality: str = ""

    def __post_init__(self) -> None:
        if self.voxels.ndim != 4 or self.voxels.shape[0] < 1 or self.voxels.shape[1:] != self.geometry.shape:
            raise InvalidInputError(
                f"voxels must have shape (channel, {', '.join(map(str, self.geometry.shape))}), got {self.voxels.shape}"
            )
        if self.voxels.dtype.kind not in "iuf":
            raise InvalidInputError(f"voxels must be integers or floats, got {self.voxels.dtype}")
        view = self.voxels.view()
        view.flags.writeable = False
        object.__setattr__(self, "voxels", view)

    def __repr__(self) -> str:
        channels = "1 channel" if self.channels == 1 else f"{self.channels} channels"
        return f"Volume({self.name!r}, {channels} of {self.voxels.dtype}, {self.geometry})"

    @property
    def channels(self) -> int:
        """Number of channels."""
        return int(self.voxels.shape[0])

    def crop(self, box: Box) -> Volume:
        """The part inside a box.

        Raises:
            InvalidInputError: The box reaches outside the volume.
        """
        if not Box.of_shape(self.geometry.shape).contains(box):
            raise InvalidInputError(f"box {box} reaches outside the volume of shape {self.geometry.shape}")
        return replace(self, voxels=self.voxels[(slice(None), *box.to_slices())], geometry=self.geometry.crop(box))

    def oriented(self, orientation: str) -> Volume:
        """The same voxels with the axes (i, j, k) pointing as in "RAS"; a view, nothing is resampled."""
        geometry, _, _ = self.geometry.oriented(orientation)
        return replace(self, voxels=self.geometry.view(self.voxels, orientation), geometry=geometry)
