"""The lines of the list: models that are on this computer, then those that their publishers offer."""

import re
from dataclasses import dataclass, field
from typing import Any

from slicer.i18n import tr as _

_WORD = re.compile(r"[^\W_]+")
_LONGEST_SINGULAR = 3  # letters; an s behind longer words is taken for a plural


@dataclass(frozen=True)
class ModelLine:
    """One model.

    Attributes:
        name: In the catalogue, once it is there.
        entry: `ModelEntry` of a model that is here, or None.
        spec: Its `ModelSpec`; None where it is damaged or not here.
        known: `KnownModel` of what its publisher says, or None.
        size: Bytes: of its files where it is here, else of the download; 0 where nobody tells.
        begun: Bytes of a download that was begun.
    """

    name: str
    entry: Any = None
    spec: Any = None
    known: Any = None
    size: int = 0
    begun: int = 0
    _words: str = field(init=False, repr=False, default="")

    def __post_init__(self):
        object.__setattr__(self, "_words", _wordsOf(self))

    @property
    def title(self):
        """What the list calls it."""
        if self.known is not None:
            return self.known.title
        return f"{self.name} {self.entry.version}".strip()

    @property
    def state(self):
        """Whether it is here, or how large it is, in a word or two, as the title needs the room."""
        if self.entry is not None:
            return _("damaged") if self.entry.damage else _("installed")
        if not self.known.files:
            return _("by hand")
        if self.begun:
            return _("begun, {size} here").format(size=sizeText(self.begun))
        return sizeText(self.size) if self.size else _("offered")

    @property
    def canBeGot(self):
        """Whether a click can bring it here."""
        return self.entry is None and bool(self.known.files)

    @property
    def canBeRemoved(self):
        """Whether it is one of the user's own."""
        return self.entry is not None and not self.entry.bundled

    def has(self, words):
        """Whether each of these words, as `searchWords` gives them, begins a word of the model."""
        return all(f" {word}" in self._words for word in words)


def searchWords(text):
    """The words of a search, in lower case, without the s of a plural."""
    return [_singular(word) for word in _WORD.findall(text.casefold())]


def offeredModels():
    """`AvailableModel` of all models that publishers offer; the network is not asked.

    Raises:
        ModelError: The list that came with DeepSegment is damaged.
    """
    from DeepSegmentLib.service.models.get_model import available_models

    return available_models()


def linesOf(offers):
    """The lines of models that are here, then of those that can be got, then of those that can be got by hand.

    Args:
        offers: `AvailableModel` of those that publishers offer, the ones that are here among them.
    """
    from DeepSegmentLib.files.models import read_spec
    from DeepSegmentLib.service.catalogue import list_models

    offered = {offer.known.name: offer for offer in offers}
    here = []
    for entry in list_models():
        offer = offered.pop(entry.name, None)
        spec = None if entry.damage else read_spec(entry.path)
        here.append(ModelLine(entry.name, entry, spec, offer and offer.known, sizeOf(entry.path)))
    others = [_lineOf(offer) for offer in offered.values()]
    return here + sorted(others, key=lambda line: (not line.canBeGot, line.title.casefold()))


def _lineOf(offer):
    sizes = [file.bytes for file in offer.known.files]
    size = sum(sizes) if sizes and None not in sizes else 0
    return ModelLine(offer.known.name, known=offer.known, size=size, begun=offer.begun_bytes)


def sizeOf(folder):
    """Bytes of all files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def sizeText(size):
    """Bytes for people, such as "12 MB"."""
    for unit, amount in (("GB", 1e9), ("MB", 1e6)):
        if size >= amount:
            return f"{size / amount:.3g} {unit}" if size < 1000 * amount else f"{size / amount:.0f} {unit}"
    return f"{size / 1e3:.0f} kB"


def _wordsOf(line):
    """All words that a search looks through, in lower case, each after a space."""
    texts = [line.name]
    if line.entry is not None:
        texts += [line.entry.description, line.entry.license]
    if line.spec is not None:
        texts += [segment.name for segment in line.spec.segments]
        texts += [f"{channel.name} {channel.modality}" for channel in line.spec.channels]
    known = line.known
    if known is not None:
        texts += [known.title, known.source, known.modality, known.body_region, known.description, known.licence]
        texts += known.structures
    return " " + " ".join(word for text in texts for word in _WORD.findall(text.casefold()))


def _singular(word):
    return word[:-1] if len(word) > _LONGEST_SINGULAR and word.endswith("s") else word
