"""The server's side of the opening handshake (RFC 6455 section 4.2)."""

from __future__ import annotations

import enum
import http
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING

from ._handshake_common import (
    DEFAULT_MAX_HEADER_COUNT,
    DEFAULT_MAX_HEADER_SIZE,
    DEFAULT_MAX_HEADERS_BYTES,
    HANDSHAKE_HEADERS,
    MAX_OFFERS,
    MESSAGE_HEADERS,
    PRODUCT,
    VERSION,
    Request,
    Response,
    accept_checked_key,
    accept_key,
    check_key,
    check_subprotocols,
    refuse_headers,
)
from ._http_head import HeadLimits, HeadReader
from ._http_request import RequestHead, check_request, cut_plain, cut_request, remembering
from .errors import InvalidRequest
from .http_headers import (
    Headers,
    HeadersLike,
    MultipleValues,
    parse_extensions,
    parse_token_list,
)

if TYPE_CHECKING:
    from .deflate import DeflateCodec, PerMessageDeflate

# RFC 9110 section 15.5.22: an answer with 426 "MUST send an Upgrade header
# field"; RFC 6455 section 4.2.2: and Sec-WebSocket-Version, "indicating the
# version(s) the server is capable of understanding".
_UPGRADE_REQUIRED = (("Upgrade", "websocket"), ("Sec-WebSocket-Version", VERSION))
# RFC 6455 section 4.2.2; the key follows.
_ACCEPTANCE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
_REASONS = {status.value: status.phrase for status in http.HTTPStatus}


class _Automatic(enum.Enum):
    AUTOMATIC = "the one that the handshake chooses"


AUTOMATIC = _Automatic.AUTOMATIC
"""For `ServerHandshake.accept`: choose the subprotocol as the options say."""


@dataclass(frozen=True, slots=True)
class _Options:
    """What `ServerHandshake` was told, checked."""

    limits: HeadLimits
    origins: Sequence[str | re.Pattern[str] | None] | None
    subprotocols: tuple[str, ...]
    select_subprotocol: Callable[[Sequence[str]], str | None] | None
    deflate: PerMessageDeflate | None
    server_header: Headers


class ServerHandshake:
    """The server's side of one opening handshake.

    `receive` until it returns the request, then `accept` or `reject`. When it
    raises, `reject` with the status and headers of the exception. In every
    case but acceptance the connection is to be closed after the answer.

    Args:
        origins: values of Origin to accept: strings are compared exactly,
            compiled patterns have to match the whole value, None stands for a
            request without Origin. Without `origins` every page on the web may
            connect through its visitors' browsers, with their cookies: give
            them wherever cookies or the network's borders protect something.
        subprotocols: those we speak, the preferred one first: the first one
            that the client offers too is chosen, in our order and not in
            the client's. If there is none the connection goes on without.
        select_subprotocol: chooses instead, from those that the client offers
            (in its order, maybe none), or returns None for no subprotocol; it
            may raise InvalidRequest to refuse. `subprotocols` are not looked at then.
        deflate: the wishes for permessage-deflate, or None to decline it.
        server_header: value of the header Server, or None for none.
        max_header_count: header fields at most.
        max_header_size: bytes at most in the request line and in each field.
        max_headers_bytes: bytes at most in all of it.

    Raises:
        TypeError: a string is given instead of a sequence of strings.
        ValueError: an option has an impossible value.

    Attributes:
        request: the request once it is known, even if it is refused later.
        response: the answer given, or None.
        subprotocol: the one chosen, or None.
        deflate: the codec of the connection if permessage-deflate was agreed on.
    """

    __slots__ = (
        "_is_head_method",
        "_keeps_trailing",
        "_key",
        "_options",
        "_reader",
        "_trailing",
        "_wants_head",
        "deflate",
        "request",
        "response",
        "subprotocol",
    )

    def __init__(
        self,
        *,
        origins: Sequence[str | re.Pattern[str] | None] | None = None,
        subprotocols: Sequence[str] | None = None,
        select_subprotocol: Callable[[Sequence[str]], str | None] | None = None,
        deflate: PerMessageDeflate | None = None,
        server_header: str | None = PRODUCT,
        max_header_count: int = DEFAULT_MAX_HEADER_COUNT,
        max_header_size: int = DEFAULT_MAX_HEADER_SIZE,
        max_headers_bytes: int = DEFAULT_MAX_HEADERS_BYTES,
    ) -> None:
        if isinstance(origins, str):
            raise TypeError(f"origins must be a sequence of strings, got {origins!r}")
        self._begin(
            _Options(
                HeadLimits(max_header_count, max_header_size, max_headers_bytes).check(),
                origins,
                check_subprotocols(subprotocols),
                select_subprotocol,
                deflate,
                Headers(() if server_header is None else {"Server": server_header}),
            )
        )

    def another(self) -> ServerHandshake:
        """Return a handshake of another connection, by the same options."""
        handshake = ServerHandshake.__new__(ServerHandshake)
        handshake._begin(self._options)
        return handshake

    def _begin(self, options: _Options) -> None:
        self._options = options
        self._wants_head = True
        # Only for a head that is no plain one, or comes in pieces.
        self._reader: HeadReader | None = None
        self._is_head_method = False
        self._key = ""
        self._keeps_trailing = False
        self._trailing: list[bytes] = []
        self.request: Request | None = None
        self.response: Response | None = None
        self.subprotocol: str | None = None
        self.deflate: DeflateCodec | None = None

    @property
    def trailing(self) -> bytes:
        """Bytes that came after the request: the connection's first ones."""
        return b"".join(self._trailing)

    def receive(self, data: bytes) -> Request | None:
        """Take bytes of the socket.

        What comes after the request is kept for `trailing`, without a limit:
        who takes time to answer stops reading. What comes after a failure is
        dropped.

        Returns:
            The request, once; None while more of it is needed, and afterwards.

        Raises:
            InvalidRequest: it is malformed, breaks a limit, has another method
                than GET, or asks for a WebSocket connection in a wrong way or
                from a wrong origin. A proper request for something else is
                returned, for an ordinary answer.
        """
        if not self._wants_head:
            if self._keeps_trailing:
                self._trailing.append(data)
            return None
        self._wants_head = False  # nor after an exception
        found = self._read_head(data)
        if found is None:
            self._wants_head = True
            return None
        parsed, rest = found
        self._is_head_method = parsed.method == "HEAD"
        path = check_request(parsed)
        self.request = request = Request(path, parsed.headers, _is_upgrade(parsed.fields))
        if request.is_upgrade:
            self._check_upgrade(request, parsed)
        self._keeps_trailing = True
        if rest:
            self._trailing.append(rest)
        return request

    def _read_head(self, data: bytes) -> tuple[RequestHead, bytes] | None:
        """Once it is complete, the head, and what came behind it."""
        reader, limits = self._reader, self._options.limits
        if reader is None:
            plain = cut_plain(data, limits)
            if plain is not None:
                return plain
            reader = HeadReader(limits, "request line", InvalidRequest)
        # It is not kept once it has done its work, or refused it.
        self._reader = None
        head = reader.receive(data)
        if head is None:
            self._reader = reader
            return None
        return cut_request(head), reader.rest

    def accept(
        self,
        request: Request,
        *,
        extra_headers: HeadersLike = (),
        subprotocol: str | _Automatic | None = AUTOMATIC,
    ) -> bytes:
        """Accept the connection.

        Args:
            request: what `receive` has returned.
            extra_headers: further header fields of the answer.
            subprotocol: instead of the one chosen by the options; None: none.

        Returns:
            The answer, to be sent before any frame.

        Raises:
            InvalidRequest: the request does not ask for a WebSocket
                connection, or `select_subprotocol` refuses it.
            ValueError: the subprotocol was not offered; an extra header is no
                proper one, or not the caller's to set.
            RuntimeError: the request is answered already.
        """
        if not request.is_upgrade:
            raise InvalidRequest("not a request for a WebSocket connection", 426, _UPGRADE_REQUIRED)
        chosen = self._choose(request.subprotocols) if subprotocol is AUTOMATIC else subprotocol
        if chosen is not None and chosen not in request.subprotocols:
            offered = ", ".join(request.subprotocols) or "none"
            raise ValueError(f"subprotocol {chosen!r} is not one that the client offers ({offered})")
        extra = None
        if extra_headers:
            extra = extra_headers if isinstance(extra_headers, Headers) else Headers(extra_headers)
            refuse_headers(extra, HANDSHAKE_HEADERS)
        # The key of this handshake's own request has been found and checked already.
        if request is self.request and self._key:
            accepted = accept_checked_key(self._key)
        else:
            accepted = accept_key(request.headers["Sec-WebSocket-Key"])
        headers = Headers.of_checked_lines(_ACCEPTANCE + accepted)
        if chosen is not None:
            headers.add("Sec-WebSocket-Protocol", chosen)
        wishes = self._options.deflate
        agreed = wishes.accept(request.extensions) if wishes is not None else None
        if agreed is not None:
            headers.add("Sec-WebSocket-Extensions", agreed[0])
        answer = self._answer(101, headers, extra)
        self.subprotocol = chosen
        self.deflate = agreed[1] if agreed else None
        return answer

    def reject(self, status: int, headers: HeadersLike = (), body: bytes = b"") -> bytes:
        """Give an ordinary HTTP answer, after which the connection is to be closed.

        Args:
            status: 200 to 599.
            headers: header fields; without a Content-Type among them a body is
                called plain text in UTF-8.
            body: the whole of it.

        Returns:
            The answer.

        Raises:
            TypeError: a body that is not bytes.
            ValueError: a status that has another meaning, or that has no body
                but is given one; a header that is no proper one, or not the
                caller's to set.
            RuntimeError: the request is answered already.
        """
        if not 200 <= status <= 599:
            raise ValueError(f"status must be in 200..599, got {status}")
        if not isinstance(body, (bytes, bytearray, memoryview)):
            raise TypeError(f"body must be bytes, got {type(body).__name__}")
        extra = Headers(headers)
        refuse_headers(extra, MESSAGE_HEADERS)
        # RFC 9110 section 7.8: "A sender of Upgrade MUST also send an
        # "Upgrade" connection option".
        ours = Headers([("Connection", "close, Upgrade" if "Upgrade" in extra else "close")])
        # RFC 9110 sections 6.4.1 and 8.6: no body, and no length of one.
        if status not in (204, 304):
            ours.add("Content-Length", str(len(body)))
        elif body:
            raise ValueError(f"an answer with status {status} has no body")
        if body and "Content-Type" not in extra:
            ours.add("Content-Type", "text/plain; charset=utf-8")
        if "Date" not in extra:
            ours.add("Date", formatdate(usegmt=True))
        answer = self._answer(status, ours, extra, body)
        # RFC 9110 section 9.3.2: no body for HEAD.
        return answer if self._is_head_method else answer + body

    def _answer(self, status: int, headers: Headers, extra: Headers | None, body: bytes = b"") -> bytes:
        if self.response is not None:
            raise RuntimeError(f"the request is answered already, with status {self.response.status}")
        if extra is not None:
            headers.extend(extra)
        if extra is None or "Server" not in extra:
            headers.extend(self._options.server_header)
        reason = _REASONS.get(status, "")
        self.response = Response(status, headers, body, reason)
        return b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, reason.encode(), headers.serialize())

    def _check_upgrade(self, request: Request, head: RequestHead) -> None:
        """Check what RFC 6455 section 4.2.1 demands, and read the offers."""
        fields = head.fields
        try:
            if head.repeated:
                head.refuse_repeated("Sec-WebSocket-Version", "Sec-WebSocket-Key", "Origin")
            version = fields.get("sec-websocket-version", "")
            if version != VERSION:
                raise InvalidRequest(f"Sec-WebSocket-Version {version!r} is not 13", 426, _UPGRADE_REQUIRED)
            key = fields.get("sec-websocket-key", "")
            check_key(key)
            self._key = key
            origin = fields.get("origin")
            if "sec-websocket-protocol" in fields:
                # Not remembered: some clients put a secret there.
                request.subprotocols = tuple(parse_token_list(_few(fields["sec-websocket-protocol"])))
            if "sec-websocket-extensions" in fields:
                request.extensions = _extensions(_few(fields["sec-websocket-extensions"]))
        except (ValueError, MultipleValues) as error:
            raise InvalidRequest(str(error)) from None
        origins = self._options.origins
        if origins is not None and not any(_matches(origin, allowed) for allowed in origins):
            shown = "without Origin" if origin is None else f"from origin {origin!r}"
            raise InvalidRequest(f"request {shown} is not allowed", 403)

    def _choose(self, offered: Sequence[str]) -> str | None:
        if self._options.select_subprotocol is not None:
            return self._options.select_subprotocol(offered)
        ours = self._options.subprotocols
        if not ours or not offered:
            return None
        return next((subprotocol for subprotocol in ours if subprotocol in offered), None)


def _is_upgrade(fields: dict[str, str]) -> bool:
    # RFC 9110 section 7.8: protocols are compared in any case; they may have a
    # version after "/", so they are no tokens.
    upgrade = fields.get("upgrade", "").lower()
    if upgrade != "websocket" and "websocket" not in [value.strip(" \t") for value in upgrade.split(",")]:
        return False
    connection = fields.get("connection", "").lower()
    if connection == "upgrade":
        return True
    try:
        options = parse_token_list(connection)
    except ValueError as error:
        raise InvalidRequest(f"malformed Connection header: {error}") from None
    return "upgrade" in options


def _few(offers: str) -> str:
    """Refuse more than `MAX_OFFERS`: they stay with the connection, at 40 times the memory of the field."""
    if offers.count(",") + offers.count(";") >= MAX_OFFERS:
        raise InvalidRequest(f"more than {MAX_OFFERS} offers in one header", 431)
    return offers


_extensions = remembering(lambda value: tuple(parse_extensions(value)))


def _matches(origin: str | None, allowed: str | re.Pattern[str] | None) -> bool:
    if isinstance(allowed, re.Pattern):
        return origin is not None and allowed.fullmatch(origin) is not None
    return origin == allowed
