"""The chunks of one message, as they come: what `WebSocketStream.recv_streaming` gives."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable
from typing import Protocol

from .settings import OBJECT_SIZE

__all__ = ["MessageChunks"]


class Source(Protocol):
    """The connection that the chunks come from."""

    def attach(self, chunks: MessageChunks) -> Awaitable[None] | None:
        """Let the next message go to `chunks`; what is to be awaited before asking again, None if done."""

    def anything(self) -> Awaitable[None]:
        """To be awaited for anything to be received."""

    def drained(self) -> None:
        """All chunks there were have been taken."""


class MessageChunks(AsyncIterator[str | bytes]):
    """An asynchronous iterator over the chunks of one message.

    Attributes:
        has_begun: something of it has come.
        is_complete: the message's end has come.
        size: length of the chunks that wait to be taken, and `OBJECT_SIZE` for each.
    """

    __slots__ = ("_is_abandoned", "_is_attached", "_source", "_waiting", "has_begun", "is_complete", "size")

    def __init__(self, source: Source) -> None:
        self._source = source
        self._waiting: deque[str | bytes] = deque()
        self._is_attached = False
        self._is_abandoned = False
        self.has_begun = False
        self.is_complete = False
        self.size = 0

    async def __anext__(self) -> str | bytes:
        while not self._waiting:
            if self._is_abandoned:
                raise RuntimeError("the rest of this message was dropped: something else was received")
            if self.is_complete:
                raise StopAsyncIteration
            if self._is_attached:
                await self._source.anything()
            elif (before := self._source.attach(self)) is None:
                self._is_attached = True
            else:
                await before
        chunk = self._waiting.popleft()
        self.size -= len(chunk) + OBJECT_SIZE
        if not self._waiting:
            self._source.drained()
        return chunk

    def add(self, chunk: str | bytes | None) -> None:
        """What has come of the message; None or empty if nothing has."""
        if chunk and not self._is_abandoned:
            self._append(chunk)

    def finish(self, rest: str | bytes) -> None:
        """The rest of the message, all of it if nothing came before."""
        self.is_complete = True
        # An empty message is a chunk, too: it tells text from binary.
        if (rest or not self.has_begun) and not self._is_abandoned:
            self._append(rest)

    def _append(self, chunk: str | bytes) -> None:
        self.has_begun = True
        self._waiting.append(chunk)
        self.size += len(chunk) + OBJECT_SIZE

    def detach(self) -> None:
        """Another one may take the next message; asked again, this one takes the one after."""
        self._is_attached = False

    def abandon(self) -> None:
        """Nobody takes what is still to come, nor what has come of an unfinished message."""
        if not self.is_complete:
            self._is_abandoned = True
            self._waiting.clear()
            self.size = 0
