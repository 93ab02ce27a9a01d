"""The coroutine form: ``await ws.recv()``, ``await ws.send(...)``, ``async for message in ws``."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, Awaitable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from ..codec import BACKEND
from ..connection import CLOSED, OPEN
from ..frames import CloseCode
from .fragments import each, is_fragmented
from .hangup import has_hung_up
from .operation import Operation
from .protocol import CORK_SIZE, UNJOINED_SIZE
from .receiving import ReceivingForm
from .waiters import let_go, refuse

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Buffer, Self

    from ..connection import Connection
    from .settings import Owner

__all__ = ["WebSocketStream"]


class CoroutineForm(ReceivingForm):
    """A WebSocket to await on: all but what makes it a protocol of asyncio."""

    __slots__ = ("_closed_waiter", "_drain_waiters", "_fragment_lock", "_look_timer")

    def __init__(self, owner: Owner) -> None:
        super().__init__(owner)
        self._drain_waiters: list[asyncio.Future[None]] | None = None
        self._closed_waiter: asyncio.Future[None] | None = None
        self._fragment_lock: asyncio.Lock | None = None
        self._look_timer: asyncio.TimerHandle | None = None

    def _opened(self) -> None:
        self._owner.opened(self)

    # Receiving; the rest of it is `ReceivingForm`'s, which has no coroutine function.

    async def recv_many(self, most: int | None = None) -> list[str | bytes]:
        """Wait for a message and take all that are there, `most` at most.

        Raises:
            ConnectionClosed, RuntimeError: as `recv`.
            ValueError: `most` is not positive.
        """
        if most is not None and most < 1:
            raise ValueError(f"most must be positive, got {most}")
        while not self._messages:
            await self._more()
        count = self._count() if most is None else min(most, self._count())
        return [self._take() for _ in range(count)]  # type: ignore[misc]

    async def recv_latest(self) -> str | bytes:
        """Wait for a message, and take the newest; the older ones are dropped.

        Raises:
            ConnectionClosed, RuntimeError: as `recv`.
        """
        return (await self.recv_many())[-1]

    # Sending.

    def send(self, message: str | Buffer | Iterable[Any] | AsyncIterable[Any]) -> Coroutine[Any, Any, None]:
        """Send a message; wait only while the network is not keeping up.

        With another `slow_consumer` than "wait" a whole message never waits.
        Fragments do: a message that has begun to leave must be finished.

        Args:
            message: a str as text, anything bytes-like as binary; an iterable
                or asynchronous iterable of them, as the fragments of one message.

        Raises:
            ConnectionClosed: the connection is closing, or closed.
            TypeError: `message` is none of these.
        """
        return _sending(self, message)

    def _begin_send(self, message: Any) -> Awaitable[None] | None:
        """Send a message if nothing stands in its way; return what is to be awaited otherwise."""
        connection = self.connection
        if connection is not None and self._policy is None and self._fragment_lock is None:
            append = connection.append_message
            if append is not None and not (type(message) is bytes and len(message) >= UNJOINED_SIZE):
                try:
                    waiting = append(message)
                except TypeError:
                    pass  # it may be an iterable
                else:
                    self._write_in_time(waiting)
                    return self._drained() if self._writing_paused else None
        return self._send_carefully(message)

    async def _send_carefully(self, message: str | Buffer | Iterable[Any] | AsyncIterable[Any]) -> None:
        """Send what may be an iterable, or compressed, or has to wait for others, or is to be put aside."""
        if not isinstance(message, (str, bytes, bytearray, memoryview)) and is_fragmented(message):
            await self._send_fragments(message)
            return
        connection = self.connection
        if connection is None:
            raise RuntimeError("the WebSocket is not open yet")
        if self._policy is not None and self._puts_aside(connection, message):  # type: ignore[arg-type]
            await asyncio.sleep(0)  # or who sends without end would keep the network from catching up
            return
        if self._fragment_lock is not None and self._fragment_lock.locked() and self._policy is None:
            async with self._fragment_lock:  # no other message inside a fragmented one
                pass
        is_large = type(message) is bytes and len(message) >= UNJOINED_SIZE
        if not (is_large and self._write_unjoined(connection, message)):  # type: ignore[arg-type]
            connection.send(message)  # type: ignore[arg-type]
            self._write_in_time(len(connection))
        if self._writing_paused and self._policy is None:
            await self._drained()

    def _write_in_time(self, waiting: int) -> None:
        # More messages to handle are likely to bring more to send: all of it leaves together.
        if waiting >= CORK_SIZE or not (self._corked or self._messages):
            self._flush()
        elif not (self._corked or self._flush_scheduled):
            self.flush_soon()

    def _drained(self) -> asyncio.Future[None]:
        """To be awaited until writing is not paused any more."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        if self._drain_waiters is None:
            self._drain_waiters = []
        self._drain_waiters.append(waiter)
        return waiter

    def _writable(self) -> None:
        waiters, self._drain_waiters = self._drain_waiters, None
        if waiters is not None:
            let_go(waiters)

    async def _send_fragments(self, fragments: Any) -> None:
        if self._fragment_lock is None:
            self._fragment_lock = asyncio.Lock()
        async with self._fragment_lock:
            connection = self.connection
            if connection is None:
                raise RuntimeError("the WebSocket is not open yet")
            while self._backlog is not None:
                await self._drained()  # those messages come first
            first = True
            is_text = False
            try:
                async for fragment in each(fragments):
                    if not first and isinstance(fragment, str) is not is_text:
                        raise TypeError("the fragments of a message must be all str or all bytes-like")
                    connection.send_fragment(fragment, first=first, last=False)
                    first, is_text = False, isinstance(fragment, str)
                    self._write_in_time(len(connection))
                    if self._writing_paused:
                        await self._drained()
            except BaseException:
                # Half a message cannot be taken back.
                if not first and connection.state is OPEN:
                    reason = "a fragmented message was not finished"
                    self._begin_closing(connection, CloseCode.INTERNAL_ERROR, reason)
                    self._flush()
                raise
            if first:
                raise TypeError("a fragmented message needs a fragment")
            connection.send_fragment(b"", first=False, last=True)
            self._drain_backlog()
            self._write_in_time(len(connection))
            if self._writing_paused:
                await self._drained()

    async def ping(self, payload: bytes | str | None = None) -> asyncio.Future[float]:
        """Send a ping.

        Args:
            payload: at most 125 bytes, not that of a ping under way; random if None.

        Returns:
            A future of the seconds until the pong.

        Raises:
            ConnectionClosed: the connection is closing, or closed.
            ValueError: the payload is too long, or in use.
        """
        connection = self.connection
        if connection is None:
            raise RuntimeError("the WebSocket is not open yet")
        if self._pongs is None:
            self._pongs = {}
        data = payload.encode() if isinstance(payload, str) else payload
        if data is None:
            data = os.urandom(8)
        if data in self._pongs:
            raise ValueError(f"a ping with the payload {data!r} is under way already")
        connection.ping(data)
        waiter: asyncio.Future[float] = self._loop.create_future()
        self._pongs[data] = waiter, self._loop.time()
        self._flush()
        return waiter

    # Closing.

    async def close(self, close_code: int = CloseCode.NORMAL_CLOSURE, close_reason: str = "") -> None:
        """Perform the closing handshake, and wait until the connection is gone.

        Once it is closing or closed, only the waiting is done.

        Args:
            close_code: 1000, or another one that may be sent.
            close_reason: at most 123 bytes in UTF-8.
        """
        if self.connection is not None and self.connection.state is not CLOSED:
            self._begin_closing(self.connection, close_code, close_reason)
            self._flush()
        await self.wait_closed()

    async def wait_closed(self) -> None:
        """Wait until the connection is gone, whoever closes it.

        Who awaits this with no message left to take has nothing to answer: a
        close frame that waited behind the messages is answered now.

        A peer may leave behind more messages than `max_queue` lets in. If
        nobody takes any for `close_timeout`, it is given up with what has not
        been read of it; the system has to tell, which Linux does.
        """
        if self.ready_state is CLOSED:
            return
        if self._closed_waiter is None:
            self._closed_waiter = self._loop.create_future()
        if not self._has_untaken():
            self._conclude()
        self._look_later()
        await asyncio.shield(self._closed_waiter)

    def pause_reading(self) -> None:
        """Read no more for now."""
        super().pause_reading()
        self._look_later()

    def resume_reading(self) -> None:
        """Read on."""
        super().resume_reading()
        self._look_no_more()

    def _look_later(self) -> None:
        """See to it that who waits for the end learns of it, though nothing is read."""
        if self._reading_paused and self._closed_waiter is not None and self._look_timer is None:
            wait = self._settings.close_timeout
            self._look_timer = self._loop.call_later(wait, self._look, self._count())

    def _look_no_more(self) -> None:
        if self._look_timer is not None:
            self._look_timer.cancel()
            self._look_timer = None

    def _look(self, messages: int) -> None:
        self._look_timer = None
        if self._reading_paused and messages == self._count() and has_hung_up(self._transport):
            self._explanation = "the peer has hung up, and nobody takes what it sent"
            self._transport.abort()
            return
        connection = self.connection
        if self._liveness is None and connection is not None and connection.state is OPEN:
            # A full receive buffer keeps a FIN out, but not the reset that answers this
            # (RFC 6455 section 5.5.3: an unsolicited pong is "a unidirectional heartbeat").
            connection.pong()
            self._flush()
        self._look_later()

    def _closed(self, connection: Connection) -> None:
        if self._closed_waiter is not None and not self._closed_waiter.done():
            self._closed_waiter.set_result(None)
        self._look_no_more()
        waiters, self._drain_waiters = self._drain_waiters, None
        if waiters is not None:
            refuse(waiters, self._closed_exception(connection))
        super()._closed(connection)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close(CloseCode.NORMAL_CLOSURE if error is None else CloseCode.INTERNAL_ERROR)


class Sending(Operation):
    """`send`."""

    __slots__ = ("_message", "_rest", "_sink")

    name = "send"
    _sink: CoroutineForm
    _message: Any
    _rest: Any

    def step(self) -> Any:
        """See `Operation`."""
        if not self.has_begun:
            self.begin()
            self.is_done = True
            rest = self._sink._begin_send(self._message)
            if rest is None:
                return None
            self.is_done = False
            self._rest = rest.__await__()
        elif self.is_done:
            self.begin()  # which refuses
        try:
            return self._rest.send(None)
        except StopIteration:
            self.is_done = True
            return None

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        """See `collections.abc.Coroutine`."""
        if self.is_done or not self.has_begun:
            return super().throw(kind, value, traceback)
        if value is None and traceback is None:
            return self._rest.throw(kind)
        return self._rest.throw(kind, value, traceback)

    def close(self) -> None:
        """See `collections.abc.Coroutine`."""
        if self.has_begun and not self.is_done:
            self._rest.close()
        super().close()


def _sending(sink: CoroutineForm, message: object) -> Sending:
    operation = Sending.__new__(Sending)
    operation.has_begun = operation.is_done = False
    operation._sink = sink
    operation._message = message
    return operation


if BACKEND == "compiled":
    from ._native import complete

    complete(Sending)


class WebSocketStream(CoroutineForm, asyncio.BufferedProtocol):
    """A WebSocket to await on. All of it belongs to the event loop's thread.

    One coroutine at a time may receive; any number may send. Cancelling a
    `recv` loses no message; cancelling a `send` leaves the message sent.
    """

    __slots__ = ()
