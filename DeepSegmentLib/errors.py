"""The error tree.

Everything a user can act on derives from `DeepSegmentError`::

    DeepSegmentError                exit code 1
    ├── InvalidInputError      2    an argument or a value outside its range
    │   ├── ExistsError        2    what is to be written is there already, and nobody asked to replace it
    │   └── NotProvenError     2    a new model that is not proven to be as good as the old one
    ├── VolumeFileError        3    a volume or labelmap file that cannot be read or written
    ├── ModelError             4    a model folder that is missing, damaged or of a foreign version
    │   ├── ChecksumError      4    weights that differ from their recorded checksum
    │   │   └── ChangedError   4    a download that is not what it was earlier, and nobody agreed to that
    │   └── LicenceError       4    a licence that is not for every use, and nobody agreed to it
    ├── DownloadError          3    an address that cannot be reached, or gives something else
    ├── MissingPackageError    5    an optional package that a feature needs
    ├── ResourceError          6    too little memory or disk, or a device that is not there
    └── Cancelled            130    the user asked to stop

Any other exception is a bug. Messages name the offending value and the remedy.
"""


class DeepSegmentError(Exception):
    """Base of all errors a user can act on; shown to the user as is."""

    exit_code = 1


class InvalidInputError(DeepSegmentError):
    """An argument, a shape or a value is outside what the function accepts."""

    exit_code = 2


class ExistsError(InvalidInputError):
    """What is to be written is there already; the user may ask to replace it."""


class NotProvenError(InvalidInputError):
    """A candidate is worse somewhere, or was not compared: the user may say a second yes to promote it."""


class VolumeFileError(DeepSegmentError):
    """A volume, labelmap or DICOM series cannot be read or written."""

    exit_code = 3


class ModelError(DeepSegmentError):
    """A model is missing, damaged, or made for another version."""

    exit_code = 4


class ChecksumError(ModelError):
    """The content of a model file differs from its recorded checksum."""


class ChangedError(ChecksumError):
    """A download is not what it was earlier; the user may agree to take it."""


class LicenceError(ModelError):
    """A licence is not for every use, or asks for a key; the user may agree to it."""


class DownloadError(DeepSegmentError):
    """An address cannot be reached, breaks off, or gives something else than it should."""

    exit_code = 3


class MissingPackageError(DeepSegmentError):
    """A feature needs an optional package that is not installed."""

    exit_code = 5


class ResourceError(DeepSegmentError):
    """Memory, disk space or a device is not available."""

    exit_code = 6


class Cancelled(DeepSegmentError):  # noqa: N818 - an answer to the user's wish, not a fault
    """The user asked to stop; nothing was written."""

    exit_code = 130
