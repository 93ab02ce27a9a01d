"""The opening handshake (RFC 6455 section 4) for both roles, sans I/O.

Bytes of the socket go into `receive`; bytes for it come out of `request`,
`accept` and `reject`. Heads are cut out and refused by `_http_head`; a request
is parsed by `_http_request`, a response and its body by h11; and they are judged
by `_handshake_server` and `_handshake_client`. A handshake object belongs to
one connection and is dropped once that is open; h11's objects go even earlier.
"""

from __future__ import annotations

from ._handshake_client import MAX_REJECTION_BODY, ClientHandshake
from ._handshake_common import (
    DEFAULT_MAX_HEADER_COUNT,
    DEFAULT_MAX_HEADER_SIZE,
    DEFAULT_MAX_HEADERS_BYTES,
    PRODUCT,
    Request,
    Response,
    accept_key,
)
from ._handshake_server import AUTOMATIC, ServerHandshake
from .uri import WebSocketURI, basic_authorization, parse_uri

__all__ = [
    "AUTOMATIC",
    "DEFAULT_MAX_HEADERS_BYTES",
    "DEFAULT_MAX_HEADER_COUNT",
    "DEFAULT_MAX_HEADER_SIZE",
    "MAX_REJECTION_BODY",
    "PRODUCT",
    "ClientHandshake",
    "Request",
    "Response",
    "ServerHandshake",
    "WebSocketURI",
    "accept_key",
    "basic_authorization",
    "parse_uri",
]
