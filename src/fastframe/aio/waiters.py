"""Futures of those who wait for the same thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

__all__ = ["let_go", "refuse"]


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
