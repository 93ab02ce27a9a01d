"""The page over HTTP, and who may have it."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ..handshake import Response

if TYPE_CHECKING:
    from ..handshake import Request

__all__ = ["SOCKETS", "Site", "origins_of"]

SOCKETS: Final = ("/live", "/frames", "/echo")
"""Paths of the WebSockets."""

_KINDS: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

_RESOURCE_POLICY: Final = "Cross-Origin-Resource-Policy"
_PLAIN: Final = "text/plain; charset=utf-8"


def origins_of(host: str, address: str, port: int) -> list[str]:
    """The origins under which a page of this server can be reached.

    Args:
        host: a name or an address, as it was asked for.
        address: what was bound.
        port: likewise.

    Raises:
        ValueError: every address of the machine was bound, so that nobody knows.
    """
    bound = ipaddress.ip_address(address)
    if bound.is_unspecified:
        raise ValueError(f"{host} is every address of this machine: name one, or say which --origin it has")
    names = [host.strip("[]"), address, *(["localhost"] if bound.is_loopback else [])]
    hosts = dict.fromkeys(f"[{name}]" if ":" in name else name.lower() for name in names)
    # Browsers leave the port of their scheme out.
    return [f"http://{name}{'' if port == 80 else f':{port}'}" for name in hosts]


class Site:
    """Answers requests for pages.

    Args:
        origins: of the page, such as ``http://127.0.0.1:8766``; the Host of a
            request has to be one of theirs, so that no name which somebody
            else points here (DNS rebinding) gets the page or its sockets.
    """

    def __init__(self, origins: Sequence[str]) -> None:
        self._hosts = frozenset(urlsplit(origin).netloc for origin in origins)
        self._headers = _headers(origins)
        self._files = _files()

    def answer(self, request: Request) -> Response | None:
        """The answer, None for a WebSocket."""
        path, _, _ = request.path.partition("?")
        if request.headers.get("Host", "").lower() not in self._hosts:
            return self._response(421, _PLAIN, b"This server has another name.\n")
        if request.is_upgrade and path in SOCKETS:
            return None
        if path == "/poll":
            # No more than an answer to polling needs: its head is measured.
            return Response(200, [("Content-Type", "application/json")], _size_of(request))
        found = self._files.get("/index.html" if path == "/" else path)
        if found is None:
            return self._response(404, _PLAIN, b"Not found.\n")
        if path != "/document.css":
            return self._response(200, *found)
        # A sandbox has an origin of its own, and this is for it.
        return Response(200, [("Content-Type", found[0]), (_RESOURCE_POLICY, "cross-origin")], found[1])

    def _response(self, status: int, kind: str, body: bytes) -> Response:
        return Response(status, [("Content-Type", kind), *self._headers], body)


def _files() -> dict[str, tuple[str, bytes]]:
    folder = resources.files(__package__).joinpath("static")
    return {
        f"/{file.name}": (_KINDS[suffix], file.read_bytes())
        for file in folder.iterdir()
        if (suffix := file.name[file.name.rfind(".") :]) in _KINDS
    }


def _headers(origins: Sequence[str]) -> list[tuple[str, str]]:
    # Not every browser counts ws: to 'self'.
    sockets = " ".join(origin.replace("http", "ws", 1) for origin in origins)
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' blob:",
        # Of messages in HTML, which have this policy too and a sandbox around them.
        "frame-src": "'self'",
        "connect-src": f"'self' {sockets}",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return [
        ("Content-Security-Policy", "; ".join(f"{name} {value}" for name, value in policy.items())),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        # With both of these the page gets a clock of 5 us instead of 100.
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Embedder-Policy", "require-corp"),
        (_RESOURCE_POLICY, "same-origin"),
        ("Cache-Control", "no-store"),
    ]


def _size_of(request: Request) -> bytes:
    """How many bytes this very request has, as it came."""
    line = f"GET {request.path} HTTP/1.1\r\n"
    return json.dumps({"request": len(line) + len(request.headers.serialize()) + len("\r\n")}).encode()
