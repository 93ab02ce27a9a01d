"""The coroutine form: ``await ws.recv()``, ``await ws.send(...)``, ``async for message in ws``."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from ..connection import CLOSED, OPEN
from ..frames import CloseCode
from .fragments import each, is_fragmented
from .protocol import UNJOINED_SIZE
from .sending import SendingForm

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable
    from types import TracebackType

    from typing_extensions import Buffer, Self

__all__ = ["WebSocketStream"]


class WebSocketStream(SendingForm, asyncio.BufferedProtocol):
    """A WebSocket to await on. All of it belongs to the event loop's thread.

    One coroutine at a time may receive; any number may send. Cancelling a
    `recv` loses no message; cancelling a `send` leaves the message sent, unless
    it waits for the fragments of another one still.
    """

    __slots__ = ()

    # Receiving; the rest of it is `ReceivingForm`'s.

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
        return self._take_many(most)

    async def recv_latest(self) -> str | bytes:
        """Wait for a message, and take the newest; the older ones are dropped.

        Raises:
            ConnectionClosed, RuntimeError: as `recv`.
        """
        return (await self.recv_many())[-1]

    # Sending; `send` is `SendingForm`'s.

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
                    self.flush_now()
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
        self.flush_now()
        return waiter

    # Closing.

    async def close(self, close_code: int = CloseCode.NORMAL_CLOSURE, close_reason: str = "") -> None:
        """Perform the closing handshake, and wait until the connection is gone.

        Once it is closing or closed, only the waiting is done.

        Args:
            close_code: 1000, or another one that may be sent.
            close_reason: at most 123 bytes in UTF-8.

        Raises:
            TypeError: a code that is no int, or a reason that is no str.
            ValueError: a code that may not be sent, or a reason too long.
        """
        if self.connection is not None and self.connection.state is not CLOSED:
            self._begin_closing(self.connection, close_code, close_reason)
            self.flush_now()
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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close(CloseCode.NORMAL_CLOSURE if error is None else CloseCode.INTERNAL_ERROR)
