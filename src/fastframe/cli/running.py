"""Runs a command's coroutine so that signals end it in good order."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from .failures import Interrupted

__all__ = ["run"]

Result = TypeVar("Result")

# Ctrl-C, `kill`, and a terminal that is gone; Windows has no such thing as the last.
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def run(main: Coroutine[Any, Any, Result], runner: Callable[[Any], Any] = asyncio.run) -> Result:
    """Run a coroutine: the first signal that is to end the process cancels it, the next one strikes at once.

    Signals that the process was started to ignore (`nohup`) are ignored.

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
    # For the interrupt asyncio does this by itself from Python 3.11 on. Before,
    # the exception strikes whichever task runs at the moment, which then complains.
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None, "it is run as a task"
    loop.set_default_executor(_Threads())
    received: list[int] = []

    def end(number: int, _: object) -> None:
        received.append(number)
        if len(received) > 1:
            raise KeyboardInterrupt
        loop.call_soon_threadsafe(task.cancel)

    before = {
        number: signal.signal(number, end)
        for number in _SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        return await main
    except asyncio.CancelledError:
        # After the second the loop itself is ending, and cancels what is left.
        if len(received) == 1:
            raise Interrupted(received[0]) from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Threads(ThreadPoolExecutor):
    """For what may block for ever, such as reading a pipe or looking up a name: the end waits for none."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = function(*arguments, **options)
            except BaseException as error:  # noqa: BLE001 - whoever awaits it gets it
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=work, daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave them: they end with the process."""
