"""How the coroutine form receives: what is read waits in a queue, and wakes who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from ..codec import BACKEND
from ..connection import CLOSED, OPEN
from .chunks import MessageChunks
from .operation import Arrival, Operation
from .protocol import SocketProtocol
from .settings import OBJECT_SIZE

if TYPE_CHECKING:
    from ..connection import Connection
    from .settings import Owner

__all__ = ["ReceivingForm"]

# What an empty queue is; nothing is ever added to it.
_NONE: Final[list[Any]] = []


class ReceivingForm(SocketProtocol):
    """A WebSocket whose messages are awaited, by one coroutine at a time."""

    __slots__ = (
        "_answer_timer",
        "_arrival",
        "_chunks",
        "_is_deaf",
        "_messages",
        "_next",
        "_place",
        "_queued",
        "_streams",
    )

    def __init__(self, owner: Owner) -> None:
        super().__init__(owner)
        # What waits begins at `_place`, and None is left of what was taken; all taken, they are `_NONE`.
        self._messages = _NONE
        self._place = 0
        self._queued = 0
        self._answer_timer: asyncio.TimerHandle | None = None
        self._arrival = Arrival(owner.loop)
        self._next: NextMessage | None = None
        # Who takes the message under way in chunks, and whether anybody ever did.
        self._chunks: MessageChunks | None = None
        self._streams = False
        # What comes while closing was too much, so that there is a gap.
        self._is_deaf = False

    def recv(self) -> Coroutine[Any, Any, str | bytes]:
        """Wait for the next message: a str if it is text, bytes if it is binary.

        Raises:
            ConnectionClosed: there will be none, and why.
            RuntimeError: another coroutine is receiving.
        """
        return _receiving(self)

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        return self

    def __anext__(self) -> Awaitable[str | bytes]:
        following = self._next
        if following is None:
            following = _next_message(self)
            if self.ready_state is not CLOSED:
                self._next = following
        return following

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

    def _take(self) -> str | bytes | None:
        """Take a message if there is one, without waiting."""
        messages, place = self._messages, self._place
        if not messages:
            return None
        message: str | bytes = messages[place]
        messages[place] = None
        self._place = place + 1
        if place + 1 == len(messages):
            self._took_all()
        return message

    def _take_many(self, most: int | None) -> list[str | bytes]:
        """Take those that are there, `most` at most."""
        count = self._count() if most is None else min(most, self._count())
        return [self._take() for _ in range(count)]  # type: ignore[misc]

    def _count(self) -> int:
        """How many messages wait."""
        return len(self._messages) - self._place

    def _took_all(self) -> None:
        self._messages = _NONE
        self._place = self._queued = 0
        if self._reading_paused:
            self.resume_reading()

    def _more(self) -> Arrival:
        """To be awaited for whole messages, once all there were have been taken.

        Chunks of one that is under way are given up.

        Raises:
            ConnectionClosed, RuntimeError: as `recv`.
        """
        if self._chunks is not None and not self._arrival.is_awaited:
            self._give_up(self._chunks)
        return self._wait()

    def _give_up(self, chunks: MessageChunks) -> None:
        """Who took a message in chunks takes the rest no more; one that has not begun is left whole."""
        if chunks.has_begun and not chunks.is_complete:
            chunks.abandon()
            return
        chunks.detach()
        # Of a message that is complete they keep what they have, and nothing waits for it any more.
        self._chunks = None

    def _taker(self) -> MessageChunks | None:
        """Who takes the message under way, or the next one, in chunks."""
        chunks = self._chunks
        if chunks is None or chunks.is_complete:
            return None
        if not chunks.has_begun and not self._arrival.is_awaited:
            # Nobody waits for it: a time limit was over, perhaps.
            self._give_up(chunks)
            return None
        return chunks

    def anything(self) -> Arrival:
        """To be awaited for anything to be received: the application has taken all there was.

        Raises:
            ConnectionClosed, RuntimeError: as `recv`.
        """
        return self._wait()

    def _wait(self) -> Arrival:
        connection = self.connection
        if connection is not None and connection.ending:
            self._conclude()
        if connection is not None and connection.state is not OPEN and connection.over:
            # A peer that broke the rules may keep its socket open for long.
            raise self._closed_exception(connection)
        if self._arrival.is_awaited:
            raise RuntimeError("another coroutine is receiving from this WebSocket already")
        if self._reading_paused:
            self.resume_reading()
        arrival = self._arrival = self._arrival.again()
        return arrival

    def attach(self, chunks: MessageChunks) -> Arrival | None:
        """Give the next message to `chunks`.

        Returns:
            What is to be awaited before this is asked again, or None if it is done.

        Raises:
            ConnectionClosed, RuntimeError: as `recv`.
        """
        if self._arrival.is_awaited:
            self._wait()  # which refuses
        before = self._chunks
        if before is not None:
            self._give_up(before)
            if before.has_begun and not (self._messages or before.is_complete):
                return self._wait()
        if self.ready_state is not CLOSED:  # or it leads back to us, and nobody takes it away again
            self._chunks = chunks
        if self._messages:
            chunks.finish(self._take())  # type: ignore[arg-type]
        elif self.connection is not None and not (self._in_place or self._is_deaf):
            # In place, the read that is under way brings along what was read before.
            chunks.add(self.connection.take_chunk())
        return None

    def drained(self) -> None:
        """All chunks there were have been taken."""
        if self._reading_paused and self._queued <= self._settings.max_queue:
            self.resume_reading()

    def _deliver(self, messages: list[str | bytes], size: int) -> None:
        if self._is_deaf:
            return
        chunks = None if self._chunks is None else self._taker()
        if chunks is not None:
            chunks.finish(messages[0])
            messages = messages[1:]
        if messages:
            self._queue(messages, size)
        # Last of all: who is woken runs at once, and has to find everything in its place.
        self._arrival.wake()
        if self._queued and self._queued > self._settings.max_queue:
            self._has_enough()

    def _queue(self, messages: list[str | bytes], size: int) -> None:
        if self.connection is not None and self.connection.deflate is not None:
            # What came through the socket says little about what it grew to.
            size = sum(map(len, messages))
        elif len(messages[0]) > size:
            size += len(messages[0])  # most of it came in earlier reads
        if self._messages:
            if self._place > self._count():
                del self._messages[: self._place]
                self._place = 0
            self._messages.extend(messages)
        else:
            self._messages = messages
        self._queued += size + OBJECT_SIZE * len(messages)

    def _progressed(self, connection: Connection) -> None:
        has_news = connection.over
        if self._streams:  # else it will be taken whole, and max_size bounds it
            has_news |= self._add_chunk(connection)
        if has_news:
            self._arrival.wake()

    def _add_chunk(self, connection: Connection) -> bool:
        """Give what has come of a message under way to who takes it in chunks; tell whether it is any."""
        chunks, is_awaited = self._taker(), self._arrival.is_awaited
        if self._is_deaf:
            connection.take_chunk()
        elif chunks is None:
            if not is_awaited and connection.retained > self._settings.max_queue:
                self._has_enough()
        else:
            chunks.add(connection.take_chunk())
            if chunks.size > self._settings.max_queue and not is_awaited:
                self._has_enough()
            return chunks.size > 0
        return False

    def _has_enough(self) -> None:
        if self.ready_state is OPEN:
            self.pause_reading()
        else:
            # Reading goes on to see the peer's close frame, not to fill memory.
            self._is_deaf = True

    def _has_untaken(self) -> bool:
        """Whether something has come that the application did not take yet."""
        return bool(self._messages) or (self._chunks is not None and self._chunks.size > 0)

    def _answered(self) -> None:
        if self._has_untaken():
            # It is when it asks for more; but it has not for ever.
            if self._answer_timer is None:
                self._answer_timer = self._loop.call_later(self._settings.close_timeout, self._conclude)
        else:
            self._conclude()
            if self.connection is not None and self.connection.over:
                self._arrival.wake()

    def _conclude(self) -> None:
        self._stop_answer_timer()
        super()._conclude()
        self._flush()

    def _stop_answer_timer(self) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None

    def _closed(self, connection: Connection) -> None:
        self._stop_answer_timer()
        self._chunks = None
        # It leads back to us, and all of the connection would wait for the garbage collector.
        self._next = None
        self._arrival.wake()


class Receiving(Operation):
    """`recv`."""

    __slots__ = ("_source",)

    name = "recv"
    _source: ReceivingForm

    def step(self) -> Any:
        """See `Operation`."""
        self.begin()
        message = self._source._take()
        if message is None:
            return next(self._source._more())
        self.is_done = True
        return message


class NextMessage(Operation):
    """The next message of ``async for``: one object for all that follow."""

    __slots__ = ("_source",)

    _source: ReceivingForm

    def step(self) -> Any:
        """See `Operation`."""
        message = self._source._take()
        self.is_done = message is not None
        if message is not None:
            return message
        connection = self._source.connection
        if connection is not None and connection.state is CLOSED and connection.ended_well:
            raise StopAsyncIteration
        return next(self._source._more())


def _receiving(source: ReceivingForm) -> Receiving:
    operation = Receiving.__new__(Receiving)
    operation.has_begun = operation.is_done = False
    operation._source = source
    return operation


def _next_message(source: ReceivingForm) -> NextMessage:
    operation = NextMessage.__new__(NextMessage)
    # Nobody is warned of one that is never awaited.
    operation.has_begun = True
    operation._source = source
    return operation


if BACKEND == "compiled":
    from ._native import complete

    complete(Receiving)
    complete(NextMessage)
