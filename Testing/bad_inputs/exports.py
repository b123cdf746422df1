"""Exports that must be refused: name, maker of case, target and settings, and what the message must say."""

from __future__ import annotations

import numpy as np

from DeepSegmentLib.data import Geometry, LabelMap, Segment, Volume
from DeepSegmentLib.service.export import ExportCase, ExportSettings

from .makers import bytes_at, made

EXPORTS = {
    # name: (maker of case, name of the target and settings; what the message must say)
    "labels on another grid": (lambda _: export(grid=SHIFTED), "not on the volume's grid"),
    "labels without a segment": (lambda _: export(segments=(Segment("a", 1),)), r"belong to no segment: 2 \(layer 0\)"),
    "no segments": (lambda _: export(segments=()), "has no segments"),
    "a name of nothing": (lambda _: export(case="///"), "no name for a case"),
    "wrong suffix for CSV": (lambda _: export("csv", "a.txt"), "unknown suffix"),
    "wrong suffix for DICOM SEG": (lambda _: export("dicom-seg", "a.nii.gz"), "unknown suffix"),
    "wrong suffix for glTF": (lambda _: export("glb", "a.gltf"), "unknown suffix"),
    "no voxel for surfaces": (lambda _: export("stl", "out", segments=(Segment("a", 9),), empty=True), "no surface"),
    "overlap in MONAI Label": (lambda _: export("monai-label", "out", overlap=True), "overlap"),
    "NaN in MONAI Label": (lambda _: export("monai-label", "out", voxel=np.nan), "NaN"),
    "wrong suffix for .seg.nrrd": (lambda _: export("seg-nrrd", "a.nrrd"), "unknown suffix"),
    "DICOM SEG without slices": (lambda _: export("dicom-seg", "a.dcm"), "give the folder of the series"),
    "overlap in NIfTI": (lambda _: export("nifti", "out", overlap=True), "overlap"),
    "overlap in nnU-Net": (lambda _: export("nnunet", "Dataset501_Test", overlap=True), "overlap"),
    "NaN in NIfTI": (lambda _: export("nifti", "out", voxel=np.nan), "NaN"),
    "NaN in nnU-Net": (lambda _: export("nnunet", "Dataset501_Test", voxel=np.inf), "infinite"),
    "a folder for NIfTI that is a file": (lambda d: (bytes_at(d / "out", b"x"), export("nifti", "out"))[1], "a folder"),
    "a name nnU-Net does not take": (lambda _: export("nnunet", "liver"), "Dataset501_Liver"),
    "a new dataset without channel names": (
        lambda _: export("nnunet", "Dataset501_Test", channel_names=()),
        "name its channels",
    ),
    "a folder that is no dataset": (
        lambda d: (bytes_at(made(d / "Dataset501_Test") / "a.txt", b"x"), export("nnunet", "Dataset501_Test"))[1],
        "is no nnU-Net dataset",
    ),
}

GRID = Geometry.from_spacing((2, 3, 4), (2, 1, 1))
SHIFTED = Geometry.from_spacing((2, 3, 4), (2, 1, 1.5))


def export(
    kind="csv",
    target="a.csv",
    *,
    case="a",
    grid=GRID,
    segments=None,
    voxel=0.0,
    overlap=False,
    empty=False,
    channel_names=("CT",),
):
    """A case that can be exported but for what is changed, where to, and how."""
    layers = np.zeros((1 + overlap, 2, 3, 4), np.uint8)
    layers[0, 0], layers[0, 1], layers[-1, 0, 0] = 1, 2, 1
    if empty:
        layers[:] = 0
    named = (
        segments if segments is not None else (Segment("a", 1), Segment("b", 2), *[Segment("c", 1, layer=1)] * overlap)
    )
    voxels = np.zeros((1, 2, 3, 4), np.float32)
    voxels[0, 1, 2, 3] = voxel
    settings = ExportSettings(kind, channel_names=channel_names)
    return ExportCase(case, Volume(voxels, GRID), LabelMap(layers, grid, named)), target, settings


def use(case, folder):
    """Export a case."""
    from DeepSegmentLib.service.export import export_case

    what, target, settings = case
    export_case(what, folder / target, settings)
