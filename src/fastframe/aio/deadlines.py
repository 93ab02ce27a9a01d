"""One timer of the event loop for many things that all have the same time."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from itertools import takewhile
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import asyncio

__all__ = ["Deadlines"]

T = TypeVar("T", bound=Hashable)


class Deadlines(Generic[T]):
    """Calls back for what is still there when its time is up.

    A timer of the loop's own costs ten times as much to set and cancel as an
    entry here, and its memory comes back only at its time.

    Args:
        loop: whose clock counts.
        seconds: the time that each has.
        expired: called with each whose time is up.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, seconds: float, expired: Callable[[T], object]
    ) -> None:
        self._loop = loop
        self._seconds = seconds
        self._expired = expired
        # In the order of their deadlines, since each is added at the end.
        self._deadlines: dict[T, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, thing: T) -> None:
        """Let the time of something that is not there begin now."""
        deadline = self._loop.time() + self._seconds
        self._deadlines[thing] = deadline
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._look)

    def discard(self, thing: T) -> None:
        """Forget something, if it is there."""
        self._deadlines.pop(thing, None)

    def stop(self) -> None:
        """Forget all."""
        self._deadlines.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """The time of the one that was the first is up; it may be gone since."""
        now = self._loop.time()
        due = [thing for thing, _ in takewhile(lambda item: item[1] <= now, self._deadlines.items())]
        try:
            for thing in due:
                # Another one's call may have discarded it.
                if self._deadlines.pop(thing, None) is not None:
                    self._expired(thing)
        finally:
            # After an exception the rest is due at once.
            first = next(iter(self._deadlines.values()), None)
            self._timer = None if first is None else self._loop.call_at(first, self._look)
