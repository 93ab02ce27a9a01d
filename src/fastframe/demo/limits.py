"""What a visitor may send, and how often; and how many there may be."""

from __future__ import annotations

import time
from typing import Final

__all__ = ["MAX_IMAGE", "MAX_POST", "MAX_SOCKETS", "MAX_TEXT", "Allowance"]

MAX_SOCKETS: Final = 48
"""WebSockets open at the same time; each tab has two, and a third for as long as it times a burst."""

MAX_IMAGE: Final = 16 * 1024 * 1024
"""Bytes of a picture, and so of any message."""

MAX_POST: Final = 16 * 1024
"""Characters of a post."""

MAX_TEXT: Final = 8 * MAX_POST
"""Characters of a text message: a post has its own, and JSON may write each in six."""


class Allowance:
    """So many, and a new one every so many seconds.

    Args:
        count: that may come at once.
        seconds: after which one more may come.
    """

    __slots__ = ("_count", "_left", "_seconds", "_seen")

    def __init__(self, count: int, seconds: float) -> None:
        self._count = count
        self._seconds = seconds
        self._left = float(count)
        self._seen = time.monotonic()

    def take(self) -> bool:
        """Whether one more is allowed; it is counted then."""
        now = time.monotonic()
        self._left = min(self._count, self._left + (now - self._seen) / self._seconds)
        self._seen = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
