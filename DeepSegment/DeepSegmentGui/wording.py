"""Words that agree with their numbers."""

from slicer.i18n import tr as _


def countedSegments(count):
    """How many segments, such as "1 segment"."""
    return _("1 segment") if count == 1 else _("{count} segments").format(count=count)
