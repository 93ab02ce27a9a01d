"""The server: accepts connections, performs the opening handshake, runs a handler for each."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ..connection import Connection
from ..errors import InvalidRequest
from ..frames import DEFAULT_MAX_FRAGMENTS, DEFAULT_MAX_MESSAGE_SIZE, Close, CloseCode, Role
from ..handshake import PRODUCT, Request, Response, ServerHandshake
from .awaitable import AwaitableContext
from .deadlines import Deadlines
from .frame_log import LOGGERS
from .handlers import Handlers
from .listening import Listener, accepts_for
from .options import (
    check_callables,
    check_limits,
    check_port,
    check_times,
    checked_headers,
    deflate_of,
)
from .protocol import SocketProtocol
from .settings import DEFAULT_MAX_BACKLOG, DEFAULT_MAX_QUEUE, DEFAULT_WRITE_LIMIT, Settings, SlowConsumer
from .stream import WebSocketStream
from .waiters import let_go, was_cancelled
from .websocket import FAILURES, WebSocket

if TYPE_CHECKING:
    import re
    import socket
    import ssl as ssl_module

    from ..deflate import PerMessageDeflate
    from ..http_headers import Headers, HeadersLike

__all__ = ["Server", "serve"]

logger = LOGGERS[Role.SERVER]

Handler = Callable[[WebSocketStream], Awaitable[None]] | type[WebSocket]
ProcessRequest = Callable[[Any, Request], Awaitable[Response | None] | Response | None]


@dataclass(slots=True)
class ServerOptions:
    """What `serve` was told of the handshake and of the messages."""

    handshake: ServerHandshake
    """Those of the connections are made from it."""
    messages: dict[str, Any]
    settings: Settings
    open_timeout: float | None
    process_request: ProcessRequest | None
    extra_headers: Headers | Callable[[Request], HeadersLike]


class _ServerOpening:
    """The opening handshake of one connection."""

    __slots__ = ("_answered", "_handshake", "_protocol", "_server", "_task", "_timer")

    def __init__(self, server: Server, protocol: SocketProtocol) -> None:
        self._server = server
        self._protocol = protocol
        self._handshake = server.options.handshake.another()
        self._answered = False
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def received(self, data: bytes) -> None:
        if self._answered:
            return
        try:
            request = self._handshake.receive(data)
        except InvalidRequest as error:
            self._refuse(error)
            return
        if request is None:
            return
        process_request = self._server.options.process_request
        if process_request is None:
            self._answer(request, None)
            return
        try:
            verdict = process_request(self._protocol, request)
        except FAILURES as error:
            self._failed(error)
            return
        if inspect.isawaitable(verdict):
            # What comes meanwhile would have to be kept.
            self._protocol.pause_reading()
            self._task = self._server.loop.create_task(self._wait(request, verdict))
        else:
            self._answer(request, verdict)

    async def _wait(self, request: Request, verdict: Awaitable[Response | None]) -> None:
        try:
            response = await verdict
        except FAILURES as error:
            if isinstance(error, asyncio.CancelledError) and self._is_cancelled():
                raise
            self._failed(error)
            return
        if self._answered:  # its time was over, or the client has left
            return
        self._protocol.resume_reading()
        self._answer(request, response)

    def _is_cancelled(self) -> bool:
        """Whether it is our task that was cancelled, and not something that it waits for."""
        # Where a task does not tell, `lost` alone is known.
        return self._answered or was_cancelled(asyncio.current_task(), untold=False)

    def _answer(self, request: Request, response: Response | None) -> None:
        if response is not None:
            try:
                answer = self._handshake.reject(response.status, response.headers, response.body)
            except Exception as error:  # noqa: BLE001
                self._failed(error)
                return
            self._close_with(answer)
            return
        options, handshake, protocol = self._server.options, self._handshake, self._protocol
        extra = options.extra_headers
        try:
            answer = handshake.accept(request, extra_headers=extra(request) if callable(extra) else extra)
        except InvalidRequest as error:
            self._refuse(error)
            return
        except FAILURES as error:
            self._failed(error)
            return
        self._done()
        protocol.transport.write(answer)
        protocol.request, protocol.response = request, handshake.response
        protocol.subprotocol = handshake.subprotocol
        connection = Connection(Role.SERVER, deflate=handshake.deflate, **options.messages)
        protocol.begin(connection, handshake.trailing)

    def _refuse(self, error: InvalidRequest) -> None:
        logger.info("refused a handshake from %s: %s", self._protocol.remote_address, error)
        self._close_with(self._handshake.reject(error.status, error.headers, f"{error}\n".encode()))

    def _failed(self, error: BaseException) -> None:
        peer = self._protocol.remote_address
        logger.error("the opening handshake with %s failed", peer, exc_info=error)
        if self._handshake.response is None:
            self._close_with(self._handshake.reject(500, body=b"Internal Server Error\n"))

    def _close_with(self, answer: bytes) -> None:
        """Answer, then wait for the client to close, so that no reset overtakes the answer."""
        self._answered = True
        self._protocol.resume_reading()
        transport = self._protocol.transport
        transport.write(answer)
        if transport.can_write_eof():
            transport.write_eof()
        else:
            self._protocol.close_transport()

    def timed_out(self) -> None:
        """`open_timeout` is over."""
        if not self._answered and self._handshake.response is None:
            self._protocol.transport.write(self._handshake.reject(408, body=b"Request Timeout\n"))
            self._protocol.transport.close()
            self._answered = True
            self._timer = self._server.loop.call_later(1, self._protocol.transport.abort)
            return
        self._protocol.transport.abort()

    def _done(self) -> None:
        self._answered = True
        self._server.forget(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def ended(self) -> None:
        pass  # an answer may be on its way still, as long as the timer lets it

    def lost(self, error: Exception | None) -> None:
        self._done()
        if self._task is not None:
            self._task.cancel()


class Server:
    """A server that is running; `serve` makes it.

    Attributes:
        connections: all that are open or opening.
    """

    def __init__(self, handler: Handler, options: ServerOptions, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.settings = options.settings
        self.options = options
        self.connections: set[SocketProtocol] = set()
        self._form: type[WebSocket] | type[WebSocketStream] = WebSocketStream
        self._handlers: Handlers | None = None
        if isinstance(handler, type) and issubclass(handler, WebSocket):
            self._form = handler
        else:
            self._handlers = Handlers(cast("Callable[[WebSocketStream], Awaitable[None]]", handler), loop)
        self._listening: asyncio.Server | None = None
        # Accepts in the stead of `_listening`, where it is faster.
        self._listener: Listener | None = None
        self._is_closing = False
        # Cancelled when it stops listening.
        self._stopped: asyncio.Future[None] = loop.create_future()
        self._openings: Deadlines[_ServerOpening] | None = None
        if options.open_timeout is not None:
            self._openings = Deadlines(loop, options.open_timeout, _ServerOpening.timed_out)
        self._deserted: asyncio.Future[None] | None = None

    def connected(self, protocol: SocketProtocol) -> _ServerOpening:
        """See `Owner`."""
        self.connections.add(protocol)
        opening = _ServerOpening(self, protocol)
        if self._is_closing:  # it was in its TLS handshake when the server was closed
            protocol.transport.abort()
        elif self._openings is not None:
            self._openings.add(opening)
        return opening

    def forget(self, opening: _ServerOpening) -> None:
        """An opening handshake is over, it needs no time any more."""
        if self._openings is not None:
            self._openings.discard(opening)

    def opened(self, protocol: SocketProtocol) -> None:
        """See `Owner`."""
        if isinstance(protocol, WebSocketStream) and self._handlers is not None:
            self._handlers.start(protocol)

    def gone(self, protocol: SocketProtocol) -> None:
        """See `Owner`."""
        self.connections.discard(protocol)
        if self._deserted is not None and not self.connections:
            let_go([self._deserted])

    async def _start(self, options: dict[str, Any]) -> None:
        path = options.pop("path")
        accepts = options["ssl"] is None and accepts_for(self.loop)
        options["start_serving"] = not accepts
        if path is None:
            self._listening = await self.loop.create_server(self._new_connection, **options)
        else:
            for name in ("host", "port", "reuse_port"):
                options.pop(name)
            self._listening = await self.loop.create_unix_server(self._new_connection, path, **options)
        if accepts:
            self._listener = Listener(self.loop, self.sockets, options["backlog"], self._new_connection)

    def _stop_listening(self) -> None:
        self._stopped.cancel()
        if self._listener is not None:
            self._listener.close()
        if self._listening is not None:
            self._listening.close()

    def _new_connection(self) -> WebSocket | WebSocketStream:
        return self._form(self)

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """The listening sockets."""
        return () if self._listening is None else self._listening.sockets

    async def serve_forever(self) -> None:
        """Serve until cancelled, or closed, which cancels it, as that of `asyncio.Server`."""
        # Which is not asked: from Python 3.12.1 on, cancelled, it waits for the connections to end,
        # and it is `close` that ends them.
        try:
            await asyncio.shield(self._stopped)
        finally:
            self._stop_listening()

    async def close(self, close_code: int = CloseCode.GOING_AWAY, close_reason: str = "") -> None:
        """Stop listening, close every connection, wait until they and their handlers are gone.

        A handler may await it too: it waits for all others then. Handlers that
        have not ended `close_timeout` after the connections are cancelled.

        Args:
            close_code: 1001, or 1012 for a restart.
            close_reason: at most 123 bytes in UTF-8.

        Raises:
            TypeError: a code that is no int, or a reason that is no str.
            ValueError: a code that may not be sent, or a reason too long.
        """
        Close(close_code, close_reason).serialize()  # for its checks
        self._is_closing = True
        self._stop_listening()
        for protocol in list(self.connections):
            protocol.shut_down(close_code, close_reason)
        while self.connections:
            if self._deserted is None or self._deserted.done():
                self._deserted = self.loop.create_future()
            await asyncio.shield(self._deserted)
        if self._openings is not None:
            self._openings.stop()
        if self._handlers is not None:
            await self._handlers.finish(self.settings.close_timeout)


def serve(
    handler: Handler,
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    path: str | None = None,
    sock: socket.socket | None = None,
    ssl: ssl_module.SSLContext | None = None,
    backlog: int = 1024,
    reuse_port: bool | None = None,
    origins: Sequence[str | re.Pattern[str] | None] | None = None,
    subprotocols: Sequence[str] | None = None,
    select_subprotocol: Callable[[Sequence[str]], str | None] | None = None,
    compression: str | PerMessageDeflate | None = "deflate",
    process_request: ProcessRequest | None = None,
    extra_headers: HeadersLike | Callable[[Request], HeadersLike] = (),
    server_header: str | None = PRODUCT,
    open_timeout: float | None = 10,
    ping_interval: float | None = 20,
    ping_timeout: float | None = 20,
    close_timeout: float = 10,
    max_size: int | None = DEFAULT_MAX_MESSAGE_SIZE,
    max_fragments: int | None = DEFAULT_MAX_FRAGMENTS,
    max_queue: int = DEFAULT_MAX_QUEUE,
    write_limit: int = DEFAULT_WRITE_LIMIT,
    slow_consumer: SlowConsumer = "wait",
    max_backlog: int = DEFAULT_MAX_BACKLOG,
    text_as_bytes: bool = False,
) -> AwaitableContext[Server]:
    """Serve WebSocket connections.

    ::

        async with serve(handler, "localhost", 8765) as server:
            await server.serve_forever()

    Args:
        handler: a coroutine function that is called with a `WebSocketStream`
            for each connection, which is closed when it returns; or a subclass
            of `WebSocket`, the callback form.
        host, port, sock, ssl, backlog, reuse_port: as `loop.create_server`.
        path: of a Unix socket, instead of host and port.
        origins, subprotocols, select_subprotocol, server_header: as `ServerHandshake`.
        compression: "deflate" to agree on permessage-deflate if the client
            offers it, a `PerMessageDeflate` with wishes of its own, or None.
        process_request: called (and awaited, if it is a coroutine function)
            with the connection and the `Request`; it may return an ordinary
            `Response` instead of None.
        extra_headers: further fields of the acceptance, or a function of the request.
        open_timeout: seconds that the opening handshake may take, and as many
            for that of TLS before it; None: no limit.
        ping_interval, ping_timeout, close_timeout: seconds, see `Settings`.
        max_size: bytes in a received message at most; None: no limit.
        max_fragments: frames in a received message at most; None: no limit.
        max_queue, write_limit, max_backlog: bytes, see `Settings`.
        slow_consumer: what becomes of messages for a peer that does not keep up, see `Settings`.
        text_as_bytes: receive text messages as (validated) bytes.

    Returns:
        To be awaited for a `Server`, or used as an asynchronous context manager.

    Raises:
        TypeError, ValueError: an option has an impossible value; at once, or,
            for where to listen, when it is awaited.
        OSError: when it is awaited, it cannot listen there.
    """
    if not callable(handler):
        raise TypeError(f"handler must be a coroutine function or a subclass of WebSocket, got {handler!r}")
    check_callables(select_subprotocol=select_subprotocol, process_request=process_request)
    check_port(port)
    check_times(open_timeout=open_timeout)
    check_limits(backlog=backlog, max_size=max_size, max_fragments=max_fragments)
    options = ServerOptions(
        handshake=ServerHandshake(
            origins=origins,
            subprotocols=subprotocols,
            select_subprotocol=select_subprotocol,
            deflate=deflate_of(compression),
            server_header=server_header,
        ),
        messages={
            "max_message_size": max_size,
            "max_fragments": max_fragments,
            "text_as_bytes": text_as_bytes,
        },
        settings=Settings(
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=close_timeout,
            max_queue=max_queue,
            write_limit=write_limit,
            slow_consumer=slow_consumer,
            max_backlog=max_backlog,
        ),
        open_timeout=open_timeout,
        process_request=process_request,
        extra_headers=extra_headers if callable(extra_headers) else checked_headers(extra_headers),
    )
    sockets: dict[str, Any] = {"host": host, "port": port, "reuse_port": reuse_port}
    sockets |= {"path": path, "sock": sock, "ssl": ssl, "backlog": backlog}
    if ssl is not None and open_timeout is not None:
        # asyncio's own is a minute.
        sockets["ssl_handshake_timeout"] = open_timeout

    async def start() -> Server:
        server = Server(handler, options, asyncio.get_running_loop())
        await server._start(dict(sockets))
        return server

    return AwaitableContext(start, Server.close)
