"""uvicorn: one ASGI application under each of its WebSocket protocols, and under ours."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn

from .hosting import NO_LIMIT, QUEUE, Setup

_running: list[Any] = []


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return
        await send(_returned(event))


def _returned(event: Any) -> dict[str, Any]:
    text = event.get("text")
    if text is not None:
        return {"type": "websocket.send", "text": text}
    return {"type": "websocket.send", "bytes": event["bytes"]}


def _fanout(copies: int) -> Any:
    connections: set[Any] = set()

    async def fanout(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        connections.add(send)
        try:
            while (event := await receive())["type"] != "websocket.disconnect":
                for _ in range(copies):
                    for other in connections:
                        await other(_returned(event))
        finally:
            connections.discard(send)

    return fanout


async def serve(form: str, setup: Setup) -> int:
    """`form`: as uvicorn's option ``ws``."""
    config = uvicorn.Config(
        _fanout(setup.copies) if setup.copies else _echo,
        ws=form,
        ws_max_size=NO_LIMIT,
        ws_max_queue=QUEUE,
        ws_ping_interval=None,
        ws_per_message_deflate=setup.deflate,
        lifespan="off",
        log_level="error",
        access_log=False,
        backlog=1024,
        ssl_certfile=setup.certificate or None,
    )
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    server = uvicorn.Server(config)
    task = asyncio.ensure_future(server.serve(sockets=[listening]))
    while not server.started:
        await asyncio.sleep(0.01)
        if task.done():
            task.result()
    _running.append(task)
    return int(listening.getsockname()[1])
