"""What a coroutine waits for: the next read that brings it something."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any

__all__ = ["Arrival"]


class Arrival:
    """To be awaited, again and again; `wake` runs the task that waits, there and then.

    A future would have the event loop run it at its next turn: another object,
    another turn, and another poll of the system. Nothing else can run in
    between that the task could do harm to: it is a callback of the loop from
    which `wake` is called. Where a task is running already, it is the loop's turn.

    To a task this is a future (`asyncio.isfuture`): it has the methods that
    tasks call. One may wait at a time.

    Args:
        loop: that of the task.

    Attributes:
        is_awaited: somebody waits, or is just about to.
    """

    __slots__ = ("_asyncio_future_blocking", "_callback", "_context", "_is_cancelled", "_loop", "is_awaited")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asyncio_future_blocking = False
        self._callback: Callable[[Any], object] | None = None
        self._context: Context | None = None
        self._is_cancelled = False
        self.is_awaited = False

    def again(self) -> Arrival:
        """Return itself, to be awaited anew."""
        self._is_cancelled = False
        self.is_awaited = True
        return self

    def wake(self) -> None:
        """Something has come; if nobody waits, do nothing."""
        callback, context = self._callback, self._context
        self.is_awaited = False
        self._callback = self._context = None
        if callback is None:
            return
        if context is None or asyncio.current_task(self._loop) is not None:
            self._loop.call_soon(callback, self, context=context)
            return
        try:
            context.run(callback, self)
        except (KeyboardInterrupt, SystemExit) as error:
            # They are to end the loop, not the connection that the call came from.
            self._loop.call_soon(_raise, error)

    # What a task calls.

    def __await__(self) -> Any:
        return self

    def __iter__(self) -> Arrival:
        return self

    def __next__(self) -> Arrival:
        if not self.is_awaited:
            raise StopIteration
        self._asyncio_future_blocking = True
        return self

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """See `asyncio.Future`."""
        return self._loop

    def add_done_callback(self, callback: Callable[[Any], object], *, context: Context | None = None) -> None:
        """See `asyncio.Future`."""
        self._callback, self._context = callback, context

    def cancel(self, msg: object = None) -> bool:
        """See `asyncio.Future`."""
        callback = self._callback
        if callback is None:
            return False
        self._is_cancelled = True
        self.is_awaited = False
        self._loop.call_soon(callback, self, context=self._context)
        self._callback = self._context = None
        return True

    def result(self) -> None:
        """See `asyncio.Future`."""
        if self._is_cancelled:
            raise asyncio.CancelledError


def _raise(error: BaseException) -> None:
    raise error
