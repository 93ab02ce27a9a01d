"""One timer of the event loop that looks after all connections with the same keepalive."""

from __future__ import annotations

import sys
import weakref
from typing import TYPE_CHECKING

from ..connection import OPEN
from ..frames import CloseCode
from .deadlines import Deadlines

if TYPE_CHECKING:
    import asyncio

    from .protocol import SocketProtocol

__all__ = ["NOTHING_WAITED", "Keepalive"]

# So little that no number of bytes written since makes it more than nothing.
NOTHING_WAITED = -sys.maxsize

# The connections keep theirs alive, and the loop one whose timer is running.
_by_loop: weakref.WeakKeyDictionary[
    asyncio.AbstractEventLoop, weakref.WeakValueDictionary[float, Keepalive]
] = weakref.WeakKeyDictionary()


class Keepalive(Deadlines["SocketProtocol"]):
    """Looks at each connection every so many seconds; a connection adds itself again each time."""

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop, step: float) -> Keepalive:
        """The one of this loop that looks every `step` seconds."""
        by_step = _by_loop.get(loop)
        if by_step is None:
            by_step = _by_loop[loop] = weakref.WeakValueDictionary()
        keepalive = by_step.get(step)
        if keepalive is None:
            keepalive = by_step[step] = cls(loop, step, _look)
        return keepalive

    def discard(self, thing: SocketProtocol) -> None:
        """Forget a connection; without any there is no timer."""
        super().discard(thing)
        if not self._deadlines:
            self.stop()


def _look(protocol: SocketProtocol) -> None:
    """It is time to look whether a peer is still there."""
    liveness, connection, keepalive = protocol._liveness, protocol.connection, protocol._keepalive
    if liveness is None or keepalive is None or connection is None or connection.state is not OPEN:
        return
    if connection.ending:
        return  # the peer has said goodbye and says no more; closing has a time limit of its own
    unsent = protocol.buffered_amount
    if protocol._reading_paused and not unsent:
        liveness.heard = True  # nothing can be heard of a peer that nobody listens to
    verdict = liveness.check(protocol._loop.time(), unsent, _has_taken(protocol))
    if isinstance(verdict, str):
        protocol._fail(CloseCode.INTERNAL_ERROR, verdict)
        return
    if verdict is not None:
        connection.ping(verdict)
        protocol.flush_now()
    keepalive.add(protocol)


def _has_taken(protocol: SocketProtocol) -> bool:
    """Whether the network has taken some of what waited at the last look, or came behind it."""
    waiting = 0 if protocol._outlet is None else protocol._outlet.waiting
    before, protocol._untaken = protocol._untaken, waiting or NOTHING_WAITED
    return before > waiting
