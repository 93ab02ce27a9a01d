"""The memory that Python has allocated, where the interpreter counts it."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def traced() -> Iterator[Callable[[], tuple[int, int]]]:
    """Within it, what is called tells the bytes allocated since: those held now, and the most at once."""
    if platform.python_implementation() != "CPython":
        pytest.skip("only CPython counts the bytes that it allocates")
    import tracemalloc

    tracemalloc.start()
    try:
        yield tracemalloc.get_traced_memory
    finally:
        tracemalloc.stop()
