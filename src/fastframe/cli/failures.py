"""What went wrong, in one line."""

from __future__ import annotations

import os
import re
import sys

from ..errors import RejectedByServer
from .showing import quoted

__all__ = ["Failure", "Interrupted", "complain", "describe"]

_MAX_BODY = 200
"""Characters of a refusal's first line that are shown."""


class Failure(Exception):
    """Ends the command: the line to print, and the exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


class Interrupted(Exception):
    """A signal has ended the command's coroutine: its number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


def complain(message: str) -> None:
    """Print one line to standard error."""
    print(f"fastframe: {quoted(message)}", file=sys.stderr, flush=True)


def describe(error: Exception) -> str:
    """What an attempt to connect, or to listen, has failed with.

    Args:
        error: an OSError, a HandshakeError or a ValueError.
    """
    # A program that `accelerate` runs imports these itself, when it wants to.
    import socket
    import ssl

    if isinstance(error, RejectedByServer):
        return _rejection(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {(error.reason or str(error)).lower().replace('_', ' ')}"
    if isinstance(error, socket.gaierror):
        return _lower(error.strerror or str(error))
    if isinstance(error, OSError):
        return _system_error(error)
    return str(error)


def _rejection(error: RejectedByServer) -> str:
    response = error.response
    described = f"the server answered with HTTP status {response.status} {response.reason}".rstrip()
    # The words of a page made for browsers say nothing in one line.
    kinds = [kind.partition(";")[0].strip().lower() for kind in response.headers.get_all("Content-Type")]
    if any(kind not in ("text/plain", "application/json") for kind in kinds):
        return described
    first, _, _ = response.body.decode(errors="replace").strip().partition("\n")
    return f"{described}: {first[:_MAX_BODY].rstrip()}" if first else described


def _system_error(error: OSError) -> str:
    # asyncio puts an address into the text, and one error for each address of
    # a name into one text; the numbers say it all.
    numbers = [error.errno] if error.errno else [int(n) for n in re.findall(r"\[Errno (\d+)\]", str(error))]
    words = [_lower(os.strerror(number)) for number in dict.fromkeys(numbers)]
    return ", ".join(words) or str(error) or type(error).__name__


def _lower(words: str) -> str:
    return words[:1].lower() + words[1:]
