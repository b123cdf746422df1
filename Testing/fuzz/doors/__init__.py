"""The doors, by name."""

from ..door import Door
from . import commands, dicom, documents, flips, journals, metaimage, models, nifti, nrrd

_MODULES = (nifti, nrrd, metaimage, dicom, documents, models, journals, commands, flips)
DOORS: dict[str, Door] = {door.name: door for module in _MODULES for door in module.DOORS}
