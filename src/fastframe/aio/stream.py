"""The coroutine form: ``await ws.recv()``, ``await ws.send(...)``, ``async for message in ws``."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..connection import State
from ..errors import ConnectionClosed, ConnectionClosedOK
from ..frames import CloseCode
from .protocol import CORK_SIZE, SocketProtocol

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Buffer

    from .protocol import Owner

__all__ = ["WebSocketStream"]


class WebSocketStream(SocketProtocol):
    """A WebSocket to await on. All of it belongs to the event loop's thread.

    One coroutine at a time may receive; any number may send. Cancelling a
    `recv` loses no message; cancelling a `send` leaves the message sent.
    """

    __slots__ = (
        "_answer_timer",
        "_closed_error",
        "_closed_waiter",
        "_drain_waiters",
        "_fragment_lock",
        "_messages",
        "_queued",
        "_waiter",
    )

    def __init__(self, owner: Owner) -> None:
        super().__init__(owner)
        self._messages: deque[Any] = deque()
        self._queued = 0
        self._answer_timer: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._drain_waiters: list[asyncio.Future[None]] | None = None
        self._closed_waiter: asyncio.Future[None] | None = None
        self._closed_error: ConnectionClosed | None = None
        self._fragment_lock: asyncio.Lock | None = None

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
            await self._wait_for_messages()
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
            await self._wait_for_messages()
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
                await self._wait_for_messages()
            except ConnectionClosedOK:
                raise StopAsyncIteration from None
        return self._next_message()

    def _next_message(self) -> str | bytes:
        message: str | bytes = self._messages.popleft()
        if not self._messages:
            self._queued = 0
            if self._reading_paused:
                self._resume_reading()
        return message

    async def _wait_for_messages(self) -> None:
        if self._connection is not None and self._connection.ending:
            self._conclude()
        if self._closed_error is not None:
            raise self._closed_error.with_traceback(None)
        if self._waiter is not None:
            raise RuntimeError("another coroutine is receiving from this WebSocket already")
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _deliver(self, messages: list[str | bytes], size: int) -> None:
        if self._connection is not None and self._connection.deflate is not None:
            # What came through the socket says little about what it grew to.
            size = sum(map(len, messages))
        elif len(messages[0]) > size:
            size += len(messages[0])  # most of it came in earlier reads
        if self._queued > self._settings.max_queue and self.ready_state is not State.OPEN:
            return  # reading goes on to see the peer's close frame, not to fill memory
        self._messages.extend(messages)
        self._queued += size
        if self._queued > self._settings.max_queue and self.ready_state is State.OPEN:
            self._pause_reading()
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _answered(self) -> None:
        if self._messages:
            # It is when it asks for more; but it has not for ever.
            self._answer_timer = self._loop.call_later(self._settings.close_timeout, self._conclude)
        else:
            super()._answered()

    def _conclude(self) -> None:
        self._stop_answer_timer()
        if self._connection is not None:
            self._connection.conclude()
            self._flush()

    def _stop_answer_timer(self) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None

    # Sending.

    async def send(self, message: str | Buffer | Iterable[Any] | AsyncIterable[Any]) -> None:
        """Send a message; wait only while the network is not keeping up.

        Args:
            message: a str as text, anything bytes-like as binary; an iterable
                or asynchronous iterable of them, as the fragments of one message.

        Raises:
            ConnectionClosed: the connection is closing, or closed.
            TypeError: `message` is none of these.
        """
        if not isinstance(message, (str, bytes, bytearray, memoryview)) and _is_fragmented(message):
            await self._send_fragments(message)
            return
        if self._fragment_lock is not None and self._fragment_lock.locked():
            async with self._fragment_lock:  # no other message inside a fragmented one
                pass
        connection = self._connection
        if connection is None:
            raise RuntimeError("the WebSocket is not open yet")
        connection.send(message)  # type: ignore[arg-type]
        await self._sent()

    async def _sent(self) -> None:
        connection = self._connection
        assert connection is not None, "something was sent"
        # More messages to handle are likely to bring more to send: all of it leaves together.
        if self._messages and len(connection) < CORK_SIZE:
            self._flush_soon()
        else:
            self._flush()
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
            connection = self._connection
            if connection is None:
                raise RuntimeError("the WebSocket is not open yet")
            first = True
            is_text = False
            try:
                async for fragment in _each(fragments):
                    if not first and isinstance(fragment, str) is not is_text:
                        raise TypeError("the fragments of a message must be all str or all bytes-like")
                    connection.send_fragment(fragment, first=first, last=False)
                    first, is_text = False, isinstance(fragment, str)
                    await self._sent()
            except BaseException:
                # Half a message cannot be taken back.
                if not first and connection.state is State.OPEN:
                    connection.close(CloseCode.INTERNAL_ERROR, "a fragmented message was not finished")
                    self._flush()
                raise
            if first:
                raise TypeError("a fragmented message needs a fragment")
            connection.send_fragment(b"", first=False, last=True)
            await self._sent()

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
        connection = self._connection
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
        if self._connection is not None and self._closed_error is None:
            self._connection.close(close_code, close_reason)
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
