"""Numbers with their nouns, for what people read."""

from __future__ import annotations


def counted(count: int, one: str, many: str = "") -> str:
    """A number and what is counted.

    Args:
        count: How many.
        one: The noun for one.
        many: The noun for none or several; empty for `one` with an s.

    Example:
        >>> counted(1, "segment"), counted(2, "segment"), counted(0, "series", "series")
        ('1 segment', '2 segments', '0 series')
    """
    return f"{count} {one if count == 1 else many or one + 's'}"
