"""What tasks await here: neither futures nor the coroutines of coroutine functions.

A coroutine function would make a coroutine, a frame, and an exception to bring
the result back; together they take longer than the sending. An `Operation` is
a coroutine to all who ask (`collections.abc.Coroutine`, `asyncio.create_task`,
`asyncio.wait_for`), made of one object, and done, most of the time, before it
has begun: it is what `send` and `recv` return. Like any, it does nothing
before it is awaited. Where it has to wait after all, it waits for an `Arrival`.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

from .awaitable import DONE

__all__ = ["Arrival", "Operation", "throw"]


class Operation:
    """A coroutine whose steps are calls of `step`.

    Who makes one does so by ``__new__`` and sets its attributes, which costs
    less than a call of the class.

    Attributes:
        has_begun: a first step was made.
        is_done: the last step was the last one: what it returned is the result.
    """

    __slots__ = ("has_begun", "is_done")

    name = ""

    def step(self) -> Any:
        """Go on.

        Returns:
            What the task has to wait for; the result once `is_done`.
        """
        raise NotImplementedError

    def begin(self) -> None:
        """Refuse a second time."""
        if self.is_done:
            raise RuntimeError("cannot reuse already awaited coroutine")
        self.has_begun = True

    def __await__(self) -> Any:
        return self

    def __iter__(self) -> Operation:
        return self

    def __next__(self) -> Any:
        result = self.step()
        if self.is_done:
            raise StopIteration(result)
        return result

    def send(self, value: object) -> Any:
        """See `collections.abc.Coroutine`."""
        return self.__next__()

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        """See `collections.abc.Coroutine`."""
        self.has_begun = self.is_done = True
        error = value if value is not None else kind
        if isinstance(error, type):
            error = error()
        raise error.with_traceback(traceback) if traceback is not None else error

    def close(self) -> None:
        """See `collections.abc.Coroutine`."""
        self.has_begun = self.is_done = True

    def __del__(self) -> None:
        if not self.has_begun:
            warnings.warn(f"coroutine {self.name!r} was never awaited", RuntimeWarning, stacklevel=2)


Coroutine.register(Operation)


class Arrival:
    """The next read that brings something; `wake` runs the task that waits for it, there and then.

    One object, to be awaited again and again, until the loop has still to tell
    a task of it: that task may be cancelled meanwhile, and so may another one
    that waits by then, each by what it waits for.

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

    __slots__ = (
        "_asyncio_future_blocking",
        "_callback",
        "_cancelled_with",
        "_context",
        "_is_spent",
        "_loop",
        "is_awaited",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asyncio_future_blocking = False
        self._callback: Callable[[Any], object] | None = None
        self._context: Context | None = None
        self._is_spent = False
        self._cancelled_with: tuple[object, ...] = ()
        self.is_awaited = False

    def again(self) -> Arrival:
        """Return what is to be awaited from now on: itself, or another one in its stead."""
        arrival = Arrival(self._loop) if self._is_spent else self
        arrival.is_awaited = True
        return arrival

    def wake(self) -> None:
        """Something has come; if nobody waits, do nothing."""
        callback, context = self._callback, self._context
        self.is_awaited = False
        self._callback = self._context = None
        if callback is None:
            return
        if context is None:
            self._tell_later(callback, DONE, None)
            return
        try:
            context.run(callback, DONE)
        except RuntimeError:
            # It was refused: another task is running, or something else in this one's context.
            self._tell_later(callback, DONE, context)
        except (KeyboardInterrupt, SystemExit) as error:
            # They are to end the loop, not the connection that the call came from.
            self._loop.call_soon(throw, error)

    def _tell_later(self, callback: Callable[[Any], object], future: object, context: Context | None) -> None:
        self._is_spent = True
        self._loop.call_soon(callback, future, context=context)

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
        callback, context = self._callback, self._context
        if callback is None:
            return False
        # Who has cancelled may look for these words, to know its own cancellation.
        self._cancelled_with = () if msg is None else (msg,)
        self.is_awaited = False
        self._callback = self._context = None
        self._tell_later(callback, self, context)
        return True

    def result(self) -> None:
        """See `asyncio.Future`."""
        raise asyncio.CancelledError(*self._cancelled_with)


def throw(error: BaseException) -> None:
    """Raise it: for the event loop to call, where nothing else breaks by it."""
    raise error
