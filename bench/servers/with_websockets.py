"""websockets, and picows' API of the same shape."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from .hosting import QUEUE, WRITE_LIMIT, Conversation, Setup, Talk

_running: list[Any] = []

OPTIONS: dict[str, Any] = {
    "max_size": None,
    "max_queue": QUEUE,
    "write_limit": WRITE_LIMIT,
    "ping_interval": None,
}


def _api(form: str, role: str) -> Any:
    package = "picows.websockets.asyncio" if form == "picows" else "websockets.asyncio"
    return importlib.import_module(f"{package}.{role}")


async def _echo(ws: Any) -> None:
    async for message in ws:
        await ws.send(message)


def _fanout(copies: int, broadcast: Any) -> Any:
    connections: set[Any] = set()

    async def fanout(ws: Any) -> None:
        connections.add(ws)
        try:
            async for message in ws:
                for _ in range(copies):
                    broadcast(connections, message)
        finally:
            connections.discard(ws)

    return fanout


async def serve(form: str, setup: Setup) -> int:
    api = _api(form, "server")
    handler = _fanout(setup.copies, api.broadcast) if setup.copies else _echo
    compression = "deflate" if setup.deflate else None
    server = await api.serve(
        handler, "127.0.0.1", 0, ssl=setup.tls(), backlog=1024, compression=compression, **OPTIONS
    )
    _running.append(server)
    return int(server.sockets[0].getsockname()[1])


async def _converse(api: Any, uri: str, conversation: Conversation) -> None:
    async with api.connect(uri, compression=None, proxy=None, **OPTIONS) as ws:
        in_flight = 0
        for message in conversation.opening():
            in_flight += 1
            await ws.send(message)
        async for reply in ws:
            answer = conversation.answer(reply)
            if answer is not None:
                await ws.send(answer)
                continue
            in_flight -= 1
            if not in_flight:
                break


async def talk(form: str, talk: Talk) -> None:
    api = _api(form, "client")
    await asyncio.gather(*(_converse(api, talk.uri, conversation) for conversation in talk.conversations))
