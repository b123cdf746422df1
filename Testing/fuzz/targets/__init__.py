"""The doors, by name."""

from ..target import Target
from . import commands, dicom, documents, flips, journals, metaimage, models, nifti, nrrd

_MODULES = (nifti, nrrd, metaimage, dicom, documents, models, journals, commands, flips)
TARGETS: dict[str, Target] = {target.name: target for module in _MODULES for target in module.TARGETS}
