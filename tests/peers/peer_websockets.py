"""https://pypi.org/project/websockets/"""

from __future__ import annotations

from typing import Any

from peers.behaviour import MAX_SIZE, SUBPROTOCOL, Behave, Closed, Peer
from websockets.asyncio.client import connect as websockets_connect
from websockets.asyncio.server import serve as websockets_serve
from websockets.exceptions import ConnectionClosed


class WebsocketsPeer(Peer):
    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.subprotocol = connection.subprotocol

    async def recv(self) -> str | bytes | Closed:
        try:
            message: str | bytes = await self._connection.recv()
        except ConnectionClosed:
            return Closed(self._connection.close_code, self._connection.close_reason)
        return message

    async def send(self, message: str | bytes) -> None:
        await self._connection.send(message)

    async def send_fragments(self, fragments: list[bytes], is_text: bool) -> None:
        await self._connection.send(fragments, text=is_text)

    async def ping(self, payload: bytes) -> None:
        await (await self._connection.ping(payload))

    async def close(self, code: int, reason: str) -> None:
        await self._connection.close(code, reason)


async def serve(behave: Behave) -> int:
    async def handler(connection: Any) -> None:
        await behave(WebsocketsPeer(connection))

    server = await websockets_serve(
        handler, "127.0.0.1", 0, max_size=MAX_SIZE, select_subprotocol=_superchat_if_offered
    )
    return int(next(iter(server.sockets)).getsockname()[1])


def _superchat_if_offered(_: Any, subprotocols: Any) -> Any:
    return SUBPROTOCOL if SUBPROTOCOL in subprotocols else None


async def connect(uri: str, subprotocols: list[str], behave: Behave) -> None:
    offered: Any = subprotocols or None
    async with websockets_connect(uri, subprotocols=offered, max_size=MAX_SIZE, proxy=None) as connection:
        await behave(WebsocketsPeer(connection))
