"""The system calls of `_native`, where nothing is compiled."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import select
    import socket

    from typing_extensions import Buffer

__all__ = ["accept", "ready", "receive", "send"]

# Bytes asked of the system at once where they have to be copied from there.
_COPIED_SIZE: Final = 262144


def accept(listening: socket.socket) -> tuple[int, Any] | None:
    """Accept a connection, which does not block then; None if there is none."""
    try:
        accepted, peername = listening.accept()
    except (BlockingIOError, InterruptedError, ConnectionAbortedError):
        return None
    accepted.setblocking(False)
    return accepted.detach(), peername


def ready(poller: select.epoll) -> list[int]:
    """Ask an epoll what is ready, without waiting; some of it if that is much."""
    return [descriptor for descriptor, _ in poller.poll(0, 256)]


def send(descriptor: int, data: Buffer) -> int:
    """Write, and return how much the system has taken; 0 for any error."""
    try:
        return os.write(descriptor, data)
    except OSError:
        return 0  # the transport will find out why


def receive_in_place(descriptor: int, buffer: Buffer) -> int:
    """Read, and return how much has come; -1 if there is nothing now."""
    try:
        return os.readv(descriptor, [buffer])
    except (BlockingIOError, InterruptedError):
        return -1


def receive_and_copy(descriptor: int, buffer: Buffer) -> int:
    """Stand in for it where Python has no `os.readv`, as PyPy."""
    view = memoryview(buffer)
    try:
        # What is asked for is allocated, and a frame read in place may ask for megabytes.
        data = os.read(descriptor, min(len(view), _COPIED_SIZE))
    except (BlockingIOError, InterruptedError):
        return -1
    view[: len(data)] = data
    return len(data)


receive = receive_in_place if hasattr(os, "readv") else receive_and_copy
