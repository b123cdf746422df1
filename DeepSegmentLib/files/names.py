"""File names made of names that people gave: different ones stay different, on every file system."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST_WORD = 60  # bytes; leaves room for the rest of a name in the 255 that file systems take


def file_words(names: Iterable[str]) -> dict[str, str]:
    """A word for each name that can be part of a file name: letters, digits and dashes, without capitals.

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
