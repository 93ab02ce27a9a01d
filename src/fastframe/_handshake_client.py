"""The client's side of the opening handshake (RFC 6455 section 4.1)."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import h11

from ._handshake_common import (
    DEFAULT_MAX_HEADER_COUNT,
    DEFAULT_MAX_HEADER_SIZE,
    DEFAULT_MAX_HEADERS_BYTES,
    HANDSHAKE_HEADERS,
    PRODUCT,
    VERSION,
    Response,
    accept_key,
    check_subprotocols,
    decoded_headers,
    listed,
    refuse_headers,
    single,
)
from ._http_head import HeadLimits
from ._http_response import ResponseReader
from .errors import InvalidResponse, RejectedByServer
from .http_headers import Headers, HeadersLike, MultipleValues, parse_extensions, parse_token_list
from .uri import WebSocketURI, basic_authorization, parse_uri

if TYPE_CHECKING:
    from .deflate import DeflateCodec, PerMessageDeflate

MAX_REJECTION_BODY = 65536
"""Bytes that are read of the body of an answer that does not accept the connection."""

# h11 gets a body in pieces no larger than this, and no line of a chunked one
# may be longer: its regular expressions for chunk headers and trailers can
# take time quadratic in the length of a line.
_PIECE = 1024


class ClientHandshake:
    """The client's side of one opening handshake.

    Send what `request` returns, then `receive` until it returns the response.
    When it raises, the connection is to be closed.

    Args:
        uri: what to connect to.
        origin: value of the header Origin, which browsers send.
        subprotocols: those to offer, the preferred one first.
        deflate: the wishes for permessage-deflate, or None not to offer it.
        extra_headers: further header fields. A Host, Authorization or
            User-Agent among them takes the place of the handshake's own.
        user_agent_header: value of the header User-Agent, or None for none.
        max_header_count: header fields of the response at most.
        max_header_size: bytes at most in its status line and in each field.
        max_headers_bytes: bytes at most in all of that.
        key: Sec-WebSocket-Key, for tests; random otherwise.

    Raises:
        InvalidURI: the URI is none.
        TypeError: a string is given instead of a sequence of strings.
        ValueError: an option has an impossible value, or an extra header is
            no proper one or not the caller's to set.

    Attributes:
        uri: what to connect to, parsed.
        headers: the request's.
        response: the answer that accepts the connection, once it is there.
        subprotocol: the one that the server has chosen, or None.
        deflate: the codec of the connection if permessage-deflate was agreed on.
    """

    def __init__(
        self,
        uri: str | WebSocketURI,
        *,
        origin: str | None = None,
        subprotocols: Sequence[str] | None = None,
        deflate: PerMessageDeflate | None = None,
        extra_headers: HeadersLike = (),
        user_agent_header: str | None = PRODUCT,
        max_header_count: int = DEFAULT_MAX_HEADER_COUNT,
        max_header_size: int = DEFAULT_MAX_HEADER_SIZE,
        max_headers_bytes: int = DEFAULT_MAX_HEADERS_BYTES,
        key: str | None = None,
    ) -> None:
        limits = HeadLimits(max_header_count, max_header_size, max_headers_bytes).check()
        self.uri = parse_uri(uri) if isinstance(uri, str) else uri
        # RFC 6455 section 4.1: "a nonce consisting of a randomly selected
        # 16-byte value", fresh for each connection.
        key = base64.b64encode(os.urandom(16)).decode() if key is None else key
        self._accept = accept_key(key)
        self._subprotocols = check_subprotocols(subprotocols)
        self._wishes = deflate
        self.headers = self._request_headers(key, origin, user_agent_header, Headers(extra_headers))
        http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_PIECE)
        self._request = self._serialize_request(http)
        self._reader: ResponseReader | None = ResponseReader(http, limits, InvalidResponse)
        self._http: h11.Connection | None = http
        self._rejection: Response | None = None
        self._body = bytearray()
        self.response: Response | None = None
        self.subprotocol: str | None = None
        self.deflate: DeflateCodec | None = None
        self._trailing: list[bytes] = []

    @property
    def trailing(self) -> bytes:
        """Bytes that came after the response: the connection's first ones."""
        return b"".join(self._trailing)

    def request(self) -> bytes:
        """Return the request, the same at every call."""
        return self._request

    def receive(self, data: bytes) -> Response | None:
        """Take bytes of the socket.

        What comes after the response is kept in `trailing`; what comes after
        a failure is dropped.

        Returns:
            The response that accepts the connection, once; None while more of
            it is needed, and afterwards.

        Raises:
            RejectedByServer: the status is not 101; `response` of the
                exception has the body, or its first 64 KiB.
            InvalidResponse: the response is malformed, breaks a limit, or
                does not accept what was asked for.
        """
        if self._reader is not None:
            reader, self._reader = self._reader, None
            event = reader.receive(data)
            if event is None:
                self._reader = reader
                return None
            return self._judge(event, reader.rest)
        if self._rejection is not None:
            self._read_body(data)
        elif self.response is not None:
            self._trailing.append(data)
        return None

    def end_of_data(self) -> None:
        """Note that the server has closed the connection; does nothing after the end of the handshake.

        Raises:
            RejectedByServer: in the body of an answer: it has what came of it.
            InvalidResponse: before the end of an answer's head.
        """
        if self._rejection is not None:
            self._reject()
        if self._reader is not None:
            self._reader = None
            raise InvalidResponse("server closed the connection before the end of its HTTP response")

    def _request_headers(
        self, key: str, origin: str | None, user_agent: str | None, extra: Headers
    ) -> Headers:
        refuse_headers(extra, HANDSHAKE_HEADERS)
        headers = Headers()

        def add_unless_given(name: str, value: str | None) -> None:
            if value is not None and name not in extra:
                headers.add(name, value)

        add_unless_given("Host", self.uri.host_header)
        headers.add("Upgrade", "websocket")
        headers.add("Connection", "Upgrade")
        headers.add("Sec-WebSocket-Key", key)
        add_unless_given("Origin", origin)
        if self._subprotocols:
            headers.add("Sec-WebSocket-Protocol", ", ".join(self._subprotocols))
        headers.add("Sec-WebSocket-Version", VERSION)
        if self._wishes is not None:
            headers.add("Sec-WebSocket-Extensions", self._wishes.offer())
        if self.uri.username is not None:
            add_unless_given("Authorization", basic_authorization(self.uri.username, self.uri.password or ""))
        add_unless_given("User-Agent", user_agent)
        for name, value in extra.items():
            headers.add(name, value)
        for name in ("Host", "Origin"):
            if len(headers.get_all(name)) > 1:
                raise ValueError(f"header {name} is given more than once")
        return headers

    def _serialize_request(self, http: h11.Connection) -> bytes:
        event = h11.Request(method="GET", target=self.uri.resource_name, headers=self.headers.raw())
        request = http.send(event)
        assert request is not None
        http.send(h11.EndOfMessage())
        return request

    def _judge(self, event: h11.Response | h11.InformationalResponse, rest: bytes) -> Response | None:
        http, self._http = self._http, None
        response = Response(event.status_code, decoded_headers(event), reason=event.reason.decode("latin-1"))
        if event.status_code == 101:
            if event.http_version != b"1.1":
                raise InvalidResponse(f"status 101 in an HTTP/{event.http_version.decode()} response")
            self._check_acceptance(response.headers)
            self.response = response
            self._trailing.append(rest)
            return response
        if "Transfer-Encoding" in response.headers and "Content-Length" in response.headers:
            # RFC 9112 section 6.3: "ought to be handled as an error".
            raise InvalidResponse("both Transfer-Encoding and Content-Length")
        self._http, self._rejection = http, response
        self._read_body(rest)
        return None

    def _check_acceptance(self, headers: Headers) -> None:
        """Check what RFC 6455 section 4.1 demands of the server's handshake."""
        fields = headers.by_name()
        try:
            upgrade = single(fields, "Upgrade")
            if upgrade.lower() != "websocket":
                raise InvalidResponse(f"Upgrade header {upgrade!r} is not websocket")
            if "upgrade" not in parse_token_list(listed(fields, "Connection").lower()):
                raise InvalidResponse("Connection header does not have Upgrade")
            accept = single(fields, "Sec-WebSocket-Accept")
            if accept != self._accept:
                raise InvalidResponse(f"Sec-WebSocket-Accept {accept!r} does not answer our key")
            # RFC 9112 section 6.1 and RFC 9110 section 8.6: neither belongs
            # into an answer with 1xx; a length of 0 does no harm.
            if "transfer-encoding" in fields or single(fields, "Content-Length", "0").strip("0"):
                raise InvalidResponse("status 101 with a body")
            if "sec-websocket-protocol" in fields:
                self.subprotocol = self._chosen(single(fields, "Sec-WebSocket-Protocol"))
            self.deflate = self._agreed(single(fields, "Sec-WebSocket-Extensions"))
        except (ValueError, MultipleValues) as error:
            raise InvalidResponse(str(error)) from None

    def _chosen(self, subprotocol: str) -> str:
        # RFC 6455 section 4.1: "if this header field indicates the use of a
        # subprotocol that was not present in the client's handshake [...] the
        # client MUST _Fail the WebSocket Connection_". None at all is allowed.
        if subprotocol not in self._subprotocols:
            raise InvalidResponse(f"Sec-WebSocket-Protocol {subprotocol!r} was not offered")
        return subprotocol

    def _agreed(self, value: str) -> DeflateCodec | None:
        extensions = parse_extensions(value)
        for place, extension in enumerate(extensions):
            if self._wishes is None or extension.name != "permessage-deflate":
                raise InvalidResponse(f"extension {extension.name!r} was not offered")
            if place > 0:
                raise InvalidResponse(f"extension {extension.name!r} occurs more than once")
        return self._wishes.confirm(extensions[0]) if self._wishes is not None and extensions else None

    def _read_body(self, data: bytes) -> None:
        http = self._http
        assert http is not None
        try:
            for start in range(0, max(len(data), 1), _PIECE):
                # To h11 an empty piece means the end of data.
                if data:
                    http.receive_data(data[start : start + _PIECE])
                while isinstance(event := http.next_event(), h11.Data):
                    self._body += event.data
                    if len(self._body) >= MAX_REJECTION_BODY:
                        self._reject()
                if event is not h11.NEED_DATA:
                    self._reject()
            return
        except h11.RemoteProtocolError:
            # The status is what counts; nothing else comes of this connection.
            pass
        self._reject()

    def _reject(self) -> NoReturn:
        response, self._rejection, self._http = self._rejection, None, None
        assert response is not None
        response.body = bytes(self._body[:MAX_REJECTION_BODY])
        raise RejectedByServer(response)
