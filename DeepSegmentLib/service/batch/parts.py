"""A part of the cases of a folder, so that several machines can share them without speaking to each other."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeVar

from DeepSegmentLib.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_T = TypeVar("_T")


@dataclass(frozen=True)
class Part:
    """One of several parts that are disjoint and complete together; the whole is part 1 of 1.

    Attributes:
        number: Which, from 1.
        count: Of how many.
    """

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise InvalidInputError(f"part {self.number} of {self.count} is none; give 1/8 to 8/8 for eight parts")

    @classmethod
    def parse(cls, text: str) -> Self:
        """A part as it is typed.

        Raises:
            InvalidInputError: It is none.

        Example:
            >>> Part.parse("2/8")
            Part(number=2, count=8)
        """
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text.strip())
        if not found:
            raise InvalidInputError(f"{text!r} is no part; write 2/8 for the second of eight")
        return cls(int(found[1]), int(found[2]))

    def of(self, cases: Sequence[_T]) -> tuple[_T, ...]:
        """The cases of this part: every count-th, so that neighbours, which are often alike, are shared fairly.

        Args:
            cases: All of them, in an order that is the same wherever a part is worked.
        """
        return tuple(cases[self.number - 1 :: self.count])

    def own(self, path: Path) -> Path:
        """A file that each part writes for itself.

        Example:
            >>> from pathlib import Path
            >>> Part(2, 8).own(Path("table.csv")).name, Part().own(Path("table.csv")).name
            ('table-2-of-8.csv', 'table.csv')
        """
        if self.count == 1:
            return path
        return path.with_name(f"{path.stem}-{self.number}-of-{self.count}{path.suffix}")
