"""Futures of those who wait for the same thing, and tasks that may have been cancelled meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

__all__ = ["let_go", "refuse", "was_cancelled"]


def let_go(waiters: Iterable[asyncio.Future[None]]) -> None:
    """What they wait for has come."""
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)


def refuse(waiters: Iterable[asyncio.Future[Any]], error: Exception) -> None:
    """What they wait for will not come; nobody has to look."""
    for waiter in waiters:
        if not waiter.done():
            waiter.set_exception(error)
            waiter.exception()


def was_cancelled(task: asyncio.Task[Any] | None, *, untold: bool) -> bool:
    """Whether it is the task itself that was cancelled, and not something that it waited for.

    Args:
        task: in which a CancelledError was raised.
        untold: the answer before Python 3.11, where a task does not tell.
    """
    cancelling: Callable[[], int] | None = getattr(task, "cancelling", None)
    return untold if cancelling is None else cancelling() > 0
