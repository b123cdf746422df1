"""Cases for correcting masks: phantoms by seed, Colin27 with AAL, CT with TotalSegmentator labels, errors of a model.

Each case is a crop around one structure: intensities, the truth, and a mask that a user would want to correct. Tune and
test differ by seed (phantoms), by hemisphere (Colin27: left is tune) and by patient (CT: the abdomen at 3 mm is tune,
the liver scan at 2 mm and the vertebra are test).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import ndimage

from DeepSegmentLib.data.geometry import Box, Geometry, bounding_box
from DeepSegmentLib.files.segmentations.labelmaps import read_labelmap
from DeepSegmentLib.files.volumes import read_volume

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Split = Literal["tune", "test"]

# Regions of AAL (Tzourio-Mazoyer et al., NeuroImage 2002) and their nearest segment of the bundled model.
REGIONS = {
    "Hippocampus": ((37,), "Hippocampus"),
    "Caudate": ((71,), "Caudate nucleus"),
    "Putamen": ((73,), "Putamen"),
    "Thalamus": ((77,), "Thalamus"),
    "Cerebellum": (tuple(range(91, 109, 2)), "Cerebellar cortex"),
}
# TotalSegmentator v2 classes: large and small, soft tissue and bone.
ABDOMEN = {"spleen": 1, "right kidney": 2, "left kidney": 3, "liver": 5, "stomach": 6, "colon": 20, "L3": 29, "hip": 77,
           "aorta": 52, "gluteus": 80, "iliopsoas": 88}  # fmt: skip
CHEST = {"spleen": 1, "liver": 5, "stomach": 6, "aorta": 52, "vertebra": 32, "autochthon": 86}


@dataclass(frozen=True, eq=False)
class Case:
    """One structure to correct.

    Attributes:
        name: Where it comes from.
        kind: "phantom", "colin27", "ct" or "model".
        image: Float32 intensities (k, j, i).
        geometry: The crop's place.
        truth: The right mask.
        start: The mask to correct.
        probability: What a network thinks, where a network made the mask.
    """

    name: str
    kind: str
    image: np.ndarray
    geometry: Geometry
    truth: np.ndarray
    start: np.ndarray
    probability: np.ndarray | None = None


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> np.ndarray:
    """Correlated Gaussian noise of unit deviation; `sigma` in voxels."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), sigma)
    return noise / noise.std()


def signed_distance(mask: np.ndarray) -> np.ndarray:
    """Voxels from the border, positive inside."""
    inside = ndimage.distance_transform_edt(mask)
    return np.where(mask, inside - 0.5, 0.5 - ndimage.distance_transform_edt(~mask)).astype(np.float32)


def corrupted(case: Case, rng: np.random.Generator) -> Case:
    """The case with a wobbling border, five local bites or leaks, half of the leaks following the intensity."""
    distance = signed_distance(case.truth)
    radius = (3 * case.truth.sum() / (4 * np.pi)) ** (1 / 3)
    mask = distance + min(1.3, 0.07 * radius) * smooth_noise(rng, case.truth.shape, 4.0) > 0
    border = np.argwhere(np.abs(distance) < 1)
    for n in range(5):
        size = np.clip(rng.uniform(0.3, 0.62) * radius, 3, 20)
        center = border[rng.integers(len(border))]
        grid = np.ogrid[tuple(slice(0, n) for n in mask.shape)]
        squared = sum((axis - c) ** 2 for axis, c in zip(grid, center, strict=True))
        blob = squared + 0.25 * size**2 * smooth_noise(rng, mask.shape, 4.0) < size**2
        if n % 2 == 0 and rng.random() < 0.8:
            mask &= ~blob
        elif rng.random() < 0.5:
            mask |= blob
        else:
            values = case.image[case.truth]
            mask |= blob & (np.abs(case.image - np.median(values)) < 1.5 * values.std())
    return replace(case, start=mask)


def cropped(case: Case, margin: int = 30) -> Case:
    """The case within a margin around truth and start."""
    box = bounding_box(case.truth | case.start).grow((margin,) * 3).intersect(Box.of_shape(case.truth.shape))
    part = box.to_slices()
    probability = None if case.probability is None else case.probability[part].copy()
    return replace(
        case, image=case.image[part].copy(), geometry=case.geometry.crop(box), truth=case.truth[part].copy(),
        start=case.start[part].copy(), probability=probability,
    )  # fmt: skip


def phantom(seed: int, shape: tuple[int, int, int] = (112, 128, 128)) -> list[Case]:
    """Four warped organs in a textured background like CT: bias field, partial volume, correlated noise of 18 HU."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(n, dtype=np.float32) for n in shape], indexing="ij"))
    warp = np.stack([5 * smooth_noise(rng, shape, 9.0) for _ in range(3)])
    labels = np.zeros(shape, np.uint8)
    for n in range(4):
        center = np.array([rng.uniform(0.28, 0.72) * s for s in shape])
        corner = np.array([(n & 1) - 0.5, (n >> 1) - 0.5])
        center[1:] += corner * 50
        axes = rng.uniform(13, 27, 3)
        spot = (grid + warp - center[:, None, None, None]) / axes[:, None, None, None]
        labels[((spot**2).sum(0) < 1) & (labels == 0)] = n + 1
    contrasts = rng.choice([-1, 1], 4) * rng.uniform(26, 120, 4)
    image = 20 * smooth_noise(rng, shape, 6.0) + np.concatenate([[0], contrasts])[labels].astype(np.float32)
    image += 15 * smooth_noise(rng, shape, 30.0)
    image = ndimage.gaussian_filter(image, 0.7) + 18 * smooth_noise(rng, shape, 0.7)
    place = Geometry.from_spacing(shape, (1, 1, 1))
    cases = []
    for n in range(4):
        truth = largest(labels == n + 1)
        if truth.sum() > 4000:
            blank = Case(
                f"phantom {seed}.{n} ({contrasts[n]:+.0f})", "phantom", image.astype(np.float32), place, truth, truth
            )
            cases.append(cropped(corrupted(cropped(blank), rng)))
    return cases


def largest(mask: np.ndarray) -> np.ndarray:
    """The largest connected component."""
    components, _ = ndimage.label(mask)
    return components == np.bincount(components.ravel())[1:].argmax() + 1


def colin_cases(folder: Path, split: Split) -> list[Case]:
    """Structures of one hemisphere of AAL on Colin27, corrupted; Rician noise added."""
    head, atlas = read_volume(folder / "ch2.nii.gz"), read_volume(folder / "aal.nii.gz").voxels[0]
    rng = np.random.default_rng({"tune": 11, "test": 12}[split])
    image = head.voxels[0].astype(np.float32)
    noise = rng.normal(0, 5, (2, *image.shape)).astype(np.float32)
    image = np.hypot(image + noise[0], noise[1])
    cases = []
    for name, (values, _) in REGIONS.items():
        truth = np.isin(atlas, np.array(values) + (split == "test"))
        blank = Case(f"{name} ({split})", "colin27", image, head.geometry, truth, truth)
        cases.append(cropped(corrupted(cropped(blank), rng)))
    return cases


def ct_cases(folder: Path, split: Split) -> list[Case]:
    """Organs of TotalSegmentator, corrupted."""
    names = ("example_ct", "example_seg_fast_force_split") if split == "tune" else (None, "example_seg_dicom")
    labels = read_labelmap(folder / "ct" / f"{names[1]}.nii.gz")
    source = folder / "ct" / f"{names[0]}.nii.gz" if names[0] else folder / "ct_dicom"
    volume = aligned(source, labels.geometry)
    rng = np.random.default_rng({"tune": 21, "test": 22}[split])
    table = ABDOMEN if split == "tune" else CHEST
    cases = [
        _ct_case(f"CT {name} ({split})", volume, labels.layers[0] == value, labels.geometry, rng)
        for name, value in table.items()
    ]
    if split == "test":
        labels = read_labelmap(folder / "ct" / "sub-ct_seg-vert_label-22_msk.nii.gz")
        volume = aligned(folder / "ct" / "sub-ct_label-22_ct.nii.gz", labels.geometry)
        cases.append(_ct_case("CT L3 (test)", volume, labels.layers[0] == 22, labels.geometry, rng))
    return cases


def aligned(source: Path, geometry: Geometry) -> np.ndarray:
    """Voxels of a volume on the grid of its labels, which other programs wrote with the axes turned."""
    from DeepSegmentLib.files.volumes import read_input
    from DeepSegmentLib.imaging.resampling import resample

    volume = read_input(source)
    volume = volume if volume.geometry.is_close(geometry) else resample(volume, geometry)
    return volume.voxels[0].astype(np.float32)


def _ct_case(name: str, image: np.ndarray, truth: np.ndarray, place: Geometry, rng: np.random.Generator) -> Case:
    blank = Case(name, "ct", image, place, largest(truth), truth)
    return cropped(corrupted(cropped(replace(blank, start=blank.truth)), rng))


def model_cases(folder: Path, split: Split) -> list[Case]:
    """What the bundled model makes of Colin27, to be corrected to AAL; predictions are kept in the folder."""
    head, atlas = read_volume(folder / "ch2.nii.gz"), read_volume(folder / "aal.nii.gz").voxels[0]
    predicted = predictions(folder)
    # The hemispheres meet at RAS x = 0; AAL has odd values on the left.
    x = head.geometry.index_to_ras(np.stack(np.meshgrid(*map(np.arange, head.geometry.shape), indexing="ij"), -1))[
        ..., 0
    ]
    side = x < 0 if split == "tune" else x > 0
    cases = []
    for name, (values, _) in REGIONS.items():
        truth = np.isin(atlas, np.array(values) + (split == "test"))
        probability = predicted[name] * side
        start = largest(probability > 0.5)
        blank = Case(f"model {name} ({split})", "model", head.voxels[0].astype(np.float32), head.geometry, truth, start)
        cases.append(cropped(replace(blank, probability=probability.astype(np.float32))))
    return cases


def predictions(folder: Path) -> dict[str, np.ndarray]:
    """Probability maps of the regions' segments by the bundled model, computed once."""
    path = folder / "brain-mr-probabilities.npz"
    if not path.is_file():
        from DeepSegmentLib.segmentation.outputs import PredictSettings
        from DeepSegmentLib.service.segment import segment_volume

        wanted = tuple({segment for _, segment in REGIONS.values()} | {"Cerebellar white matter"})
        run = segment_volume(
            read_volume(folder / "ch2.nii.gz"), settings=PredictSettings(overlap=0.25, probabilities=wanted)
        )
        maps = {name: volume.voxels[0].astype(np.float16) for name, volume in run.prediction.probabilities.items()}
        np.savez_compressed(path, **maps)
    with np.load(path) as stored:
        found = {name: stored[segment].astype(np.float32) for name, (_, segment) in REGIONS.items()}
        found["Cerebellum"] += stored["Cerebellar white matter"]
    return found


def all_cases(split: Split, colin27: Path | None, shared: Path | None, phantoms: int = 4) -> Iterator[Case]:
    """Every case of a split whose data is there."""
    first = 100 if split == "tune" else 900
    for seed in range(first, first + phantoms):
        yield from phantom(seed)
    if colin27 is not None:
        yield from colin_cases(colin27, split)
    if shared is not None:
        yield from ct_cases(shared, split)
    if colin27 is not None:
        yield from model_cases(colin27, split)


def label_map_cases(folder: Path, seed: int, per_map: int = 5) -> list[Case]:
    """Structures of whole-head label maps with random intensities, some on thick slices, wrong in many ways."""
    rng = np.random.default_rng(seed)
    cases = []
    for path in sorted(folder.glob("*.nii.gz")):
        volume = read_labelmap(path)
        labels = volume.layers[0]
        values, counts = np.unique(labels[labels > 0], return_counts=True)
        for value in rng.choice(values[counts > 1500], per_map, replace=False):
            case = _random_contrast(volume.geometry, labels, int(value), rng)
            if case is not None:
                cases.append(case)
    return cases


def _random_contrast(geometry: Geometry, labels: np.ndarray, value: int, rng: np.random.Generator) -> Case | None:
    box = bounding_box(labels == value)
    if max(box.shape) > 110:
        voxels = np.argwhere(labels == value)
        middle = voxels[rng.integers(len(voxels))]
        box = Box(tuple(middle - 40), tuple(middle + 40))
    part = box.grow((26,) * 3).intersect(Box.of_shape(labels.shape)).to_slices()
    labels = labels[part]
    truth = largest(labels == value)
    names, index = np.unique(labels, return_inverse=True)
    image = rng.uniform(0, 255, len(names))[index].reshape(labels.shape).astype(np.float32)
    image += rng.uniform(0, 18) * smooth_noise(rng, labels.shape, rng.uniform(2, 8))
    image = ndimage.gaussian_filter(image, rng.uniform(0.4, 1.1))
    image += rng.uniform(4, 25) * smooth_noise(rng, labels.shape, rng.uniform(0.01, 0.8))
    spacing = [1.0, 1.0, 1.0]
    if rng.random() < 0.35:
        axis, thickness = int(rng.integers(3)), int(rng.integers(2, 5))
        planes = range(int(rng.integers(thickness)), labels.shape[axis], thickness)
        image, truth = np.take(image, planes, axis), np.take(truth, planes, axis)
        spacing[axis] = float(thickness)
    if truth.sum() < 300:
        return None
    place = Geometry.from_spacing(image.shape, tuple(spacing))
    case = Case(f"label {value}", "label map", image, place, truth, truth)
    return spoilt(case, rng)


def spoilt(case: Case, rng: np.random.Generator) -> Case:
    """The case with a mask that is wrong in one of several ways."""
    return corrupted(case, rng) if rng.random() < 0.6 else _shifted(case, rng)


def _shifted(case: Case, rng: np.random.Generator) -> Case:
    """The case with its whole border moved, or with an end cut off."""
    distance, radius = signed_distance(case.truth), (3 * case.truth.sum() / (4 * np.pi)) ** (1 / 3)
    shape = case.truth.shape
    mask = distance + min(1.0, 0.06 * radius) * smooth_noise(rng, shape, rng.uniform(3, 8))
    if rng.random() < 0.6:
        return replace(case, start=mask + rng.uniform(-1, 1) * min(3, 0.25 * radius) > 0)
    toward = rng.standard_normal(3)
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1) @ (toward / np.linalg.norm(toward))
    end = np.quantile(places[case.truth], rng.uniform(0.65, 0.93))
    return replace(case, start=(mask > 0) & (places + 2 * smooth_noise(rng, shape, 5.0) < end))
