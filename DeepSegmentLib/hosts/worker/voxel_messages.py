"""Volumes and labelmaps in messages: JSON, with the voxels in files beside."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from DeepSegmentLib.data import Code, Geometry, LabelMap, Segment, Terminology, Volume

from .shared_arrays import read_array, write_array

if TYPE_CHECKING:
    from pathlib import Path


def _from_geometry(geometry: Geometry) -> dict[str, Any]:
    return {"shape": list(geometry.shape), "affine": geometry.affine.tolist()}


def _to_geometry(document: dict[str, Any]) -> Geometry:
    return Geometry(tuple(document["shape"]), np.array(document["affine"], float))


def volume_to_json(volume: Volume, folder: Path) -> dict[str, Any]:
    """A volume as JSON; its voxels go to the folder."""
    voxels = write_array(folder, volume.voxels)
    return {
        "name": volume.name,
        "modality": volume.modality,
        "geometry": _from_geometry(volume.geometry),
        "voxels": voxels,
    }


def volume_from_json(document: dict[str, Any], folder: Path) -> Volume:
    """The inverse of `volume_to_json`."""
    voxels, geometry = read_array(folder, document["voxels"]), _to_geometry(document["geometry"])
    return Volume(voxels, geometry, document["name"], modality=document["modality"])


def label_map_to_json(label_map: LabelMap, folder: Path) -> dict[str, Any]:
    """A labelmap as JSON; its layers go to the folder."""
    return {
        "geometry": _from_geometry(label_map.geometry),
        "layers": write_array(folder, label_map.layers),
        "segments": [asdict(segment) for segment in label_map.segments],
    }


def label_map_from_json(document: dict[str, Any], folder: Path) -> LabelMap:
    """The inverse of `label_map_to_json`."""
    segments = tuple(_to_segment(segment) for segment in document["segments"])
    return LabelMap(read_array(folder, document["layers"]), _to_geometry(document["geometry"]), segments)


def _to_segment(document: dict[str, Any]) -> Segment:
    codes = document["terminology"]
    terminology = codes and Terminology(**{key: code and Code(**code) for key, code in codes.items()})
    return Segment(**document | {"terminology": terminology, "color": tuple(document["color"])})
