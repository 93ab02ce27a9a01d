"""What TLS answers by itself, to a peer that takes none of it.

OpenSSL answers some records without asking anybody: a client's wish to
renegotiate, in TLS 1.2, by an alert. The event loop keeps these answers until
the peer takes them, and reads on. None of them is of the application's making,
so nothing that holds back an application holds them back.

But the event loop tells when much is waiting to be sent (`pause_writing`), and
from then on nothing more is written to it. What waits can only become less,
unless TLS writes: by that it is known.
"""

from __future__ import annotations

import weakref
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Protocol

from .deadlines import Deadlines

if TYPE_CHECKING:
    import asyncio

__all__ = ["MAX_ANSWERS", "are_too_many", "discard", "watch"]

MAX_ANSWERS = 65536
"""Bytes that TLS may write by itself while the peer takes nothing; an alert is some 30."""

_INTERVAL = 0.1
"""Seconds from one look to the next where none is prompted by a read.

That is under asyncio of Python 3.10, which asks for a buffer only when there is
something to put into it, and in uvloop's transports once they are closing.
"""


class Answered(Hashable, Protocol):
    """A connection to a peer that may not take what it is answered."""

    def check_answers(self) -> None:
        """It is time to look."""


class _TlsAnswers(Deadlines[Answered]):
    """Watches the connections of one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop, _INTERVAL, self._look_at)
        # What may wait to be sent at most, None until it was looked at.
        self._most: dict[Answered, int | None] = {}

    def add(self, thing: Answered) -> None:
        """Watch a connection from now on."""
        super().discard(thing)
        self._most[thing] = None
        super().add(thing)

    def discard(self, thing: Answered) -> None:
        """Watch a connection no more; without any there is no timer."""
        self._most.pop(thing, None)
        super().discard(thing)
        if not self._most:
            self.stop()

    def are_too_many(self, connection: Answered, transport: Any) -> bool:
        if connection not in self._most:
            return False
        size: int = transport.get_write_buffer_size()
        most = self._most[connection]
        if most is None:
            # Not sooner: `pause_writing` may have come in the midst of what was written last.
            most = self._most[connection] = size + MAX_ANSWERS
        return size > most

    def _look_at(self, connection: Answered) -> None:
        connection.check_answers()
        if connection in self._most:
            super().add(connection)


# Kept alive by its timer, for as long as there is somebody to watch.
_by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[_TlsAnswers]] = (
    weakref.WeakKeyDictionary()
)


def _of(loop: asyncio.AbstractEventLoop) -> _TlsAnswers | None:
    # Each connection asks at its end, and most processes have no TLS.
    reference = _by_loop.get(loop) if _by_loop else None
    return None if reference is None else reference()


def watch(connection: Answered, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
    """Watch a connection to whose transport nothing more is written for now; if it has TLS."""
    if transport.get_extra_info("sslcontext") is None:
        return
    answers = _of(loop)
    if answers is None:
        answers = _TlsAnswers(loop)
        _by_loop[loop] = weakref.ref(answers)
    answers.add(connection)


def discard(connection: Answered, loop: asyncio.AbstractEventLoop) -> None:
    """It may be written to again, or there is nothing left to write to."""
    answers = _of(loop)
    if answers is not None:
        answers.discard(connection)


def are_too_many(connection: Answered, transport: Any, loop: asyncio.AbstractEventLoop) -> bool:
    """Whether TLS has written more than `MAX_ANSWERS` to a connection that is watched."""
    answers = _of(loop)
    return answers is not None and answers.are_too_many(connection, transport)
