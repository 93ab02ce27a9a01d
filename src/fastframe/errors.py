"""What fastframe raises.

::

    FastframeError
    ├── ProtocolError          the peer broke RFC 6455            close code 1002
    │   ├── InvalidUtf8        a text message is not UTF-8        close code 1007
    │   └── MessageTooBig      a limit of ours was exceeded       close code 1009
    ├── HandshakeError         the opening handshake failed
    │   ├── InvalidRequest     a client's request; says which HTTP status answers it
    │   ├── InvalidResponse    a server's answer
    │   │   └── RejectedByServer   a proper HTTP answer, but no acceptance
    │   └── ProxyError         a proxy did not open the way to the server
    ├── InvalidProxy           no proxy's URL (also a ValueError)
    ├── InvalidURI             no WebSocket URI (also a ValueError)
    └── ConnectionClosed       the conversation is over
        ├── ConnectionClosedOK     as both wanted (1000, 1001 or no code)
        └── ConnectionClosedError  for any other reason

`ProtocolError` and `HandshakeError` are the peer's fault. A mistake of the
caller is a ``TypeError`` or a ``ValueError``, raised at the call that makes it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .frames import Close
    from .handshake import Response
    from .recorder import RecordedFrame

__all__ = [
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "FastframeError",
    "HandshakeError",
    "InvalidProxy",
    "InvalidRequest",
    "InvalidResponse",
    "InvalidURI",
    "InvalidUtf8",
    "MessageTooBig",
    "ProtocolError",
    "ProxyError",
    "RejectedByServer",
]


class FastframeError(Exception):
    """Base class of every exception that this package defines."""


class ProtocolError(FastframeError):
    """The peer sent what RFC 6455 forbids.

    The connection has to be failed (RFC 6455 section 7.1.7) with `close_code`.

    Attributes:
        close_code: the status code to send in the close frame (RFC 6455
            section 7.4.1).
        decoded: what the call that raised had decoded before it met the
            violation, oldest first; nothing the peer sent before its mistake
            is lost.
        last_frames: the frame headers that came last, if a `MessageDecoder`
            met the violation: what its `last_frames` is. They can be replayed.
    """

    close_code: int = 1002

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.decoded: list[object] = []
        self.last_frames: tuple[RecordedFrame, ...] = ()


class InvalidUtf8(ProtocolError):
    """A text message or a close reason is not UTF-8 (RFC 6455 section 8.1)."""

    close_code = 1007


class MessageTooBig(ProtocolError):
    """A frame or message exceeds a limit that the receiver had set."""

    close_code = 1009


class HandshakeError(FastframeError):
    """The opening handshake failed (RFC 6455 section 4)."""


class InvalidRequest(HandshakeError):
    """What a client sent is no request for a WebSocket connection.

    Attributes:
        status: the HTTP status to answer with.
        headers: header fields that the answer needs, such as the supported
            version (RFC 6455 section 4.4).
    """

    def __init__(self, message: str, status: int = 400, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.headers = tuple(headers)


class InvalidResponse(HandshakeError):
    """What a server answered does not accept the connection as RFC 6455 section 4.1 demands."""


class RejectedByServer(InvalidResponse):
    """The server answered with an HTTP status other than 101.

    Attributes:
        response: the answer.
    """

    def __init__(self, response: Response) -> None:
        super().__init__(f"server answered with HTTP status {response.status}")
        self.response = response


class ProxyError(HandshakeError):
    """A proxy could not be reached, or did not open the way to the server (RFC 6455 section 4.1).

    Attributes:
        proxy: the proxy's host and port, without its credentials.
        response: the proxy's answer without its body, if it is an HTTP proxy
            and answered with a status other than 2xx; None otherwise.
        is_transient: whether another attempt may succeed.
    """

    def __init__(
        self, proxy: str, reason: str, *, response: Response | None = None, is_transient: bool = False
    ) -> None:
        super().__init__(f"proxy {proxy}: {reason}")
        self.proxy = proxy
        self.response = response
        self.is_transient = is_transient


class InvalidProxy(FastframeError, ValueError):
    """A string is no URL of a proxy."""


class InvalidURI(FastframeError, ValueError):
    """A string is no WebSocket URI (RFC 6455 section 3)."""


class ConnectionClosed(FastframeError):
    """The conversation is over.

    Attributes:
        received: the peer's close frame, or None if none came.
        sent: our close frame, or None if none was sent.
        received_first: whether the peer's came before ours went out; None
            unless there were both.
        last_frames: the frame headers that the peer sent last, as
            `MessageDecoder.last_frames`; empty if it ended as it should.
    """

    def __init__(
        self,
        received: Close | None,
        sent: Close | None,
        received_first: bool | None = None,
        explanation: str = "",
        last_frames: tuple[RecordedFrame, ...] = (),
    ) -> None:
        self.received = received
        self.sent = sent
        self.received_first = received_first
        self.explanation = explanation
        self.last_frames = last_frames
        super().__init__(received, sent, received_first, explanation, last_frames)

    def __str__(self) -> str:
        if self.received is None and self.sent is None:
            story = "no close frame received or sent"
        elif self.sent is None:
            story = f"received {_describe(self.received)}; sent no close frame"
        elif self.received is None:
            story = f"sent {_describe(self.sent)}; received no close frame"
        elif self.received_first:
            story = f"received {_describe(self.received)}; then sent {_describe(self.sent)}"
        else:
            story = f"sent {_describe(self.sent)}; then received {_describe(self.received)}"
        return f"{story} ({self.explanation})" if self.explanation else story


def _describe(close: Close | None) -> str:
    if close is None or close.close_code is None:
        return "a close frame without a code"
    return f"{close.close_code} {close.close_reason}".rstrip()


class ConnectionClosedOK(ConnectionClosed):
    """The connection was closed as it should be, with 1000 (normal), 1001 (going away) or without a code."""


class ConnectionClosedError(ConnectionClosed):
    """The connection ended in another way: a protocol error, a lost peer, a timeout."""
