"""Which segments are each other's mirror image, by their names and codes.

A wrong answer teaches a network to mix up left and right, so what is not certain is no pair: a segment that seems to
have a side and whose partner is not there forbids mirroring from left to right, and so does one whose partner is no
mirror image of it, such as the ventricles of the heart.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from DeepSegmentLib.data import Segment

Side = Literal["left", "right"]

_WORDS: tuple[tuple[Side, str], ...] = (
    (
        "left",
        "left lt lft l lh lv la links linke linker linkes gauche izquierdo izquierda sinistro sinistra sinister sx",
    ),
    (
        "right",
        "right rt rgt r rh rv ra rechts rechte rechter rechtes droit droite derecho derecha destro destra dexter dx",
    ),
)
_SIDE_OF_WORD = {word: side for side, words in _WORDS for word in words.split()}
_SEAMS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[0-9])(?=[A-Za-z])")
"""Where a new word begins without a sign between: "LeftKidney", "LPulvinar", "rib7L"."""
_GLUED = re.compile(r"\b(left|right)(?=[a-z]{3})|(?<=[a-z]{3})(left|right)\b")
"""A side in one word with its structure: "leftkidney", "kidneyleft"."""
_WORD = re.compile(r"[^\W_]+")

_CODES: dict[tuple[str, str], Side] = {
    ("SCT", "7771000"): "left",
    ("SCT", "24028007"): "right",
    ("SRT", "G-A101"): "left",
    ("SRT", "G-A100"): "right",
}
"""SNOMED CT, and the codes that DICOM wrote for the same before 2018."""

_NO_MIRROR_IMAGES = (
    {"atrium"}, {"atrial"}, {"atria"}, {"auricle"}, {"heart"}, {"cardiac"}, {"coronary"}, {"liver"}, {"hepatic"},
    {"portal"}, {"colon"}, {"gastric"}, {"lung", "lobe"}, {"pulmonary"}, {"bronchus"}, {"la"}, {"ra"}, {"lv"}, {"rv"},
)  # fmt: skip
_VENTRICLES = {"ventricle", "ventricles"}
_OF_BRAIN = {"lateral", "lat", "inferior", "inf", "temporal", "brain"}


@dataclass(frozen=True)
class SidePairs:
    """Which of a sequence of segments are each other's mirror image.

    Attributes:
        pairs: Positions of the left and the right one.
        alone: Names of segments that have a side and no mirror image among them.
    """

    pairs: tuple[tuple[int, int], ...]
    alone: tuple[str, ...]

    @property
    def can_be_mirrored(self) -> bool:
        """Whether what is left and right may be exchanged: each segment with a side has its partner."""
        return not self.alone

    @property
    def has_sides(self) -> bool:
        """Whether any segment has a side."""
        return bool(self.pairs or self.alone)


class _Sided(NamedTuple):
    """A segment that has a side.

    Attributes:
        position: Among the segments.
        side: Which; None where that is not certain.
        words: Of its name, apart from the side.
    """

    position: int
    side: Side | None
    words: tuple[str, ...]


def side_pairs(segments: Sequence[Segment]) -> SidePairs:
    """Find the pairs: segments of the same name apart from the side.

    Sides are told by names in many spellings ("Left kidney", "kidney_right", "Parotid_L", "lh-cortex", "LeftKidney")
    and by modifiers of the terminology.

    Args:
        segments: In any order; positions in it are what `SidePairs.pairs` holds.

    Example:
        >>> from DeepSegmentLib.data import Segment
        >>> side_pairs([Segment("kidney_left", 1), Segment("Spleen", 2), Segment("Right Kidney", 3)])
        SidePairs(pairs=((0, 2),), alone=())
        >>> side_pairs([Segment("Parotid_L", 1), Segment("Spleen", 2)]).alone
        ('Parotid_L',)
    """
    sided = [found for n, segment in enumerate(segments) if (found := _sided(n, segment)) is not None]
    namesakes: dict[tuple[str, ...], list[_Sided]] = defaultdict(list)
    for each in sided:
        namesakes[each.words].append(each)
    groups = (sorted(group, key=lambda each: str(each.side)) for group in namesakes.values())
    pairs = [(a.position, b.position) for a, *others in groups for b in others if _are_pair(a, *others)]
    paired = {position for pair in pairs for position in pair}
    alone = tuple(segments[each.position].name for each in sided if each.position not in paired)
    return SidePairs(tuple(sorted(pairs)), alone)


def _are_pair(first: _Sided, *others: _Sided) -> bool:
    return [first.side, *(each.side for each in others)] == ["left", "right"]


def _sided(position: int, segment: Segment) -> _Sided | None:
    """A segment with its side; None where it has none, or is of both sides."""
    words = _words(segment.name)
    sides = {_SIDE_OF_WORD[word] for word in words if word in _SIDE_OF_WORD}
    sides = sides if len(sides) == 1 else set()
    codes = segment.terminology
    if codes is not None and codes.modifier is not None:
        sides |= {side for code, side in _CODES.items() if code == (codes.modifier.scheme, codes.modifier.value)}
    if not sides:
        return None
    is_certain = len(sides) == 1 and _has_mirror_image({*words})
    rest = tuple(word for word in words if word not in _SIDE_OF_WORD)
    return _Sided(position, min(sides) if is_certain else None, rest)


def _words(name: str) -> tuple[str, ...]:
    """The words of a name in small letters, whichever way they are parted; a side that is glued to one is a word."""
    parted = " ".join(_WORD.findall(_SEAMS.sub(" ", name))).casefold()
    return tuple(_GLUED.sub(lambda found: f" {found.group()} ", parted).split())


def _has_mirror_image(words: set[str]) -> bool:
    """Whether the same structure of the other side is built the other way round."""
    is_of_heart = words & _VENTRICLES and not words & _OF_BRAIN
    return not is_of_heart and not any(needed <= words for needed in _NO_MIRROR_IMAGES)
