"""Whether an operation's time grows with the size of its input, and not with the square of it."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

GROWTH = 8
"""The larger input is this many times the smaller one."""

# Eightfold work takes 8 times as long if it is linear and 64 times if it is quadratic.
_MOST = 3 * GROWTH
# What the clock and a disturbance cost; a time below it says nothing.
_FLOOR = 0.0005


def assert_linear(operation: Callable[[int], Callable[[], object]], size: int, rounds: int = 5) -> None:
    """Compare the processor times of the fastest of several calls, made in turns.

    Args:
        operation: builds, for a size, what is to be timed; building is not.
        size: of the smaller input.
        rounds: calls of each at most; none once the times are good.
    """
    small = large = float("inf")
    for _ in range(rounds):
        small = min(small, _seconds(operation(size)))
        large = min(large, _seconds(operation(GROWTH * size)))
        if large < _MOST * max(small, _FLOOR):
            return
    raise AssertionError(f"{GROWTH} times the input took {large:.4f} s instead of {small:.4f} s")


def _seconds(call: Callable[[], object]) -> float:
    was_enabled = gc.isenabled()
    # A collection looks through all that the process has, and a longer call meets more of them.
    gc.disable()
    try:
        start = time.process_time()
        call()
        return time.process_time() - start
    finally:
        if was_enabled:
            gc.enable()
