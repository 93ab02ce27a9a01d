"""The tasks in which a server's handlers run, one for each connection."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Set
from typing import Any

from ..connection import State
from ..errors import ConnectionClosed
from ..frames import CloseCode, Role
from .frame_log import LOGGERS
from .stream import WebSocketStream
from .waiters import was_cancelled

__all__ = ["Handlers"]


class Handlers:
    """Runs a handler for each connection, closes the connection behind it, and knows which still run.

    Args:
        handler: called with the connection; what it returns is awaited.
        loop: that of the server.
    """

    def __init__(
        self, handler: Callable[[WebSocketStream], Awaitable[None]], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._handler = handler
        self._loop = loop
        self._running: dict[asyncio.Task[Any], WebSocketStream] = {}
        self._waiting: set[asyncio.Task[Any]] = set()
        # Each with those that it does not wait for.
        self._waiters: dict[asyncio.Future[None], Set[asyncio.Task[Any]]] = {}
        # One for all: each task would keep a method object and a context of its own for it.
        self._on_done = self._done
        self._context = contextvars.copy_context()

    def start(self, stream: WebSocketStream) -> None:
        """Run the handler for a connection that has been opened."""
        try:
            running = self._handler(stream)
        except Exception as error:  # noqa: BLE001
            _failed(stream, error)
            return
        # A coroutine needs no other one around it, for as long as its connection.
        task = self._loop.create_task(running if asyncio.iscoroutine(running) else _result_of(running))
        self._running[task] = stream
        task.add_done_callback(self._on_done, context=self._context)

    async def finish(self, timeout: float) -> None:
        """Wait until none runs any more.

        A handler that calls this waits for the others alone, and not for those
        that wait here too.

        Args:
            timeout: seconds after which those that are waited for are cancelled.
        """
        caller = asyncio.current_task()
        if caller is None or caller not in self._running:
            await self._wait(timeout, spared=frozenset())
            return
        self._waiting.add(caller)
        self._wake()
        try:
            await self._wait(timeout, spared=self._waiting)
        finally:
            self._waiting.discard(caller)

    async def _wait(self, timeout: float, spared: Set[asyncio.Task[Any]]) -> None:
        def cancel() -> None:
            for task in self._running.keys() - spared:
                task.cancel()

        if self._running.keys() <= spared:
            return
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters[waiter] = spared
        timer = self._loop.call_later(timeout, cancel)
        try:
            await waiter
        finally:
            timer.cancel()
            del self._waiters[waiter]

    def _done(self, task: asyncio.Task[Any]) -> None:
        stream = self._running.pop(task)
        if self._waiters:
            self._wake()
        error: BaseException | None
        try:
            error = task.exception()
        except asyncio.CancelledError as cancelled:
            if was_cancelled(task, untold=True):
                stream.transport.abort()
                return
            error = cancelled
        # The peer's end is no failure of the handler; that of another connection is one.
        if error is None or (_is_end(error) and stream.ready_state is not State.OPEN):
            stream.shut_down(CloseCode.NORMAL_CLOSURE, "")
        else:
            _failed(stream, error)

    def _wake(self) -> None:
        for waiter, spared in self._waiters.items():
            if self._running.keys() <= spared and not waiter.done():
                waiter.set_result(None)


def _is_end(error: BaseException) -> bool:
    """Whether it is the end of a connection, which a group of tasks may meet several times."""
    if isinstance(error, ConnectionClosed):
        return True
    # Before Python 3.11 groups are those of a library.
    parts = getattr(error, "exceptions", None)
    return isinstance(parts, tuple) and bool(parts) and all(map(_is_end, parts))


async def _result_of(awaitable: Awaitable[None]) -> None:
    await awaitable


def _failed(stream: WebSocketStream, error: BaseException) -> None:
    LOGGERS[Role.SERVER].error("the handler of %r failed", stream, exc_info=error)
    stream.shut_down(CloseCode.INTERNAL_ERROR, "")
