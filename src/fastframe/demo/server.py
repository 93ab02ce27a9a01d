"""One port for the page and its WebSockets."""

from __future__ import annotations

import asyncio
import contextlib
import platform
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .. import __version__, build_info
from ..aio.server import Server, serve
from ..aio.websocket import WebSocket
from ..deflate import DEFLATE_BACKEND
from ..frames import CloseCode
from ..handshake import Response
from .limits import MAX_IMAGE, MAX_POST, MAX_SOCKETS
from .room import Room
from .site import Site, origins_of

if TYPE_CHECKING:
    from ..aio.settings import Owner
    from ..connection import Connection
    from ..handshake import Request
    from .visitors import Visitor

__all__ = ["SUBPROTOCOLS", "Demo", "open_demo"]

SUBPROTOCOLS: Final = ("fastframe-demo.v1", "echo")
"""What the server speaks. The page would rather speak a version 2, which shows how they agree."""


class _Socket(WebSocket):
    """A WebSocket of the page; its path says what it is for."""

    def __init__(self, owner: Owner, room: Room) -> None:
        super().__init__(owner)
        self._room = room
        self._visitor: Visitor | None = None

    @property
    def _path(self) -> str:
        assert self.request is not None, "its handshake is done"
        return self.request.path.partition("?")[0]

    def _watched(self, connection: Connection) -> Connection:
        connection = super()._watched(connection)
        self._room.sockets.add(self)
        if self._path != "/live":
            return connection
        self._visitor = self._room.visitor(self)
        return self._visitor.record.watch(connection)

    def on_open(self) -> None:
        if self._visitor is not None:
            self._room.welcome(self._visitor)
        elif self._path == "/frames":
            self._room.watch(self)

    def on_message(self, message: str | bytes) -> None:
        if self._visitor is not None:
            self._visitor.receive(message)
        elif self._path == "/echo":
            self.send(message)
        else:
            self.close(CloseCode.POLICY_VIOLATION, "there is nothing to say here")

    def on_close(self, close_code: int, close_reason: str, was_clean: bool) -> None:
        self._room.sockets.discard(self)
        if self._visitor is not None:
            self._room.left(self._visitor)
        else:
            self._room.unwatch(self)


@dataclass(frozen=True, slots=True)
class Demo:
    """A demo that is running.

    Attributes:
        url: of the page.
        server: what serves it.
    """

    url: str
    server: Server


@contextlib.asynccontextmanager
async def open_demo(
    host: str = "127.0.0.1", port: int = 0, origins: Sequence[str] = ()
) -> AsyncIterator[Demo]:
    """Serve the page and its WebSockets.

    Args:
        host: a name or an address to listen on.
        port: likewise; 0: any that is free.
        origins: further ones that the page may have, such as a proxy's.

    Raises:
        OSError: it cannot listen there.
        ValueError: nobody can say which origin the page would have.
    """
    listening = _listen(host, port)
    # As browsers write them.
    origins = [origin.lower() for origin in origins]
    try:
        address, bound = listening.getsockname()[:2]
        allowed = (
            list(origins) if origins and address in ("0.0.0.0", "::") else origins_of(host, address, bound)
        )
        allowed = list(dict.fromkeys([*allowed, *origins]))
        room = Room(_facts())
        server = await serve(
            _sockets_of(room),
            sock=listening,
            origins=allowed,
            subprotocols=SUBPROTOCOLS,
            process_request=_gatekeeper(Site(allowed), room),
            max_size=MAX_IMAGE,
            ping_interval=5,
            close_timeout=2,
        )
    except BaseException:
        listening.close()
        raise
    pushing = asyncio.ensure_future(room.run())
    try:
        yield Demo(f"{allowed[0]}/", server)
    finally:
        pushing.cancel()
        await asyncio.gather(pushing, return_exceptions=True)
        await server.close()


def _listen(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(
        host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    # With what else an address of version 6 has: its network, where it is local to one.
    return socket.create_server(address, family=family)


def _sockets_of(room: Room) -> type[WebSocket]:
    class RoomSocket(_Socket):
        def __init__(self, owner: Owner) -> None:
            super().__init__(owner, room)

    return RoomSocket


def _gatekeeper(site: Site, room: Room) -> Any:
    def process_request(_: Any, request: Request) -> Response | None:
        answer = site.answer(request)
        if answer is None and len(room.sockets) >= MAX_SOCKETS:
            return Response(503, [("Retry-After", "10")], b"Too many are here already.\n")
        return answer

    return process_request


def _facts() -> dict[str, Any]:
    """What the page says of the server."""
    info = build_info()
    return {
        "version": __version__,
        "backend": info["backend"],
        "kernel": info["kernel"],
        "kernels": info["kernels"],
        "python": info["python"],
        "machine": info["machine"],
        "system": platform.system(),
        "loop": type(asyncio.get_running_loop()).__module__.partition(".")[0],
        "deflate": DEFLATE_BACKEND,
        "limits": {"picture": MAX_IMAGE, "post": MAX_POST},
    }
