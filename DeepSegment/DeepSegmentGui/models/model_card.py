"""The card of a model as HTML; the words of others are escaped."""

import html
import re

import qt
from slicer.i18n import tr as _

from DeepSegmentGui.models.model_lines import sizeText

_ADDRESS = re.compile(r"https://[^\s<>()\"']*[^\s<>()\"'.,;]")
_FIRST = 6
_FROM = ("source", "kind", "origin", "training_data", "date")


def describe(line, needs=""):
    """The card of a `ModelLine`; `needs` says what a run will need here."""
    if line is None:
        return ""
    if line.entry is not None and line.spec is None:
        return _("<b>{name}</b> cannot be used: {damage}").format(
            name=html.escape(line.entry.name), damage=html.escape(line.entry.damage)
        )
    rows = _rowsOfSpec(line, needs) if line.spec is not None else _rowsOfKnown(line)
    lines = [f"<b>{html.escape(label)}:</b> {text}" for label, text in rows if text]
    return html.escape((line.spec or line.known).description) + "<br>" + "<br>".join(lines)


def countedStructures(names):
    """How many there are, and the first of them."""
    from DeepSegmentGui.panel_words import countedSegments

    first = ", ".join(name.replace("_", " ") for name in names[:_FIRST])
    more = len(names) - _FIRST
    shown = _("{names} and {count} more").format(names=first, count=more) if more > 0 else first
    return shown if len(names) < 2 else f"{countedSegments(len(names))}: {shown}"


def _allStructures(names):
    """The row of all names, where the first row has not told them; last, as it is long."""
    shown = ", ".join(name.replace("_", " ") for name in names) if len(names) > _FIRST else ""
    return (_("All segments"), html.escape(shown))


def _rowsOfSpec(line, needs):
    spec = line.spec
    inputs = ", ".join(
        f"{channel.name} ({channel.modality})" if channel.modality not in ("", channel.name) else channel.name
        for channel in spec.channels
    )
    return [
        (_("Input"), html.escape(inputs)),
        (_("Segments"), html.escape(countedStructures([segment.name for segment in spec.segments]))),
        (_("Licence"), _licence(spec.license, line.known)),
        (_("Version"), html.escape(spec.version)),
        (_("Size"), sizeText(line.size)),
        (_("Here"), html.escape(needs)),
        (_("Made of"), html.escape(madeOf(spec))),
        (_("Cite"), linked(spec.citation)),
        *_rowsOfOrigin(line),
        (_("Folder"), html.escape(str(line.entry.path))),
        _allStructures([segment.name for segment in spec.segments]),
    ]


def _rowsOfKnown(line):
    known = line.known
    return [
        (_("Input"), html.escape(known.modality.replace("/", _(" or ")))),
        (_("Segments"), html.escape(countedStructures(known.structures))),
        (_("Licence"), _licence(known.licence, known)),
        (_("Download"), _downloadText(line)),
        (_("Cite"), linked(known.citation)),
        *_rowsOfOrigin(line),
        (_("Name"), html.escape(known.name)),
        _allStructures(known.structures),
    ]


def _rowsOfOrigin(line):
    known = line.known
    if known is None:
        said = line.spec.provenance
        return [(_("From"), linked(", ".join(said[key] for key in _FROM if said.get(key))))]
    voxels = " x ".join(f"{step:.3g}" for step in reversed(known.spacing_mm or ()))
    return [
        (_("Voxels"), _("{size} mm").format(size=voxels) if voxels else ""),
        (_("Body region"), html.escape(known.body_region)),
        (_("Sample data"), html.escape(known.sample_data)),
        (_("From"), html.escape(known.source if known.kind in known.source else f"{known.source}, {known.kind}")),
    ]


def _licence(name, known):
    text = html.escape(name) or _("not said by its publisher")
    if known is None:
        return text
    if known.licence_url:
        text = f'<a href="{html.escape(known.licence_url, quote=True)}">{text}</a>'
    limits = [_("not for commercial use")] * known.non_commercial + [_("for holders of a key")] * known.needs_key
    return f"{text}, {', '.join(limits)}" if limits else text


def _downloadText(line):
    if not line.known.files:
        return _("not by a click: add what you get from its publisher by Add model...")
    places = sorted({file.url.split("/")[2] for file in line.known.files})
    size = sizeText(line.size) if line.size else _("size not said")
    files = len(line.known.files)
    many = _(", {count} files").format(count=files) if files > 1 else ""
    return html.escape(_("{size}{many}, from {places}").format(size=size, many=many, places=", ".join(places)))


def madeOf(spec):
    """How many networks a model has: parts, stages, members; empty for one alone."""
    counts = [
        (len(spec.parts), _("{count} parts")),
        (max(len(part.stages) for part in spec.parts), _("{count} stages, one after the other")),
        (max(len(stage.weights) for stage in spec.stages), _("{count} networks, averaged")),
    ]
    return ", ".join(text.format(count=count) for count, text in counts if count > 1)


def linked(text):
    """A text with its https addresses as links."""
    return _ADDRESS.sub(r'<a href="\g<0>">\g<0></a>', html.escape(text))


def readable(text, widget):
    """HTML whose links have the colour of the other text: blue cannot be read on a dark ground."""
    color = widget.palette.color(qt.QPalette.Text).name()
    return text.replace("<a ", f'<a style="color: {color}" ')
