"""What a door is given: a small folder of files, and the arguments of a command."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from pathlib import Path

HERE = b"@FOLDER@"
"""Stands in files for the folder of the case, which is not known before."""


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    target: str


@dataclass(frozen=True)
class Pipe:
    """A named pipe that nobody writes to."""


@dataclass(frozen=True)
class Sparse:
    """A file that claims a size and takes no room: `head`, then zeros."""

    size: int
    head: bytes = b""


@dataclass(frozen=True)
class Repeated:
    """A file of `head` and many times the same: as small here as it is large there."""

    head: bytes
    block: bytes
    times: int
    tail: bytes = b""


Content = bytes | Link | Pipe | Sparse | Repeated
Files = dict[str, Content]


@dataclass(frozen=True)
class Case:
    """What a door is given.

    Attributes:
        files: Content by name, relative to the folder of the case; folders are made.
        arguments: Of a command.
        note: Which hostile case it is, or how it was made.
    """

    files: Files
    arguments: tuple[str, ...] = ()
    note: str = ""

    def write(self, folder: Path) -> None:
        """Put the files into a folder."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, content, os.fsencode(folder))

    def to_json(self) -> str:
        """One line of text that `from_json` reads."""
        files = {name: _to_json(content) for name, content in self.files.items()}
        return json.dumps({"note": self.note, "arguments": self.arguments, "files": files})

    @classmethod
    def from_json(cls, text: str) -> Case:
        """The inverse of `to_json`."""
        document = json.loads(text)
        files = {name: _from_json(content) for name, content in document["files"].items()}
        return cls(files, tuple(document["arguments"]), document["note"])


def _write(path: Path, content: Content, folder: bytes) -> None:
    match content:
        case bytes():
            path.write_bytes(content.replace(HERE, folder))
        case Link(target):
            path.symlink_to(target)
        case Pipe():
            os.mkfifo(path)
        case Sparse(size, head):
            path.write_bytes(head)
            os.truncate(path, size)
        case Repeated(head, block, times, tail):
            with path.open("wb") as file:
                file.write(head)
                file.writelines(block for _ in range(times))
                file.write(tail)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _to_json(content: Content) -> list[object]:
    match content:
        case bytes():
            return ["bytes", _text(content)]
        case Link(target):
            return ["link", target]
        case Pipe():
            return ["pipe"]
        case Sparse(size, head):
            return ["sparse", size, _text(head)]
        case Repeated(head, block, times, tail):
            return ["repeated", _text(head), _text(block), times, _text(tail)]


def _from_json(parts: list) -> Content:
    match parts:
        case ["bytes", content]:
            return base64.b64decode(content)
        case ["link", target]:
            return Link(target)
        case ["pipe"]:
            return Pipe()
        case ["sparse", size, head]:
            return Sparse(size, base64.b64decode(head))
        case ["repeated", head, block, times, tail]:
            return Repeated(base64.b64decode(head), base64.b64decode(block), times, base64.b64decode(tail))
    raise ValueError(f"no content: {parts!r}")
