"""tornado: WebSocketHandler and websocket_connect."""

from __future__ import annotations

import asyncio
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketHandler, websocket_connect

from .hosting import NO_LIMIT, Conversation, Setup, Talk

_running: list[Any] = []


def _handler(setup: Setup) -> type[Any]:
    connections: set[Any] = set()

    class Handler(WebSocketHandler):  # type: ignore[misc]
        def get_compression_options(self) -> dict[str, Any] | None:
            return {} if setup.deflate else None

        def open(self) -> None:
            # As every other library here does by itself.
            self.set_nodelay(True)
            connections.add(self)

        def on_message(self, message: str | bytes) -> None:
            if not setup.copies:
                self.write_message(message, binary=isinstance(message, bytes))
                return
            for _ in range(setup.copies):
                for other in connections:
                    other.write_message(message, binary=isinstance(message, bytes))

        def on_close(self) -> None:
            connections.discard(self)

    return Handler


async def serve(form: str, setup: Setup) -> int:
    application = Application(
        [("/", _handler(setup))], websocket_max_message_size=NO_LIMIT, log_function=lambda handler: None
    )
    sockets = bind_sockets(0, "127.0.0.1", backlog=1024)
    server = HTTPServer(application, ssl_options=setup.tls())
    server.add_sockets(sockets)
    _running.append(server)
    return int(sockets[0].getsockname()[1])


async def _converse(uri: str, conversation: Conversation) -> None:
    ws = await websocket_connect(uri, max_message_size=NO_LIMIT)
    in_flight = 0
    for message in conversation.opening():
        in_flight += 1
        await ws.write_message(message, binary=True)
    while in_flight:
        answer = conversation.answer(await ws.read_message())
        if answer is not None:
            await ws.write_message(answer, binary=True)
        else:
            in_flight -= 1
    ws.close()


async def talk(form: str, talk: Talk) -> None:
    await asyncio.gather(*(_converse(talk.uri, conversation) for conversation in talk.conversations))
