"""What both roles of the opening handshake share: messages, limits, keys."""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import h11

from . import __version__
from .http_headers import Extension, Headers, HeadersLike, is_token, only_value

PRODUCT = f"fastframe/{__version__}"
"""What Server and User-Agent say unless the caller says otherwise."""

DEFAULT_MAX_HEADER_COUNT = 128
"""Header fields in a request or response at most, unless the caller says otherwise."""

DEFAULT_MAX_HEADER_SIZE = 8192
"""Bytes in a line of a request or response at most, unless the caller says otherwise."""

DEFAULT_MAX_HEADERS_BYTES = 65536
"""Bytes in a request, or in a response without its body, at most, unless the caller says otherwise."""

MAX_OFFERS = 128
"""Subprotocols in a request at most; and extensions with their parameters, all counted together."""

VERSION = "13"
"""The protocol version (RFC 6455 section 4.1)."""

MESSAGE_HEADERS = frozenset({"connection", "content-length", "transfer-encoding"})
"""In lower case: what a message says of its connection and its length, which no caller sets."""

HANDSHAKE_HEADERS = MESSAGE_HEADERS | {
    "upgrade",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
}
"""In lower case: what no caller sets in a request, or in an answer that accepts one."""

Fields: TypeAlias = dict[str, list[str]]
"""What `Headers.by_name` gives."""

# RFC 6455 section 4.2.1: "base64-encoded [...] value that, when decoded, is 16 bytes in length".
_KEY = re.compile("[A-Za-z0-9+/]{22}==")
# RFC 6455 section 1.3.
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass(slots=True)
class Request:
    """A client's request; its method is GET.

    Attributes:
        path: path and query as they were sent; of a whole URI (absolute-form,
            RFC 9112 section 3.2.2) they alone.
        headers: all header fields.
        is_upgrade: whether it asks for a WebSocket connection. If not, it may
            get an ordinary answer.
        subprotocols: offered ones, in the client's order.
        extensions: offered ones, in the client's order.
    """

    path: str
    headers: Headers
    is_upgrade: bool = False
    subprotocols: tuple[str, ...] = ()
    extensions: tuple[Extension, ...] = ()


@dataclass(slots=True, init=False)
class Response:
    """A server's answer.

    Args:
        status: 200 to 599 for an ordinary answer of `process_request`.
        headers: what `Headers` can be made from.
        body: the whole of it.
        reason: the words after the status; a server sends those of its status.

    Raises:
        ValueError: a header field is no proper one.

    Attributes:
        status: 101 for an accepted connection.
        headers: all header fields.
        body: empty for an accepted connection; as a client receives it, cut
            off after 64 KiB.
        reason: the words after the status.
    """

    status: int
    headers: Headers
    body: bytes
    reason: str

    def __init__(self, status: int, headers: HeadersLike = (), body: bytes = b"", reason: str = "") -> None:
        self.status = status
        self.headers = headers if isinstance(headers, Headers) else Headers(headers)
        self.body = body
        self.reason = reason


def accept_key(key: str) -> str:
    """Return the value of Sec-WebSocket-Accept (RFC 6455 section 4.2.2) for a Sec-WebSocket-Key.

    Args:
        key: 16 bytes in Base64.

    Raises:
        ValueError: it is something else.
    """
    check_key(key)
    return accept_checked_key(key)


def accept_checked_key(key: str) -> str:
    """The same for a key that `check_key` has seen."""
    digest = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    return binascii.b2a_base64(digest, newline=False).decode()


def check_key(key: str) -> None:
    """Check a Sec-WebSocket-Key.

    Raises:
        ValueError: it is not 16 bytes in Base64.
    """
    if _KEY.fullmatch(key) is None:
        raise ValueError(f"Sec-WebSocket-Key {key[:64]!r} is not 16 bytes in Base64")


def decoded_headers(event: h11.Request | h11.InformationalResponse | h11.Response) -> Headers:
    """Return the header fields that h11 has parsed, their names as they were sent.

    They are not checked again: h11 has found names to be tokens and taken
    white space off the values, and `HeadReader` lets no control character pass.
    """
    lines = b"\r\n".join([b": ".join(field) for field in event.headers.raw_items()])
    # RFC 9110 section 5.5: values are ISO-8859-1 historically, opaque in any case.
    return Headers.of_checked_lines(lines.decode("latin-1"))


def single(fields: Fields, name: str, default: str = "") -> str:
    """Return the value of the only field of this name, or `default` if there is none.

    Raises:
        MultipleValues: there are several.
    """
    value = only_value(name, fields.get(name.lower(), ()), default)
    assert value is not None, "there is a default"
    return value


def listed(fields: Fields, name: str) -> str:
    """Return the fields of this name as one list (RFC 9110 section 5.3)."""
    return ", ".join(fields.get(name.lower(), ()))


def check_subprotocols(subprotocols: Sequence[str] | None) -> tuple[str, ...]:
    """Return our own subprotocols.

    Raises:
        TypeError: a string instead of a sequence of strings.
        ValueError: one is no token (RFC 6455 section 4.1) or there twice.
    """
    if isinstance(subprotocols, str):
        raise TypeError(f"subprotocols must be a sequence of strings, got {subprotocols!r}")
    checked = tuple(subprotocols or ())
    for subprotocol in checked:
        if not is_token(subprotocol):
            raise ValueError(f"subprotocol {subprotocol!r} is not a token (RFC 9110 5.6.2)")
    if len(set(checked)) != len(checked):
        raise ValueError(f"subprotocols must differ from each other, got {', '.join(checked)}")
    return checked


def refuse_headers(headers: Headers, names: frozenset[str]) -> None:
    """Keep the caller from setting header fields that are ours to set.

    Args:
        headers: the caller's.
        names: ours, in lower case.

    Raises:
        ValueError: one of them is there.
    """
    for name in headers:
        if name.lower() in names:
            raise ValueError(f"header {name} is not for the caller to set")
