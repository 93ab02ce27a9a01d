"""aiohttp: web.WebSocketResponse and ClientSession.ws_connect."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import ClientSession, WSMsgType, web

from .hosting import Conversation, Setup, Talk

_running: list[Any] = []

OPTIONS: dict[str, Any] = {"max_msg_size": 0}


async def _echo(ws: Any) -> None:
    async for message in ws:
        if message.type is WSMsgType.TEXT:
            await ws.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await ws.send_bytes(message.data)


def _fanout(copies: int) -> Any:
    connections: set[Any] = set()

    async def fanout(ws: Any) -> None:
        connections.add(ws)
        try:
            async for message in ws:
                for _ in range(copies):
                    for other in connections:
                        await other.send_bytes(message.data)
        finally:
            connections.discard(ws)

    return fanout


async def serve(form: str, setup: Setup) -> int:
    behave = _fanout(setup.copies) if setup.copies else _echo

    async def handler(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(compress=setup.deflate, **OPTIONS)
        await ws.prepare(request)
        await behave(ws)
        return ws

    application = web.Application()
    application.router.add_get("/", handler)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=setup.tls(), backlog=1024)
    await site.start()
    _running.append(runner)
    return int(runner.addresses[0][1])


async def _converse(session: Any, uri: str, conversation: Conversation) -> None:
    async with session.ws_connect(uri, compress=0, **OPTIONS) as ws:
        in_flight = 0
        for message in conversation.opening():
            in_flight += 1
            await ws.send_bytes(message)
        async for reply in ws:
            answer = conversation.answer(reply.data)
            if answer is not None:
                await ws.send_bytes(answer)
                continue
            in_flight -= 1
            if not in_flight:
                break


async def talk(form: str, talk: Talk) -> None:
    async with ClientSession() as session:
        await asyncio.gather(
            *(_converse(session, talk.uri, conversation) for conversation in talk.conversations)
        )
