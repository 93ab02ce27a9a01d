"""Servers that ride on a library, and uvicorn with our protocol class: hosts for measuring."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from importlib import import_module
from typing import Any

from drop_ins.adapters.host import MAX_SIZE, Host


async def application(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application that echoes."""
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        text = event.get("text")
        if text is not None:
            await send({"type": "websocket.send", "text": text})
        else:
            await send({"type": "websocket.send", "bytes": event["bytes"]})


class Uvicorn(Host):
    """On uvloop, as `uvicorn[standard]` brings it."""

    ws = ""

    @staticmethod
    def run(main: Any) -> None:
        import_module("uvloop").run(main)

    async def serve(self) -> int:
        import uvicorn

        config = uvicorn.Config(
            application,
            ws=self.ws,
            ws_max_size=MAX_SIZE,
            ws_per_message_deflate=False,
            lifespan="off",
            log_level="warning",
        )
        self._server = uvicorn.Server(config)
        listener = socket.create_server(("127.0.0.1", 0))
        config.load()
        self._server.lifespan = config.lifespan_class(config)
        await self._server.startup(sockets=[listener])
        self._task = asyncio.create_task(self._server.main_loop())
        return int(listener.getsockname()[1])


class UvicornFastframe(Uvicorn):
    ws = "fastframe.uvicorn:WebSocketProtocol"


class UvicornSansIO(Uvicorn):
    ws = "websockets-sansio"


class UvicornWsproto(Uvicorn):
    ws = "wsproto"


class Hypercorn(Host):
    """On asyncio, as it comes."""

    async def serve(self) -> int:
        from hypercorn.asyncio import serve
        from hypercorn.config import Config

        listener = socket.create_server(("127.0.0.1", 0))
        config = Config()
        config.bind = [f"fd://{listener.fileno()}"]
        config.websocket_max_message_size = MAX_SIZE
        config.accesslog = config.errorlog = None
        port = int(listener.getsockname()[1])
        listener.detach()  # hypercorn's from here on
        self._task = asyncio.create_task(serve(application, config, shutdown_trigger=asyncio.Event().wait))
        return port


class SimpleWebSocket(Host):
    """Behind a WSGI server there is nothing but its socket: a thread each."""

    async def serve(self) -> int:
        listener = socket.create_server(("127.0.0.1", 0))

        def accept() -> None:
            while True:
                threading.Thread(target=self._talk, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return int(listener.getsockname()[1])

    def _talk(self, connection: socket.socket) -> None:
        from simple_websocket import ConnectionClosed, Server

        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        fields = [line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if line]
        environ: dict[str, Any] = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in fields}
        environ |= {"werkzeug.socket": connection, "REQUEST_METHOD": "GET", "PATH_INFO": "/"}
        with contextlib.suppress(ConnectionClosed):
            server = Server.accept(environ, max_message_size=MAX_SIZE)
            while True:
                server.send(server.receive())
