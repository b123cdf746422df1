"""A web server on this machine that does what servers do: break off, lie, lead elsewhere, change their mind."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Asked(BaseHTTPRequestHandler):
    """One request; answers are functions of it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        web: LocalWeb = self.server.web
        web.asked.append((self.path, dict(self.headers)))
        with suppress(ConnectionError, ssl.SSLError):
            answers = web.answers.get(self.path)
            if answers is None:
                self.send_error(404)
            else:
                (answers.pop(0) if len(answers) > 1 else answers[0])(self)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass

    def head(self, status: int, length: int | None, **headers: str) -> None:
        """The lines before the content."""
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Connection", "close")
        self.end_headers()

    def say(self, content: bytes) -> None:
        self.wfile.write(content)
        self.wfile.flush()


class LocalWeb:
    """Answers by path; the last answer of a path is given again and again.

    Attributes:
        address: Of its root, without a slash at the end.
        asked: Path and headers of each request so far.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, list[Callable[[Asked], None]]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Asked)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._server.web = self
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self._server.handle_error = lambda *_: None  # clients that do not trust it
        kind = "http" if context is None else "https"
        self.address = f"{kind}://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def serve(self, path: str, *answers: Callable[[Asked], None]) -> str:
        """Answer a path; its address."""
        self.answers[path] = list(answers)
        return self.address + path

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def local_web(context: ssl.SSLContext | None = None) -> Iterator[LocalWeb]:
    """A server for as long as the block lasts."""
    web = LocalWeb(context)
    try:
        yield web
    finally:
        web.close()


def certificate(folder: Path) -> tuple[Path, Path] | None:
    """Certificate and key of 127.0.0.1, signed by itself; None where there is no openssl command."""
    if shutil.which("openssl") is None:
        return None
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


def https_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """What a server needs that shows this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
