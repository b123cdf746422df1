"""Terms of weights that are not for every use: said before a model is there, agreed to once."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import LicenceError
from DeepSegmentLib.files.remembered import remember, remembered

if TYPE_CHECKING:
    from pathlib import Path

Agrees = Callable[[str], bool]
"""Is told the terms of a model, and answers whether the user agrees."""

# "NC" of Creative Commons, and how others say it.
_NON_COMMERCIAL = re.compile(r"(?<![a-z])nc(?![a-z])|non[- ]?commercial|research|academic", re.IGNORECASE)


def nobody_agrees(_: str) -> bool:
    """What a caller passes that cannot ask."""
    return False


def terms_of(licence: str, url: str = "", *, non_commercial: bool = False, needs_key: bool = False) -> str:
    """What the user has to agree with before weights of a licence are here; empty where they are for every use.

    Args:
        licence: Its name, an SPDX identifier where there is one.
        url: Where it can be read; may be empty.
        non_commercial: Whether commercial use is forbidden, or needs another licence; some names tell it, too.
        needs_key: Whether the publisher gives the weights only to those who hold a key.

    Example:
        >>> terms_of("CC-BY-NC-4.0"), terms_of("Apache-2.0")
        ('licence CC-BY-NC-4.0: not for commercial use', '')
    """
    forbidden = non_commercial or bool(_NON_COMMERCIAL.search(licence))
    limits = ", ".join(("not for commercial use",) * forbidden + ("only for holders of a key",) * needs_key)
    place = f" ({url})" if url else ""
    return f"licence {licence or 'of its publisher'}{place}: {limits}" if limits else ""


def is_agreed(terms: str, agreed: Path) -> bool:
    """Whether there is nothing to agree with, or the user agreed to it before.

    Args:
        terms: See `terms_of`.
        agreed: The file of what was agreed to.
    """
    return not terms or terms in remembered(agreed)


def check_terms(model: str, terms: str, agrees: Agrees, agreed: Path) -> None:
    """Have the terms of a model agreed to, and remember it.

    Raises:
        LicenceError: The user does not agree.
    """
    if is_agreed(terms, agreed):
        return
    if not agrees(f"{model}: {terms}"):
        raise LicenceError(f"{model}: {terms}. It is added when you agree to that (--accept-licence)")
    remember(agreed, {terms: datetime.now(UTC).date().isoformat()})
