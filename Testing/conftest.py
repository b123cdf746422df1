"""Settings and fixtures that all tests share."""

import os
from pathlib import Path

# One thread for each process of the tests, also those that tests start: several run at once, and two that share the
# processors by twice as many threads wait for each other most of the time. Before NumPy and torch are imported.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import host  # noqa: F401 - imports slicer the right way, where it is installed
import pytest
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).resolve().parents[1]

# Property tests run on every commit with few, fixed examples; HYPOTHESIS_PROFILE=deep searches wider, at random.
settings.register_profile("ci", max_examples=25, deadline=None, derandomize=True, database=None)
settings.register_profile("deep", max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session", autouse=True)
def user_data(tmp_path_factory):
    """The user of the tests has no models and no records, and each process of the tests has a user of its own."""
    os.environ["XDG_DATA_HOME"] = str(tmp_path_factory.mktemp("user data"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real volumes and labelmaps (ct, mr, geometry, ...)."""
    folder = Path(os.environ.get("DEEPSEGMENT_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}; set DEEPSEGMENT_TEST_DATA to a folder that holds ct, mr and geometry")
    return folder


@pytest.fixture(scope="session")
def colin27() -> Path:
    """The Colin27 T1 head, `ch2.nii.gz` of the Debian package mricron-data (181x217x181, 1 mm)."""
    path = Path(os.environ.get("DEEPSEGMENT_COLIN27", REPOSITORY / ".cache" / "colin27")) / "ch2.nii.gz"
    if not path.is_file():
        pytest.skip(f"no {path}; set DEEPSEGMENT_COLIN27 to the folder with ch2.nii.gz of Debian's mricron-data")
    return path
