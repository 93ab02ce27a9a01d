"""Coroutines that are done, most of the time, before they have begun: what `send` and `recv` return.

A coroutine function would make a coroutine, a frame, and an exception to bring
the result back; together they take longer than the sending. An `Operation` is
a coroutine to all who ask (`collections.abc.Coroutine`, `asyncio.create_task`,
`asyncio.wait_for`), made of one object. Like any, it does nothing before it is
awaited.
"""

from __future__ import annotations

import warnings
from collections.abc import Coroutine
from typing import Any

__all__ = ["Operation"]


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
