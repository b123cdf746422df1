"""Patches: crops where nothing is changed, SciPy's answers where it is, and left and right kept apart always."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import affine_transform
from strategies import orientations, shapes

from DeepSegmentLib.data import Segment
from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.training.cases.prepared_case import Known, PreparedCase
from DeepSegmentLib.training.patches.augmentation_settings import NO_AUGMENTATION, AugmentationSettings
from DeepSegmentLib.training.patches.cut_patch import cut_patch
from DeepSegmentLib.training.patches.mirror_plan import mirror_plan
from DeepSegmentLib.training.patches.spatial_change import draw_change

EYES = [Segment(name, n + 1) for n, name in enumerate(("Left eye", "Brain", "Right eye"))]
PLAN = mirror_plan(EYES, "RAS")
REGIONS_PLAN = mirror_plan(EYES, "RAS", "regions")
KNOWN = (Known((True, True, False, True), 0.5), Known((True, True, True, False)))
EVERYTHING = AugmentationSettings(
    rotation=0.5, scaling=0.5, elastic=0.5, elastic_distance=6, mirror=0.5, noise=0.5, blur=0.5, brightness=0.5,
    contrast=0.5, low_resolution=0.5, thick_slices=0.5, gamma=0.5, gamma_inverted=0.5, bias_field=0.5, synthesis=0.5,
)  # fmt: skip
SPATIAL = replace(NO_AUGMENTATION, rotation=1, scaling=1)
ROWS = 5


def _case(seed, shape, labels=None, *, channels=1, spacing=(1.0, 1.0, 1.0)):
    """A case of noise, whose regions are told by its labels, so that both can be compared."""
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(channels, *shape)).astype(np.float16)
    labels = rng.integers(0, 4, (1, *shape), dtype=np.uint8) if labels is None else labels
    regions = (labels[0] % 2).astype(np.uint8)
    outputs = 4 if len(labels) == 1 else len(labels)
    places = (np.zeros((0, 3), np.int32),) * outputs
    known = tuple(replace(each, classes=each.classes[-outputs:]) for each in KNOWN)
    return PreparedCase("case", "case", image, labels, regions, known, spacing, places)


def _cut(case, centre, shape, settings=NO_AUGMENTATION, seed=0, mirror=PLAN, rows=ROWS):
    rng = np.random.default_rng(seed)
    return cut_patch(case, centre, shape, settings=settings, mirror=mirror, rows=rows, rng=rng)


def _crop(array, centre, shape, beyond):
    """The same by NumPy alone: pad by what the patch may reach, then slice."""
    reach = [(n + abs(c), n + abs(c)) for n, c in zip(shape, centre, strict=True)]
    padded = np.pad(array, [(0, 0)] * (array.ndim - 3) + reach, constant_values=beyond)
    starts = [before + c - n // 2 for (before, _), c, n in zip(reach, centre, shape, strict=True)]
    return padded[(..., *(slice(a, a + n) for a, n in zip(starts, shape, strict=True)))]


centres = st.tuples(*[st.integers(-6, 14)] * 3)


@given(shape=shapes(9), patch=shapes(7), centre=centres, seed=st.integers(0, 1000), channels=st.integers(1, 2))
def test_without_augmentation_a_patch_is_the_crop(shape, patch, centre, seed, channels):
    case = _case(seed, shape, channels=channels)
    cut = _cut(case, centre, patch)
    assert np.array_equal(cut.image.numpy(), _crop(case.image.astype(np.float32), centre, patch, 0))
    assert np.array_equal(cut.labels.numpy(), _crop(case.labels, centre, patch, 0))
    assert np.array_equal(cut.regions.numpy(), _crop(case.regions, centre, patch, len(KNOWN)))


def test_the_table_says_what_is_known_and_nothing_counts_beyond_the_case():
    expected = [[1, 1, 0, 1, 0.5], [1, 1, 1, 0, 1], [0] * 5, [0] * 5, [0] * 5]
    cut = _cut(_case(0, (4, 4, 4)), (0, 0, 0), (6, 6, 6))
    assert torch.equal(cut.known, torch.tensor(expected))
    weights = cut.known[:, -1][cut.regions]
    assert not weights[:3].any()
    assert weights[3:, 3:, 3:].all()


@given(patch=shapes(7, 2), centre=centres, seed=st.integers(0, 1000))
def test_a_mirrored_patch_is_the_mirror_image_with_left_and_right_exchanged(patch, centre, seed):
    case = _case(seed, (8, 9, 10))
    plain, mirrored = _cut(case, centre, patch), _cut(case, centre, patch, replace(NO_AUGMENTATION, mirror=1))
    exchange = torch.tensor([0, 3, 2, 1])
    assert torch.equal(mirrored.image, plain.image.flip(1, 2, 3))
    assert torch.equal(mirrored.labels, exchange[plain.labels].flip(1, 2, 3))
    assert torch.equal(mirrored.regions, plain.regions.flip(0, 1, 2))
    assert torch.equal(mirrored.known, plain.known[:, [0, 3, 2, 1, 4]])


def test_mirrored_along_other_axes_only_nothing_is_exchanged():
    alone = mirror_plan([*EYES[:2], Segment("Liver", 3)], "RAS")
    case = _case(0, (8, 9, 10))
    plain = _cut(case, (4, 4, 4), (5, 6, 7))
    mirrored = _cut(case, (4, 4, 4), (5, 6, 7), replace(NO_AUGMENTATION, mirror=1), mirror=alone)
    assert torch.equal(mirrored.labels, plain.labels.flip(1, 2))
    assert torch.equal(mirrored.known, plain.known)


def test_of_regions_the_layers_are_exchanged():
    layers = np.random.default_rng(0).integers(0, 2, (3, 6, 7, 8), dtype=np.uint8)
    case = _case(0, (6, 7, 8), layers)
    cut = _cut(case, (3, 3, 4), (6, 7, 8), replace(NO_AUGMENTATION, mirror=1), mirror=REGIONS_PLAN)
    assert np.array_equal(cut.labels.numpy(), layers[[2, 1, 0], ::-1, ::-1, ::-1])
    plain = _cut(case, (3, 3, 4), (6, 7, 8), mirror=REGIONS_PLAN)
    assert torch.equal(cut.known, plain.known[:, [2, 1, 0, 3]])


def _head(orientation):
    """A left and a right eye where the orientation has them, before the brain, all off centre."""
    labels = np.zeros((1, 32, 34, 36), np.uint8)
    axis = mirror_plan(EYES, orientation).left_right
    low, high = (3, 1) if orientation[2 - axis] == "L" else (1, 3)
    labels[0, 11:22, 11:22, 11:22] = 2
    eye = [slice(14, 19)] * 3
    for value, span in ((low, slice(4, 9)), (high, slice(24, 29))):
        eye[axis] = span
        labels[(0, *eye)] = value
    return labels


@given(
    orientation=orientations(),
    seed=st.integers(0, 10_000),
    shape=st.sampled_from([(32, 34, 36), (8, 34, 36), (32, 36, 10)]),
)
def test_left_stays_left_whatever_is_done(orientation, seed, shape):
    plan = mirror_plan(EYES, orientation)
    case = _case(0, (32, 34, 36), _head(orientation))
    cut = _cut(
        case, (16, 16, 16), shape, replace(EVERYTHING, rotation=1, scaling=1, scaling_range=(1.0, 1.4)), seed, plan
    )
    left, right = (torch.nonzero(cut.labels[0] == value).float().mean(0)[plan.left_right] for value in (1, 3))
    if torch.isfinite(left - right):
        assert (left < right) == (orientation[2 - plan.left_right] == "R")


def test_left_and_right_are_both_seen_in_most_patches():
    seen = 0
    for seed in range(40):
        cut = _cut(
            _case(0, (32, 34, 36), _head("RAS")), (16, 16, 16), (32, 34, 36), replace(EVERYTHING, rotation=1), seed
        )
        seen += {1, 3} <= {*cut.labels.unique().tolist()}
    assert seen > 30


@given(
    seed=st.integers(0, 10_000),
    patch=st.sampled_from([(8, 9, 10), (1, 12, 12), (3, 12, 11), (2, 2, 2)]),
    centre=centres,
)
def test_whatever_is_done_shapes_types_and_sets_of_values_stay(seed, patch, centre):
    case = _case(seed, (8, 9, 10), channels=2)
    cut = _cut(case, centre, patch, EVERYTHING, seed)
    assert cut.image.shape == (2, *patch)
    assert cut.labels.shape == (1, *patch)
    assert cut.regions.shape == patch
    assert (cut.image.dtype, cut.labels.dtype, cut.regions.dtype) == (torch.float32, torch.int64, torch.int64)
    assert (cut.known.dtype, cut.known.shape) == (torch.float32, (ROWS, 5))
    assert torch.isfinite(cut.image).all()
    assert {*cut.labels.unique().tolist()} <= {0, 1, 2, 3}
    assert {*cut.regions.unique().tolist()} <= {0, 1, 2}
    again = _cut(case, centre, patch, EVERYTHING, seed)
    assert all(torch.equal(one, other) for one, other in zip(cut, again, strict=True))


@given(seed=st.integers(0, 10_000), centre=centres)
def test_regions_travel_with_labels(seed, centre):
    cut = _cut(_case(seed, (8, 9, 10)), centre, (7, 8, 9), EVERYTHING, seed)
    inside = cut.regions < len(KNOWN)
    assert torch.equal(cut.regions[inside], cut.labels[0][inside] % 2)  # exchanging 1 and 3 keeps that
    assert not cut.labels[0][~inside].any()


def test_other_seeds_give_other_patches():
    cuts = [_cut(_case(0, (9, 9, 9)), (4, 4, 4), (5, 5, 5), EVERYTHING, seed).image for seed in range(20)]
    assert len({cut.numpy().tobytes() for cut in cuts}) == 20


@given(seed=st.integers(0, 10_000), centre=centres, spacing=st.sampled_from([(1.0, 1.0, 1.0), (3.0, 0.8, 1.1)]))
def test_turned_and_scaled_patches_are_scipys(seed, centre, spacing):
    case, patch = _case(seed, (10, 11, 12), spacing=spacing), (7, 8, 9)
    matrix = draw_change(patch, spacing, SPATIAL, PLAN, np.random.default_rng(seed)).matrix
    middle = (np.array(patch) - 1) / 2
    offset = np.array(centre) - np.array(patch) // 2 + middle - matrix @ middle
    cut = _cut(case, centre, patch, SPATIAL, seed)
    image = case.image[0].astype(np.float64)
    expected = affine_transform(image, matrix, offset, patch, order=1, mode="grid-constant")
    assert np.allclose(cut.image[0].numpy(), expected, atol=1e-3)
    nearest = affine_transform(case.labels[0], matrix, offset, patch, order=0, mode="grid-constant")
    assert np.mean(cut.labels[0].numpy() == nearest) > 0.99  # but for voxels halfway between two


def test_mirrored_after_it_was_turned_a_patch_is_the_mirror_image():
    case = _case(0, (20, 20, 20))
    plain = _cut(case, (10, 10, 10), (7, 8, 9), SPATIAL)
    mirrored = _cut(case, (10, 10, 10), (7, 8, 9), replace(SPATIAL, mirror=1))
    assert torch.allclose(mirrored.image, plain.image.flip(1, 2, 3), atol=1e-4)


@given(seed=st.integers(0, 10_000))
def test_planes_of_thin_patches_stay_planes(seed):
    labels = np.broadcast_to(np.arange(12, dtype=np.uint16).reshape(1, 12, 1, 1), (1, 12, 30, 30))
    case = replace(_case(0, (12, 30, 30), labels), image=labels.astype(np.float32))
    liver = mirror_plan([Segment(name, n + 1) for n, name in enumerate(("Liver", "Brain", "Heart"))], "RAS")
    settings = replace(SPATIAL, elastic=1, scaling_range=(0.7, 0.8))
    cut = _cut(case, (6, 15, 15), (4, 16, 14), settings, seed, liver)
    planes = torch.arange(4, 8).reshape(-1, 1, 1).expand(4, 16, 14)
    inside = cut.regions < len(KNOWN)
    assert torch.equal(cut.labels[0][inside], planes[inside])
    assert inside[:, 3:-3, 3:-3].all()
    assert torch.allclose(cut.image[0][:, 3:-3, 3:-3], planes[:, 3:-3, 3:-3].float(), atol=1e-4)


@dataclass
class _Watched:
    """An array that tells how much of it was read."""

    array: np.ndarray
    read: int = 0

    @property
    def shape(self):
        return self.array.shape

    @property
    def dtype(self):
        return self.array.dtype

    def __len__(self):
        return len(self.array)

    def __getitem__(self, place):
        part = self.array[place]
        self.read = max(self.read, part.size)
        return part


@given(seed=st.integers(0, 100))
def test_only_the_block_that_is_needed_is_read(seed):
    shape, patch = (400, 400, 400), (20, 20, 20)
    image = _Watched(np.broadcast_to(np.float16(1), (1, *shape)))
    labels = _Watched(np.broadcast_to(np.uint8(1), (1, *shape)))
    case = _case(0, (1, 1, 1))
    case = replace(case, image=image, labels=labels, regions=np.broadcast_to(np.uint8(0), shape))
    _cut(case, (200, 200, 200), patch, replace(EVERYTHING, rotation=1, scaling=1, elastic=1), seed)
    longest = np.linalg.norm(patch) * 1.4 + 2 * 6  # turned, scaled, deformed, and a voxel round it
    assert 20**3 <= image.read == labels.read < longest**3


def test_arrays_on_disk_are_only_read(tmp_path):
    case = _case(0, (12, 13, 14))
    files = []
    for name in ("image", "labels", "regions"):
        np.save(tmp_path / f"{name}.npy", getattr(case, name))
        files.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
    on_disk = replace(case, image=files[0], labels=files[1], regions=files[2])
    for settings in (NO_AUGMENTATION, EVERYTHING, SPATIAL):
        one, other = (_cut(each, (6, 6, 6), (8, 8, 8), settings, 3) for each in (case, on_disk))
        one.image.zero_()
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(one.regions, other.regions)
    assert torch.equal(_cut(on_disk, (6, 6, 6), (8, 8, 8)).image, _cut(case, (6, 6, 6), (8, 8, 8)).image)


def test_many_classes_are_kept_apart():
    labels = np.arange(1000, dtype=np.uint16).reshape(1, 10, 10, 10)
    case = _case(0, (10, 10, 10), labels)
    assert np.array_equal(_cut(case, (5, 5, 5), (10, 10, 10)).labels.numpy(), labels)
    cut = _cut(case, (5, 5, 5), (6, 6, 6), replace(SPATIAL, scaling_range=(0.9, 0.9)))
    assert cut.labels.max() > 255


def test_random_contrast_leaves_what_is_beyond_the_case_as_it_is():
    cut = _cut(_case(0, (8, 8, 8)), (0, 4, 4), (8, 8, 8), replace(NO_AUGMENTATION, synthesis=1))
    plain = _cut(_case(0, (8, 8, 8)), (0, 4, 4), (8, 8, 8))
    beyond = plain.regions == len(KNOWN)
    assert beyond.any()
    assert not cut.image[0][beyond].any()
    assert (cut.image[0][~beyond] != plain.image[0][~beyond]).float().mean() > 0.99
    assert torch.equal(cut.labels, plain.labels)


@given(rows=st.integers(0, len(KNOWN)))
def test_too_few_rows_are_refused(rows):
    with pytest.raises(
        InvalidInputError, match=f"2 rows of what is known, so a patch needs at least one more; got {rows}"
    ):
        _cut(_case(0, (4, 4, 4)), (2, 2, 2), (2, 2, 2), rows=rows)


def test_more_rows_than_regions_can_tell_are_refused():
    case = replace(_case(0, (4, 4, 4)), known=KNOWN[:1] * 256)
    with pytest.raises(InvalidInputError, match="256 rows of what is known, so no number is left"):
        _cut(case, (2, 2, 2), (2, 2, 2), rows=300)


def test_a_plan_of_other_segments_is_refused():
    with pytest.raises(InvalidInputError, match="4 channels, but the mirror plan 3"):
        _cut(_case(0, (4, 4, 4)), (2, 2, 2), (2, 2, 2), mirror=mirror_plan(EYES[:2], "RAS"))
