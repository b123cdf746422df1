"""A web server on this machine that does what servers do."""

from .answers import breaks_off, hangs, leads_to, refuses, says_length, whole, without_parts
from .server import Asked, LocalWeb, certificate, https_context, local_web

__all__ = [
    "Asked",
    "LocalWeb",
    "breaks_off",
    "certificate",
    "hangs",
    "https_context",
    "leads_to",
    "local_web",
    "refuses",
    "says_length",
    "whole",
    "without_parts",
]
