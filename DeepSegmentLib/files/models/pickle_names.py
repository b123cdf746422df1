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

DEEPEST = 100
"""Values within values; as of JSON. Python's own functions recurse into them."""

_LARGEST_NUMBER = 1 << 64
"""Those beyond could be chosen so that a dictionary puts them all in one place, and takes hours for it."""
_MAGIC = 0x1950A86A20F9469CFC6C
"""The number with which checkpoints of PyTorch before 1.6 begin."""

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
        ValueError: It is no intact pickle, longer than `MOST_INSTRUCTIONS`, also if everything in it that is used again
            were written again, or has tuples deeper than `DEEPEST`.
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
    tuples = _Tuples()
    try:
        for count, (instruction, argument, _) in enumerate(pickletools.genops(file)):
            if count >= MOST_INSTRUCTIONS:
                raise ValueError(f"it has more than {MOST_INSTRUCTIONS} instructions")
            tuples.step(instruction, argument)
            yield instruction.name, argument
    except (OverflowError, MemoryError, UnicodeError, AttributeError, IndexError) as error:
        raise ValueError(f"it is no intact pickle: {error}") from error


class _Tuples:
    """The size and depth of all tuples that a pickle makes: as keys of a dictionary they are walked through to the end.

    The stack and the memo of a pickle hold (size, depth) in the place of values.
    """

    def __init__(self) -> None:
        self._stack: list[tuple[int, int] | None] = []  # None: a mark
        self._memo: dict[int, tuple[int, int]] = {}
        self._used_again = 0

    def step(self, instruction: pickletools.OpcodeInfo, argument: Any) -> None:
        """Follow an instruction."""
        name = instruction.name
        if type(argument) is int and abs(argument) >= _LARGEST_NUMBER and argument != _MAGIC:
            raise ValueError("it holds a number of more than 64 bits")
        if "PUT" in name:
            self._memo[argument] = self._stack[-1] or (1, 0)
        elif "GET" in name:
            self._push(self._memo.get(argument, (1, 0)))
            self._used_again += self._memo.get(argument, (1, 0))[0]
            if self._used_again > MOST_INSTRUCTIONS:
                raise ValueError(f"it would have more than {MOST_INSTRUCTIONS} instructions without what it uses again")
        elif name == "MARK":
            self._stack.append(None)
        else:
            taken = self._taken(instruction)
            if name.startswith("TUPLE"):
                size, depth = 1 + sum(size for size, _ in taken), 1 + max((depth for _, depth in taken), default=0)
                self._push((size, depth))
            else:
                self._stack += [(1, 0)] * len(instruction.stack_after)

    def _push(self, value: tuple[int, int]) -> None:
        if value[1] > DEEPEST:
            raise ValueError(f"it has tuples in tuples, deeper than {DEEPEST}")
        self._stack.append(value)

    def _taken(self, instruction: pickletools.OpcodeInfo) -> list[tuple[int, int]]:
        """What an instruction takes from the stack."""
        before = instruction.stack_before
        single = len(before)
        taken: list[tuple[int, int]] = []
        if pickletools.markobject in before:
            single = before.index(pickletools.markobject)
            while (value := self._stack.pop()) is not None:
                taken.append(value)
        return taken + [self._stack.pop() or (1, 0) for _ in range(single)]


def _named(instruction: str, argument: Any, texts: list[str]) -> list[str]:
    """The name that an instruction calls for; that of STACK_GLOBAL is taken to be the last two texts."""
    if instruction in ("GLOBAL", "INST"):
        return [str(argument).replace(" ", ".", 1)]
    if instruction == "STACK_GLOBAL":
        return [".".join(texts)]
    return [f"the registered extension {argument}"] if instruction.startswith("EXT") else []
