"""Settings refuse what has no meaning."""

import numpy as np
import pytest

from DeepSegmentLib.correction.settings import CorrectionSettings
from DeepSegmentLib.errors import InvalidInputError


@pytest.mark.parametrize("radius_mm", [0, -1, np.nan, np.inf])
def test_refuses_a_radius_that_reaches_nothing(radius_mm):
    with pytest.raises(InvalidInputError, match=f"above 0 mm, got {radius_mm}"):
        CorrectionSettings(radius_mm=radius_mm)


def test_refuses_a_radius_that_no_volume_has():
    with pytest.raises(InvalidInputError, match=r"at most 1e\+06 mm, got 1000000000\.0"):
        CorrectionSettings(radius_mm=1e9)


@pytest.mark.parametrize("aggressiveness", [-0.01, 1.01, np.nan])
def test_refuses_aggressiveness_outside_its_range(aggressiveness):
    with pytest.raises(InvalidInputError, match=rf"in 0\.\.1, got {aggressiveness}"):
        CorrectionSettings(aggressiveness=aggressiveness)


def test_refuses_an_unknown_mode():
    with pytest.raises(InvalidInputError, match="unknown mode 'paint'; known: fix, grow"):
        CorrectionSettings(mode="paint")


def test_the_ends_of_all_ranges_are_taken():
    assert CorrectionSettings(1e-9, 0, "grow", overwrite=True) != CorrectionSettings(1e6, 1, "fix", overwrite=False)
