"""Binary STL: the triangles of one surface.

References:
    3D Systems, StereoLithography Interface Specification, 1989. 3D Slicer, `vtkMRMLModelStorageNode` (SPACE= in the
    header).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from DeepSegmentLib.files.atomic import atomic_path

if TYPE_CHECKING:
    from pathlib import Path

    from DeepSegmentLib.imaging.surfaces.mesh import Mesh

_HEADER = b"DeepSegment. SPACE=LPS".ljust(80)
"""It must not begin with "solid", by which files of text are told."""

_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attributes", "<u2")])


def write_stl(mesh: Mesh, path: Path) -> None:
    """Write a surface, in LPS millimetres.

    Raises:
        VolumeFileError: The file cannot be written.
    """
    corners = (mesh.points_ras * (-1, -1, 1))[mesh.triangles]
    areas = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(areas, axis=1, keepdims=True)
    written = np.zeros(len(corners), _TRIANGLE)
    written["corners"] = corners
    written["normal"] = areas / np.where(lengths > 0, lengths, 1)  # one without an area has none
    with atomic_path(path) as fresh, fresh.open("wb") as file:
        file.write(_HEADER)
        file.write(len(corners).to_bytes(4, "little"))
        file.write(written.tobytes())
