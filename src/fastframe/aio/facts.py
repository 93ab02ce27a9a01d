"""What a connection tells of itself, in both forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..connection import CLOSED, CONNECTING
from ..frames import CloseCode

if TYPE_CHECKING:
    import asyncio

    from ..connection import Connection, State
    from ..handshake import Request, Response
    from ..liveness import Liveness
    from .backlog import Backlog
    from .transport import Outlet

__all__ = ["SocketFacts"]


class SocketFacts:
    """What can be asked of a connection, before, while and after it is open."""

    __slots__ = (
        "__weakref__",
        "_backlog",
        "_liveness",
        "_outlet",
        "_peer_address",
        "_transport",
        "connection",
        "dropped_messages",
        "request",
        "response",
        "subprotocol",
    )

    def __init__(self) -> None:
        self._transport: Any = None
        self._liveness: Liveness | None = None
        self._outlet: Outlet | None = None
        # Of TLS, whose transports forget it at the end.
        self._peer_address: Any = None
        self._backlog: Backlog | None = None
        self.connection: Connection | None = None
        """The conversation, sans I/O; None before it begins."""
        self.dropped_messages = 0
        """Messages that gave way to newer ones, or were given up, under `slow_consumer`."""
        self.request: Request | None = None
        """The opening handshake's request."""
        self.response: Response | None = None
        """The opening handshake's response."""
        self.subprotocol: str | None = None
        """The subprotocol agreed on, or None."""

    @property
    def ready_state(self) -> State:
        """A `State`; compares with the browser's numbers."""
        connection = self.connection
        return CONNECTING if connection is None else connection.state

    @property
    def buffered_amount(self) -> int:
        """Bytes sent by the application that have not left for the network."""
        if self.connection is None or self._outlet is None or self.connection.state is CLOSED:
            return 0
        waiting = self._outlet.waiting + len(self.connection)
        return waiting if self._backlog is None else waiting + self._backlog.size

    @property
    def extensions(self) -> str:
        """The extensions agreed on, as the handshake's answer names them."""
        return "" if self.response is None else self.response.headers.get("Sec-WebSocket-Extensions") or ""

    @property
    def close_code(self) -> int | None:
        """How it ended: the peer's code, 1005 for none, 1006 without a close frame; None while open."""
        connection = self.connection
        if connection is None or not connection.over:
            return None
        if connection.close_received is None:
            return CloseCode.ABNORMAL_CLOSURE
        code = connection.close_received.close_code
        return CloseCode.NO_STATUS_RECEIVED if code is None else code

    @property
    def close_reason(self) -> str | None:
        """The peer's reason; None while open."""
        connection = self.connection
        if connection is None or not connection.over:
            return None
        return "" if connection.close_received is None else connection.close_received.close_reason

    @property
    def latency(self) -> float:
        """Seconds of the last round trip of a keepalive ping; 0 before the first."""
        return 0.0 if self._liveness is None else self._liveness.latency

    @property
    def local_address(self) -> Any:
        """As `socket.getsockname`; it may be None once the connection is gone."""
        return self._transport.get_extra_info("sockname")

    @property
    def remote_address(self) -> Any:
        """As `socket.getpeername`; it stays when the connection is gone."""
        return self._peer_address or self._transport.get_extra_info("peername")

    @property
    def transport(self) -> asyncio.Transport:
        """The transport below, for `get_extra_info`; reading from or writing to it breaks the connection."""
        return self._transport  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        peer = None if self._transport is None else self.remote_address
        return f"<{type(self).__name__} {self.ready_state.name} {peer}>"
