"""What `serve` and `connect` return: to be awaited, or entered as a context manager."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType

__all__ = ["AwaitableContext"]

T = TypeVar("T")


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
