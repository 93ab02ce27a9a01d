"""The client: connects, performs the opening handshake, hands out the connection."""

from __future__ import annotations

import asyncio
import random
import ssl as ssl_module
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urljoin

from .._handshake_common import check_subprotocols
from ..connection import Connection
from ..errors import HandshakeError, InvalidResponse, InvalidURI, ProxyError, RejectedByServer
from ..frames import DEFAULT_MAX_FRAGMENTS, DEFAULT_MAX_MESSAGE_SIZE, CloseCode, Role
from ..handshake import PRODUCT, ClientHandshake, Request
from ..http_headers import Headers, HeadersLike, MultipleValues, parse_extensions
from ..uri import basic_authorization, parse_uri
from .awaitable import DONE, AwaitableContext
from .frame_log import LOGGERS
from .options import check_limits, check_port, check_times, checked_headers, deflate_of
from .protocol import SocketProtocol
from .proxy import ProxyChoice
from .settings import DEFAULT_MAX_BACKLOG, DEFAULT_MAX_QUEUE, DEFAULT_WRITE_LIMIT, Settings, SlowConsumer
from .stream import WebSocketStream
from .websocket import WebSocket

if TYPE_CHECKING:
    import socket
    from typing import TypeAlias

    from ..deflate import PerMessageDeflate
    from ..proxies import Proxy
    from ..uri import WebSocketURI

    Form: TypeAlias = WebSocket | WebSocketStream

__all__ = ["connect"]

logger = LOGGERS[Role.CLIENT]

MAX_REDIRECTS = 10
_REDIRECTIONS = (301, 302, 303, 307, 308)
# What was meant for one server, credentials above all (RFC 9110 section 15.4).
_FOR_ONE_HOST = ("authorization", "cookie", "host", "proxy-authorization")
# Seconds: the first wait before connecting again, the factor to the next, the longest.
_BACK_OFF = (1.0, 1.6, 60.0)
_CLOSED_AS_USUAL = (CloseCode.NORMAL_CLOSURE, CloseCode.NO_STATUS_RECEIVED)


class _CutShort(InvalidResponse):
    """The server went away during the handshake, as one does that is restarted."""


@dataclass(slots=True)
class ClientOptions:
    """What `connect` was told of the handshake, the messages and the socket."""

    handshake: dict[str, Any]
    messages: dict[str, Any]
    sockets: dict[str, Any]
    proxy: ProxyChoice
    settings: Settings
    open_timeout: float | None


class _Attempt:
    """One attempt to open a connection: the owner of the protocol, and its opening handshake."""

    def __init__(self, uri: WebSocketURI, options: ClientOptions, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.settings = options.settings
        self._options = options
        self._handshake = ClientHandshake(uri, **options.handshake)
        self._protocol: SocketProtocol | None = None
        self._outcome: asyncio.Future[None] = loop.create_future()

    async def run(self, form: type[Form], address: dict[str, Any], proxy: Proxy | None) -> Form:
        """Connect and wait for the handshake's end."""
        path = address.pop("path", None)
        if proxy is not None:
            protocol = await self._options.proxy.connect(proxy, lambda: form(self), **address)
        elif path is None:
            _, protocol = await self.loop.create_connection(lambda: form(self), **address)
        else:
            _, protocol = await self.loop.create_unix_connection(lambda: form(self), path, **address)
        try:
            await self._outcome
        except BaseException:
            protocol.transport.abort()
            # It has the exception, whose traceback has frames that have us.
            self._outcome = DONE
            raise
        return protocol

    def connected(self, protocol: SocketProtocol) -> _Attempt:
        """See `Owner`."""
        self._protocol = protocol
        protocol.request = self._request()
        protocol.transport.write(self._handshake.request())
        return self

    def _request(self) -> Request:
        """The request as an application sees it."""
        headers = self._handshake.headers
        return Request(
            self._handshake.uri.resource_name,
            headers,
            is_upgrade=True,
            subprotocols=tuple(self._options.handshake["subprotocols"] or ()),
            extensions=tuple(parse_extensions(headers.get("Sec-WebSocket-Extensions", ""))),
        )

    def opened(self, protocol: SocketProtocol) -> None:
        """See `Owner`."""
        if not self._outcome.done():
            self._outcome.set_result(None)

    def received(self, data: bytes) -> None:
        """See `Opening`."""
        self._judge(lambda: self._handshake.receive(data))

    def gone(self, protocol: SocketProtocol) -> None:
        """See `Owner`."""
        # The two lead to each other, and would wait for the garbage collector.
        self._protocol = None

    def lost(self, error: Exception | None) -> None:
        """See `Opening`."""
        if self._outcome.done():
            return
        if error is not None:
            self._fail(error)
            return
        try:
            self._handshake.end_of_data()
        except RejectedByServer as rejection:
            self._fail(rejection)
        except InvalidResponse as cut:
            self._fail(_CutShort(str(cut)))
        else:
            self._fail(_CutShort("the server closed during the opening handshake"))

    def ended(self) -> None:
        """See `Opening`."""
        self.lost(None)

    def _fail(self, error: Exception) -> None:
        self._outcome.set_exception(error)
        self._outcome.exception()  # who waited for it may have been cancelled

    def _judge(self, step: Any) -> None:
        protocol = self._protocol
        assert protocol is not None, "bytes come through it"
        if self._outcome.done():
            return
        try:
            response = step()
        except Exception as error:  # noqa: BLE001
            self._fail(error)
            return
        if response is None:
            return
        handshake = self._handshake
        protocol.response, protocol.subprotocol = response, handshake.subprotocol
        connection = Connection(Role.CLIENT, deflate=handshake.deflate, **self._options.messages)
        protocol.begin(connection, handshake.trailing)


async def _close(connection: WebSocketStream | WebSocket) -> None:
    if isinstance(connection, WebSocketStream):
        await connection.close()
    else:
        connection.close()


def _close_code(connection: WebSocketStream | WebSocket) -> int:
    """What it ended with, or will if the closing handshake that we have begun is still under way."""
    close_code = connection.close_code
    if close_code is not None:
        return close_code
    assert connection.connection is not None, "it was open"
    close = connection.connection.close_sent
    return CloseCode.NORMAL_CLOSURE if close is None or close.close_code is None else close.close_code


def _drop(attempt: asyncio.Future[Form]) -> None:
    """Nobody is there to take its connection."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().transport.abort()


class _Connecting(AwaitableContext[Any]):
    """Connects when it is awaited, entered as a context manager, or iterated over."""

    def __init__(self, uri: str, form: type[Form], options: ClientOptions) -> None:
        super().__init__(self._connect, _close)
        self._uri = uri
        self._form = form
        self._options = options
        self._proxy: Proxy | None = None
        """That of the latest attempt."""

    async def __aiter__(self) -> AsyncIterator[Any]:
        """Connect again and again: each time the body of the loop is done, or the attempt failed.

        A refusal that another attempt cannot change is raised.
        """
        loop = asyncio.get_running_loop()
        first, factor, longest = _BACK_OFF
        wait, waited = first, 0.0
        while True:
            try:
                async with self as connection:
                    opened = loop.time()
                    yield connection
                    lasted = loop.time() - opened
            except (OSError, TimeoutError, HandshakeError) as error:
                if not _is_transient(error):
                    raise
                logger.info("connecting to %s failed, again in %.1f s: %s", self._way(), wait, error)
            else:
                code = _close_code(connection)
                if lasted > waited or code in _CLOSED_AS_USUAL:
                    wait = first
                if code in _CLOSED_AS_USUAL:
                    continue
                logger.info("connection to %s ended with %d, again in %.1f s", self._way(), code, wait)
            # RFC 6455 section 7.2.3: the first attempt after an abnormal
            # closure "SHOULD be delayed by a random amount of time", further
            # ones by more and more: many clients may have lost the same server.
            waited = wait * random.uniform(0.5, 1.0)
            await asyncio.sleep(waited)
            wait = min(wait * factor, longest)

    async def _connect(self) -> Form:
        attempt = asyncio.ensure_future(self._follow())
        try:
            await asyncio.wait([attempt], timeout=self._options.open_timeout)
            if not attempt.done():
                attempt.cancel()
                await asyncio.wait([attempt])
        except BaseException:
            # By a callback, as who is cancelled here may be once more.
            attempt.add_done_callback(_drop)
            attempt.cancel()
            await asyncio.wait([attempt])
            raise
        try:
            return attempt.result()
        except asyncio.CancelledError:
            raise TimeoutError(
                f"no connection to {self._way()} within {self._options.open_timeout} s"
            ) from None
        finally:
            # It has the exception, whose traceback has this frame.
            del attempt

    async def _follow(self) -> Form:
        """Connect, and follow redirections."""
        uri = self._uri
        options = self._options
        for _ in range(MAX_REDIRECTS + 1):
            target = parse_uri(uri)
            attempt = _Attempt(target, options, asyncio.get_running_loop())
            self._proxy = _proxy(target, options)
            try:
                return await attempt.run(self._form, _address(target, options), self._proxy)
            except RejectedByServer as error:
                if error.response.status not in _REDIRECTIONS or "Location" not in error.response.headers:
                    raise
                try:
                    location = error.response.headers["Location"]
                    uri, options = _redirected(uri, location, options)
                except (InvalidURI, MultipleValues, ValueError) as bad:
                    raise InvalidResponse(f"redirection to nowhere: {bad}") from None
        raise InvalidResponse(f"more than {MAX_REDIRECTS} redirections")

    def _way(self) -> str:
        """Where it leads to, for logs and errors: without credentials."""
        uri = parse_uri(self._uri)
        shown = f"{'wss' if uri.secure else 'ws'}://{uri.host_header}{uri.resource_name}"
        return shown if self._proxy is None else f"{shown} through proxy {self._proxy.address}"


def _address(uri: WebSocketURI, options: ClientOptions) -> dict[str, Any]:
    """Where to connect to, as arguments of `loop.create_connection`."""
    address = {name: value for name, value in options.sockets.items() if value is not None}
    if "sock" not in address and "path" not in address:
        address.setdefault("host", uri.host)
        address.setdefault("port", uri.port)
    if uri.secure:
        address.setdefault("ssl", ssl_module.create_default_context())
        address.setdefault("server_hostname", uri.host)
    return address


def _proxy(uri: WebSocketURI, options: ClientOptions) -> Proxy | None:
    """The proxy on the way to where `_address` says."""
    sockets = options.sockets
    if sockets.get("sock") is not None or sockets.get("path") is not None:
        return None
    changes = {name: sockets[name] for name in ("host", "port") if sockets.get(name) is not None}
    return options.proxy.of(replace(uri, **changes) if changes else uri)


def _is_transient(error: Exception) -> bool:
    if isinstance(error, RejectedByServer):
        return error.response.status in (500, 502, 503, 504)
    if isinstance(error, ProxyError):
        return error.is_transient
    if isinstance(error, _CutShort):
        return True
    # A certificate that does not fit is not going to fit later.
    return not isinstance(error, (HandshakeError, ssl_module.SSLCertVerificationError))


def _redirected(uri: str, location: str, options: ClientOptions) -> tuple[str, ClientOptions]:
    """The URI and the options of the request that follows a redirection."""
    # urljoin knows http and https.
    target = urljoin("http" + uri[len("ws") :], location)
    for http, ws in (("https://", "wss://"), ("http://", "ws://")):
        if target.startswith(http):
            target = ws + target.removeprefix(http)
    before, after = parse_uri(uri), parse_uri(target)
    if before.secure and not after.secure:
        raise InvalidResponse(f"redirection from {before.host} to an insecure URI on {after.host}")
    if options.sockets.get("sock") is not None:
        raise InvalidResponse(f"redirection to {after.host}, but the socket was given")
    kept = Headers(options.handshake["extra_headers"])
    if (before.host, before.port, before.secure) == (after.host, after.port, after.secure):
        if after.username is None and before.username is not None and "Authorization" not in kept:
            # An absolute URI as Location says nothing of them.
            kept.add("Authorization", basic_authorization(before.username, before.password or ""))
        return target, replace(options, handshake=options.handshake | {"extra_headers": kept})
    if options.sockets.get("path") is not None:
        raise InvalidResponse(f"redirection to {after.host}, but the socket was given")
    fields = [(name, value) for name, value in kept.items() if name.lower() not in _FOR_ONE_HOST]
    handshake = options.handshake | {"extra_headers": fields}
    sockets = {"ssl": options.sockets["ssl"] if after.secure else None}
    return target, replace(options, handshake=handshake, sockets=sockets)


def connect(
    uri: str,
    websocket_class: type[WebSocket] | None = None,
    *,
    host: str | None = None,
    port: int | None = None,
    path: str | None = None,
    sock: socket.socket | None = None,
    ssl: ssl_module.SSLContext | None = None,
    server_hostname: str | None = None,
    proxy: str | Literal[True] | None = True,
    proxy_ssl: ssl_module.SSLContext | None = None,
    origin: str | None = None,
    subprotocols: Sequence[str] | None = None,
    compression: str | PerMessageDeflate | None = "deflate",
    extra_headers: HeadersLike = (),
    user_agent_header: str | None = PRODUCT,
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
) -> _Connecting:
    """Connect to a WebSocket server.

    ::

        ws = await connect(uri)
        async with connect(uri) as ws: ...        # closes it at the end
        async for ws in connect(uri): ...         # connects again, for ever

    Args:
        uri: ``ws://`` or ``wss://``, user and password too.
        websocket_class: a subclass of `WebSocket` for the callback form.
        host, port: where to connect to, instead of what the URI says.
        path: of a Unix socket.
        sock: a connected socket.
        ssl, server_hostname: as `loop.create_connection`.
        proxy: True for what the environment or the system's settings say, a
            URL, or None for no proxy; neither `path` nor `sock` goes through
            one. The URL begins with http, https, socks5h, socks5, socks4a or
            socks4 and may have user and password. SOCKS needs the extra ``proxy``.
        proxy_ssl: for the connection to an https proxy, instead of the
            system's certificates.
        origin, subprotocols, extra_headers, user_agent_header: as `ClientHandshake`.
        compression: "deflate" to offer permessage-deflate, a
            `PerMessageDeflate` with wishes of its own, or None.
        open_timeout: seconds that all of it may take, redirections too.
        ping_interval, ping_timeout, close_timeout: seconds, see `Settings`.
        max_size: bytes in a received message at most; None: no limit.
        max_fragments: frames in a received message at most; None: no limit.
        max_queue, write_limit, max_backlog: bytes, see `Settings`.
        slow_consumer: what becomes of messages for a peer that does not keep up, see `Settings`.
        text_as_bytes: receive text messages as (validated) bytes.

    Raises:
        InvalidProxy, InvalidURI: at once; a proxy of the environment when it is awaited.
        ImportError: a SOCKS proxy without the extra ``proxy``, likewise.
        ProxyError: when it is awaited, whatever went wrong with a proxy.
        TypeError, ValueError: an option has an impossible value; at once.
        HandshakeError, OSError, TimeoutError: when it is awaited.
    """
    if not parse_uri(uri).secure and (ssl is not None or server_hostname is not None):
        raise ValueError("ssl and server_hostname are for wss:// URIs")
    # Names and values that have to be proper ones.
    Headers(
        [(name, value) for name, value in (("Origin", origin), ("User-Agent", user_agent_header)) if value]
    )
    form: Any = WebSocketStream if websocket_class is None else websocket_class
    if not (isinstance(form, type) and issubclass(form, (WebSocket, WebSocketStream))):
        raise TypeError(f"websocket_class must be a subclass of WebSocket, got {websocket_class!r}")
    check_port(port)
    check_times(open_timeout=open_timeout)
    check_limits(max_size=max_size, max_fragments=max_fragments)
    if isinstance(proxy, str) and (path is not None or sock is not None):
        raise ValueError("a proxy is no way to a Unix socket or a socket that is connected already")
    options = ClientOptions(
        handshake={
            "origin": origin,
            "subprotocols": check_subprotocols(subprotocols),
            "deflate": deflate_of(compression),
            "extra_headers": checked_headers(extra_headers),
            "user_agent_header": user_agent_header,
        },
        messages={
            "max_message_size": max_size,
            "max_fragments": max_fragments,
            "text_as_bytes": text_as_bytes,
        },
        sockets={
            "host": host,
            "port": port,
            "path": path,
            "sock": sock,
            "ssl": ssl,
            "server_hostname": server_hostname,
        },
        proxy=ProxyChoice(proxy, proxy_ssl, user_agent_header),
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
    )
    return _Connecting(uri, form, options)
