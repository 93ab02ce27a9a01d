"""Whether a peer has hung up while nothing is read of it: asyncio notices an end only by reading."""

from __future__ import annotations

import select
from typing import Any, Final

__all__ = ["has_hung_up"]

# Linux alone tells of a FIN behind bytes that nobody has read.
_HUNG_UP: Final = getattr(select, "POLLRDHUP", 0)


def has_hung_up(transport: Any) -> bool:
    """Whether the peer has closed its side, or is gone; False where the system does not tell."""
    socket = transport.get_extra_info("socket")
    if not _HUNG_UP or socket is None or socket.fileno() < 0:
        return False
    looking = select.poll()
    looking.register(socket.fileno(), _HUNG_UP)
    return bool(looking.poll(0))
