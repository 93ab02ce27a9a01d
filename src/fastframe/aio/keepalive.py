"""One timer of the event loop that looks after all connections with the same keepalive."""

from __future__ import annotations

import weakref
from collections.abc import Hashable
from typing import TYPE_CHECKING, Protocol

from .deadlines import Deadlines

if TYPE_CHECKING:
    import asyncio

__all__ = ["Keepalive"]


class Watched(Hashable, Protocol):
    """A connection whose peer may fall silent."""

    def check_liveness(self) -> None:
        """It is time to look."""


# The connections keep theirs alive, and the loop one whose timer is running.
_by_loop: weakref.WeakKeyDictionary[
    asyncio.AbstractEventLoop, weakref.WeakValueDictionary[float, Keepalive]
] = weakref.WeakKeyDictionary()


class Keepalive(Deadlines[Watched]):
    """Looks at each connection every so many seconds; a connection adds itself again each time."""

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop, step: float) -> Keepalive:
        """The one of this loop that looks every `step` seconds."""
        by_step = _by_loop.get(loop)
        if by_step is None:
            by_step = _by_loop[loop] = weakref.WeakValueDictionary()
        keepalive = by_step.get(step)
        if keepalive is None:
            keepalive = by_step[step] = cls(loop, step, lambda watched: watched.check_liveness())
        return keepalive

    def discard(self, thing: Watched) -> None:
        """Forget a connection; without any there is no timer."""
        super().discard(thing)
        if not self._deadlines:
            self.stop()
