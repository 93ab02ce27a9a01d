"""Between the event loop's transport and a `Connection`: what both forms of a socket share.

Three habits make it fast. What is sent while one read is handled leaves in one
write at its end (the cork). All connections of a loop read into one buffer,
since the loop asks for it, fills it and reports in one go. And the payload of
a large frame is read straight into the message that it becomes.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Any

from ..codec import BACKEND
from ..connection import CLOSED, OPEN
from ..frames import Close, CloseCode, Ping, Pong, Role
from ..liveness import Liveness
from . import tls_answers
from .backlog import Backlog, append_message
from .facts import SocketFacts
from .frame_log import log_abnormal_end, logged
from .keepalive import NOTHING_WAITED, Keepalive
from .settings import (
    DEFAULT_MAX_QUEUE,
    DEFAULT_WRITE_LIMIT,
    Opening,
    Owner,
    Settings,
    SlowConsumer,
    check_slow_consumer,
)
from .transport import Outlet
from .waiters import refuse

if TYPE_CHECKING:
    from .._codec_c import Item
    from ..connection import Connection
    from ..errors import ConnectionClosed
    from .backlog import Message

__all__ = [
    "DEFAULT_MAX_QUEUE",
    "DEFAULT_WRITE_LIMIT",
    "Opening",
    "Owner",
    "Settings",
    "SocketProtocol",
]

READ_SIZE = 262144 if BACKEND == "compiled" else 65536
"""Bytes asked of the socket at once; what they bring is decoded before others have their turn."""

IN_PLACE_SIZE = 65536
"""Bytes from which on a read is likely to go on, and what a frame lacks is worth being read in place."""

CORK_SIZE = 131072
"""Bytes of output that are held back at most to leave together."""

UNJOINED_SIZE = 128 * 1024
"""Length from which on `bytes` are written by themselves, and not copied behind their header."""

CAREFUL_SIZE = 4096
"""Bytes asked of the socket where they may become a thousand times as many.

All that one read brings is inflated before reading can pause, and a message of
1 MiB takes 1 KiB of it. Before the handshake is answered it is not known yet.
"""

# Each with as much of it as is asked for where that has to be little.
_shared_buffers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[memoryview, memoryview]] = (
    weakref.WeakKeyDictionary()
)


def _read_buffers(loop: asyncio.AbstractEventLoop) -> tuple[memoryview, memoryview]:
    """The buffer that connections of this loop read to, and the first `CAREFUL_SIZE` bytes of it."""
    buffers = _shared_buffers.get(loop)
    if buffers is not None:
        return buffers
    # A proactor has a read under way on every connection at the same time, so
    # there each needs a buffer of its own.
    proactor = getattr(asyncio, "ProactorEventLoop", None)
    if proactor is not None and isinstance(loop, proactor):
        own = memoryview(bytearray(IN_PLACE_SIZE))
        return own, own[:CAREFUL_SIZE]
    # A view, because asyncio's TLS reads on into a slice of what it is given.
    buffer = memoryview(bytearray(READ_SIZE))
    buffers = _shared_buffers[loop] = buffer, buffer[:CAREFUL_SIZE]
    return buffers


class SocketProtocol(SocketFacts):
    """A connection's way from the socket to its `Connection` and back."""

    __slots__ = (
        "_buffer",
        "_buffers",
        "_close_timer",
        "_corked",
        "_explanation",
        "_flush_scheduled",
        "_in_place",
        "_keepalive",
        "_loop",
        "_opening",
        "_owner",
        "_policy",
        "_pongs",
        "_reading_paused",
        "_settings",
        "_untaken",
        "_was_full",
        "_writing_paused",
    )

    def __init__(self, owner: Owner) -> None:
        super().__init__()
        self._owner = owner
        self._loop = owner.loop
        self._settings = owner.settings
        self._buffers = _read_buffers(owner.loop)
        self._buffer = self._buffers[1]
        self._opening: Opening | None = None
        self._in_place = False
        self._was_full = False
        self._corked = False
        self._flush_scheduled = False
        self._reading_paused = False
        self._writing_paused = False
        self._keepalive: Keepalive | None = None
        # What would wait in the outlet had the network taken nothing since the last look.
        self._untaken = NOTHING_WAITED
        self._close_timer: asyncio.TimerHandle | None = None
        self._pongs: dict[bytes, tuple[asyncio.Future[float], float]] | None = None
        self._explanation = ""
        policy = owner.settings.slow_consumer
        self._policy: SlowConsumer | None = None if policy == "wait" else policy

    # What a form of socket adds.

    def _opened(self) -> None:
        """The opening handshake is done."""

    def _deliver(self, messages: list[Any], size: int) -> None:
        """Messages have come, in a read of `size` bytes."""
        raise NotImplementedError

    def _progressed(self, connection: Connection) -> None:
        """A read has completed no message."""

    def _closed(self, connection: Connection) -> None:
        """The conversation is over and the transport gone."""
        raise NotImplementedError

    def _writable(self) -> None:
        """Writing may go on."""

    # The event loop's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        limit = self._settings.write_limit
        if self._transport.get_extra_info("sslcontext") is not None:
            self._peer_address = self._transport.get_extra_info("peername")
            # With 0 asyncio's and uvloop's TLS pause with nothing to wait for, and never resume.
            limit = limit or 1
        self._transport.set_write_buffer_limits(high=limit)
        self._opening = self._owner.connected(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._writing_paused:
            self.check_answers()
        if self._was_full and self.connection is not None:
            view = self.connection.get_buffer(IN_PLACE_SIZE)
            if view is not None:
                self._in_place = True
                return view
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        connection = self.connection
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
            self._was_full = nbytes >= IN_PLACE_SIZE or nbytes == len(self._buffer)
        self._handle(connection, items, nbytes)
        if nbytes == CAREFUL_SIZE and connection.deflate is not None and not self._reading_paused:
            # uvloop reads 32 times on end while each fills the buffer.
            self._transport.pause_reading()
            self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        """Others have had their turn."""
        if not (self._reading_paused or self._transport.is_closing()):
            self._transport.resume_reading()

    def eof_received(self) -> None:
        # Returning nothing makes the transport close, once what was written has left.
        if self._opening is not None:
            self._opening.ended()
            return
        if self._close_timer is None:
            # A peer that takes nothing would keep it open for ever.
            self._close_timer = self._loop.call_later(self._settings.close_timeout, self._give_up_closing)
        if self.connection is not None and self.connection.ending:
            # Messages that came before may wait to be taken, but nothing is sent any more for them.
            self._conclude()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._close_timer is not None:
            self._close_timer.cancel()
            self._close_timer = None
        if self._keepalive is not None:
            self._keepalive.discard(self)
            self._keepalive = None
        tls_answers.discard(self, self._loop)
        self._reading_paused = False
        # Python 3.10's TLS transport complains in its __del__ if nobody has.
        if not self._transport.is_closing():
            self._transport.close()
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.lost(exc)
        try:
            if self.connection is not None:
                self._end(self.connection, exc)
        finally:
            # Even where the loop is ended by what was called: a server that is closed waits for it.
            self._owner.gone(self)

    def _end(self, connection: Connection, exc: Exception | None) -> None:
        if not self._explanation and exc is not None:
            self._explanation = f"{type(exc).__name__}: {exc}"
        connection.end()
        if not connection.ended_well:
            log_abnormal_end(self, connection.role, self._closed_exception(connection))
        if self._pongs:
            refuse([waiter for waiter, _ in self._pongs.values()], self._closed_exception(connection))
            self._pongs = None
        self._backlog = None
        self._closed(connection)

    def _closed_exception(self, connection: Connection) -> ConnectionClosed:
        """Build what tells how it ended; not kept, as its traceback would lead back to us."""
        return connection.closed_exception(self._explanation)

    def pause_writing(self) -> None:
        self._writing_paused = True
        tls_answers.watch(self, self._transport, self._loop)
        if self.connection is not None:
            self.connection.congested = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        tls_answers.discard(self, self._loop)
        if self.connection is not None:
            self.connection.congested = False
        if self._outlet is not None:
            self._outlet.resume()
            if self._writing_paused:
                return
        self._flush()
        self._drain_backlog()
        if not self._writing_paused:
            self._writable()

    # From the handshake on.

    def begin(self, connection: Connection, trailing: bytes) -> None:
        """Start the conversation; `trailing` came right behind the handshake."""
        self._opening = None
        self.connection = connection = self._watched(connection)
        if connection.deflate is None:
            self._buffer = self._buffers[0]
        settings = self._settings
        self._outlet = Outlet(self._transport, self._loop, settings.write_limit)
        if settings.ping_interval is not None:
            self._liveness = Liveness(settings.ping_interval, settings.ping_timeout, self._loop.time())
            self._keepalive = Keepalive.of(self._loop, self._liveness.step)
            self._keepalive.add(self)
        self._opened()
        if trailing:
            self._take_in(connection, trailing)

    def _watched(self, connection: Connection) -> Connection:
        """The connection, or one in its place that shows what passes."""
        return logged(connection, self)

    def _take_in(self, connection: Connection, data: bytes) -> None:
        """Handle what has come by another way than `get_buffer`."""
        self._handle(connection, connection.receive(data), len(data))

    def _handle(self, connection: Connection, items: list[Item], size: int) -> None:
        self._corked = True
        try:
            if connection.control_frames:
                items = self._without_control_frames(items)
            if items:
                self._deliver(items, size)
            else:
                self._progressed(connection)
            if connection.ending:
                self._answered()
        finally:
            self._corked = False
            self._flush()

    def _answered(self) -> None:
        """The application had its chance to answer what came before the peer's end."""
        self._conclude()

    def _conclude(self) -> None:
        """Answer the peer's end, behind all that was sent."""
        connection = self.connection
        if connection is not None and connection.ending:
            self._push_backlog(connection)
            connection.conclude()

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
        connection, outlet = self.connection, self._outlet
        if connection is None or outlet is None or connection.state is CLOSED:
            return
        if not self._writing_paused:
            data = connection.take()
            if data:
                self._untaken += len(data)
                outlet.write(data)
        if connection.state is not OPEN:
            self._close_when_finished(connection)

    def _write_unjoined(self, connection: Connection, message: bytes) -> bool:
        """Write a large message without copying it, if it can go at once."""
        self._flush()
        outlet = None if self._writing_paused else self._outlet
        parts = None if outlet is None else connection.send_unjoined(message)
        if outlet is None or parts is None:
            return False
        self._untaken += len(parts[0]) + len(message)
        outlet.write_two(*parts)
        return True

    def flush_soon(self) -> None:
        """Write what is waiting once all that is ready to run has run."""
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self.flush_now)

    def flush_now(self) -> None:
        """Write what is waiting, if the transport still takes it."""
        self._flush_scheduled = False
        self._flush_if_open()

    def _flush_if_open(self) -> None:
        if self._outlet is not None and not self._outlet.is_closing():
            self._flush()

    def _close_when_finished(self, connection: Connection) -> None:
        transport = self._transport
        if transport.is_closing():
            return
        # RFC 6455 section 7.1.1: the server closes the transport, the client waits for it.
        ours_to_close = connection.finished and (
            connection.role is Role.SERVER or connection.failure is not None
        )
        can_half_close = transport.can_write_eof()
        if ours_to_close and can_half_close and connection.failure is None and not self.buffered_amount:
            # Nothing comes behind the peer's close frame that would turn this into a reset.
            transport.close()
            return
        if self._close_timer is None:
            self._close_timer = self._loop.call_later(self._settings.close_timeout, self._give_up_closing)
        # What comes now is read all the same: closing a socket with bytes
        # unread resets the connection, and the reset can overtake our close frame.
        self.resume_reading()
        if not ours_to_close or self._writing_paused:
            return
        if can_half_close:
            transport.write_eof()
        else:
            self.close_transport()

    def close_transport(self) -> None:
        """Close behind all that was written."""
        # Not twice, after which asyncio's transports of TLS know nothing, and do not abort.
        if not self._transport.is_closing():
            tls_answers.watch(self, self._transport, self._loop)
            self._transport.close()

    def _give_up_closing(self) -> None:
        self._close_timer = None
        connection = self.connection
        if connection is not None and not connection.finished:
            self._explanation = f"the peer did not close within {self._settings.close_timeout:g} s"
        self._transport.abort()

    def check_answers(self) -> None:
        """It is time to look whether the peer takes what TLS answers it by itself."""
        if tls_answers.are_too_many(self, self._transport, self._loop):
            self._explanation = "the peer took none of what TLS answered it"
            self._transport.abort()

    def _fail(self, close_code: int, explanation: str) -> None:
        """End a conversation that the peer does not take part in any more."""
        self._explanation = explanation
        if self.connection is not None:
            self.connection.close(close_code, "keepalive ping timeout")
            self._flush()
        self._transport.abort()

    def pause_reading(self) -> None:
        """Read no more for now; the peer is held back once the buffers on the way are full."""
        if not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()

    def shut_down(self, close_code: int, close_reason: str) -> None:
        """Begin the closing handshake, or drop a connection that is not open yet."""
        if self.connection is None:
            self._transport.abort()
        else:
            self._begin_closing(self.connection, close_code, close_reason)
            self._flush()

    def _begin_closing(self, connection: Connection, close_code: int, close_reason: str = "") -> None:
        """Begin the closing handshake, behind all that was sent."""
        Close(close_code, close_reason).serialize()  # for its checks: what waits is not given up for nothing
        self._push_backlog(connection)
        connection.close(close_code, close_reason)

    # Slow consumers.

    @property
    def slow_consumer(self) -> SlowConsumer:
        """What becomes of messages while the peer does not keep up, see `Settings`; it may be changed."""
        return self._policy or "wait"

    @slow_consumer.setter
    def slow_consumer(self, policy: SlowConsumer) -> None:
        check_slow_consumer(policy)
        self._policy = None if policy == "wait" else policy
        self._drain_backlog()

    def offer(self, message: Message) -> bool:
        """Send a message without waiting, as `slow_consumer` says; it leaves with what else is sent now.

        Under "wait" it joins what waits already, however much that is: see
        `buffered_amount`.

        Args:
            message: a str as text, anything bytes-like as binary, or what `prepare` returned.

        Returns:
            False if it was not taken: the connection is not open, or closes
            for this very message; or, under "wait", a fragmented message is
            not finished.

        Raises:
            TypeError: `message` is none of these.
        """
        connection = self.connection
        if connection is None or connection.state is not OPEN:
            return False
        if self._policy is not None and self._is_behind(connection):
            return self._put_aside(connection, message)
        if connection.is_fragmenting:
            return False
        append_message(connection, message)
        self.flush_soon()
        return True

    def _puts_aside(self, connection: Connection, message: Message) -> bool:
        """Put a message aside if the policy wants it, and it cannot be sent now.

        Raises:
            ConnectionClosed: the connection is closed for it.
        """
        if connection.state is not OPEN or not self._is_behind(connection):
            return False
        if not self._put_aside(connection, message):
            raise connection.closed_exception()
        return True

    def _is_behind(self, connection: Connection) -> bool:
        """Whether a message would have to wait: for the network, or for the fragments of another."""
        if len(connection) >= CORK_SIZE and not self._writing_paused:
            self._flush()
        return self._writing_paused or connection.is_fragmenting

    def _put_aside(self, connection: Connection, message: Message) -> bool:
        policy = self.slow_consumer
        backlog = self._backlog or Backlog(self._settings.max_backlog)
        dropped = backlog.add(message, policy)
        if dropped is None:
            self.dropped_messages += len(backlog) + 1
            self._backlog = None
            # 1008 is for "a message that violates its policy" (RFC 6455 section
            # 7.4.1), and here none was received; 1013 is IANA's for an overload that passes.
            connection.close(CloseCode.TRY_AGAIN_LATER, "too slow a consumer")
            self._flush()
            return False
        self.dropped_messages += dropped
        self._backlog = backlog
        return True

    def _drain_backlog(self) -> None:
        """Send what was put aside, for as long as the network takes it."""
        connection = self.connection
        if self._backlog is None or connection is None or connection.state is not OPEN:
            return
        if connection.is_fragmenting:
            return  # RFC 6455 section 5.4: no other message between the fragments of one
        if self._policy is None:
            self._push_backlog(connection)
        while self._backlog is not None and not self._writing_paused:
            while self._backlog and len(connection) < CORK_SIZE:
                append_message(connection, self._backlog.pop())
            if not self._backlog:
                self._backlog = None
            self._flush()

    def _push_backlog(self, connection: Connection) -> None:
        """Nothing more will be put aside: all that was goes the usual way."""
        backlog, self._backlog = self._backlog, None
        if backlog is None or connection.state is not OPEN:
            return
        if connection.is_fragmenting:
            # Not between the fragments, and those will not be finished.
            self.dropped_messages += len(backlog)
            return
        while backlog:
            append_message(connection, backlog.pop())
