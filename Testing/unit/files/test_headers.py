"""Headers of NRRD and MetaImage made by hand: what SimpleITK reads is read in the same way, and nothing worse."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from volume_files import HandMade, found_by_simpleitk, hand_made_metaimage, hand_made_nrrd

from DeepSegmentLib.errors import VolumeFileError
from DeepSegmentLib.files.volumes import read_frames

several_files = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def _check_agreement(folder, made: HandMade):
    """Whatever SimpleITK reads, we read in the same way, but what has no volume or no place."""
    for old in folder.iterdir():
        old.unlink()
    path = made.write(folder)
    theirs = found_by_simpleitk(path)
    try:
        frames = list(read_frames(path))
    except VolumeFileError as error:
        assert theirs is None or "axes" in str(error), error  # noqa: PT017
        return
    assert theirs is not None
    numbers, steps, origin = theirs
    lps = np.diag([-1, -1, 1, 1]) @ frames[0].geometry.affine
    assert np.array_equal(np.stack([frame.voxels for frame in frames]), numbers)
    assert frames[0].voxels.dtype == numbers.dtype
    assert np.allclose(lps[:3, 2::-1], steps, atol=1e-9)
    assert np.allclose(lps[:3, 3], origin, atol=1e-9)


@several_files
@given(made=hand_made_nrrd())
def test_nrrd_agrees_with_simpleitk(tmp_path, made):
    _check_agreement(tmp_path, made)


@several_files
@given(made=hand_made_metaimage())
def test_metaimage_agrees_with_simpleitk(tmp_path, made):
    _check_agreement(tmp_path, made)
