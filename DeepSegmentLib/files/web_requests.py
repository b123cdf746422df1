"""One request of a file in the web: who is asked, whom we trust, where it may lead, and what went wrong in plain words.

Proxies are those of the environment (`HTTPS_PROXY`, `NO_PROXY`, on Windows and macOS those of the system); trusted are
the certificates of the operating system and those in `SSL_CERT_FILE` and `REQUESTS_CA_BUNDLE`. What is sent tells
nothing of the user: see `docs/decisions/0028-downloads.md`.
"""

from __future__ import annotations

import os
import socket
import ssl
import sys
from http.client import HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    AbstractHTTPHandler,
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    getproxies,
)

from DeepSegmentLib.errors import DownloadError, MissingPackageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from http.client import HTTPMessage

Answer = HTTPResponse
"""What a server says: status, headers and bytes."""

SILENCE_S = 30.0
"""How long a server may say nothing."""

FAULTS = (OSError, HTTPException, ValueError)
"""What an answer that breaks off, or is none, lets through; ValueError: a length that is no number."""

_HEADERS = {"User-Agent": "DeepSegment", "Accept": "*/*", "Accept-Encoding": "identity"}
_MOST_REDIRECTS = 5  # GitHub and Zenodo need one or two
_LONGEST_TOLD = 200  # letters of an answer that is none
_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
# Where Linux keeps the certificates of the system, by truststore 0.10; Slicer's SSL_CERT_FILE would hide them.
_SYSTEM_CERTIFICATES = (
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/cert.pem",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/ca-bundle.pem",
)
_ANSWERS = {
    401: "wants a password; get the file with your browser, and add it from your disk",
    403: "refuses to give it; get the file with your browser, and add it from your disk",
    404: "does not have it any more; update DeepSegment, whose list may know where it went",
    407: "is behind a proxy that wants a password; write it into HTTPS_PROXY: http://user:password@proxy:port",
    410: "does not have it any more; update DeepSegment, whose list may know where it went",
    416: "has no such part of it; try again",
    429: "has given too much of late; try again in an hour",
    503: "is too busy; try again later",
}


class BrokenLineError(DownloadError):
    """Nobody answers, or the answer broke off: another attempt may do better."""


def request(address: str, headers: Mapping[str, str]) -> HTTPResponse:
    """Ask for a file and wait for the first line of the answer.

    Args:
        address: https, or http.
        headers: Beyond the usual ones, such as Range.

    Returns:
        The answer, of status 200, 206 or 416, to read and close.

    Raises:
        BrokenLineError: Nobody answers.
        DownloadError: The answer is another, or leads where we do not follow.
        MissingPackageError: truststore is not installed.
    """
    _check_address(address)
    try:
        answer: HTTPResponse = _opener().open(Request(address, headers={**_HEADERS, **headers}), timeout=SILENCE_S)
    except HTTPError as error:
        with error:
            raise DownloadError(_refusal(address, error)) from error
    except FAULTS as error:
        raise broken_line(address, error) from error
    return answer


def broken_line(address: str, error: Exception) -> BrokenLineError:
    """What `request` raises where nobody answers; also for an answer that broke off."""
    return BrokenLineError(_unreachable(address, error))


def _unreachable(address: str, error: Exception) -> str:
    """Why a server could not be asked, or broke off, and what to do."""
    cause = error.reason if isinstance(error, URLError) and isinstance(error.reason, Exception) else error
    host = urlsplit(address).hostname
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _untrusted(host, cause)
    if isinstance(cause, socket.gaierror):
        return (
            f"{host} cannot be found; is this computer in the network? Where only a proxy leads out, set HTTPS_PROXY "
            "to its address: http://proxy:port"
        )
    if isinstance(cause, TimeoutError):
        return f"{host} did not answer for {SILENCE_S:g} s; try again, or set HTTPS_PROXY where a proxy leads out"
    if isinstance(cause, ssl.SSLError):
        return f"{host} does not speak https as it should ({cause.reason or cause}); is HTTPS_PROXY right?"
    told = " ".join(str(cause).split())[:_LONGEST_TOLD] or type(cause).__name__
    return f"{host} cannot be reached ({told}); check the network and try again"


def _untrusted(host: str | None, cause: ssl.SSLCertVerificationError) -> str:
    return (
        f"{host} shows a certificate that is not trusted here ({cause.verify_message}). Many organisations read https "
        "with a certificate of their own: ask for its file (.pem) and set SSL_CERT_FILE to it; or get the model on "
        "another machine, and move it with `deepsegment models pack`. A wrong date of this computer does the same"
    )


def _refusal(address: str, error: HTTPError) -> str:
    host = urlsplit(address).hostname
    if 300 <= error.code < 400:
        place = str(error.headers.get("Location", "nowhere"))[:200]
        return (
            f"{host} leads from {address} to {place}, where DeepSegment does not follow: only to https, or from http "
            f"to http, and {_MOST_REDIRECTS} times at most; get the file with your browser, and add it from your disk"
        )
    told = _ANSWERS.get(error.code, f"answers {error.code} ({str(error.reason)[:100]}); try again later")
    return f"{host}: {address} cannot be got, the server {told}"


def _check_address(address: str) -> None:
    parts = urlsplit(address)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise DownloadError(f"{address!r:.300} is no address of the web; https://... is one")
    proxy = getproxies().get(parts.scheme, "")
    if proxy.lower().startswith("socks"):
        raise DownloadError(
            f"the proxy {proxy} speaks SOCKS, which DeepSegment does not; set HTTPS_PROXY to one of http"
        )


class _Redirects(HTTPRedirectHandler):
    """Follows a few steps, and none from https to http or out of the web."""

    max_redirections = _MOST_REDIRECTS
    max_repeats = 2

    def redirect_request(  # noqa: PLR0917 - as in urllib
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """The request of the next step, with the same headers.

        Raises:
            HTTPError: There is none.
        """
        if urlsplit(newurl).scheme not in ("https", req.type):
            raise HTTPError(newurl, code, msg, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Errors(HTTPErrorProcessor):
    """Makes an error of every answer but the good ones, and that a part is not there, which is no misfortune."""

    def http_response(self, request: Request, response: HTTPResponse) -> HTTPResponse:
        """The answer."""
        if response.status == 416:
            return response
        good: HTTPResponse = super().http_response(request, response)
        return good

    https_response = http_response


class _Https(AbstractHTTPHandler):
    """Opens https addresses; certificates are read when the first one is."""

    https_request = AbstractHTTPHandler.do_request_

    def https_open(self, req: Request) -> HTTPResponse:
        """The answer."""
        return self.do_open(HTTPSConnection, req, context=_trust())


def _opener() -> OpenerDirector:
    """What opens addresses; unlike urllib's own, neither files nor FTP."""
    opener = OpenerDirector()
    for kind in (ProxyHandler, HTTPHandler, _Https, HTTPDefaultErrorHandler, _Redirects, _Errors):
        opener.add_handler(kind())
    return opener


def _trust() -> ssl.SSLContext:
    """Trusts whom the operating system and the user's variables trust."""
    try:
        import truststore
    except ModuleNotFoundError as error:
        raise MissingPackageError("downloads need truststore; install it: pip install truststore") from error
    context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for variable in _CA_VARIABLES:
        if place := os.environ.get(variable):
            _load(context, Path(place), variable)
    if sys.platform.startswith("linux") and (found := [name for name in _SYSTEM_CERTIFICATES if Path(name).is_file()]):
        context.load_verify_locations(cafile=found[0])
    return context


def _load(context: Any, place: Path, variable: str) -> None:
    try:
        if place.is_dir():
            context.load_verify_locations(capath=str(place))
        else:
            context.load_verify_locations(cafile=str(place))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise DownloadError(f"{variable} is set to {place}, which holds no certificates (.pem): {error}") from error
