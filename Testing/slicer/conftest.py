"""A scene with its logics, for tests on real MRML."""

import pytest


@pytest.fixture
def application():
    """A new headless application: scene, application logic, module logics."""
    pytest.importorskip("slicer", reason="needs slicer-core")
    from host.headless import make_application

    return make_application()


@pytest.fixture
def scene(application):
    """The scene of a new application."""
    return application.scene
