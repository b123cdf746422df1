"""Teacher and student see the same places; the student's intensities differ; the same iteration gives the same."""

import pickle
from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from DeepSegmentLib.training.cases.prepared_case import Known, PreparedCase
from DeepSegmentLib.training.cases.stored_case import store
from DeepSegmentLib.training.patches.augmentation_settings import NO_AUGMENTATION, PRESETS, AugmentationSettings
from DeepSegmentLib.training.patches.case_source import CaseSource, PatchSettings
from DeepSegmentLib.training.patches.mirror_plan import MirrorPlan
from DeepSegmentLib.training.unlabelled.patches import SideBySide, UnlabelledPatches, places_only

FIRST = PRESETS["default"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A prepared volume, thinner than the patches."""
    folder = tmp_path_factory.mktemp("prepared") / "unlabelled_1"
    image = np.random.default_rng(0).normal(0, 1, (1, 6, 10, 12)).astype(np.float32)
    shape = image.shape[1:]
    none = (np.empty((0, 3), np.int32),) * 2
    case = PreparedCase("x", "x", image, np.zeros((1, *shape), np.uint8), np.zeros(shape, np.uint8),
                        (Known((True, False), 0.0),), (1.0, 1.0, 1.0), none)  # fmt: skip
    store(case, folder)
    return folder


def _patches(folder, settings=FIRST, seed=0):
    mirror = MirrorPlan((0, 1, 2), 2, (0, 1), has_sides=False)
    cases = CaseSource([folder], (8, 8, 8), PatchSettings(augmentation=places_only(settings)), mirror=mirror,
                       case_at=lambda _: 0, seed=seed)  # fmt: skip
    return UnlabelledPatches(cases, settings, seed)


def _always(**shares):
    return AugmentationSettings(**{each.name: 0.0 for each in fields(FIRST) if isinstance(each.default, float)
                                   and each.default <= 1 and "degrees" not in each.name} | shares)  # fmt: skip


def test_the_student_sees_other_intensities_at_the_same_places(folder):
    sample = _patches(folder, _always(brightness=1.0))(3)
    ratio = (sample.changed / sample.plain)[0][sample.inside]
    assert ratio.std() < 1e-4
    assert abs(float(ratio.mean()) - 1) > 0.01
    assert sample.changed.shape == sample.plain.shape == (1, 8, 8, 8)


def test_what_is_beyond_the_volume_is_told(folder):
    sample = _patches(folder, NO_AUGMENTATION)(0)
    assert sample.inside.sum() == 6 * 8 * 8
    assert not sample.plain[0][~sample.inside].any()
    assert torch.equal(sample.plain, sample.changed)


@given(st.integers(0, 1000))
def test_the_same_iteration_gives_the_same(folder, iteration):
    one, other = (_patches(folder)(iteration) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("settings", PRESETS.values(), ids=PRESETS)
def test_places_change_as_they_did_and_intensities_do_not(settings):
    kept = places_only(settings)
    for name in ("rotation", "rotation_degrees", "in_plane_degrees", "scaling", "scaling_range", "mirror"):
        assert getattr(kept, name) == getattr(settings, name)
    shares = ("noise", "blur", "brightness", "contrast", "low_resolution", "thick_slices", "gamma", "gamma_inverted",
              "bias_field", "synthesis")  # fmt: skip
    assert not any(getattr(kept, name) for name in shares)


def _number(iteration):
    return (torch.tensor(iteration),)


def test_samples_of_both_kinds_come_side_by_side():
    both = pickle.loads(pickle.dumps(SideBySide(_number, _number)))
    assert both(4) == (torch.tensor(4), torch.tensor(4))
