"""Whether OpenVINO could be installed here, what it weighs, and that a "no" is kept."""

import pytest

from DeepSegmentLib.service.models import openvino_package as package


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Makes this another machine, of a user of whom nothing is known."""
    monkeypatch.setattr("DeepSegmentLib.files.models.places.user_folder", lambda: tmp_path)
    monkeypatch.setattr(package, "installed_version", lambda: "")

    def be(system, processor, libc=("glibc", "2.36")):
        monkeypatch.setattr(package.platform, "system", lambda: system)
        monkeypatch.setattr(package.platform, "machine", lambda: processor)
        monkeypatch.setattr(package.platform, "libc_ver", lambda: libc)

    return be


@pytest.mark.parametrize(
    ("system", "processor", "size"),
    [
        ("Linux", "x86_64", 59),
        ("Linux", "aarch64", 30),
        ("Windows", "AMD64", 85),
        ("Windows", "ARM64", None),
        ("Darwin", "arm64", 33),
        ("Darwin", "x86_64", None),
        ("Linux", "ppc64le", None),
    ],
)
def test_the_size_is_that_of_the_wheel(machine, system, processor, size):
    machine(system, processor)
    assert package.download_mb() == size
    assert package.is_worth_offering() is (size is not None)
    assert (f"{size} MB" if size else "none for this") in package.how_to_install()


@pytest.mark.parametrize(
    ("processor", "libc", "has"),
    [
        ("x86_64", ("glibc", "2.28"), True),
        ("x86_64", ("glibc", "2.17"), False),
        ("aarch64", ("glibc", "2.31"), False),
        ("x86_64", ("", ""), False),  # musl
    ],
)
def test_old_and_other_c_libraries_have_none(machine, processor, libc, has):
    machine("Linux", processor, libc)
    assert (package.download_mb() is not None) is has


def test_what_is_installed_is_not_offered(machine, monkeypatch):
    machine("Linux", "x86_64")
    monkeypatch.setattr(package, "installed_version", lambda: "2026.4.1")
    assert not package.is_worth_offering()


def test_a_no_is_kept(machine):
    machine("Linux", "x86_64")
    package.decline()
    assert not package.is_worth_offering()
