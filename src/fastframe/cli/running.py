"""Runs a command's coroutine so that Ctrl-C ends it in good order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from .failures import Interrupted

__all__ = ["run"]

Result = TypeVar("Result")


def run(main: Coroutine[Any, Any, Result], runner: Callable[[Any], Any] = asyncio.run) -> Result:
    """Run a coroutine: the first Ctrl-C cancels it, the next one strikes at once.

    Args:
        main: what to run.
        runner: `asyncio.run`, or what another event loop has in its place.

    Raises:
        Interrupted: it was cancelled.
        KeyboardInterrupt: while it was ending.
    """
    result: Result = runner(_interruptible(main))
    return result


async def _interruptible(main: Coroutine[Any, Any, Result]) -> Result:
    # From Python 3.11 on asyncio does this by itself. Before, the exception
    # strikes whichever task runs at the moment, which then complains.
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None, "it is run as a task"
    interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        if interrupted:
            raise KeyboardInterrupt
        interrupted = True
        loop.call_soon_threadsafe(task.cancel)

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        return await main
    except asyncio.CancelledError:
        if interrupted:
            raise Interrupted from None
        raise
    finally:
        signal.signal(signal.SIGINT, before)
