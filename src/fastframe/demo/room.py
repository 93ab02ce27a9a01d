"""All who are there, and what the server pushes to them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from ..aio.broadcast import broadcast, prepare
from ..frames import CloseCode
from .handshakes import ending, handshake
from .pictures import painted
from .posts import WELCOME
from .visitors import Visitor, as_json

if TYPE_CHECKING:
    from ..aio.websocket import WebSocket

__all__ = ["Room"]

_TICK: Final = 0.05
"""Seconds between two looks at what there is to push."""

_SECOND: Final = round(1 / _TICK)

_WELCOME_SECONDS: Final = 0.4
"""Between the messages that a visitor is welcomed with."""

_ROOM_FOR_A_PICTURE: Final = 256 * 1024
"""Bytes that may wait for a visitor's network before a picture is left out."""

_NAMES: Final = (
    "Heron", "Otter", "Lynx", "Swift", "Marten", "Curlew", "Ibex", "Plover",
    "Stoat", "Osprey", "Hare", "Dunlin", "Badger", "Kestrel", "Seal", "Wren",
)  # fmt: skip


class Room:
    """The visitors of one server.

    Args:
        facts: what each is told of the server.

    Attributes:
        moved: whether somebody has, since the others were told.
        sockets: all that are open, those of visitors and the others.
    """

    def __init__(self, facts: dict[str, Any]) -> None:
        self.moved = False
        self.sockets: set[WebSocket] = set()
        self._facts = facts
        self._visitors: dict[str, Visitor] = {}
        self._watchers: dict[str, WebSocket] = {}
        self._began = time.monotonic()
        self._count = 0

    def visitor(self, socket: WebSocket) -> Visitor:
        """Somebody has come, and is `welcome` once the connection is open."""
        name = _NAMES[self._count % len(_NAMES)]
        if self._count >= len(_NAMES):
            name += f" {self._count // len(_NAMES) + 1}"
        self._count += 1
        return Visitor(socket, self, self._count, name)

    def welcome(self, visitor: Visitor) -> None:
        """Tell a new visitor who it is, then this and that, unasked."""
        self._visitors[visitor.token] = visitor
        visitor.tell(
            {
                "type": "hello",
                "number": visitor.number,
                "name": visitor.name,
                "token": visitor.token,
                "server": self._facts,
            }
        )
        self.moved = True
        loop = asyncio.get_running_loop()
        for place, (form, text) in enumerate(WELCOME, 1):
            post = {"type": "post", "from": "server", "format": form, "text": text}
            visitor.timers.append(loop.call_later(place * _WELCOME_SECONDS, visitor.tell, post))
        last = (len(WELCOME) + 1) * _WELCOME_SECONDS
        visitor.timers.append(loop.call_later(last, self.show_painting, visitor))

    def left(self, visitor: Visitor) -> None:
        """A visitor is gone; whoever watched its frames learns how."""
        self._visitors.pop(visitor.token, None)
        for timer in visitor.timers:
            timer.cancel()
        self.moved = True
        watcher = self._watchers.pop(visitor.token, None)
        if watcher is not None:
            self._show_frames(visitor, watcher)
            watcher.offer(as_json(ending(visitor.socket)))
            watcher.close()

    def watch(self, watcher: WebSocket) -> None:
        """Somebody wants to see the frames of the visitor whose token the request names."""
        assert watcher.request is not None, "it is open"
        token = parse_qs(watcher.request.path.partition("?")[2]).get("token", [""])[0]
        visitor = self._visitors.get(token)
        if visitor is None:
            watcher.close(CloseCode.POLICY_VIOLATION, "nobody here has this token")
            return
        before = self._watchers.pop(token, None)
        if before is not None:
            before.close()
        self._watchers[token] = watcher
        watcher.send(as_json(handshake(visitor.socket)))

    def unwatch(self, watcher: WebSocket) -> None:
        """A watcher is gone."""
        for token in [token for token, other in self._watchers.items() if other is watcher]:
            del self._watchers[token]

    def push(self, told: object) -> None:
        """Send a message to all visitors; encoded once, and a slow one is left out."""
        broadcast([visitor.socket for visitor in self._visitors.values()], as_json(told))

    def push_picture(self, name: str, kind: str, data: bytes) -> None:
        """Send a picture to all visitors, who sent it among them."""
        sockets = [visitor.socket for visitor in self._visitors.values()]
        # Who has no room for the picture is not told of it either.
        slow = {*broadcast(sockets, as_json(_caption(name, kind, data)), limit=_ROOM_FOR_A_PICTURE)}
        picture = prepare(data, compress=False)  # every kind of picture is compressed in itself
        broadcast([socket for socket in sockets if socket not in slow], picture, limit=_ROOM_FOR_A_PICTURE)

    def show_painting(self, visitor: Visitor) -> None:
        """Send one visitor the server's own picture."""
        picture = painted()
        visitor.tell(_caption("server", "image/png", picture))
        visitor.socket.offer(prepare(picture, compress=False))

    async def run(self) -> None:
        """Push, until cancelled."""
        ticks = 0
        while True:
            await asyncio.sleep(_TICK)
            ticks += 1
            if self.moved:
                self.moved = False
                self.push({"type": "room", "visitors": [_seen(each) for each in self._visitors.values()]})
            if ticks % _SECOND == 0:
                self.push({"type": "tick", "up": round(time.monotonic() - self._began)})
            if ticks % 2 == 0:
                for token, watcher in list(self._watchers.items()):
                    self._show_frames(self._visitors[token], watcher)

    def _show_frames(self, visitor: Visitor, watcher: WebSocket) -> None:
        # One that does not keep up sees fewer of them, and is told how many it has missed.
        if watcher.buffered_amount == 0:
            told = visitor.record.take()
            if told is not None:
                watcher.offer(as_json(told))


def _caption(name: str, kind: str, data: bytes) -> dict[str, Any]:
    return {"type": "picture", "from": name, "kind": kind, "size": len(data)}


def _seen(visitor: Visitor) -> dict[str, Any]:
    return {"number": visitor.number, "name": visitor.name, "at": visitor.position}
