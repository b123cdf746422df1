"""What servers do: all as it should be, break off, hang, lie, lead elsewhere, refuse."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .server import Asked


def whole(content: bytes, tag: str = '"1"', **headers: str) -> Callable[[Asked], None]:
    """A server as it should be: it knows parts, and marks versions."""

    def answer(asked: Asked) -> None:
        begin = _begin(asked) if asked.headers.get("If-Range", tag) == tag else 0
        if begin:
            place = f"bytes {begin}-{len(content) - 1}/{len(content)}"
            asked.head(206, len(content) - begin, ETag=tag, Content_Range=place, **headers)
        else:
            asked.head(200, len(content), ETag=tag, **headers)
        asked.say(content[begin:])

    return answer


def without_parts(content: bytes, **headers: str) -> Callable[[Asked], None]:
    """A server that always gives everything."""

    def answer(asked: Asked) -> None:
        asked.head(200, len(content), **headers)
        asked.say(content)

    return answer


def breaks_off(content: bytes, after: int, tag: str = '"1"') -> Callable[[Asked], None]:
    """Gives so many bytes, from where it was asked, and closes the line."""

    def answer(asked: Asked) -> None:
        begin = _begin(asked)
        headers = {"Content_Range": f"bytes {begin}-{len(content) - 1}/{len(content)}"} if begin else {}
        asked.head(206 if begin else 200, len(content) - begin, ETag=tag, **headers)
        asked.say(content[begin : begin + after])
        asked.connection.shutdown(socket.SHUT_RDWR)

    return answer


def hangs(content: bytes, after: int, seconds: float, tag: str = '"1"') -> Callable[[Asked], None]:
    """Gives so many bytes and then nothing for a while; before the first line, where it gives none."""

    def answer(asked: Asked) -> None:
        if after:
            asked.head(200, len(content), ETag=tag)
            asked.say(content[:after])
        time.sleep(seconds)

    return answer


def says_length(content: bytes, length: int | None) -> Callable[[Asked], None]:
    """Gives all, and another length."""

    def answer(asked: Asked) -> None:
        asked.head(200, length)
        asked.say(content)

    return answer


def leads_to(place: str, status: int = 302) -> Callable[[Asked], None]:
    def answer(asked: Asked) -> None:
        asked.head(status, 0, Location=place)

    return answer


def refuses(status: int) -> Callable[[Asked], None]:
    def answer(asked: Asked) -> None:
        asked.head(status, 0)

    return answer


def _begin(asked: Asked) -> int:
    return int(asked.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
