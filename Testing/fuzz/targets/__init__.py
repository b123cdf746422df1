"""The doors, by name."""

from ..target import Target
from . import dicom, metaimage, nifti, nrrd

TARGETS: dict[str, Target] = {
    target.name: target for module in (nifti, nrrd, metaimage, dicom) for target in module.TARGETS
}
