"""Through a proxy to the server: HTTP CONNECT by ourselves, SOCKS by python-socks."""

from __future__ import annotations

import asyncio
import socket
import ssl as ssl_module
import sys
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import InvalidResponse, ProxyError
from ..proxies import HTTPTunnel, Proxy, parse_proxy, proxy_of_the_system

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from ..uri import WebSocketURI

__all__ = ["ProxyChoice"]

_CLOSED = "closed the connection before its answer"
# Seconds: python-socks has a limit of its own, but it is the caller's `open_timeout` that decides.
_NO_LIMIT = 1e6
# The server, or the way to it, does not work just now: RFC 1928 section 6 (general failure, network
# or host unreachable, refused, TTL expired), and 91 of SOCKS4 (rejected or failed).
_PASSING_REPLIES = (1, 3, 4, 5, 6, 91)

_Protocol = TypeVar("_Protocol", bound=asyncio.BufferedProtocol)


class ProxyChoice:
    """What `connect` was told of proxies.

    Args:
        proxy: True for the system's, a URL, or None for no proxy.
        tls: for the connection to an https proxy; None for the system's certificates.
        user_agent: value of the header User-Agent in CONNECT, or None for none.

    Raises:
        ImportError: a SOCKS proxy is given, but python-socks is not installed.
        InvalidProxy: the URL is none.
        TypeError: `proxy` is none of these.
        ValueError: there is no use for `tls`.
    """

    __slots__ = ("_from_system", "_given", "_tls", "_user_agent")

    def __init__(
        self, proxy: str | bool | None, tls: ssl_module.SSLContext | None, user_agent: str | None
    ) -> None:
        if proxy is not None and proxy is not True and not isinstance(proxy, str):
            raise TypeError(f"proxy must be True, a URL or None, not {proxy!r}")
        self._from_system = proxy is True
        self._given = parse_proxy(proxy) if isinstance(proxy, str) else None
        self._tls = tls
        self._user_agent = user_agent
        scheme = "" if self._given is None else self._given.scheme
        if tls is not None and not self._from_system and scheme != "https":
            raise ValueError("proxy_ssl is for https:// proxies")
        if scheme.startswith("socks"):
            _python_socks()

    def of(self, uri: WebSocketURI) -> Proxy | None:
        """The proxy on the way to this URI's host and port.

        Raises:
            InvalidProxy: the system's setting is none.
        """
        return proxy_of_the_system(uri) if self._from_system else self._given

    async def connect(
        self, proxy: Proxy, factory: Callable[[], _Protocol], host: str, port: int, **tls: Any
    ) -> _Protocol:
        """As `loop.create_connection`, through a proxy; `tls` is for the server."""
        loop = asyncio.get_running_loop()
        if proxy.scheme.startswith("socks"):
            sock = await _socks(proxy, host.partition("%")[0], port)
            try:
                _, protocol = await loop.create_connection(factory, sock=sock, **tls)
            except BaseException:
                sock.close()
                raise
            return protocol
        exchange = HTTPTunnel(proxy, host, port, self._user_agent)
        transport = await _tunnel(proxy, exchange, self._tls, tls)
        try:
            protocol = factory()
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
        except BaseException:
            transport.abort()
            raise
        return protocol


# HTTP.


class _Held(asyncio.Protocol):
    """Holds a transport until the WebSocket takes it over, one turn of the event loop later."""

    def __init__(self) -> None:
        self._heard = False
        self._lost = False

    def data_received(self, data: bytes) -> None:
        self._heard = True

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True

    def check(self) -> None:
        """See that nothing has happened in the meantime."""
        if self._heard:
            raise InvalidResponse("the server, or the proxy in its name, spoke before it was asked")
        if self._lost:
            raise ConnectionResetError("connection lost before the opening handshake")


class _Asking(_Held):
    """Asks an HTTP proxy for a tunnel."""

    def __init__(self, proxy: Proxy, exchange: HTTPTunnel) -> None:
        super().__init__()
        self._proxy = proxy
        self._exchange = exchange
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        transport.write(self._exchange.request())

    def data_received(self, data: bytes) -> None:
        if self.answered.done():
            super().data_received(data)
            return
        try:
            if self._exchange.receive(data):
                self.answered.set_result(None)
        except ProxyError as error:
            self._fail(error)

    def eof_received(self) -> None:
        if not self.answered.done():
            self._fail(_failure(self._proxy, _CLOSED, is_transient=True))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if not self.answered.done():
            self._fail(_failure(self._proxy, f"lost before its answer: {exc}", is_transient=True))

    def _fail(self, error: ProxyError) -> None:
        self.answered.set_exception(error)
        self.answered.exception()  # who waited for it may have been cancelled


async def _tunnel(
    proxy: Proxy, exchange: HTTPTunnel, proxy_tls: ssl_module.SSLContext | None, server_tls: dict[str, Any]
) -> asyncio.Transport:
    """A transport that leads to the server, by TLS if it speaks that."""
    loop = asyncio.get_running_loop()
    tls: dict[str, Any] = {}
    if proxy.scheme == "https":
        tls = {"ssl": proxy_tls or ssl_module.create_default_context(), "server_hostname": proxy.host}
    try:
        transport, held = await loop.create_connection(
            lambda: _Asking(proxy, exchange), proxy.host, proxy.port, **tls
        )
    except OSError as error:
        raise _unreachable(proxy, error) from error
    try:
        await held.answered
        if not server_tls:
            held.check()
            return transport
        return await _secured(proxy, transport, server_tls)
    except BaseException:
        transport.abort()
        raise


async def _secured(
    proxy: Proxy, transport: asyncio.Transport, server_tls: dict[str, Any]
) -> asyncio.Transport:
    held = _Held()
    try:
        secured = await asyncio.get_running_loop().start_tls(
            transport, held, server_tls["ssl"], server_hostname=server_tls["server_hostname"]
        )
    except TypeError as error:
        # asyncio's own TLS transport of 3.10 cannot carry another; uvloop's can.
        if proxy.scheme == "https" and sys.version_info < (3, 11):
            raise _failure(proxy, "TLS inside its TLS needs Python 3.11 or uvloop") from None
        # Up to 3.11.7 and 3.12.1 it stumbles over an inner TLS handshake that
        # fails (https://github.com/python/cpython/issues/113214).
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
    if secured is None:
        raise ConnectionResetError("connection lost in the TLS handshake")
    try:
        held.check()
    except BaseException:
        secured.abort()
        raise
    return secured


# SOCKS.


async def _socks(proxy: Proxy, host: str, port: int) -> socket.socket:
    """A socket that leads to the server."""
    asyncio_socks, errors = _python_socks()
    kind = errors.ProxyType.SOCKS4 if proxy.scheme.startswith("socks4") else errors.ProxyType.SOCKS5
    # As curl has it: socks4a and socks5h leave the server's name for the proxy to resolve.
    by_name = proxy.scheme in ("socks4a", "socks5h")
    asking = asyncio_socks.Proxy(kind, proxy.host, proxy.port, proxy.username, proxy.password, by_name)
    try:
        sock: socket.socket = await asking.connect(host, port, timeout=_NO_LIMIT)
    except errors.ProxyError as error:
        # What the proxy answered has an attribute for a code, its sudden silence has none.
        if not hasattr(error.__context__, "error_code"):
            raise _failure(proxy, _CLOSED, is_transient=True) from error
        raise _failure(proxy, str(error), is_transient=error.error_code in _PASSING_REPLIES) from error
    except errors.ProxyConnectionError as error:
        raise _unreachable(proxy, error.__context__) from error
    except socket.gaierror:
        raise  # it is the server's name that is unknown here
    except OSError as error:
        raise _failure(proxy, f"lost before its answer: {error}", is_transient=True) from error
    except ValueError as error:
        raise _failure(proxy, f"malformed exchange: {error}") from error
    return sock


def _python_socks() -> tuple[ModuleType, ModuleType]:
    try:
        import python_socks
        import python_socks.async_.asyncio
    except ImportError as error:
        raise ImportError(
            f"a SOCKS proxy needs python-socks, `pip install 'fastframe[proxy]'`: {error}"
        ) from error
    return python_socks.async_.asyncio, python_socks


def _unreachable(proxy: Proxy, error: BaseException | None) -> ProxyError:
    # A certificate that does not fit is not going to fit later.
    is_transient = not isinstance(error, ssl_module.SSLCertVerificationError)
    return _failure(proxy, f"cannot be reached: {error}", is_transient=is_transient)


def _failure(proxy: Proxy, reason: str, *, is_transient: bool = False) -> ProxyError:
    return ProxyError(proxy.address, reason, is_transient=is_transient)
