"""A small project of noisy volumes with two balls, for tests of what learns from it."""

import pytest
from ball_projects import ball_project


@pytest.fixture
def project(tmp_path):
    """Six approved cases."""
    return ball_project(tmp_path / "balls")
