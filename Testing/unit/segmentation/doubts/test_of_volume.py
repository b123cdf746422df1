"""Nonsense is doubted before the run; heads are not."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_examples import TINY_UNET, model_spec
from scipy import ndimage

from DeepSegmentLib.data import Geometry, Volume
from DeepSegmentLib.files.models import read_spec
from DeepSegmentLib.files.models.places import bundled_models_folder
from DeepSegmentLib.files.volumes import read_volume
from DeepSegmentLib.segmentation.doubts.of_volume import doubts_of_volume

SPEC = read_spec(bundled_models_folder() / "brain-mr")
SHAPE = (60, 70, 60)


def volume(voxels, spacing=(3.0, 3.0, 3.0), modality=""):
    return Volume(np.asarray(voxels)[None], Geometry.from_spacing(np.shape(voxels), spacing), modality=modality)


def head():
    """Something with air, a bright shell and smooth contents."""
    radius = np.linalg.norm(
        (np.indices(SHAPE).T - np.array(SHAPE) / 2).T / (np.array(SHAPE) / 2.4)[:, None, None, None], axis=0
    )
    rng = np.random.default_rng(0)
    inside = 400 + 9000 * ndimage.gaussian_filter(rng.normal(size=SHAPE), 3)
    return np.abs(np.where(radius < 0.9, inside, np.where(radius < 1, 900, 0)) + rng.normal(0, 8, SHAPE))


HEAD = head()
WHITE = np.random.default_rng(1).normal(100, 20, SHAPE)
CT = np.where(HEAD > 100, 40 + WHITE / 3, -1000 + WHITE / 10)
LABELS = np.digitize(ndimage.gaussian_filter(WHITE, 6), [99.6, 100, 100.4])
ORDER = np.random.default_rng(2).permutation(60)

NONSENSE = {
    "empty": (volume(np.zeros(SHAPE)), "holds hardly anything"),
    "constant": (volume(np.full(SHAPE, 7, np.int16)), "holds hardly anything: 100.00% of its voxels are 7"),
    "noise": (volume(WHITE), "looks like noise"),
    "whole noise": (volume(WHITE.astype(np.uint8)), "looks like noise"),
    "mask": (volume((HEAD > 100).astype(np.uint8)), "looks like labels or a mask: 2 values"),
    "labels": (volume(LABELS), "looks like labels or a mask: 4 values"),
    "CT": (volume(CT), "looks like CT in Hounsfield units"),
    "CT by its header": (volume(HEAD, modality="CT"), "is CT by its DICOM header, but the model was made for MR"),
    "ultrasound": (volume(HEAD, modality="US"), "is US by its DICOM header"),
    "stack": (volume(np.repeat(HEAD[30:31], 60, axis=0)), "is the same all along one axis"),
    "slices out of order": (volume(HEAD[ORDER]), "slices that do not fit each other"),
    "one slice": (volume(HEAD[30:31]), "measures 3 mm from bottom to top"),
    "4x4x4": (volume(HEAD[30:34, 30:34, 30:34]), "measures 12 mm from left to right"),
    "spacing x10": (volume(HEAD, (30, 30, 30)), "Is it the right part of the body"),
    "spacing /10": (volume(HEAD, (0.3, 0.3, 0.3)), "Is the organ in view"),
    "thick slices": (
        volume(HEAD[::6], (18, 3, 3)),
        "18.0 mm apart from bottom to top; the model was trained with at most 7",
    ),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_doubted_in_a_sentence_that_says_why(name):
    given, expected = NONSENSE[name]
    doubts = doubts_of_volume(given, SPEC)
    assert any(expected in doubt for doubt in doubts), doubts
    assert all(doubt[0].isupper() and doubt[-1] in ".?" for doubt in doubts)


@given(st.floats(1e-3, 1e3), st.floats(-800, 800), st.booleans(), st.sampled_from(["RAS", "LPI", "SAR", "ILP"]))
def test_a_head_is_not_doubted_in_any_units_and_orientation(scale, offset, inverted, orientation):
    given = volume(HEAD * (-scale if inverted else scale) + offset).oriented(orientation)
    assert doubts_of_volume(given, SPEC) == ()


@pytest.mark.parametrize("name", ["noise", "labels", "empty", "one slice"])
@pytest.mark.parametrize("orientation", ["LPI", "SAR"])
def test_orientation_does_not_change_the_verdict(name, orientation):
    given, expected = NONSENSE[name]
    assert any(expected in doubt for doubt in doubts_of_volume(given.oriented(orientation), SPEC))


def test_the_header_overrules_the_looks():
    assert doubts_of_volume(volume(CT, modality="MR"), SPEC) == ()
    assert doubts_of_volume(volume(HEAD, modality="OT"), SPEC) == ()


def test_a_model_for_labels_takes_labels_and_without_expectations_any_size():
    channel = replace(SPEC.channels[0], modality="SEG")
    assert doubts_of_volume(volume(LABELS[:4]), replace(SPEC, channels=(channel,), expectations=None)) == ()


def test_a_model_for_ct_doubts_what_has_no_hounsfield_units():
    spec = replace(SPEC, channels=(replace(SPEC.channels[0], modality="CT"),))
    for head in (HEAD, HEAD - 40):  # as splines leave it after a resampling
        assert "not in Hounsfield units" in doubts_of_volume(volume(head), spec)[0]
    assert doubts_of_volume(volume(CT), spec) == ()


def test_each_channel_is_looked_at():
    channels = (SPEC.channels[0], replace(SPEC.channels[0], name="FLAIR"))
    spec = model_spec(channels=channels, network=replace(TINY_UNET, in_channels=2))
    both = Volume(np.stack([HEAD, WHITE]), Geometry.from_spacing(SHAPE, (3, 3, 3)))
    assert doubts_of_volume(both, spec) == (
        "Channel 'FLAIR' looks like noise: neighbours differ about as much as voxels far apart.",
    )


def test_real_heads_are_not_doubted(colin27, shared_data):
    for path in (
        colin27,
        colin27.with_name("ch2bet.nii.gz"),
        shared_data / "geometry" / "flair_oblique19deg.nii.gz",
        shared_data / "mr" / "brain1_image.nrrd",
    ):
        assert doubts_of_volume(read_volume(path), SPEC) == (), path
