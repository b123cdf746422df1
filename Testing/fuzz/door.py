"""What is the same for every door."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from .cases import Case, Content, Link, Pipe, Repeated, Sparse
from .mutators import BYTES, Mutator, mutated

Mutate = Callable[[Random, Sequence[Case]], Case]
NINE_GB = 9 << 30


class OtherVoxelsError(Exception):
    """A damaged file was accepted, with other voxels than were packed."""


@dataclass(frozen=True)
class Door:
    """A door of the library.

    Attributes:
        name: Of the door.
        seeds: Intact cases; each is accepted, but for commands that are refused on purpose.
        mutate: A changed case of them.
        use: Open a case that lies in a folder; whatever is lazy is made to happen.
        hostile: Cases made by hand, each of which once killed, hung or fooled a reader.
    """

    name: str
    seeds: Callable[[], Sequence[Case]]
    mutate: Mutate
    use: Callable[[Path, Case], object]
    hostile: Callable[[], Sequence[Case]] = tuple


def by_name(mutators: Mapping[str, Mutator]) -> Mutate:
    """Change one of the files whose names end as said; now and then it is replaced by something odd."""

    def mutate(random: Random, seeds: Sequence[Case]) -> Case:
        seed = random.choice(seeds)
        known = [(name, ending) for name in sorted(seed.files) for ending in mutators if name.endswith(ending)]
        name, ending = random.choice(known)
        content = seed.files[name]
        if random.random() < 0.01:
            return changed(seed, name, random.choice(odd_files()), "odd")
        if not isinstance(content, bytes):
            return seed
        return changed(seed, name, mutators[ending](random, content), "changed")

    return mutate


def changed(case: Case, name: str, content: Content | None, note: str) -> Case:
    """A case with a file replaced, or without it."""
    files = {key: value for key, value in case.files.items() if key != name}
    return replace(case, files=files if content is None else {**files, name: content}, note=f"{note}: {name}")


def odd_files() -> tuple[Content | None, ...]:
    """What can stand where a file belongs."""
    zeros = Repeated(gzip_head(), zero_blocks(1 << 20), 4000)
    return (None, b"", b"\0", b"{", Pipe(), Link("/dev/zero"), Link("nothing"), Link("."), Sparse(NINE_GB), zeros)


def odd_cases(seed: Case, *names: str) -> list[Case]:
    """Cases with an odd file in the place of each of these."""
    return [
        changed(seed, name, odd, f"{type(odd).__name__} {getattr(odd, 'target', '')}")
        for name in names
        for odd in (Pipe(), Link("/dev/zero"), Link("/dev/tty"), Link("."), Sparse(NINE_GB), None, b"")
    ]


def head_first(size: int) -> Mutator:
    """Change the first bytes more often than the others."""

    def mutate(random: Random, content: bytes) -> bytes:
        if random.random() < 0.3:
            return mutated(random, content, BYTES)
        return mutated(random, content[:size], BYTES) + content[size:]

    return mutate


def packed(inner: Mutator) -> Mutator:
    """Change what a gzip holds, or the gzip itself."""

    def mutate(random: Random, content: bytes) -> bytes:
        action = random.random()
        if action < 0.4:
            return mutated(random, content, BYTES)
        if action < 0.45:
            return content + random.choice((b"x", b"\0" * 99, gzip.compress(b"more"), content))
        return gzip.compress(inner(random, gzip.decompress(content)), 1, mtime=0)

    return mutate


def texts_and_data(mark: bytes, text: Mutator, data: Sequence[Mutator] = BYTES) -> Mutator:
    """Change the text of a header or what follows its mark."""

    def mutate(random: Random, content: bytes) -> bytes:
        head, found, rest = content.partition(mark)
        action = random.random()
        if action < 0.1:
            return mutated(random, content, BYTES)
        if action < 0.3 and rest:
            return head + found + mutated(random, rest, data)
        return text(random, head) + found + rest

    return mutate


def some_of(mutators: Sequence[Mutator]) -> Mutator:
    """One to four of these, one after another."""
    return lambda random, content: mutated(random, content, mutators)


def gzip_head() -> bytes:
    """The first ten bytes of a gzip file (RFC 1952)."""
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff"


def zero_blocks(size: int) -> bytes:
    """Deflate blocks of so many zeros that may stand one after another (RFC 1951)."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflate.compress(bytes(size)) + deflate.flush(zlib.Z_FULL_FLUSH)


def endless_gzip(content: bytes, gigabytes: int = 10) -> Repeated:
    """A gzip of some content and then zeros without end, in small room."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = deflate.compress(content) + deflate.flush(zlib.Z_FULL_FLUSH)
    return Repeated(gzip_head() + first, zero_blocks(1 << 24), gigabytes * 64)
