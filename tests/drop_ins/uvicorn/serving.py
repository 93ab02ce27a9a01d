"""uvicorn with fastframe's protocol class, in the loop of a test, and applications for it."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from aio_support import eventually
from raw_peer import REQUEST, RawPeer

from fastframe.uvicorn import WebSocketProtocol

Event = dict[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
Application = Callable[[dict[str, Any], Receive, Send], Awaitable[Any]]

OURS = "fastframe.uvicorn:WebSocketProtocol"
UVICORNS = "websockets-sansio"


class Log(logging.Handler):
    """What uvicorn has logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        (self.errors if record.levelno >= logging.WARNING else self.lines).append(text)


class Running:
    """A server, its port and its log."""

    def __init__(self, server: uvicorn.Server, log: Log) -> None:
        self.server = server
        self.log = log

    @property
    def port(self) -> int:
        return int(self.server.servers[0].sockets[0].getsockname()[1])

    @property
    def connections(self) -> set[Any]:
        return set(self.server.server_state.connections)

    @property
    def protocol(self) -> Any:
        """The only connection's protocol object."""
        [protocol] = self.connections
        return protocol

    async def taken_over(self) -> None:
        """Wait until the only connection has come from uvicorn's HTTP protocol to ours."""

        def is_ours() -> bool:
            return any(isinstance(protocol, WebSocketProtocol) for protocol in self.connections)

        await eventually(is_ours, "the connection is with the WebSocket protocol")

    def uri(self, path: str = "/", scheme: str = "ws") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def errors(self) -> list[str]:
        """Warnings and errors; a test fails unless it takes those that it causes."""
        errors, self.log.errors = self.log.errors, []
        return errors


@asynccontextmanager
async def serving(application: Application, **options: Any) -> AsyncIterator[Running]:
    """Run uvicorn; at the end it shuts down, and everything is gone.

    Args:
        application: the one that it serves.
        options: uvicorn's, and `tls`, an `ssl.SSLContext`.
    """
    tls = options.pop("tls", None)
    settings: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": 0,
        "ws": OURS,
        "http": "h11",
        "lifespan": "off",
        "log_config": None,
    }
    logger, log = logging.getLogger("uvicorn"), Log()
    level = logger.level
    logger.addHandler(log)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # records keep alive the objects of their tracebacks
    config = uvicorn.Config(application, **(settings | options))
    if tls is not None:
        # Not every release has an option for a context.
        config.load()
        config.ssl = tls
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    running = Running(server, log)
    try:
        await eventually(lambda: server.started or task.done(), "uvicorn has started")
        assert server.started, task.exception()
        yield running
    except BaseException:
        server.force_exit = True  # a test that has failed does not wait for its application
        raise
    finally:
        server.should_exit = True
        await task
        logger.removeHandler(log)
        logger.setLevel(level)
        logger.propagate = True
    assert not running.errors()


@asynccontextmanager
async def dialled(running: Running, request: bytes = REQUEST) -> AsyncIterator[RawPeer]:
    """A TCP connection on which the request was sent."""
    with socket.socket() as sock:
        peer = RawPeer(sock)
        await peer.loop.sock_connect(sock, ("127.0.0.1", running.port))
        await peer.send(request)
        yield peer


@asynccontextmanager
async def opened(running: Running, request: bytes = REQUEST) -> AsyncIterator[RawPeer]:
    """A WebSocket connection, its client played by hand."""
    async with dialled(running, request) as peer:
        head = await peer.head()
        assert head.startswith(b"HTTP/1.1 101 "), head
        yield peer


async def accept(receive: Receive, send: Send) -> None:
    assert await receive() == {"type": "websocket.connect"}
    await send({"type": "websocket.accept"})


async def echo(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """An application."""
    await accept(receive, send)
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", **{key: event[key] for key in event if key != "type"}})


class Diary:
    """An application that accepts, and writes down what it receives.

    Args:
        permits: how many events it may receive before `permit` is called; None: any number.
    """

    def __init__(self, permits: int | None = None) -> None:
        self.events: list[Event] = []
        self._permits = None if permits is None else asyncio.Semaphore(permits)
        self.send: Send | None = None
        self.ended = asyncio.Event()

    def permit(self, count: int | None = None) -> None:
        """Let it receive so many more; None: any number from here on."""
        permits = self._permits
        assert permits is not None, "it has no need"
        if count is None:
            self._permits = None
        for _ in range(count or 1):
            permits.release()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await accept(receive, send)
        self.send = send
        try:
            while True:
                if self._permits is not None:
                    await self._permits.acquire()
                self.events.append(await receive())
                if self.events[-1]["type"] == "websocket.disconnect":
                    return
        finally:
            self.ended.set()

    @property
    def messages(self) -> list[str | bytes]:
        return [
            event["text"] if "text" in event else event["bytes"]
            for event in self.events
            if event["type"] == "websocket.receive"
        ]

    @property
    def farewell(self) -> Event:
        """The last event."""
        assert self.events[-1]["type"] == "websocket.disconnect"
        return self.events[-1]
