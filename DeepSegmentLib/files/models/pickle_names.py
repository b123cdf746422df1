"""What a pickle would call and take when it is opened, read from its instructions; none of them is carried out.

References:
    Python's pickletools module, which documents every instruction of a pickle.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_INSTRUCTIONS = 10_000_000
"""Of a pickle: ten times what the longest known training (4000 epochs of 25 structures) writes to its log."""

# Instructions that tensors and plain data need. Others call what the pickle names in further ways, or name it by parts.
_KNOWN = frozenset(
    {
        "APPEND", "APPENDS", "BINBYTES", "BINFLOAT", "BINGET", "BININT", "BININT1", "BININT2", "BINPERSID", "BINPUT",
        "BINUNICODE", "BUILD", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_SET", "EMPTY_TUPLE", "GLOBAL", "LONG1", "LONG_BINGET",
        "LONG_BINPUT", "MARK", "NEWFALSE", "NEWOBJ", "NEWTRUE", "NONE", "PROTO", "REDUCE", "SETITEM", "SETITEMS",
        "SHORT_BINBYTES", "SHORT_BINSTRING", "STOP", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3",
    }
)  # fmt: skip
_TEXTS = frozenset(
    {"BINUNICODE", "BINUNICODE8", "SHORT_BINUNICODE", "UNICODE", "SHORT_BINSTRING", "BINSTRING", "STRING"}
)


@dataclass(frozen=True)
class Wants:
    """What a pickle asks for.

    Attributes:
        names: Functions and classes, such as "posix.system", in their order, each once.
        instructions: Those that neither tensors nor plain data need, such as "INST".
        largest_storage: The largest number in what it asks its reader for: voxels of a tensor.
    """

    names: tuple[str, ...]
    instructions: tuple[str, ...]
    largest_storage: int


def wants_of(file: IO[bytes]) -> Wants:
    """What the next pickle of a file would ask for; the file stands behind that pickle afterwards.

    Raises:
        ValueError: It is no intact pickle, or longer than `MOST_INSTRUCTIONS`.
    """
    names: dict[str, None] = {}
    unknown: dict[str, None] = {}
    largest, numbers, texts = 0, [0], ["?", "?"]
    for instruction, argument in _instructions(file):
        if instruction == "MARK":
            numbers = [0]
        elif type(argument) is int and "PUT" not in instruction and "GET" not in instruction:
            numbers.append(argument)
        elif instruction == "BINPERSID":
            largest = max(largest, *numbers)
        elif instruction in _TEXTS:
            texts = [texts[-1], str(argument)]
        names |= dict.fromkeys(_named(instruction, argument, texts))
        if instruction not in _KNOWN:
            unknown[instruction] = None
    return Wants(tuple(names), tuple(unknown), largest)


def _instructions(file: IO[bytes]) -> Iterator[tuple[str, Any]]:
    try:
        for count, (instruction, argument, _) in enumerate(pickletools.genops(file)):
            if count >= MOST_INSTRUCTIONS:
                raise ValueError(f"it has more than {MOST_INSTRUCTIONS} instructions")
            yield instruction.name, argument
    except (OverflowError, MemoryError, UnicodeError, AttributeError, IndexError) as error:
        raise ValueError(f"it is no intact pickle: {error}") from error


def _named(instruction: str, argument: Any, texts: list[str]) -> list[str]:
    """The name that an instruction calls for; that of STACK_GLOBAL is taken to be the last two texts."""
    if instruction in ("GLOBAL", "INST"):
        return [str(argument).replace(" ", ".", 1)]
    if instruction == "STACK_GLOBAL":
        return [".".join(texts)]
    return [f"the registered extension {argument}"] if instruction.startswith("EXT") else []
