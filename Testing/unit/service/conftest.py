"""A small project of noisy volumes with bright balls, for tests of what learns from it."""

import pytest
from ball_projects import ball_case

from DeepSegmentLib.files.projects import create_project
from DeepSegmentLib.networks.model_spec import Channel
from DeepSegmentLib.service.projects.project import Collecting, collect_case


@pytest.fixture
def project(tmp_path):
    """Six approved cases."""
    folder = tmp_path / "balls"
    create_project(folder, "balls", (Channel("T1w", "MR"),))
    for seed in range(6):
        volume, labels = ball_case(seed)
        collect_case(folder, volume, labels, Collecting(status="approved", patient=f"patient {seed // 2}"))
    return folder
