"""A process that echoes through one library, as a server or as a client.

``python -m drop_ins.adapters.hosts NAME``, in tests/.

Lines on stdin are commands, answered by a line on stdout each: ``install NAME
DEPTH``, ``uninstall NAME``, ``cpu`` (the process time in nanoseconds),
``connect PORT`` (for a client, which tells when it is open). A server first
tells its port, a client 0. How a conversation ended is told on a line of its own, with the host's exception.
The end of stdin ends the process.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
import time
import warnings
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any

from drop_ins.adapters.host import MAX_SIZE, URI, Host, echo, echo_blocking, tell, told_end
from drop_ins.adapters.host_stacks import (
    Hypercorn,
    SimpleWebSocket,
    UvicornFastframe,
    UvicornSansIO,
    UvicornWsproto,
)

import fastframe.adapters

LIFETIME = 900
"""Seconds after which the process ends, whatever it is doing."""


class WebsocketsAsyncio(Host):
    compression: str | None = None

    async def serve(self) -> int:
        from websockets.asyncio.server import serve

        self._server = await serve(
            echo, "127.0.0.1", 0, compression=self.compression, max_size=MAX_SIZE, close_timeout=1
        )
        return int(next(iter(self._server.sockets)).getsockname()[1])

    async def connect(self, port: int) -> None:
        from websockets.asyncio.client import connect

        options: dict[str, Any] = {"proxy": None, "compression": self.compression, "max_size": MAX_SIZE}
        async with connect(URI.format(port), close_timeout=1, **options) as client:
            tell("open")
            await echo(client)


class WebsocketsDeflate(WebsocketsAsyncio):
    compression = "deflate"


class WebsocketsSync(Host):
    async def serve(self) -> int:
        from websockets.sync.server import serve

        self._server = serve(
            echo_blocking, "127.0.0.1", 0, compression=None, max_size=MAX_SIZE, close_timeout=1
        )
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return int(self._server.socket.getsockname()[1])

    async def connect(self, port: int) -> None:
        def run() -> None:
            from websockets.sync.client import connect

            options: dict[str, Any] = {"proxy": None, "compression": None, "max_size": MAX_SIZE}
            with connect(URI.format(port), close_timeout=1, **options) as client:
                tell("open")
                echo_blocking(client)

        await asyncio.to_thread(run)


class Wsproto(Host):
    """wsproto knows no sockets: a thread each."""

    deflate = False

    async def serve(self) -> int:
        listener = socket.create_server(("127.0.0.1", 0))

        def accept() -> None:
            while True:
                threading.Thread(target=self._talk, args=(listener.accept()[0], None), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return int(listener.getsockname()[1])

    async def connect(self, port: int) -> None:
        await asyncio.to_thread(self._talk, socket.create_connection(("127.0.0.1", port)), port)

    def _talk(self, connection: socket.socket, port: int | None) -> None:
        from wsproto import ConnectionType, WSConnection
        from wsproto.events import (
            AcceptConnection,
            CloseConnection,
            Message,
            Ping,
            Request,
        )
        from wsproto.extensions import PerMessageDeflate

        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ws = WSConnection(ConnectionType.SERVER if port is None else ConnectionType.CLIENT)
        parts: list[Any] = []
        error: BaseException | None = None
        extensions = [PerMessageDeflate()] if self.deflate else []
        with connection:
            if port is not None:
                connection.sendall(ws.send(Request(host="127.0.0.1", target="/", extensions=extensions)))
            try:
                while True:
                    received = connection.recv(65536)
                    ws.receive_data(received or None)
                    answer = b""
                    for event in ws.events():
                        if isinstance(event, Message):
                            parts.append(event.data)
                            if event.message_finished:
                                joined = type(event.data)().join(parts)
                                answer += ws.send(type(event)(data=joined))
                                parts.clear()
                        elif isinstance(event, Request):
                            answer += ws.send(AcceptConnection(extensions=extensions))
                        elif isinstance(event, Ping):
                            answer += ws.send(event.response())
                        elif isinstance(event, AcceptConnection):
                            tell("open")
                        elif isinstance(event, CloseConnection):
                            tell("ended", event.code, event.reason)
                            if received:
                                connection.sendall(answer + ws.send(event.response()))
                            return
                    connection.sendall(answer)
            except Exception as failure:  # noqa: BLE001
                error = failure
        told_end(error)


class WsprotoDeflate(Wsproto):
    deflate = True


class Tornado(Host):
    compression: dict[str, Any] | None = None

    @staticmethod
    def echo(handler: Any, message: str | bytes) -> Awaitable[None] | None:
        """Its `on_message`, for back-pressure a coroutine."""

        async def write() -> None:
            await handler.write_message(message, binary=isinstance(message, bytes))

        return write()

    async def serve(self) -> int:
        from tornado.httpserver import HTTPServer
        from tornado.netutil import bind_sockets
        from tornado.web import Application
        from tornado.websocket import WebSocketHandler

        compression, echo = self.compression, self.echo

        class Handler(WebSocketHandler):  # type: ignore[misc]
            def get_compression_options(self) -> dict[str, Any] | None:
                return compression

            def check_origin(self, origin: str) -> bool:
                return True

            def open(self) -> None:
                self.set_nodelay(True)

            on_message = echo

            def on_close(self) -> None:
                tell("ended", self.close_code, self.close_reason)

        sockets = bind_sockets(0, "127.0.0.1")
        HTTPServer(Application([("/", Handler)], websocket_max_message_size=MAX_SIZE)).add_sockets(sockets)
        return int(sockets[0].getsockname()[1])

    async def connect(self, port: int) -> None:
        from tornado.websocket import websocket_connect

        client = await websocket_connect(
            URI.format(port), max_message_size=MAX_SIZE, compression_options=self.compression
        )
        tell("open")
        while (message := await client.read_message()) is not None:
            await client.write_message(message, binary=isinstance(message, bytes))
        tell("ended", client.close_code, client.close_reason)


class TornadoPlain(Tornado):
    @staticmethod
    def echo(handler: Any, message: str | bytes) -> None:
        """As in tornado's documentation."""
        handler.write_message(message, binary=isinstance(message, bytes))


class TornadoDeflate(Tornado):
    compression: dict[str, Any] | None = {}  # noqa: RUF012


class Autobahn(Host):
    """autobahn on asyncio."""

    async def serve(self) -> int:
        import_module("txaio").use_asyncio()
        from autobahn.asyncio.websocket import WebSocketServerFactory, WebSocketServerProtocol

        factory = WebSocketServerFactory()
        factory.protocol = self._protocol(WebSocketServerProtocol)
        factory.setProtocolOptions(maxMessagePayloadSize=MAX_SIZE, closeHandshakeTimeout=1)
        server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
        return int(server.sockets[0].getsockname()[1])

    async def connect(self, port: int) -> None:
        import_module("txaio").use_asyncio()
        from autobahn.asyncio.websocket import WebSocketClientFactory, WebSocketClientProtocol

        factory = WebSocketClientFactory(URI.format(port))
        factory.protocol = self._protocol(WebSocketClientProtocol)
        factory.setProtocolOptions(maxMessagePayloadSize=MAX_SIZE, serverConnectionDropTimeout=1)
        await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", port)

    def _protocol(self, base: Any) -> Any:
        class Echo(base):  # type: ignore[misc]
            def onOpen(self) -> None:  # noqa: N802
                if not self.factory.isServer:
                    tell("open")

            def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: N802, N803
                self.sendMessage(payload, isBinary)

            def onClose(self, wasClean: bool, code: int, reason: str) -> None:  # noqa: N802, N803
                tell("ended", wasClean, code, reason)

        return Echo


class Ws4py(Host):
    async def serve(self) -> int:
        from wsgiref.simple_server import make_server

        from ws4py.server.wsgirefserver import WebSocketWSGIRequestHandler, WSGIServer
        from ws4py.server.wsgiutils import WebSocketWSGIApplication

        class QuietHandler(WebSocketWSGIRequestHandler):  # type: ignore[misc]
            def log_message(self, *_: object) -> None:
                pass

        from ws4py.websocket import WebSocket

        server = make_server(
            "127.0.0.1",
            0,
            server_class=WSGIServer,
            handler_class=QuietHandler,
            app=WebSocketWSGIApplication(handler_cls=self._echo(WebSocket)),
        )
        server.initialize_websockets_manager()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return int(server.server_port)

    async def connect(self, port: int) -> None:
        from ws4py.client.threadedclient import WebSocketClient

        client = self._echo(WebSocketClient)(URI.format(port))
        await asyncio.to_thread(client.connect)

    def _echo(self, base: Any) -> Any:
        class Echo(base):  # type: ignore[misc]
            def opened(self) -> None:
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self.environ is None:
                    tell("open")

            def received_message(self, message: Any) -> None:
                self.send(message.data, message.is_binary)

            def closed(self, code: int, reason: Any = None) -> None:
                tell("ended", code, reason)

        return Echo


class WebsocketClient(Host):
    async def connect(self, port: int) -> None:
        # Which it would use, if it is there by chance.
        sys.modules.setdefault("wsaccel", None)  # type: ignore[arg-type]
        import websocket

        def run() -> None:
            client = websocket.create_connection(URI.format(port), timeout=30)
            client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            tell("open")
            try:
                while client.connected:
                    message = client.recv()
                    opcode = websocket.ABNF.OPCODE_TEXT if isinstance(message, str) else 2
                    if client.connected:
                        client.send(message, opcode)
            except Exception as error:  # noqa: BLE001
                told_end(error)
            else:
                told_end(None)
            client.shutdown()

        await asyncio.to_thread(run)


HOSTS: dict[str, type[Host]] = {
    "autobahn": Autobahn,
    "hypercorn": Hypercorn,
    "simple-websocket": SimpleWebSocket,
    "tornado": Tornado,
    "tornado-deflate": TornadoDeflate,
    "tornado-plain": TornadoPlain,
    "uvicorn-fastframe": UvicornFastframe,
    "uvicorn-sansio": UvicornSansIO,
    "uvicorn-wsproto": UvicornWsproto,
    "websocket-client": WebsocketClient,
    "websockets": WebsocketsAsyncio,
    "websockets-deflate": WebsocketsDeflate,
    "websockets-sync": WebsocketsSync,
    "ws4py": Ws4py,
    "wsproto": Wsproto,
    "wsproto-deflate": WsprotoDeflate,
}


def obey(words: list[str], connect: Callable[[int], object]) -> None:
    command, *arguments = words
    if command == "install":
        fastframe.adapters.install(arguments[0], depth=arguments[1], strict=True)
    elif command == "uninstall":
        fastframe.adapters.uninstall(arguments[0])
    elif command == "connect":
        connect(int(arguments[0]))
    elif command != "cpu":
        raise ValueError(command)
    tell("done", time.process_time_ns())


async def main(name: str) -> None:
    host = HOSTS[name]()
    loop = asyncio.get_running_loop()
    try:
        port = await host.serve()
    except NotImplementedError:
        port = 0
    tell("port", port)

    def connect(port: int) -> None:
        async def run(connection: Awaitable[None]) -> None:
            try:
                await connection
            except Exception as error:  # noqa: BLE001
                told_end(error)

        loop.call_soon_threadsafe(lambda: tasks.append(loop.create_task(run(host.connect(port)))))

    tasks: list[asyncio.Task[None]] = []
    while line := await asyncio.to_thread(sys.stdin.readline):
        obey(line.split(), connect)
    # Nobody is interested in how a server complains of its end.
    os._exit(0)


if __name__ == "__main__":
    warnings.simplefilter("error", fastframe.adapters.IncompatibleLibraryWarning)
    timer = threading.Timer(LIFETIME, os._exit, [1])
    timer.daemon = True
    timer.start()
    HOSTS[sys.argv[1]].run(main(sys.argv[1]))
