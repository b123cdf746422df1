"""A name that somebody typed, found among those that there are: capitals do not count, and slips get a suggestion."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

EVERYTHING = "all"
"""Stands for all names in a list of them, where no name is spelled so."""

_LONGEST_SHOWN = 100
"""Letters of a wrong name that a message repeats."""


def known_name(wish: str, known: Sequence[str], refusal: str) -> str:
    """The name that is meant: exactly, else whatever its capitals, spaces, dashes and underscores.

    Args:
        wish: As it was typed.
        known: The names that there are.
        refusal: How the message begins where none is meant, such as "the model has no segment".

    Raises:
        InvalidInputError: There is none, or several differ in capitals only.

    Example:
        >>> known_name("left_kidney", ["Left kidney", "Liver"], "no segment")
        'Left kidney'
    """
    alike = [wish] if wish in known else [name for name in dict.fromkeys(known) if _key(name) == _key(wish)]
    if len(alike) == 1:
        return alike[0]
    if alike:
        raise InvalidInputError(f"{wish!r} may be {' or '.join(map(repr, alike))}; write it as it is")
    raise InvalidInputError(f"{refusal} {wish!r}; {suggestion(wish, known)}it has: {', '.join(known) or 'none'}")


def known_names(wishes: Iterable[str], known: Sequence[str], refusal: str) -> tuple[str, ...]:
    """The names that are meant, each once, in the order of those known.

    Args:
        wishes: Names, or several with commas between them; "all" for everything.
        known: The names that there are, which may hold commas themselves.
        refusal: See `known_name`.

    Raises:
        InvalidInputError: See `known_name`; or no name is given.

    Example:
        >>> known_names(["liver,left kidney"], ["Left kidney", "Liver", "Spleen"], "no segment")
        ('Left kidney', 'Liver')
    """
    meant = {name for wish in wishes for name in _meant(wish, known, refusal)}
    if not meant:
        raise InvalidInputError(f"no segment is named; name some of: {', '.join(known)}")
    return tuple(name for name in dict.fromkeys(known) if name in meant)


def suggestion(wish: str, known: Iterable[str]) -> str:
    """The words "did you mean 'Liver'? " where a name is close, else nothing."""
    by_key = {_key(name): name for name in known}
    close = get_close_matches(_key(wish), by_key, n=1, cutoff=0.6)
    return f"did you mean {by_key[close[0]]!r}? " if close else ""


def unknown_name(name: str, names: Sequence[str]) -> str:
    """That there is no model of a name, and which is meant."""
    folded = {known.casefold(): known for known in names}
    close = [folded[match] for match in get_close_matches(name[:_LONGEST_SHOWN].casefold(), folded, n=3)]
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    shown = name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}..."
    return f"no model named {shown!r}{hint}"


def _meant(wish: str, known: Sequence[str], refusal: str) -> list[str]:
    keys = {_key(name) for name in known}
    if _key(wish) in keys or not wish.strip():
        return [known_name(wish, known, refusal)] if wish.strip() else []
    if _key(wish) == EVERYTHING:
        return list(known)
    return [known_name(part.strip(), known, refusal) for part in wish.split(",") if part.strip()]


def _key(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
