"""Binary glTF 2.0 (.glb): the surfaces of all segments, named and coloured, in one file.

References:
    Khronos, glTF 2.0 Specification (3.4 coordinates and units, 3.6 accessors, 3.9 materials, 4.4 binary files). IEC
    61966-2-1 (sRGB).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib import __version__
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.atomic import atomic_path
from DeepSegmentLib.imaging.surfaces.mesh import normals

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from DeepSegmentLib.data import Segment
    from DeepSegmentLib.imaging.surfaces.mesh import Mesh

_AXES = np.array([(-1, 0, 0), (0, 0, 1), (0, 1, 0)])  # RAS to glTF: x is to the left of who looks along +z, y is up
_METRES = 0.001
_FLOAT, _UNSIGNED = 5126, 5125  # component types
_CORNERS, _INDICES = 34962, 34963  # targets of views of the buffer
_LARGEST = (1 << 32) - 1  # bytes; lengths have 32 bits


def write_glb(meshes: Mapping[Segment, Mesh], path: Path) -> None:
    """Write surfaces, in metres with the head up and the face to the front.

    Raises:
        InvalidInputError: There would be more than 4 GB.
        VolumeFileError: The file cannot be written.
    """
    document, content = _document(meshes)
    text = json.dumps(document, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 4)
    length = 12 + 8 + len(text) + 8 + len(content)
    if length > _LARGEST:
        raise InvalidInputError(f"{path} would have {length} bytes, and glTF holds 4 GB; export fewer segments, or STL")
    with atomic_path(path) as fresh, fresh.open("wb") as file:
        file.write(b"glTF" + _number(2) + _number(length))
        file.write(_number(len(text)) + b"JSON" + text)
        file.write(_number(len(content)) + b"BIN\0" + content)


def _number(value: int) -> bytes:
    return value.to_bytes(4, "little")


def _document(meshes: Mapping[Segment, Mesh]) -> tuple[dict[str, Any], bytes]:
    accessors: list[dict[str, Any]] = []
    views: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for mesh in meshes.values():
        for array, target in _arrays(mesh):
            content = array.tobytes()
            start = sum(view["byteLength"] for view in views)  # all are multiples of 4
            views.append({"buffer": 0, "byteOffset": start, "byteLength": len(content), "target": target})
            accessors.append({"bufferView": len(accessors), **_accessor(array)})
            parts.append(content)
    content = b"".join(parts)
    numbers = range(len(meshes))
    document = {
        "asset": {"version": "2.0", "generator": f"DeepSegment {__version__}"},
        "scene": 0,
        "scenes": [{"nodes": list(numbers)}],
        "nodes": [{"name": segment.name, "mesh": n} for n, segment in enumerate(meshes)],
        "meshes": [{"name": segment.name, "primitives": [_primitive(n)]} for n, segment in enumerate(meshes)],
        "materials": [_material(segment) for segment in meshes],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(content)}],
    }
    return document, content


def _arrays(mesh: Mesh) -> tuple[tuple[NDArray[Any], int], ...]:
    """Corners, normals, and the triangles as numbers of corners."""
    points = (mesh.points_ras @ _AXES.T * _METRES).astype("<f4")
    return (
        (points, _CORNERS),
        ((normals(mesh) @ _AXES.T).astype("<f4"), _CORNERS),
        (mesh.triangles.ravel().astype("<u4"), _INDICES),
    )


def _accessor(array: NDArray[Any]) -> dict[str, Any]:
    if array.ndim == 1:
        return {"componentType": _UNSIGNED, "count": len(array), "type": "SCALAR"}
    # Bounds are needed for corners, and allowed for normals.
    bounds = {"min": array.min(axis=0).tolist(), "max": array.max(axis=0).tolist()}
    return {"componentType": _FLOAT, "count": len(array), "type": "VEC3", **bounds}


def _primitive(n: int) -> dict[str, Any]:
    return {"attributes": {"POSITION": 3 * n, "NORMAL": 3 * n + 1}, "indices": 3 * n + 2, "material": n}


def _material(segment: Segment) -> dict[str, Any]:
    colour = [round(_linear(part / 255), 6) for part in segment.color]
    look = {"baseColorFactor": [*colour, 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.8}
    return {"name": segment.name, "pbrMetallicRoughness": look}


def _linear(part: float) -> float:
    """A colour's part without the gamma of sRGB, in which segments are coloured and glTF is not."""
    return float(part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4)
