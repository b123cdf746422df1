"""Small raw datasets for nnU-Net: real MR and CT, and synthetic volumes that are awkward on purpose.

Runs in the environment of nnU-Net (NumPy and SimpleITK are all it needs).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

Case = tuple[str, list[sitk.Image], sitk.Image | None]
"""Name, one image a channel, labels; None for a case that is only predicted."""

_TUMOUR_GRID = (40, 56, 20)
_OBLIQUE = (0.936, -0.283, 0.21, 0.303, 0.95, -0.07, -0.18, 0.13, 0.975)


@dataclass(frozen=True)
class RawDataset:
    """A dataset that nnU-Net can plan: `number` and `name` make its folder."""

    number: int
    name: str
    description: dict[str, Any]
    train: Callable[[Path], Iterator[Case]]
    test: Callable[[Path], Iterator[Case]]

    @property
    def folder(self) -> str:
        """As nnU-Net names it."""
        return f"Dataset{self.number:03d}_{self.name}"

    def write(self, raw: Path, data: Path) -> Path:
        """Write it below `raw`; the folder, whose imagesTs are the volumes to compare on."""
        folder = raw / self.folder
        for kind in ("imagesTr", "labelsTr", "imagesTs"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        count = 0
        for name, channels, labels in self.train(data):
            _write_channels(folder / "imagesTr", name, channels)
            sitk.WriteImage(labels, str(folder / "labelsTr" / f"{name}.nii.gz"))
            count += 1
        for name, channels, _labels in self.test(data):
            _write_channels(folder / "imagesTs", name, channels)
        document = self.description | {"numTraining": count, "file_ending": ".nii.gz"}
        (folder / "dataset.json").write_text(json.dumps(document, indent=2))
        return folder


def _write_channels(folder: Path, name: str, channels: list[sitk.Image]) -> None:
    for n, channel in enumerate(channels):
        sitk.WriteImage(channel, str(folder / f"{name}_{n:04d}.nii.gz"))


def hippocampus_train(data: Path) -> Iterator[Case]:
    """Twelve crops of real MR with manual labels."""
    for path in sorted((data / "hippocampus" / "images").glob("*.nii.gz"))[:12]:
        image = sitk.Cast(sitk.ReadImage(str(path)), sitk.sitkFloat32)
        yield (
            path.name.split(".")[0],
            [image],
            _like(sitk.ReadImage(str(data / "hippocampus" / "labels" / path.name)), image),
        )


def hippocampus_test(data: Path) -> Iterator[Case]:
    """As they are, turned obliquely, and with thick slices."""
    paths = sorted((data / "hippocampus" / "images").glob("*.nii.gz"))[12:14]
    for n, path in enumerate(paths):
        image = sitk.Cast(sitk.ReadImage(str(path)), sitk.sitkFloat32)
        yield f"plain{n}", [image], None
    image.SetDirection(_OBLIQUE)
    yield "oblique", [image], None
    yield "thick", [_every(image, 4, axis=1)], None


def head_train(data: Path, *, step: int = 1) -> Iterator[Case]:
    """Eight CT of head and neck, bone and other tissue by their HU; with `step`, only every so many slices are left."""
    for path in sorted((data / "headneck_ct").glob("*_ct.nii.gz"))[:8]:
        image = _every(sitk.ReadImage(str(path), sitk.sitkFloat32), step, axis=2)
        yield path.name[:6], [image], sitk.Cast(image > -300, sitk.sitkUInt8) + sitk.Cast(image > 250, sitk.sitkUInt8)


def head_test(data: Path, *, step: int = 1) -> Iterator[Case]:
    """Two others: one turned obliquely, one of which only every third slice is left."""
    first, second = sorted((data / "headneck_ct").glob("*_ct.nii.gz"))[8:10]
    oblique = _every(sitk.ReadImage(str(first), sitk.sitkFloat32), step, axis=2)
    oblique.SetDirection(_OBLIQUE)
    yield "oblique", [oblique], None
    yield "anisotropic", [_every(sitk.ReadImage(str(second), sitk.sitkFloat32), 3 * step, axis=2)], None


def thick_head_train(data: Path) -> Iterator[Case]:
    """Slices of 15 to 18 mm."""
    return head_train(data, step=6)


def thick_head_test(data: Path) -> Iterator[Case]:
    """Likewise, and one of thin slices."""
    yield from head_test(data, step=6)
    path = sorted((data / "headneck_ct").glob("*_ct.nii.gz"))[10]
    yield "thin", [sitk.ReadImage(str(path), sitk.sitkFloat32)], None


def tumours_train(_data: Path) -> Iterator[Case]:
    """Ten synthetic heads of two channels in a zero background, sagittal thick slices, three nested regions."""
    for n in range(10):
        yield f"tumour{n:02d}", *_tumour(n, (1.0, 1.0, 4.0))


def tumours_test(_data: Path) -> Iterator[Case]:
    """One oblique, one almost isotropic, one with twice the slice distance."""
    for n, (name, spacing) in enumerate((("oblique", (1, 1.1, 4)), ("thin", (1.3, 1.2, 1.6)), ("thick", (0.9, 1, 8)))):
        channels, labels = _tumour(100 + n, spacing)
        if name == "oblique":
            for image in (*channels, labels):
                image.SetDirection(_OBLIQUE)
        yield name, channels, labels


def _tumour(seed: int, thick_last: tuple[float, float, float]) -> tuple[list[sitk.Image], sitk.Image]:
    """Ellipsoids within each other: head, and labels 1 (oedema), 2 (core), 3 (enhancing); thick along the array's i."""
    random = np.random.default_rng(seed)
    grid = np.indices(_TUMOUR_GRID, dtype=np.float64)
    middle = np.array(_TUMOUR_GRID) / 2

    def ball(centre: NDArray[Any], radii: NDArray[Any]) -> NDArray[np.bool_]:
        return np.asarray((((grid.T - centre) / radii) ** 2).sum(-1).T < 1)

    head = ball(middle, middle * 0.72)
    place = middle + random.uniform(-0.15, 0.15, 3) * _TUMOUR_GRID
    size = np.array(_TUMOUR_GRID) * random.uniform(0.2, 0.28)
    labels = np.zeros(_TUMOUR_GRID, dtype=np.uint8)
    for value, factor in ((1, 1.0), (2, 0.7), (3, 0.4)):
        labels[ball(place, size * factor) & head] = value
    channels = []
    for shades in ((300, 420, 180, 640), (220, 500, 700, 120)):
        values = np.asarray(shades, dtype=np.float64)[labels] + ndimage.gaussian_filter(
            random.normal(0, 90, labels.shape), 1
        )
        channels.append(_image(np.where(head, np.maximum(values, 1), 0).astype(np.float32), thick_last))
    return channels, _image(labels, thick_last)


def _image(array: NDArray[Any], spacing_kji: tuple[float, float, float]) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing([float(step) for step in reversed(spacing_kji)])
    return image


def _every(image: sitk.Image, step: int, *, axis: int) -> sitk.Image:
    """Every so many planes along an axis (x, y, z) of an image."""
    steps = [1, 1, 1]
    steps[axis] = step
    return image[:: steps[0], :: steps[1], :: steps[2]]


def _like(labels: sitk.Image, image: sitk.Image) -> sitk.Image:
    cast = sitk.Cast(labels, sitk.sitkUInt8)
    cast.CopyInformation(image)
    return cast


_HEAD = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "soft tissue": 1, "bone": 2},
}
DATASETS = {
    dataset.name: dataset
    for dataset in (
        RawDataset(
            101,
            "Hippocampus",
            {"channel_names": {"0": "T1"}, "labels": {"background": 0, "anterior": 1, "posterior": 2}},
            hippocampus_train,
            hippocampus_test,
        ),
        RawDataset(102, "HeadNeck", _HEAD, head_train, head_test),
        RawDataset(103, "ThickHeadNeck", _HEAD, thick_head_train, thick_head_test),
        RawDataset(
            104,
            "Tumours",
            {
                "channel_names": {"0": "T1", "1": "FLAIR"},
                "labels": {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": [3]},
                "regions_class_order": [1, 2, 3],
            },
            tumours_train,
            tumours_test,
        ),
    )
}
