"""Transports of the server's without a server: with a protocol that notes what it is told, and a peer."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from aio_support import spin

from fastframe.aio.transport import Poller, SocketTransport

linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="there is no epoll: the server has the loop's own transports"
)


class Notes:
    """A protocol that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.received = bytearray()
        self.buffer = bytearray(1000)
        self.failing = ""
        self.after_update: Callable[[], None] = lambda: None

    def _note(self, what: str, *more: Any) -> None:
        self.told.append((what, *more) if more else what)
        if self.failing == what:
            raise RuntimeError(f"{what} fails")

    def connection_made(self, transport: Any) -> None:
        self._note("made")

    def get_buffer(self, sizehint: int) -> memoryview:
        if self.failing == "get_buffer":
            raise MemoryError("get_buffer fails")
        return memoryview(self.buffer)

    def buffer_updated(self, nbytes: int) -> None:
        self.received += self.buffer[:nbytes]
        self.after_update()
        if self.failing == "updated":
            raise RuntimeError("updated fails")

    def eof_received(self) -> None:
        self._note("eof")

    def pause_writing(self) -> None:
        self._note("pause")

    def resume_writing(self) -> None:
        self._note("resume")

    def connection_lost(self, error: Exception | None) -> None:
        self.told.append(("lost", error))


def new_poller() -> Poller:
    if linux_only.args[0]:
        pytest.skip(linux_only.kwargs["reason"])
    return Poller(asyncio.get_running_loop())


@asynccontextmanager
async def transport(failing: str = "") -> AsyncIterator[tuple[SocketTransport, Notes, socket.socket]]:
    """A transport, its protocol, and the socket at the other end."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    notes = Notes()
    notes.failing = failing
    descriptor = ours.detach()
    poller = new_poller()
    made = SocketTransport(poller, descriptor, cast("Any", notes), "peer")
    made.start()
    poller.release()
    try:
        yield made, notes, theirs
    finally:
        made.abort()
        theirs.close()
        await spin(3)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


async def rest(theirs: socket.socket) -> bytes:
    loop, data = asyncio.get_running_loop(), bytearray()
    while piece := await loop.sock_recv(theirs, 65536):
        data += piece
    return bytes(data)


def lost(notes: Notes) -> bool:
    return bool(notes.told) and notes.told[-1][0] == "lost"


def over_tcp(notes: Notes) -> tuple[SocketTransport, socket.socket]:
    """A transport that has not started, and the socket at the other end, which closes with a reset."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        peer = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    ours.setblocking(False)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return SocketTransport(new_poller(), ours.detach(), cast("Any", notes), "peer"), peer
