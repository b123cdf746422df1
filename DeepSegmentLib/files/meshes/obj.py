"""Wavefront OBJ: the surfaces of all segments in one file of text, and their colours in another beside it.

References:
    Wavefront, Object Files (.obj) and Material Library File (.mtl). 3D Slicer, `vtkMRMLModelStorageNode` (SPACE= in a
    comment).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from DeepSegmentLib.files.atomic import atomic_paths
from DeepSegmentLib.files.safe_names import file_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from DeepSegmentLib.data import Segment
    from DeepSegmentLib.imaging.surfaces.mesh import Mesh


def material_path(path: Path) -> Path:
    """The file of the colours beside an OBJ file."""
    return path.with_suffix(".mtl")


def write_obj(meshes: Mapping[Segment, Mesh], path: Path) -> None:
    """Write surfaces, in LPS millimetres, and their colours.

    Objects and colours are named by the names of the segments as far as these are letters, digits and dashes.

    Raises:
        VolumeFileError: A file cannot be written.
    """
    words = file_words(segment.name for segment in meshes)
    with atomic_paths([material_path(path), path]) as (materials, surfaces):
        with materials.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(_material(words[segment.name], segment) for segment in meshes)
        with surfaces.open("w", encoding="utf-8", newline="\n") as file:
            file.write(f"# DeepSegment. SPACE=LPS, millimetres\nmtllib {material_path(path).name}\n")
            file.writelines(_objects({words[segment.name]: mesh for segment, mesh in meshes.items()}))


def _material(word: str, segment: Segment) -> str:
    colour = " ".join(f"{part / 255:.4f}" for part in segment.color)
    return f"newmtl {word}\nKa 0 0 0\nKd {colour}\nKs 0 0 0\nd 1\nillum 1\n\n"


def _objects(meshes: Mapping[str, Mesh]) -> Iterator[str]:
    first = 1  # corners are numbered from 1, through all objects
    for word, mesh in meshes.items():
        yield f"o {word}\nusemtl {word}\n"
        yield from ("v {:.4f} {:.4f} {:.4f}\n".format(*point) for point in (mesh.points_ras * (-1, -1, 1)).tolist())
        yield from ("f {} {} {}\n".format(*corners) for corners in (mesh.triangles + first).tolist())
        first += len(mesh.points_ras)
