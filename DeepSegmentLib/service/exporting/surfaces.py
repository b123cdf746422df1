"""The surfaces of a case's segments, and the files of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scipy import ndimage

from DeepSegmentLib.data import Box
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.files.meshes import material_path, write_glb, write_obj, write_stl
from DeepSegmentLib.files.safe_names import file_words
from DeepSegmentLib.imaging.surfaces.mesh import make_mesh, smoothed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from DeepSegmentLib.data import LabelMap, Segment
    from DeepSegmentLib.imaging.surfaces.mesh import Mesh

    from .case import ExportCase, ExportSettings


def stl_files(folder: Path, name: str, segments: Sequence[Segment]) -> dict[str, Path]:
    """The file of each segment, by its name."""
    words = file_words(segment.name for segment in segments)
    return {segment: folder / f"{name}_{word}.stl" for segment, word in words.items()}


def write_surfaces(case: ExportCase, target: Path, settings: ExportSettings) -> list[Path]:
    """Write the surfaces of all segments that have a voxel.

    Args:
        case: What.
        target: For "stl" a folder, where each segment gets a file; or else the file of all.
        settings: Format and smoothing.

    Returns:
        The files.

    Raises:
        InvalidInputError: No segment has a voxel; nothing is written.
        VolumeFileError: A file cannot be written.
    """
    meshes = _meshes(case.label_map, settings.smoothing)
    if settings.format == "stl":
        files = stl_files(target, case.name, case.label_map.segments)
        written = []
        for segment, mesh in meshes:
            write_stl(mesh, files[segment.name])
            written.append(files[segment.name])
        _check_any(written)
        return written
    made = dict(meshes)
    _check_any([*made])
    if settings.format == "obj":
        write_obj(made, target)
        return [target, material_path(target)]
    write_glb(made, target)
    return [target]


def _check_any(found: Sequence[object]) -> None:
    if not found:
        raise InvalidInputError("no segment has a voxel, so there is no surface to export")


def _meshes(label_map: LabelMap, smoothing: int) -> Iterator[tuple[Segment, Mesh]]:
    boxes = [ndimage.find_objects(layer) for layer in label_map.layers]
    for segment in label_map.segments:
        found = next(iter(boxes[segment.layer][segment.value - 1 : segment.value]), None)
        if found is not None:
            k, j, i = found
            box = Box((k.start, j.start, i.start), (k.stop, j.stop, i.stop))
            mask = label_map.layers[(segment.layer, *found)] == segment.value
            yield segment, smoothed(make_mesh(mask, label_map.geometry.crop(box)), smoothing)
