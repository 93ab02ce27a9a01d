"""The coroutine form: ``await ws.recv()``, ``await ws.send(...)``, ``async for message in ws``."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ..connection import OPEN
from ..errors import ConnectionClosed, ConnectionClosedOK
from ..frames import CloseCode
from .chunks import MessageChunks
from .protocol import CORK_SIZE, UNJOINED_SIZE, SocketProtocol

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Buffer

    from ..connection import Connection
    from .settings import Owner

__all__ = ["WebSocketStream"]

# What an empty queue is: a deque takes 760 bytes, which an idle connection has no use for.
_NONE: Final[deque[Any]] = deque()


class WebSocketStream(SocketProtocol):
    """A WebSocket to await on. All of it belongs to the event loop's thread.

    One coroutine at a time may receive; any number may send. Cancelling a
    `recv` loses no message; cancelling a `send` leaves the message sent.
    """

    __slots__ = (
        "_answer_timer",
        "_chunks",
        "_closed_error",
        "_closed_waiter",
        "_drain_waiters",
        "_fragment_lock",
        "_is_deaf",
        "_messages",
        "_queued",
        "_streams",
        "_waiter",
    )

    def __init__(self, owner: Owner) -> None:
        super().__init__(owner)
        self._messages = _NONE
        self._queued = 0
        self._answer_timer: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._drain_waiters: list[asyncio.Future[None]] | None = None
        self._closed_waiter: asyncio.Future[None] | None = None
        self._closed_error: ConnectionClosed | None = None
        self._fragment_lock: asyncio.Lock | None = None
        # Who takes the message under way in chunks, and whether anybody ever did.
        self._chunks: MessageChunks | None = None
        self._streams = False
        # What comes while closing was too much, so that there is a gap.
        self._is_deaf = False

    def _opened(self) -> None:
        self._owner.opened(self)

    # Receiving.

    async def recv(self) -> str | bytes:
        """Wait for the next message: a str if it is text, bytes if it is binary.

        Raises:
            ConnectionClosed: there will be none, and why.
            RuntimeError: another coroutine is receiving.
        """
        while not self._messages:
            await self._more()
        return self._next_message()

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
        count = len(self._messages) if most is None else min(most, len(self._messages))
        return [self._next_message() for _ in range(count)]

    async def recv_latest(self) -> str | bytes:
        """Wait for a message, and take the newest; the older ones are dropped.

        Raises:
            ConnectionClosed, RuntimeError: as `recv`.
        """
        return (await self.recv_many())[-1]

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        return self

    async def __anext__(self) -> str | bytes:
        while not self._messages:
            try:
                await self._more()
            except ConnectionClosedOK:
                raise StopAsyncIteration from None
        messages = self._messages
        message: str | bytes = messages.popleft()
        if not messages:
            self._took_all()
        return message

    def recv_streaming(self) -> AsyncIterator[str | bytes]:
        """Receive the next message in chunks, as they come.

        ::

            async for chunk in ws.recv_streaming():
                file.write(chunk)

        A chunk is what has come since the one before, however the peer cut
        its frames: str if the message is text, and never cut inside a code
        point, bytes if it is binary. There is at least one, empty if the
        message is. While chunks are not taken, reading pauses at `max_queue`
        bytes; so with ``max_size=None`` (and ``max_fragments=None``, if it
        comes in small frames) a message may be larger than memory. A
        compressed message is inflated whole, and comes as one chunk.

        To leave it early is fine: the rest of the message is dropped when
        something else is received.

        Returns:
            An asynchronous iterator. It raises as `recv`, also in the middle
            of a message; and a `RuntimeError` after something else was received.
        """
        self._streams = True
        return MessageChunks(self)

    def _next_message(self) -> str | bytes:
        message: str | bytes = self._messages.popleft()
        if not self._messages:
            self._took_all()
        return message

    def _took_all(self) -> None:
        self._messages = _NONE
        self._queued = 0
        if self._reading_paused:
            self.resume_reading()

    def _more(self) -> asyncio.Future[None]:
        """To be awaited for whole messages; chunks of one under way are given up."""
        if self._chunks is not None and not self._is_awaited():
            self._chunks.abandon()
        return self.more()

    def _is_awaited(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    def more(self) -> asyncio.Future[None]:
        """To be awaited for anything to be received: the application has taken all there was.

        Raises:
            ConnectionClosed, RuntimeError: as `recv`.
        """
        connection = self.connection
        if connection is not None and connection.ending:
            self._conclude()
        if self._closed_error is not None:
            # Not the one that is kept: its traceback would lead back to us, and
            # all of the connection wait for the garbage collector.
            raise type(self._closed_error)(*self._closed_error.args)
        if connection is not None and connection.over:
            # A peer that broke the rules may keep its socket open for long.
            raise connection.closed_exception()
        if self._is_awaited():
            raise RuntimeError("another coroutine is receiving from this WebSocket already")
        if self._reading_paused:
            self.resume_reading()
        self._waiter = waiter = self._loop.create_future()
        return waiter

    async def attach(self, chunks: MessageChunks) -> None:
        """Give the next message to `chunks`.

        Raises:
            ConnectionClosed, RuntimeError: as `recv`.
        """
        if self._is_awaited():
            self.more()  # which refuses
        if self._chunks is not None:
            self._chunks.abandon()
        while not self._messages and self._chunks is not None and not self._chunks.is_complete:
            await self.more()
        self._chunks = chunks
        if self._messages:
            chunks.finish(self._next_message())
        elif self.connection is not None and not (self._in_place or self._is_deaf):
            # In place, the read that is under way brings along what was read before.
            chunks.add(self.connection.take_chunk())

    def drained(self) -> None:
        """All chunks there were have been taken."""
        if self._reading_paused and self._queued <= self._settings.max_queue:
            self.resume_reading()

    def _deliver(self, messages: list[str | bytes], size: int) -> None:
        if self._is_deaf:
            return
        if self._chunks is not None and not self._chunks.is_complete:
            self._chunks.finish(messages[0])
            messages = messages[1:]
            self._wake()
        if not messages:
            return
        if self.connection is not None and self.connection.deflate is not None:
            # What came through the socket says little about what it grew to.
            size = sum(map(len, messages))
        elif len(messages[0]) > size:
            size += len(messages[0])  # most of it came in earlier reads
        if self._messages:
            self._messages.extend(messages)
        elif messages:
            self._messages = deque(messages)
        self._queued += size
        if self._queued > self._settings.max_queue:
            self._has_enough()
        self._wake()

    def _progressed(self, connection: Connection) -> None:
        if connection.over:
            self._wake()
        if not self._streams:
            return  # it will be taken whole, and max_size bounds it
        chunks = self._chunks
        if self._is_deaf:
            connection.take_chunk()
        elif chunks is None or chunks.is_complete:
            if not self._is_awaited() and connection.retained > self._settings.max_queue:
                self._has_enough()
        else:
            chunks.add(connection.take_chunk())
            if chunks.size > self._settings.max_queue and not self._is_awaited():
                self._has_enough()
            if chunks.size:
                self._wake()

    def _has_enough(self) -> None:
        if self.ready_state is OPEN:
            self.pause_reading()
        else:
            # Reading goes on to see the peer's close frame, not to fill memory.
            self._is_deaf = True

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _answered(self) -> None:
        if self._messages or (self._chunks is not None and self._chunks.size):
            # It is when it asks for more; but it has not for ever.
            self._answer_timer = self._loop.call_later(self._settings.close_timeout, self._conclude)
        else:
            self._conclude()
            self._wake()

    def _conclude(self) -> None:
        self._stop_answer_timer()
        super()._conclude()
        self._flush()

    def _stop_answer_timer(self) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None

    # Sending.

    async def send(self, message: str | Buffer | Iterable[Any] | AsyncIterable[Any]) -> None:
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
        connection = self.connection
        if connection is not None and self._policy is None and self._fragment_lock is None:
            append = connection.append_message
            if append is not None and not (type(message) is bytes and len(message) >= UNJOINED_SIZE):
                try:
                    waiting = append(message)  # type: ignore[arg-type]
                except TypeError:
                    pass  # it may be an iterable
                else:
                    # More messages to handle are likely to bring more to send: all of it leaves together.
                    if not self._messages or waiting >= CORK_SIZE:
                        self._flush()
                    elif not self._flush_scheduled:
                        self.flush_soon()
                    if self._writing_paused:
                        await self._drained()
                    return
        await self._send_carefully(message)

    async def _send_carefully(self, message: str | Buffer | Iterable[Any] | AsyncIterable[Any]) -> None:
        """Send what may be an iterable, or compressed, or has to wait for others, or is to be put aside."""
        if not isinstance(message, (str, bytes, bytearray, memoryview)) and _is_fragmented(message):
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
            self._write(connection)
        if self._writing_paused and self._policy is None:
            await self._drained()

    def _write(self, connection: Connection) -> None:
        # More messages to handle are likely to bring more to send: all of it leaves together.
        if self._messages and len(connection) < CORK_SIZE:
            self.flush_soon()
        else:
            self._flush()

    async def _written(self, connection: Connection) -> None:
        self._write(connection)
        if self._writing_paused:
            await self._drained()

    async def _drained(self) -> None:
        waiter = self._loop.create_future()
        if self._drain_waiters is None:
            self._drain_waiters = []
        self._drain_waiters.append(waiter)
        await waiter

    def _writable(self) -> None:
        waiters, self._drain_waiters = self._drain_waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

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
                async for fragment in _each(fragments):
                    if not first and isinstance(fragment, str) is not is_text:
                        raise TypeError("the fragments of a message must be all str or all bytes-like")
                    connection.send_fragment(fragment, first=first, last=False)
                    first, is_text = False, isinstance(fragment, str)
                    await self._written(connection)
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
            await self._written(connection)

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
        if self.connection is not None and self._closed_error is None:
            self._begin_closing(self.connection, close_code, close_reason)
            self._flush()
        await self.wait_closed()

    async def wait_closed(self) -> None:
        """Wait until the connection is gone, whoever closes it."""
        if self._closed_error is not None:
            return
        if self._closed_waiter is None:
            self._closed_waiter = self._loop.create_future()
        await asyncio.shield(self._closed_waiter)

    def _closed(self, error: ConnectionClosed) -> None:
        self._stop_answer_timer()
        self._closed_error = error
        self._chunks = None
        for waiter in (self._waiter, self._closed_waiter):
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
        waiters, self._drain_waiters = self._drain_waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_exception(error)

    async def __aenter__(self) -> WebSocketStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close(CloseCode.NORMAL_CLOSURE if error is None else CloseCode.INTERNAL_ERROR)


def _is_fragmented(message: object) -> bool:
    if isinstance(message, Mapping):
        raise TypeError("a mapping is no message; its keys would be sent as fragments")
    try:
        memoryview(message)  # type: ignore[arg-type]
    except TypeError:
        if not isinstance(message, (Iterable, AsyncIterable)):
            raise TypeError(
                f"message must be str, bytes-like or an iterable of them, not {type(message).__name__}"
            ) from None
        return True
    return False


async def _each(fragments: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Any]:
    if isinstance(fragments, AsyncIterable):
        async for fragment in fragments:
            yield fragment
    else:
        for fragment in fragments:
            yield fragment
