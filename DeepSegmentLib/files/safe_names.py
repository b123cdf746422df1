"""Names that people gave: as parts of file names, and harmless to look at."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN = "\u200c\u200d"  # joiners, which some scripts need; they move nothing
_LONGEST_WORD = 60  # bytes; leaves room for the rest of a name in the 255 that file systems take


def plain(text: str) -> str:
    r"""A text that somebody gave, in one line and without anything that acts on a terminal.

    Escape codes, other controls, line breaks, turns of the direction of writing and half characters become visible.

    Example:
        >>> plain("liver\x1b[31m\n")
        'liver\\x1b[31m\\n'
    """
    return "".join(each if _is_harmless(each) else each.encode("unicode_escape").decode() for each in text)


def _is_harmless(letter: str) -> bool:
    return letter in _SHOWN or unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


def file_words(names: Iterable[str]) -> dict[str, str]:
    """A word for each name that can be part of a file name: letters, digits and dashes, without capitals.

    Those of different names differ, on every file system.

    Names that would give the same word get numbers, in their order.

    Example:
        >>> file_words(["Left x", "Left-x", "Rest"])
        {'Left x': 'left-x', 'Left-x': 'left-x-2', 'Rest': 'rest'}
    """
    words: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        if name not in words:
            words[name] = _free(_word(name), taken)
            taken.add(words[name])
    return words


def _word(name: str) -> str:
    plain = unicodedata.normalize("NFC", unicodedata.normalize("NFKC", name).casefold())
    word = "".join(letter if letter.isalnum() else "-" for letter in plain)
    return word.encode()[:_LONGEST_WORD].decode(errors="ignore").strip("-") or "segment"


def _free(word: str, taken: set[str]) -> str:
    n = 1
    while (numbered := word if n == 1 else f"{word}-{n}") in taken:
        n += 1
    return numbered
