"""How much asyncio's own transport asks of the socket at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["read_less_at_once"]

_THEIRS = 256 * 1024
# With the header of a bytes object less than the 128 KiB from which on glibc maps memory.
_OURS = 120 * 1024


def read_less_at_once() -> Callable[[Any], None]:
    """Return a function that makes a transport of asyncio's selector loops read 120 KiB at once.

    They ask for 256 KiB, into memory that is new each time: more than malloc of
    glibc hands out without system calls. Those cost more than all that is done
    with a small message.
    """
    import asyncio.selector_events

    cls = getattr(asyncio.selector_events, "_SelectorSocketTransport", None)

    def read_less(transport: Any) -> None:
        # Any other transport, or a size that somebody has chosen, is left alone.
        if type(transport) is cls and getattr(transport, "max_size", None) == _THEIRS:
            transport.max_size = _OURS

    return read_less
