"""Metrics: laws, cases by hand, agreement with SimpleITK and MONAI."""

import math
import warnings

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from strategies import masks, shapes, spacings

from DeepSegmentLib.errors import InvalidInputError
from DeepSegmentLib.evaluation import compare_masks
from DeepSegmentLib.evaluation.metrics import (
    assd_mm,
    dice,
    hausdorff95_mm,
    hausdorff_mm,
    iou,
    nsd,
    precision,
    recall,
    relative_difference,
)
from DeepSegmentLib.imaging.distances import SurfaceDistances, surface, surface_distances

OVERLAPS = (dice, iou, precision, recall)
DISTANCES = (hausdorff_mm, hausdorff95_mm, assd_mm)
EMPTY = np.zeros((2, 3, 4), bool)
FULL = np.ones((2, 3, 4), bool)

pairs = shapes().flatmap(lambda shape: st.tuples(masks(shape), masks(shape)))
filled_pairs = shapes().flatmap(lambda shape: st.tuples(masks(shape, filled=True), masks(shape, filled=True)))


def as_image(mask, spacing=(1, 1, 1)):
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing([float(step) for step in reversed(spacing)])
    return image


class TestLaws:
    @given(filled_pairs)
    def test_overlaps_are_fractions(self, pair):
        assert all(0 <= overlap(*pair) <= 1 for overlap in OVERLAPS)

    @given(masks(), spacings())
    def test_a_mask_agrees_with_itself(self, mask, spacing):
        distances = surface_distances(mask, mask, spacing)
        assert [overlap(mask, mask) for overlap in OVERLAPS] == [1, 1, 1, 1]
        assert [distance(distances) for distance in DISTANCES] == [0, 0, 0]
        assert nsd(distances, 0) == 1

    @given(pairs, spacings(), st.floats(0, 5))
    def test_exchange_of_the_masks(self, pair, spacing, tolerance):
        there, back = (surface_distances(*order, spacing) for order in (pair, pair[::-1]))
        assert dice(*pair) == dice(*pair[::-1])
        assert iou(*pair) == iou(*pair[::-1])
        assert precision(*pair) == pytest.approx(recall(*pair[::-1]), nan_ok=True)
        assert nsd(there, tolerance) == nsd(back, tolerance)
        assert [d(there) for d in DISTANCES] == pytest.approx([d(back) for d in DISTANCES])

    @given(filled_pairs)
    def test_dice_iou_precision_and_recall_agree_with_each_other(self, pair):
        d, j, p, r = (overlap(*pair) for overlap in OVERLAPS)
        assert d == pytest.approx(2 * j / (1 + j))
        assert d == pytest.approx(2 * p * r / (p + r) if p + r else 0)

    @given(filled_pairs, spacings())
    def test_order_of_the_distances(self, pair, spacing):
        distances = surface_distances(*pair, spacing)
        assert 0 <= hausdorff95_mm(distances) <= hausdorff_mm(distances) < math.inf
        assert 0 <= assd_mm(distances) <= hausdorff_mm(distances) + 1e-9

    @given(filled_pairs, spacings(), st.floats(0.1, 10), st.floats(0, 5))
    def test_distances_scale_with_the_spacing(self, pair, spacing, factor, tolerance):
        once, scaled = (surface_distances(*pair, np.array(spacing) * f) for f in (1, factor))
        assert [d(scaled) for d in DISTANCES] == pytest.approx([factor * d(once) for d in DISTANCES])
        near = np.concatenate([once.reference_mm, once.prediction_mm]) - tolerance
        if (np.abs(near) > 1e-4).all():  # else rounding decides
            assert nsd(scaled, tolerance * factor) == nsd(once, tolerance)

    @given(filled_pairs, spacings(), st.floats(0, 20), st.floats(0, 20))
    def test_nsd_grows_with_the_tolerance_up_to_1(self, pair, spacing, a, b):
        distances = surface_distances(*pair, spacing)
        assert 0 <= nsd(distances, min(a, b)) <= nsd(distances, max(a, b)) <= 1
        assert nsd(distances, hausdorff_mm(distances)) == 1

    @given(pairs, spacings(), st.floats(0, 5))
    def test_compare_masks_gives_what_the_functions_give(self, pair, spacing, tolerance):
        scores = compare_masks(*pair, spacing, tolerance)
        distances = surface_distances(*pair, spacing)
        voxel_ml = np.prod(spacing) / 1000
        expected = {
            **{overlap.__name__: overlap(*pair) for overlap in OVERLAPS},
            **{distance.__name__: distance(distances) for distance in DISTANCES},
            "nsd": nsd(distances, tolerance),
            "reference_ml": pair[0].sum() * voxel_ml,
            "prediction_ml": pair[1].sum() * voxel_ml,
        }
        assert {name: getattr(scores, name) for name in expected} == pytest.approx(expected, nan_ok=True)
        assert scores.difference_ml == pytest.approx(scores.prediction_ml - scores.reference_ml)
        assert scores.difference_relative == relative_difference(scores.reference_ml, scores.prediction_ml)
        assert scores.missed == (pair[0].any() and not pair[1].any())
        assert scores.false_alarm == (pair[1].any() and not pair[0].any())


class TestByHand:
    def test_overlap(self):
        reference, prediction = np.zeros((2, 1, 1, 10), bool)
        reference[..., :6] = True
        prediction[..., 4:8] = True
        assert [overlap(reference, prediction) for overlap in OVERLAPS] == [2 * 2 / 10, 2 / 8, 2 / 4, 2 / 6]

    def test_two_voxels_on_an_anisotropic_grid(self):
        reference, prediction = np.zeros((2, 3, 3, 3), bool)
        reference[0, 0, 0] = prediction[1, 2, 0] = True
        scores = compare_masks(reference, prediction, (3.0, 2.0, 1.0), tolerance_mm=4.9)
        assert (scores.dice, scores.iou, scores.precision, scores.recall, scores.nsd) == (0, 0, 0, 0, 0)
        assert scores.hausdorff_mm == scores.hausdorff95_mm == scores.assd_mm == 5
        assert compare_masks(reference, prediction, (3.0, 2.0, 1.0), tolerance_mm=5).nsd == 1

    def test_distances_of_unequal_surfaces(self):
        distances = SurfaceDistances(np.array([0.0, 0, 0, 0]), np.array([0.0, 10]))
        assert hausdorff_mm(distances) == 10
        assert hausdorff95_mm(distances) == 9.5  # of the prediction's side alone, interpolated
        assert assd_mm(distances) == 10 / 6
        assert nsd(distances, 1) == 5 / 6

    def test_a_tolerance_of_whole_voxels_survives_rounding(self):
        reference, prediction = np.zeros((2, 1, 1, 9), bool)
        reference[..., 5] = prediction[..., 8] = True
        distances = surface_distances(reference, prediction, (1, 1, 0.1))
        assert hausdorff_mm(distances) > 0.3  # 8 * 0.1 - 5 * 0.1 in floating point
        assert nsd(distances, 0.3) == 1

    def test_volumes(self):
        mask = np.zeros((10, 10, 10), bool)
        mask[:4, :5, :10] = True
        larger = mask.copy()
        larger[4, :5, :10] = True
        scores = compare_masks(mask, larger, (2.0, 1.0, 0.5), tolerance_mm=1)
        volumes = (scores.reference_ml, scores.prediction_ml, scores.difference_ml, scores.difference_relative)
        assert volumes == pytest.approx((0.2, 0.25, 0.05, 0.25))


class TestEmptyMasks:
    def test_both(self):
        scores = compare_masks(EMPTY, EMPTY, (1, 1, 1), tolerance_mm=1)
        assert (scores.dice, scores.iou, scores.precision, scores.recall, scores.nsd) == (1, 1, 1, 1, 1)
        assert (scores.hausdorff_mm, scores.hausdorff95_mm, scores.assd_mm) == (0, 0, 0)
        assert (scores.difference_ml, scores.difference_relative) == (0, 0)
        assert not scores.missed
        assert not scores.false_alarm

    def test_prediction_only(self):
        scores = compare_masks(FULL, EMPTY, (1, 1, 1), tolerance_mm=1)
        assert (scores.dice, scores.iou, scores.recall, scores.nsd) == (0, 0, 0, 0)
        assert math.isnan(scores.precision)
        assert scores.hausdorff_mm == scores.hausdorff95_mm == scores.assd_mm == math.inf
        assert scores.difference_relative == -1
        assert scores.missed

    def test_reference_only(self):
        scores = compare_masks(EMPTY, FULL, (1, 1, 1), tolerance_mm=1)
        assert (scores.dice, scores.iou, scores.precision, scores.nsd) == (0, 0, 0, 0)
        assert math.isnan(scores.recall)
        assert scores.hausdorff_mm == scores.hausdorff95_mm == scores.assd_mm == math.inf
        assert scores.difference_relative == math.inf
        assert scores.false_alarm


class TestRefusals:
    @pytest.mark.parametrize("metric", [dice, iou, precision, recall])
    def test_masks(self, metric):
        with pytest.raises(InvalidInputError, match="must have one shape"):
            metric(FULL, FULL[:1])
        with pytest.raises(InvalidInputError, match="must be a boolean 3D array"):
            metric(FULL, FULL.astype(np.uint8))

    def test_masks_of_all_scores(self):
        with pytest.raises(InvalidInputError, match="must have one shape"):
            compare_masks(FULL, FULL[:1], (1, 1, 1), 1)

    @pytest.mark.parametrize("tolerance", [-1, math.nan, math.inf])
    def test_tolerance(self, tolerance):
        with pytest.raises(InvalidInputError, match="tolerance must be 0 mm or more"):
            compare_masks(FULL, FULL, (1, 1, 1), tolerance)


class TestAgainstSimpleItk:
    @given(filled_pairs)
    def test_overlap(self, pair):
        theirs = sitk.LabelOverlapMeasuresImageFilter()
        # Source is the prediction, target the reference; its false positive error is relative to the background.
        theirs.Execute(*[as_image(mask) for mask in reversed(pair)])
        assert dice(*pair) == pytest.approx(theirs.GetDiceCoefficient())
        assert iou(*pair) == pytest.approx(theirs.GetJaccardCoefficient())
        assert precision(*pair) == pytest.approx(1 - theirs.GetFalseDiscoveryRate(), abs=1e-12)
        assert recall(*pair) == pytest.approx(1 - theirs.GetFalseNegativeError(), abs=1e-12)

    # HausdorffDistanceImageFilter measures from each *voxel* of one mask, inner ones included, to the nearest voxel of
    # the other: a voxel inside the other mask counts as 0 however deep it lies. Given the surfaces as masks, it
    # measures between surfaces.

    @given(filled_pairs, spacings())
    def test_hausdorff_between_surfaces(self, pair, spacing):
        theirs = sitk.HausdorffDistanceImageFilter()
        theirs.Execute(*[as_image(surface(mask), spacing) for mask in pair])
        ours = surface_distances(*pair, spacing)
        directed_means = (ours.reference_mm.mean(), ours.prediction_mm.mean())  # ASSD weighs them by their voxels
        assert hausdorff_mm(ours) == pytest.approx(theirs.GetHausdorffDistance(), rel=1e-5)
        assert np.mean(directed_means) == pytest.approx(theirs.GetAverageHausdorffDistance(), rel=1e-5)

    @given(filled_pairs, spacings())
    def test_what_it_computes_between_whole_masks(self, pair, spacing):
        theirs = sitk.HausdorffDistanceImageFilter()
        theirs.Execute(*[as_image(mask, spacing) for mask in pair])
        maps = [ndimage.distance_transform_edt(~mask, sampling=spacing) for mask in pair]
        between_voxels = max(maps[1][pair[0]].max(), maps[0][pair[1]].max())
        assert between_voxels == pytest.approx(theirs.GetHausdorffDistance(), rel=1e-5)

    def test_surfaces_show_what_whole_masks_hide(self):
        solid = np.ones((9, 9, 9), bool)
        hollow = solid.copy()
        hollow[2:7, 2:7, 2:7] = False
        theirs = sitk.HausdorffDistanceImageFilter()
        theirs.Execute(as_image(solid), as_image(hollow))
        distances = surface_distances(solid, hollow, (1, 1, 1))
        assert theirs.GetHausdorffDistance() == 3  # from the centre of the solid to the wall
        assert hausdorff_mm(distances) == 1  # from the inner side of the wall to its outer side


@pytest.fixture(scope="module")
def monai_metrics():
    pytest.importorskip("torch", reason="MONAI needs torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its imports warn of their own dependencies
        return pytest.importorskip("monai.metrics", reason="pip install monai to compare with it")


class TestAgainstMonai:
    @pytest.mark.parametrize("seed", range(8))
    def test_surface_metrics(self, monai_metrics, seed):
        torch = pytest.importorskip("torch")
        random = np.random.default_rng(seed)
        smooth = [ndimage.gaussian_filter(random.normal(size=(12, 14, 16)), 2) for _ in range(2)]
        pair = [field > 0.02 for field in smooth]
        spacing = tuple(random.uniform(0.5, 3, 3).tolist())
        one_hot = [torch.from_numpy(mask)[None, None] for mask in reversed(pair)]  # prediction first
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            options = {"include_background": True, "spacing": spacing}
            largest = monai_metrics.compute_hausdorff_distance(*one_hot, **options).item()
            percentile = monai_metrics.compute_hausdorff_distance(*one_hot, percentile=95, **options).item()
            mean = monai_metrics.compute_average_surface_distance(*one_hot, symmetric=True, **options).item()
            surface_dice = monai_metrics.compute_surface_dice(*one_hot, class_thresholds=[1.5], **options).item()
        ours = surface_distances(*pair, spacing)
        assert [distance(ours) for distance in DISTANCES] == pytest.approx([largest, percentile, mean], rel=1e-5)
        assert nsd(ours, 1.5) == pytest.approx(surface_dice)
        assert dice(*pair) == pytest.approx(monai_metrics.compute_dice(*one_hot).item())

    @pytest.mark.parametrize("pair", [(FULL, EMPTY), (EMPTY, FULL)])
    def test_one_empty_mask(self, monai_metrics, pair):
        torch = pytest.importorskip("torch")
        one_hot = [torch.from_numpy(mask)[None, None] for mask in reversed(pair)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = monai_metrics.compute_hausdorff_distance(*one_hot, include_background=True).item()
        assert hausdorff_mm(surface_distances(*pair, (1, 1, 1))) == theirs == math.inf
