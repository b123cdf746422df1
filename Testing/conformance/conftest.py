"""What pytest must know of the suite."""

import pytest

# Its assertions tell what they compared, as those of test modules do.
pytest.register_assert_rewrite("conformance.suite")


def pytest_generate_tests(metafunc):
    """Each damage that a kind of model names is a test."""
    if "damage" in metafunc.fixturenames:
        metafunc.parametrize("damage", metafunc.cls.damages)
