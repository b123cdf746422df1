"""The packages that Slicer does not bring: found without importing them, installed only when the user says so."""

import importlib.util
import logging
import sys
from importlib.metadata import version
from pathlib import Path

import slicer
from slicer.i18n import tr as _

_IMPORT_NAMES = {
    "scikit-image": "skimage",
    "pillow": "PIL",
    "pyjpegls": "jpeg_ls",
    "pylibjpeg-openjpeg": "openjpeg",
    "pyyaml": "yaml",
    "zlib-ng": "zlib_ng",
}
_OPENVINO = "openvino>=2025.0"
"""As the extra "cpu" of pyproject.toml asks for it."""
# Files of torch 2.13 have paths longer than Windows allows by default (light-the-torch issue 176).
_TORCH_VERSIONS = {"win32": "<2.13"}


def requirements(path):
    """The lines of a requirements file, without comments."""
    lines = (line.split("#")[0].strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def missing(path):
    """Names of packages that are not there: those of the requirements file, and torch."""
    names = [_packageName(line) for line in requirements(path)] + ["torch"]
    return [name for name in names if importlib.util.find_spec(_IMPORT_NAMES.get(name, name)) is None]


def ensure(path):
    """Whether all packages are there, after asking the user and installing what is not.

    Torch comes through the PyTorch extension, which picks the build that fits the graphics driver; the others through
    `slicer.packaging`, or through pip in Slicer 5.10.

    Args:
        path: Of requirements.txt.

    Raises:
        RuntimeError: Installing failed, or the PyTorch extension is not there; the message says what to do.
    """
    names = missing(path)
    if not names:
        return True
    if slicer.app.testingEnabled():
        raise RuntimeError(_("Packages are missing: {names}").format(names=", ".join(names)))
    if "torch" in names and not _installTorch():
        return False
    if names != ["torch"]:
        _install(path)
    importlib.invalidate_caches()
    return not missing(path)


def installOpenVino():
    """Install OpenVINO from the Python Package Index; the user clicked that.

    NumPy stays as it is, as Slicer brings it: pip takes an OpenVINO that suits it, or fails.

    Raises:
        RuntimeError: While testing nothing is installed.
        Exception: What pip raises.
    """
    if slicer.app.testingEnabled():
        raise RuntimeError(_("Nothing is installed while testing."))
    slicer.util.pip_install(f'"{_OPENVINO}" "numpy=={version("numpy")}"')
    importlib.invalidate_caches()


def installFromFolder(path, folder):
    """Install everything, torch too, from a folder of wheels: for machines without internet.

    Args:
        path: Of requirements.txt.
        folder: Holds the wheels, as `pip download` puts them; OpenVINO is installed where it is among them.
    """
    extra = [_OPENVINO] if any(Path(folder).glob("openvino-[0-9]*.whl")) else []
    wanted = " ".join(f'"{line}"' for line in [*requirements(path), "torch", *extra])
    slicer.util.pip_install(f'--no-index --find-links "{Path(folder).as_posix()}" {wanted}')
    importlib.invalidate_caches()


def _packageName(line):
    for sign in "<>=!~[; ":
        line = line.split(sign)[0]
    return line.strip()


def _installTorch():
    try:
        import PyTorchUtils
    except ModuleNotFoundError as error:
        raise RuntimeError(
            _("DeepSegment needs the extension PyTorch. Install it in the Extensions Manager and restart Slicer; "
              "without internet, use Diagnose, Install from folder.")
        ) from error  # fmt: skip
    logic = PyTorchUtils.PyTorchUtilsLogic()
    logic.installTorch(askConfirmation=True, torchVersionRequirement=_TORCH_VERSIONS.get(sys.platform))
    return importlib.util.find_spec("torch") is not None


def _install(path):
    try:
        from slicer.packaging import load_requirements, pip_ensure
    except ModuleNotFoundError:
        names = ", ".join(missing(path))
        if slicer.util.confirmOkCancelDisplay(_("Install these Python packages? {names}").format(names=names)):
            logging.info("Installing %s", names)
            slicer.util.pip_install(" ".join(f'"{line}"' for line in requirements(path)))
    else:
        pip_ensure(load_requirements(path), requester="DeepSegment")
