"""The frames of one visitor's socket, for the page to show."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from ..aio.frame_watch import FrameWatch, SeenFrame, WatchedConnection

if TYPE_CHECKING:
    from ..connection import Connection
    from ..errors import ProtocolError

__all__ = ["FrameRecord"]

_KEPT: Final = 64
"""Frames that wait to be shown; of more, the first ones are only counted."""

_SHOWN: Final = 48
"""Bytes of a payload that are shown."""


class FrameRecord:
    """What has passed since it was last asked, and the sums of all.

    Both directions are recorded as the server has them: the headers are the
    bytes that came in and went out, not what they ought to be.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._latest: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._since = 0
        self._sums = {way: {"frames": 0, "header": 0, "payload": 0} for way in ("in", "out")}

    def watch(self, connection: Connection) -> Connection:
        """Return a connection to be used in its place, whose frames are recorded."""
        incoming, outgoing = (
            FrameWatch(lambda frame, way=way: self._add(way, frame), _ignore)  # type: ignore[misc]
            for way in ("in", "out")
        )
        return WatchedConnection(connection, incoming.feed, outgoing.feed)

    def take(self) -> dict[str, Any] | None:
        """Return what the page is told next, None if nothing has passed."""
        if not self._since:
            return None
        frames = list(self._latest)
        told = {
            "type": "frames",
            "frames": frames,
            "skipped": self._since - len(frames),
            "sums": self._sums,
        }
        self._latest.clear()
        self._since = 0
        return told

    def _add(self, way: str, frame: SeenFrame) -> None:
        sums = self._sums[way]
        sums["frames"] += 1
        sums["header"] += len(frame.header_bytes)
        sums["payload"] += frame.header.payload_length
        self._since += 1
        self._latest.append(
            {
                "way": way,
                "ms": round((time.monotonic() - self._began) * 1000, 1),
                "header": frame.header_bytes.hex(),
                "payload": frame.payload_start[:_SHOWN].hex(),
                "length": frame.header.payload_length,
            }
        )


def _ignore(error: ProtocolError, data: bytes) -> None:
    """What is no frame ends the connection, and the page is told of that."""
