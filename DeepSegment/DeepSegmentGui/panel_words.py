"""Messages in the words of somebody who looks at the panel: the library's name options of the command.

The library words each remedy once; a shell whose user has other means words it anew here, for all messages alike.
"""

import re

from slicer.i18n import tr as _

_WORDS = (
    ("ask to replace it (--replace)", _("replace it")),
    (", or --replace it", _(", or move it away")),
    ("is an input of this command", _("is an input")),
    (", or go on with the journal in it (--resume)", ""),
    ("segment a region (--roi)", _("choose a region")),
    ("segment a region of at most", _("choose a region of at most")),
    (": --roi)", ")"),
    (
        'say that it is right (--any-spacing; in the panel: Advanced, "Any spacing")',
        _('tick "Any spacing" in Advanced'),
    ),
    ("convert it with gdcmconv --raw", _("convert it to uncompressed DICOM")),
    ("give the others by --channel, in this order", _("choose a volume for each")),
    ("run with --device cpu", _("choose the device cpu in Advanced")),
    ("give the folder of the series as the volume", _("load the volume from DICOM")),
    (". It is added when you agree to that (--accept-licence)", ""),
    (", and move it with `deepsegment models pack`", _(", and add its file here")),
    (" (`deepsegment models available` lists them)", ""),
    (", or give the new one another name (--name)", ""),
    (" (--accept-change)", ""),
    (", or say that it shall be used anyway (--anyway)", ""),
    ("Say that it shall be used anyway (--anyway), or train", _("Train")),
    ("compare first", _("click Compare first")),
    ("what `deepsegment diagnose` says", _("what Diagnose says (in Advanced)")),
)
_TRACEBACK = re.compile(r" \(\w+=1 shows where it happened\)")
_WRAP = re.compile(r", or add it by: deepsegment models wrap [^\n]+$", re.MULTILINE)
_PIP = re.compile(r"(?:install it: )?pip install '?([^'\n]+)'?$", re.MULTILINE)
_OURS = re.compile(r"(?:deepsegment|DeepSegmentLib)\[dicom\]")  # only what Slicer lacks of it
_OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*)")


def panelWords(text):
    """A message of the library for the user of the panel."""
    for command, panel in _WORDS:
        text = text.replace(command, panel)
    text = _PIP.sub(_pip, _WRAP.sub("", _TRACEBACK.sub("", text)))
    return _OPTION.sub(lambda found: found[1].replace("-", " "), text)


def _pip(found):
    packages = _OURS.sub("highdicom", found[1])
    return _('type slicer.util.pip_install("{packages}") into the Python console').format(packages=packages)


def countedSegments(count):
    """How many segments, such as "1 segment"."""
    from DeepSegmentLib.plurals import counted

    return counted(count, _("segment"), _("segments"))


def progressText(progress):
    """One line of progress: stage, percent, time to go."""
    text = _("{stage} {percent} %").format(stage=progress.stage, percent=round(100 * progress.fraction))
    if progress.eta_s is None:
        return text
    return _("{text}, {seconds} s to go").format(text=text, seconds=round(progress.eta_s))


def endText(event):
    """What the user reads of an end that is no success."""
    from DeepSegmentLib.hosts.worker.jobs_and_events import Died, Failed

    if isinstance(event, Failed):
        return str(event.error)
    return event.message if isinstance(event, Died) else _("Cancelled; nothing was changed.")
