"""Accepts connections where there is epoll, and the loop tells when a descriptor is ready."""

from __future__ import annotations

import asyncio
import errno
import os
import socket as socket_module
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..codec import BACKEND
from .transport import Poller, SocketTransport

if TYPE_CHECKING:
    from .protocol import SocketProtocol

__all__ = ["Listener", "accept", "accepts_for"]

# What a process has too few of, and will have more of later.
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_RETRY_DELAY = 1.0
"""Seconds until it is tried again."""


def accepts_for(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether `Listener` works on this loop, and is faster than what the loop does itself."""
    uvloops = getattr(sys.modules.get("uvloop"), "Loop", asyncio.SelectorEventLoop)
    return sys.platform == "linux" and isinstance(loop, (asyncio.SelectorEventLoop, uvloops))


class Listener:
    """Accepts what comes to some sockets.

    Args:
        loop: see `accepts_for`.
        sockets: bound; they are duplicated, and stay the caller's to close.
        backlog: connections that the system keeps until they are accepted.
        make_protocol: called for each connection.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sockets: Iterable[Any],
        backlog: int,
        make_protocol: Callable[[], SocketProtocol],
    ) -> None:
        self._loop = loop
        self._poller = Poller(loop)
        self._backlog = backlog
        self._make_protocol = make_protocol
        self._sockets: list[socket_module.socket] = [socket.dup() for socket in sockets]
        for socket in self._sockets:
            socket.setblocking(False)
            if socket.family != socket_module.AF_UNIX:
                # Those that it accepts inherit it.
                socket.setsockopt(socket_module.IPPROTO_TCP, socket_module.TCP_NODELAY, 1)
            socket.listen(backlog)
            self._watch(socket)

    def close(self) -> None:
        """Accept no more."""
        while self._sockets:
            socket = self._sockets.pop()
            self._loop.remove_reader(socket)
            socket.close()
        self._poller.release()

    def _watch(self, socket: socket_module.socket) -> None:
        if socket in self._sockets:  # it may have been closed while there was no descriptor left
            self._loop.add_reader(socket, self._accept_all, socket)

    def _accept_all(self, socket: socket_module.socket) -> None:
        # Not for ever: those that are there want to be served.
        for _ in range(self._backlog):
            try:
                accepted = accept(socket)
            except OSError as error:
                self._failed(socket, error)
                return
            if accepted is None:
                return
            self._start(*accepted)

    def _start(self, descriptor: int, peername: Any) -> None:
        try:
            protocol = self._make_protocol()
            if peername is None:
                peername = _peername_of(descriptor)
            transport = SocketTransport(self._poller, descriptor, protocol, peername)
        except Exception as error:  # noqa: BLE001
            os.close(descriptor)
            context = {"message": "a connection that was accepted could not begin", "exception": error}
            self._loop.call_exception_handler(context)
            return
        transport.start()

    def _failed(self, socket: socket_module.socket, error: OSError) -> None:
        if error.errno not in _EXHAUSTED:
            raise error
        context = {"message": f"no connection is accepted for {_RETRY_DELAY:g} s", "exception": error}
        self._loop.call_exception_handler(context)
        self._loop.remove_reader(socket)
        self._loop.call_later(_RETRY_DELAY, self._watch, socket)


def _peername_of(descriptor: int) -> Any:
    """What `accept` did not tell: the name of a Unix socket's client, empty as a rule."""
    socket = socket_module.socket(fileno=descriptor)
    try:
        return socket.getpeername()
    except OSError:
        return None  # it is gone already
    finally:
        socket.detach()


if BACKEND == "compiled":
    from ._native import accept
else:
    from ._system_calls import accept
