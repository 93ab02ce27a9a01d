"""https://pypi.org/project/aiohttp/"""

from __future__ import annotations

from typing import Any

from aiohttp import ClientSession, WSMsgType, web
from peers.behaviour import SUBPROTOCOL, Behave, Closed, Peer

OPTIONS: dict[str, Any] = {"max_msg_size": 0, "autoping": False}


class AiohttpPeer(Peer):
    def __init__(self, connection: Any, subprotocol: str | None) -> None:
        self._connection = connection
        self.subprotocol = subprotocol
        self._reason = ""

    async def _receive(self) -> Any:
        # autoping would answer pings, but hide the pongs too.
        message = await self._connection.receive()
        if message.type is WSMsgType.PING:
            await self._connection.pong(message.data)
        return message

    async def recv(self) -> str | bytes | Closed:
        while True:
            message = await self._receive()
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                data: str | bytes = message.data
                return data
            if message.type is WSMsgType.CLOSE:
                self._reason = message.extra or ""
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR):
                return Closed(self._connection.close_code, self._reason)

    async def send(self, message: str | bytes) -> None:
        if isinstance(message, str):
            await self._connection.send_str(message)
        else:
            await self._connection.send_bytes(message)

    async def ping(self, payload: bytes) -> None:
        await self._connection.ping(payload)
        while True:
            message = await self._receive()
            if message.type is WSMsgType.PONG and message.data == payload:
                return

    async def close(self, code: int, reason: str) -> None:
        await self._connection.close(code=code, message=reason.encode())


async def serve(behave: Behave) -> int:
    async def handler(request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse(protocols=[SUBPROTOCOL], **OPTIONS)
        await response.prepare(request)
        await behave(AiohttpPeer(response, response.ws_protocol))
        return response

    application = web.Application()
    application.router.add_get("/", handler)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return int(runner.addresses[0][1])


async def connect(uri: str, subprotocols: list[str], behave: Behave) -> None:
    async with (
        ClientSession() as session,
        session.ws_connect(uri, protocols=subprotocols, compress=15, **OPTIONS) as connection,
    ):
        await behave(AiohttpPeer(connection, connection.protocol))
