"""https://pypi.org/project/hypercorn/, a server on https://pypi.org/project/wsproto/"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config
from peers.behaviour import MAX_SIZE, SUBPROTOCOL, Behave, Closed, Peer
from wsproto.connection import Connection
from wsproto.events import CloseConnection

_running: set[asyncio.Task[None]] = set()
_closes: list[Closed] = []
_events_of_wsproto = Connection.events


def _events(self: Any) -> Iterator[Any]:
    """Hypercorn keeps the peer's close frame to itself; wsproto hands it out."""
    for event in _events_of_wsproto(self):
        if isinstance(event, CloseConnection):
            _closes.append(Closed(int(event.code), event.reason or ""))
        yield event


class HypercornPeer(Peer):
    def __init__(self, receive: Any, send: Any, subprotocol: str | None) -> None:
        self._receive = receive
        self._send = send
        self.subprotocol = subprotocol

    async def recv(self) -> str | bytes | Closed:
        event = await self._receive()
        if event["type"] == "websocket.disconnect":
            return _closes.pop() if _closes else Closed(1006, "")
        message: str | bytes = event["text"] if event.get("text") is not None else event["bytes"]
        return message

    async def send(self, message: str | bytes) -> None:
        kind = "text" if isinstance(message, str) else "bytes"
        await self._send({"type": "websocket.send", kind: message})

    async def close(self, code: int, reason: str) -> None:
        await self._send({"type": "websocket.close", "code": code, "reason": reason})


async def serve(behave: Behave) -> int:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            raise NotImplementedError(scope["type"])  # as ASGI wants it, of "lifespan" for one
        await receive()
        subprotocol = SUBPROTOCOL if SUBPROTOCOL in scope["subprotocols"] else None
        await send({"type": "websocket.accept", "subprotocol": subprotocol})
        await behave(HypercornPeer(receive, send, subprotocol))

    Connection.events = _events
    listening = socket.create_server(("127.0.0.1", 0))
    config = Config()
    config.bind = [f"fd://{listening.fileno()}"]
    config.websocket_max_message_size = MAX_SIZE
    _running.add(asyncio.ensure_future(hypercorn_serve(application, config)))
    port = int(listening.getsockname()[1])
    listening.detach()  # hypercorn's from here on
    return port
