"""Between the event loop's transport and a `Connection`: what both forms of a socket share.

Three habits make it fast. What is sent while one read is handled leaves in one
write at its end (the cork). All connections of a loop read into one buffer,
since the loop asks for it, fills it and reports in one go. And the payload of
a large frame is read straight into the message that it becomes.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..connection import State
from ..errors import ConnectionClosed
from ..frames import Close, CloseCode, Ping, Pong, Role
from ..liveness import Liveness

if TYPE_CHECKING:
    from .._codec_c import Item
    from ..connection import Connection
    from ..handshake import Request, Response

__all__ = ["Opening", "Owner", "Settings", "SocketProtocol"]

logger = logging.getLogger("fastframe")

READ_SIZE = 65536
"""Bytes asked of the socket at once; a frame that lacks more is read in place."""

CORK_SIZE = 65536
"""Bytes of output that are held back at most to leave together."""

_shared_buffers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview] = (
    weakref.WeakKeyDictionary()
)


def _read_buffer(loop: asyncio.AbstractEventLoop) -> memoryview:
    """The buffer that connections of this loop read to."""
    # A proactor has a read under way on every connection at the same time, so
    # there each needs a buffer of its own.
    proactor = getattr(asyncio, "ProactorEventLoop", None)
    if proactor is not None and isinstance(loop, proactor):
        return memoryview(bytearray(READ_SIZE))
    buffer = _shared_buffers.get(loop)
    if buffer is None:
        # A view, because asyncio's TLS reads on into a slice of what it is given.
        buffer = _shared_buffers[loop] = memoryview(bytearray(READ_SIZE))
    return buffer


DEFAULT_MAX_QUEUE = 256 * 1024
DEFAULT_WRITE_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """What the connections of one server, or of one client, have in common."""

    ping_interval: float | None = 20
    """Seconds between pings; None for none."""
    ping_timeout: float | None = 20
    """Seconds in which a pinged peer has to be heard of; None to wait for ever."""
    close_timeout: float = 10
    """Seconds that the closing handshake may take."""
    max_queue: int = DEFAULT_MAX_QUEUE
    """Bytes received and not yet taken by the application, from which on reading pauses."""
    write_limit: int = DEFAULT_WRITE_LIMIT
    """Bytes not yet taken by the network, from which on `send` waits."""


class Opening(Protocol):
    """The opening handshake under way on a connection."""

    def received(self, data: bytes) -> None:
        """Take in bytes of the handshake."""

    def ended(self) -> None:
        """The peer sends no more."""

    def lost(self, error: Exception | None) -> None:
        """The transport is gone."""


class Owner(Protocol):
    """The server, or the client's attempt to connect, that a connection belongs to."""

    loop: asyncio.AbstractEventLoop
    settings: Settings

    def connected(self, protocol: SocketProtocol) -> Opening:
        """There is a transport: begin the opening handshake."""

    def opened(self, protocol: SocketProtocol) -> None:
        """The opening handshake is done."""

    def gone(self, protocol: SocketProtocol) -> None:
        """The transport is closed."""


class SocketProtocol(asyncio.BufferedProtocol):
    """A connection's way from the socket to its `Connection` and back."""

    __slots__ = (
        "__weakref__",
        "_buffer",
        "_close_timer",
        "_connection",
        "_corked",
        "_explanation",
        "_flush_scheduled",
        "_in_place",
        "_keepalive",
        "_liveness",
        "_loop",
        "_opening",
        "_owner",
        "_pongs",
        "_reading_paused",
        "_settings",
        "_transport",
        "_writing_paused",
        "request",
        "response",
        "subprotocol",
    )

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._loop = owner.loop
        self._settings = owner.settings
        self._buffer = _read_buffer(owner.loop)
        self._transport: Any = None
        self._connection: Connection | None = None
        self._opening: Opening | None = None
        self._in_place = False
        self._corked = False
        self._flush_scheduled = False
        self._reading_paused = False
        self._writing_paused = False
        self._liveness: Liveness | None = None
        self._keepalive: asyncio.TimerHandle | None = None
        self._close_timer: asyncio.TimerHandle | None = None
        self._pongs: dict[bytes, tuple[asyncio.Future[float], float]] | None = None
        self._explanation = ""
        self.request: Request | None = None
        """The opening handshake's request."""
        self.response: Response | None = None
        """The opening handshake's response."""
        self.subprotocol: str | None = None
        """The subprotocol agreed on, or None."""

    # What a form of socket adds.

    def _opened(self) -> None:
        """The opening handshake is done."""

    def _deliver(self, messages: list[Any], size: int) -> None:
        """Messages have come, in a read of `size` bytes."""
        raise NotImplementedError

    def _closed(self, error: ConnectionClosed) -> None:
        """The conversation is over and the transport gone."""
        raise NotImplementedError

    def _writable(self) -> None:
        """Writing may go on."""

    # The event loop's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.set_write_buffer_limits(high=self._settings.write_limit)
        self._opening = self._owner.connected(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        connection = self._connection
        view = None if connection is None else connection.get_buffer(READ_SIZE)
        self._in_place = view is not None
        return self._buffer if view is None else view

    def buffer_updated(self, nbytes: int) -> None:
        connection = self._connection
        if connection is None:
            if self._opening is not None:
                self._opening.received(bytes(self._buffer[:nbytes]))
            return
        if self._liveness is not None:
            self._liveness.heard = True
        if self._in_place:
            self._in_place = False
            items = connection.received(nbytes)
        else:
            items = connection.receive(self._buffer, nbytes)
        self._handle(connection, items, nbytes)

    def eof_received(self) -> None:
        # Returning nothing makes the transport close, once what was written has left.
        if self._opening is not None:
            self._opening.ended()
        elif self._close_timer is None:
            # A peer that takes nothing would keep it open for ever.
            self._close_timer = self._loop.call_later(self._settings.close_timeout, self._give_up_closing)

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._keepalive, self._close_timer):
            if timer is not None:
                timer.cancel()
        self._keepalive = self._close_timer = None
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.lost(exc)
        if self._connection is not None:
            self._end(self._connection, exc)
        self._owner.gone(self)

    def _end(self, connection: Connection, exc: Exception | None) -> None:
        if not self._explanation and exc is not None:
            self._explanation = f"{type(exc).__name__}: {exc}"
        connection.end()
        error = connection.closed_exception(self._explanation)
        if self._pongs:
            for waiter, _ in self._pongs.values():
                if not waiter.done():
                    waiter.set_exception(error)
                    waiter.exception()  # nobody has to look
            self._pongs = None
        self._closed(error)

    def pause_writing(self) -> None:
        self._writing_paused = True
        if self._connection is not None:
            self._connection.congested = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self._connection is not None:
            self._connection.congested = False
        self._flush()
        self._writable()

    # From the handshake on.

    def _begin(self, connection: Connection, trailing: bytes) -> None:
        """Start the conversation; `trailing` came right behind the handshake."""
        self._opening = None
        self._connection = connection
        settings = self._settings
        if settings.ping_interval is not None:
            self._liveness = Liveness(settings.ping_interval, settings.ping_timeout, self._loop.time())
            self._keepalive = self._loop.call_at(self._liveness.deadline, self._check_liveness)
        self._opened()
        if trailing:
            self._handle(connection, connection.receive(trailing), len(trailing))

    def _handle(self, connection: Connection, items: list[Item], size: int) -> None:
        self._corked = True
        try:
            if connection.control_frames:
                items = self._without_control_frames(items)
            if items:
                self._deliver(items, size)
            if connection.ending:
                self._answered()
        finally:
            self._corked = False
            self._flush()

    def _answered(self) -> None:
        """The application had its chance to answer what came before the peer's end."""
        if self._connection is not None:
            self._connection.conclude()

    def _without_control_frames(self, items: list[Item]) -> list[Item]:
        messages: list[Item] = []
        for item in items:
            if isinstance(item, Pong):
                self._note_pong(item.payload)
            elif not isinstance(item, (Ping, Close)):
                messages.append(item)
        return messages

    def _note_pong(self, payload: bytes) -> None:
        now = self._loop.time()
        if self._liveness is not None:
            self._liveness.answered(payload, now)
        if self._pongs and payload in self._pongs:
            # RFC 6455 section 5.5.3: a pong may answer only the latest of
            # several pings, so it settles those before it too.
            for sent in list(self._pongs):
                waiter, pinged_at = self._pongs.pop(sent)
                if not waiter.done():
                    waiter.set_result(now - pinged_at)
                if sent == payload:
                    break

    def _flush(self) -> None:
        """Write what is waiting, unless the network is not keeping up."""
        connection, transport = self._connection, self._transport
        if connection is None or connection.state is State.CLOSED:
            return
        if not self._writing_paused:
            data = connection.take()
            if data:
                transport.write(data)
        if connection.state is not State.OPEN:
            self._close_when_finished(connection)

    def _flush_soon(self) -> None:
        """Write what is waiting once all that is ready to run has run."""
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush_scheduled_now)

    def _flush_scheduled_now(self) -> None:
        self._flush_scheduled = False
        if not self._transport.is_closing():
            self._flush()

    def _close_when_finished(self, connection: Connection) -> None:
        if self._close_timer is None and not self._transport.is_closing():
            self._close_timer = self._loop.call_later(self._settings.close_timeout, self._give_up_closing)
        # What comes now is read all the same: closing a socket with bytes
        # unread resets the connection, and the reset can overtake our close frame.
        if self._reading_paused:
            self._resume_reading()
        # RFC 6455 section 7.1.1: the server closes the transport, the client waits for it.
        ours_to_close = connection.role is Role.SERVER or connection.failure is not None
        if not connection.finished or not ours_to_close or self._writing_paused:
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def _give_up_closing(self) -> None:
        self._close_timer = None
        connection = self._connection
        if connection is not None and not connection.finished:
            self._explanation = f"the peer did not close within {self._settings.close_timeout:g} s"
        self._transport.abort()

    def _check_liveness(self) -> None:
        liveness, connection = self._liveness, self._connection
        if liveness is None or connection is None or connection.state is not State.OPEN:
            return
        unsent = self._transport.get_write_buffer_size() + len(connection)
        verdict = liveness.check(self._loop.time(), unsent)
        if isinstance(verdict, str):
            self._fail(CloseCode.INTERNAL_ERROR, verdict)
            return
        if verdict is not None:
            connection.ping(verdict)
            self._flush()
        self._keepalive = self._loop.call_at(liveness.deadline, self._check_liveness)

    def _fail(self, close_code: int, explanation: str) -> None:
        """End a conversation that the peer does not take part in any more."""
        self._explanation = explanation
        if self._connection is not None:
            self._connection.close(close_code, "keepalive ping timeout")
            self._flush()
        self._transport.abort()

    def _pause_reading(self) -> None:
        if not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()

    def shut_down(self, close_code: int, close_reason: str) -> None:
        """Begin the closing handshake, or drop a connection that is not open yet."""
        if self._connection is None:
            self._transport.abort()
        else:
            self._connection.close(close_code, close_reason)
            self._flush()

    # What both forms show.

    @property
    def ready_state(self) -> State:
        """A `State`; compares with the browser's numbers."""
        return State.CONNECTING if self._connection is None else self._connection.state

    @property
    def buffered_amount(self) -> int:
        """Bytes sent by the application that have not left for the network."""
        if self._connection is None or self._transport is None:
            return 0
        return int(self._transport.get_write_buffer_size()) + len(self._connection)

    @property
    def close_code(self) -> int | None:
        """How it ended: the peer's code, 1005 for none, 1006 without a close frame; None while open."""
        connection = self._connection
        if connection is None or connection.state is not State.CLOSED:
            return None
        if connection.close_received is None:
            return CloseCode.ABNORMAL_CLOSURE
        code = connection.close_received.close_code
        return CloseCode.NO_STATUS_RECEIVED if code is None else code

    @property
    def close_reason(self) -> str | None:
        """The peer's reason; None while open."""
        connection = self._connection
        if connection is None or connection.state is not State.CLOSED:
            return None
        return "" if connection.close_received is None else connection.close_received.close_reason

    @property
    def latency(self) -> float:
        """Seconds of the last round trip of a keepalive ping; 0 before the first."""
        return 0.0 if self._liveness is None else self._liveness.latency

    @property
    def local_address(self) -> Any:
        """As `socket.getsockname`."""
        return self._transport.get_extra_info("sockname")

    @property
    def remote_address(self) -> Any:
        """As `socket.getpeername`."""
        return self._transport.get_extra_info("peername")

    @property
    def transport(self) -> asyncio.Transport:
        """The transport below, for `get_extra_info`; reading from or writing to it breaks the connection."""
        return self._transport  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        peer = None if self._transport is None else self.remote_address
        return f"<{type(self).__name__} {self.ready_state.name} {peer}>"
