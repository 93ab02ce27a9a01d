"""https://pypi.org/project/tornado/"""

from __future__ import annotations

import asyncio
from typing import Any

from peers.behaviour import MAX_SIZE, SUBPROTOCOL, Behave, Closed, QueuedPeer
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketHandler, websocket_connect


class TornadoPeer(QueuedPeer):
    def __init__(self, connection: Any) -> None:
        super().__init__()
        self._connection = connection
        self.subprotocol = connection.selected_subprotocol

    def closed(self) -> None:
        connection = self._connection
        self.came(Closed(connection.close_code or 1006, connection.close_reason or ""))

    async def send(self, message: str | bytes) -> None:
        await self._connection.write_message(message, binary=isinstance(message, bytes))

    async def ping(self, payload: bytes) -> None:
        self._connection.ping(payload)
        await self.pong(payload)

    async def close(self, code: int, reason: str) -> None:
        self._connection.close(code, reason)


class TornadoClient(TornadoPeer):
    def __init__(self, connection: Any) -> None:
        super().__init__(connection)
        connection.on_pong = self.pong_came

    async def recv(self) -> str | bytes | Closed:
        message: str | bytes | None = await self._connection.read_message()
        if message is None:
            self.closed()
            return await super().recv()
        return message


class Handler(WebSocketHandler):  # type: ignore[misc]
    def initialize(self, behave: Behave) -> None:
        self._behave = behave

    def check_origin(self, origin: str) -> bool:
        return True

    def get_compression_options(self) -> dict[str, Any]:
        return {}

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        return SUBPROTOCOL if SUBPROTOCOL in subprotocols else None

    def open(self) -> None:
        self._peer = TornadoPeer(self)
        self._talk = asyncio.ensure_future(self._behave(self._peer))

    def on_message(self, message: str | bytes) -> None:
        self._peer.came(message)

    def on_pong(self, data: bytes) -> None:
        self._peer.pong_came(data)

    def on_close(self) -> None:
        self._peer.closed()


async def serve(behave: Behave) -> int:
    application = Application([("/", Handler, {"behave": behave})], websocket_max_message_size=MAX_SIZE)
    sockets = bind_sockets(0, "127.0.0.1")
    HTTPServer(application).add_sockets(sockets)
    return int(sockets[0].getsockname()[1])


async def connect(uri: str, subprotocols: list[str], behave: Behave) -> None:
    connection = await websocket_connect(
        uri, subprotocols=subprotocols or None, compression_options={}, max_message_size=MAX_SIZE
    )
    await behave(TornadoClient(connection))
