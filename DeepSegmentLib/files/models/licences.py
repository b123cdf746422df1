"""Licences of weights that are not for every use: said before a model is there, agreed to once for each licence."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from DeepSegmentLib.errors import LicenceError
from DeepSegmentLib.files.remembered import remember, remembered

if TYPE_CHECKING:
    from pathlib import Path

Agrees = Callable[[str], bool]
"""Is told a licence and what it keeps from, and answers whether the user agrees."""

# "NC" of Creative Commons, and how others say it.
_NON_COMMERCIAL = re.compile(r"(?<![a-z])nc(?![a-z])|non[- ]?commercial|research|academic", re.IGNORECASE)


@dataclass(frozen=True)
class Licence:
    """What the weights of a model may be used for.

    Attributes:
        name: An SPDX identifier where there is one.
        url: Where it can be read; may be empty.
        non_commercial: Whether commercial use is forbidden, or needs another licence.
        needs_key: Whether the publisher gives the weights only to those who hold a key.
    """

    name: str
    url: str = ""
    non_commercial: bool = False
    needs_key: bool = False

    @property
    def limits(self) -> str:
        """What it keeps from, in words; empty where it is for every use."""
        non_commercial = self.non_commercial or bool(_NON_COMMERCIAL.search(self.name))
        told = ("not for commercial use" if non_commercial else "", "for holders of a key" if self.needs_key else "")
        return ", ".join(filter(None, told))


def nobody_agrees(_: str) -> bool:
    """What a caller passes that cannot ask."""
    return False


def licence_question(licence: Licence, agreed: Path) -> str:
    """What the user has to agree with; empty where the licence is for every use, or was agreed to.

    Args:
        licence: Of the weights.
        agreed: The file of what was agreed to.
    """
    if not licence.limits or _key(licence) in remembered(agreed):
        return ""
    place = f" ({licence.url})" if licence.url else ""
    return f"licence {licence.name or 'of its publisher'}{place}: {licence.limits}"


def check_licence(model: str, licence: Licence, agrees: Agrees, agreed: Path) -> None:
    """Have a licence agreed to, and remember it.

    Raises:
        LicenceError: The user does not agree.
    """
    question = licence_question(licence, agreed)
    if not question:
        return
    if not agrees(f"{model}, {question}"):
        raise LicenceError(f"{model} is under the {question}; it is added when you agree to that (--accept-licence)")
    remember(agreed, {_key(licence): datetime.now(UTC).date().isoformat()})


def _key(licence: Licence) -> str:
    return f"{licence.name or licence.url}: {licence.limits}"
