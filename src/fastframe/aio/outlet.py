"""Where written bytes go: to the socket itself while nothing waits before it, else to the transport.

A transport's `write` takes about as long as the system call that it comes to.
What the system does not take at once is the transport's to send, so limits,
`pause_writing` and errors stay its business.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

from ..codec import BACKEND

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Outlet", "send"]

# Until Python 3.12 asyncio copies all that it cannot send at once, and of 1 MiB that is most.
_COPIES = sys.version_info < (3, 12)


class Outlet:
    """The way out of a connection.

    Args:
        transport: of the connection, once its handshake is done.
        loop: its event loop.
        limit: bytes that wait in the transport when it calls `pause_writing`.
    """

    __slots__ = ("_descriptor", "_is_clear", "_limit", "_piece", "_rest", "_transport")

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop, limit: int) -> None:
        self._transport = transport
        self._descriptor = _descriptor_of(transport)
        self._is_clear = False
        self._limit = limit
        # More than `limit`, so that it has to say when it is through.
        copies = _COPIES and isinstance(transport, asyncio.Transport)
        self._piece = limit + 65536 if copies else sys.maxsize
        self._rest: memoryview | None = None

    @property
    def waiting(self) -> int:
        """Bytes written that the system has not taken."""
        size: int = self._transport.get_write_buffer_size()
        return size if self._rest is None else size + len(self._rest)

    def write(self, data: bytes | memoryview) -> None:
        """Write; not before `resume` if the transport has called `pause_writing`."""
        if self._is_direct():
            sent = send(self._descriptor, data)
            if sent == len(data):
                return
            data = memoryview(data)[sent:]
        self._hand_over(data)

    def write_two(self, header: bytes, payload: bytes) -> None:
        """Write both without joining them."""
        self.write(header)
        # A view: of bytes, asyncio before Python 3.12 copies what is left after each write.
        self.write(memoryview(payload))

    def resume(self) -> None:
        """Go on with what was too much for the transport."""
        rest, self._rest = self._rest, None
        if rest is not None:
            self.write(rest)

    def finish(self, data: bytes) -> None:
        """Give the transport all there is, for it to be closed behind it; nothing may follow."""
        rest, self._rest = self._rest, None
        for part in (rest, data):
            if part:
                self._transport.write(part)

    def _is_direct(self) -> bool:
        if self._descriptor < 0:
            return False
        if not self._is_clear:
            # From here on it stays clear for as long as the system takes all that we write.
            self._is_clear = self._transport.get_write_buffer_size() == 0
        return self._is_clear

    def _hand_over(self, data: bytes | memoryview) -> None:
        self._is_clear = False
        transport = self._transport
        while len(data) > self._piece:
            transport.write(data[: self._piece])
            data = data[self._piece :]
            if transport.get_write_buffer_size() > self._limit:
                self._rest = memoryview(data)
                return
        transport.write(data)


def _descriptor_of(transport: Any) -> int:
    """That of a socket to be written to; -1 where there is TLS, or where sockets are no files."""
    if os.name != "posix" or transport.get_extra_info("sslcontext") is not None:
        return -1
    socket = transport.get_extra_info("socket")
    return -1 if socket is None else int(socket.fileno())


def _write(descriptor: int, data: Buffer) -> int:
    try:
        return os.write(descriptor, data)
    except OSError:
        return 0  # the transport will find out why


# Compiled, it needs no exception to say that nothing was sent.
if BACKEND == "compiled":
    from ._native import send
else:
    send = _write
