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
        self._started: list[T] = []

    def __await__(self) -> Generator[Any, None, T]:
        return self._start().__await__()

    async def __aenter__(self) -> T:
        self._started.append(await self._start())
        return self._started[-1]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stop(self._started.pop())
