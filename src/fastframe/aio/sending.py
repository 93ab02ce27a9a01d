"""How the coroutine form sends, and learns of the end while nothing is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from ..codec import BACKEND
from ..connection import OPEN
from .hangup import has_hung_up
from .operation import Operation
from .protocol import CORK_SIZE, UNJOINED_SIZE
from .receiving import ReceivingForm
from .waiters import let_go, refuse

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ..connection import Connection
    from .settings import Owner

__all__ = ["SendingForm"]


class SendingForm(ReceivingForm):
    """A WebSocket to await on: all but its coroutine functions, which are no faster for being compiled."""

    __slots__ = ("_closed_waiter", "_drain_waiters", "_fragment_lock", "_look_timer")

    def __init__(self, owner: Owner) -> None:
        super().__init__(owner)
        self._drain_waiters: list[asyncio.Future[None]] | None = None
        self._closed_waiter: asyncio.Future[None] | None = None
        self._fragment_lock: asyncio.Lock | None = None
        self._look_timer: asyncio.TimerHandle | None = None

    def _opened(self) -> None:
        self._owner.opened(self)

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

    def _send_carefully(self, message: Any) -> Awaitable[None]:
        """Send what may be an iterable, or compressed, or has to wait for others, or is to be put aside."""
        raise NotImplementedError

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
            wait = self._settings.look_interval
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
        if (
            self._liveness is None
            and connection is not None
            and connection.state is OPEN
            and not self._writing_paused  # else what waits does the same
        ):
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


class Sending(Operation):
    """`send`."""

    __slots__ = ("_message", "_rest", "_sink")

    name = "send"
    _sink: SendingForm
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


def _sending(sink: SendingForm, message: object) -> Sending:
    operation = Sending.__new__(Sending)
    operation.has_begun = operation.is_done = False
    operation._sink = sink
    operation._message = message
    return operation


if BACKEND == "compiled":
    from ._native import complete

    complete(Sending)
