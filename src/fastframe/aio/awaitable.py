"""To be awaited: what `serve` and `connect` return, and what is done already."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType

__all__ = ["DONE", "AwaitableContext"]

T = TypeVar("T")

# Nobody ever waits for it, so this is all that it asks of its loop.
DONE: asyncio.Future[None] = asyncio.Future(loop=SimpleNamespace(get_debug=bool))  # type: ignore[arg-type]
DONE.set_result(None)


class AwaitableContext(Generic[T]):
    """Starts something when it is awaited; entered as a context manager, it stops it at the end too.

    Args:
        start: starts it, each time anew.
        stop: stops what `start` has returned.
    """

    def __init__(self, start: Callable[[], Awaitable[T]], stop: Callable[[T], Awaitable[None]]) -> None:
        self._start = start
        self._stop = stop
        # With the task that has entered it: several may, and each leaves its own.
        self._started: list[tuple[asyncio.Task[Any] | None, T]] = []

    def __await__(self) -> Generator[Any, None, T]:
        return self._start().__await__()

    async def __aenter__(self) -> T:
        started = await self._start()
        self._started.append((asyncio.current_task(), started))
        return started

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task = asyncio.current_task()
        # The latest of all where another task leaves than has entered, as fixtures of tests do.
        own = (index for index in reversed(range(len(self._started))) if self._started[index][0] is task)
        _, started = self._started.pop(next(own, -1))
        await self._stop(started)
