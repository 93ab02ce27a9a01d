"""fastframe: the coroutine form and the callback form."""

from __future__ import annotations

import asyncio
from typing import Any

import fastframe
from fastframe import WebSocket, broadcast

from .hosting import Conversation, Setup, Talk

_running: list[Any] = []

# Queue and write limit are the defaults: 256 KiB received, 64 KiB to be sent.
OPTIONS: dict[str, Any] = {"max_size": None, "ping_interval": None}


async def _echo(ws: Any) -> None:
    async for message in ws:
        await ws.send(message)


class _Echo(WebSocket):
    def on_message(self, message: str | bytes) -> None:
        self.send(message)


def _fanout(copies: int) -> Any:
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


def _fanout_callback(copies: int) -> type[WebSocket]:
    connections: set[Any] = set()

    class Fanout(WebSocket):
        def on_open(self) -> None:
            connections.add(self)

        def on_message(self, message: str | bytes) -> None:
            for _ in range(copies):
                broadcast(connections, message)

        def on_close(self, close_code: int, close_reason: str, was_clean: bool) -> None:
            connections.discard(self)

    return Fanout


async def serve(form: str, setup: Setup) -> int:
    handler: Any
    if form == "callback":
        handler = _fanout_callback(setup.copies) if setup.copies else _Echo
    else:
        handler = _fanout(setup.copies) if setup.copies else _echo
    compression = "deflate" if setup.deflate else None
    server = await fastframe.serve(
        handler, "127.0.0.1", 0, ssl=setup.tls(), compression=compression, **OPTIONS
    )
    _running.append(server)
    return int(server.sockets[0].getsockname()[1])


async def _converse(uri: str, conversation: Conversation) -> None:
    async with fastframe.connect(uri, compression=None, **OPTIONS) as ws:
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


async def _converse_callback(uri: str, conversation: Conversation) -> None:
    done = asyncio.get_running_loop().create_future()
    answer = conversation.answer

    class Client(WebSocket):
        in_flight = 0

        def on_open(self) -> None:
            for message in conversation.opening():
                self.in_flight += 1
                self.send(message)

        def on_message(self, message: str | bytes) -> None:
            following = answer(message)
            if following is not None:
                self.send(following)
                return
            self.in_flight -= 1
            if not self.in_flight:
                self.close()

        def on_error(self, error: Exception) -> None:
            if not done.done():
                done.set_exception(error)

        def on_close(self, close_code: int, close_reason: str, was_clean: bool) -> None:
            if not done.done():
                done.set_result(None)

    await fastframe.connect(uri, Client, compression=None, **OPTIONS)
    await done


async def talk(form: str, talk: Talk) -> None:
    converse = _converse_callback if form == "callback" else _converse
    await asyncio.gather(*(converse(talk.uri, conversation) for conversation in talk.conversations))
