"""The list of known models with some of their files on a server of this machine; the others stay where they are."""

from __future__ import annotations

import json
import time
import zipfile
from dataclasses import asdict, replace
from io import BytesIO
from typing import TYPE_CHECKING

from DeepSegmentLib.files.models.known_models import Download, catalogue_folder, read_known_models

from .server import LocalWeb, certificate, https_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from DeepSegmentLib.files.models.known_models import KnownModel

    from .server import Asked


class LocalCatalogue:
    """A folder for `DEEPSEGMENT_CATALOGUE`.

    Args:
        folder: Where the list and the server's certificate go; made.

    Attributes:
        environment: What a process needs that gets models from here.
        web: The server.
    """

    def __init__(self, folder: Path) -> None:
        self._models = {model.name: model for model in read_known_models(catalogue_folder())}
        self._lists = folder / "lists"
        self._lists.mkdir(parents=True)
        made = certificate(folder)
        if made is None:
            raise RuntimeError("the openssl command is not installed")
        self.web: LocalWeb = LocalWeb(https_context(*made))
        self.environment = {
            "DEEPSEGMENT_CATALOGUE": str(self._lists), "SSL_CERT_FILE": str(made[0]), "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }  # fmt: skip
        self._write()

    def offer(self, name: str, *answers: Callable[[Asked], None], size: int | None = None) -> KnownModel:
        """Let the server give the one file of a known model, by these answers in a row."""
        address = self.web.serve(f"/{name}.zip", *answers)
        self._models[name] = replace(self._models[name], files=(Download(address, size),))
        self._write()
        return self._models[name]

    def _write(self) -> None:
        document = {"read_from": [], "left_out": "", "models": [asdict(model) for model in self._models.values()]}
        (self._lists / "models.json").write_text(json.dumps(document), encoding="utf-8")
        read_known_models.cache_clear()

    def close(self) -> None:
        """Stop the server."""
        self.web.close()


def zipped(folder: Path) -> bytes:
    """A zip file of all that is in a folder, as publishers of weights make them."""
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return content.getvalue()


def slowly(content: bytes, seconds: float, pieces: int = 50) -> Callable[[Asked], None]:
    """Gives all, in pieces over some time."""

    def answer(asked: Asked) -> None:
        asked.head(200, len(content), ETag='"1"')
        step = -(-len(content) // pieces)
        for begin in range(0, len(content), step):
            asked.say(content[begin : begin + step])
            time.sleep(seconds / pieces)

    return answer
