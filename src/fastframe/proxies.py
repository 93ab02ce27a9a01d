"""Proxies between a client and its server: which one to use, and what to say to it, sans I/O.

RFC 6455 section 4.1 wants a client to ask a proxy for a connection to the
server's host and port, as by HTTP CONNECT (RFC 9110 section 9.3.6). Those
bytes are made and judged here; SOCKS is spoken by a library (`aio.proxy`).
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import unquote

import h11

from ._handshake_common import (
    DEFAULT_MAX_HEADER_COUNT,
    DEFAULT_MAX_HEADER_SIZE,
    DEFAULT_MAX_HEADERS_BYTES,
    Response,
    decoded_headers,
)
from ._http_head import HeadLimits
from ._http_response import ResponseReader
from .errors import InvalidProxy, ProxyError
from .uri import WebSocketURI, basic_authorization, split_host_and_port

__all__ = ["HTTPTunnel", "Proxy", "parse_proxy", "proxy_of_the_system"]

# SOCKS has its port from the registry of IANA.
_DEFAULT_PORTS = {"http": 80, "https": 443, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}
# RFC 1929 section 2: each in a field whose length is one byte.
_MAX_SOCKS_CREDENTIAL = 255
# What a proxy answers when it is the server, or the way to it, that does not work just now.
_PASSING_STATUSES = (500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy's address.

    Attributes:
        scheme: http, https, socks4, socks4a, socks5 or socks5h.
        host: name or address; an IPv6 address has no brackets.
        port: given, or 80 (http), 443 (https), 1080 (SOCKS).
        username: decoded, or None; left out of `repr`.
        password: likewise.
    """

    scheme: str
    host: str
    port: int
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        """Host and port, as errors name them."""
        return _authority(self.host, self.port)


def parse_proxy(url: str) -> Proxy:
    """Parse a proxy's URL.

    Args:
        url: such as ``http://user:password@proxy.example:3128``.

    Raises:
        InvalidProxy: it is none; its user information is not in the message.
    """
    try:
        return _parse(url)
    except ValueError as error:
        raise InvalidProxy(f"not the URL of a proxy: {error}") from None


def _parse(url: str) -> Proxy:
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in _DEFAULT_PORTS:
        raise ValueError(f"it begins with none of {', '.join(f'{name}://' for name in _DEFAULT_PORTS)}")
    authority, _, more = rest.partition("/")
    # Half a password could stand in any further message.
    if more or "?" in authority or "#" in authority:
        raise ValueError("something follows the port, or user information is not percent-encoded")
    userinfo, has_userinfo, host_and_port = authority.rpartition("@")
    host, port = split_host_and_port(host_and_port)
    username, password = _credentials(scheme, userinfo) if has_userinfo else (None, None)
    return Proxy(scheme, host.lower(), _DEFAULT_PORTS[scheme] if port is None else port, username, password)


def _credentials(scheme: str, userinfo: str) -> tuple[str, str]:
    """Decode them, and refuse what the scheme has no way to send."""
    encoded_username, _, encoded_password = userinfo.partition(":")
    try:
        username = unquote(encoded_username, errors="strict")
        password = unquote(encoded_password, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("its user information is not UTF-8") from None
    if not scheme.startswith("socks"):
        basic_authorization(username, password)  # for its checks
        return username, password
    for name, value in (("username", username), ("password", password)):
        if not value.isascii() or "\0" in value or len(value) > _MAX_SOCKS_CREDENTIAL:
            raise ValueError(f"{name} is not ASCII, or exceeds {_MAX_SOCKS_CREDENTIAL} bytes")
    if scheme.startswith("socks4") and password:
        raise ValueError("SOCKS4 knows no password")
    if scheme.startswith("socks5") and not (username and password):
        # RFC 1929 section 2: both fields have 1 to 255 bytes.
        raise ValueError("SOCKS5 needs a username and a password, or neither")
    return username, password


def proxy_of_the_system(uri: WebSocketURI) -> Proxy | None:
    """Return the proxy that the environment, or the system's settings, want for this URI.

    Read by `urllib.request.getproxies`: the variables ``<scheme>_proxy`` and
    ``no_proxy`` in any case, or, where there are none of them, the settings
    of macOS and Windows.

    Raises:
        InvalidProxy: what they say is no proxy's URL.
    """
    has_settings = sys.platform in ("darwin", "win32")
    # To ask urllib takes 90 ms the first time, and each time longer than all the rest of this.
    if not has_settings and not any(name[-6:].lower() == "_proxy" for name in os.environ):
        return None
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    # RFC 6455 section 4.1: "encouraged to use a SOCKS5 proxy for WebSocket
    # connections, if available, or failing that, to prefer the proxy
    # configured for HTTPS connections over the proxy configured for HTTP".
    names = ("wss", "socks", "https", "all") if uri.secure else ("ws", "socks", "https", "http", "all")
    name = next((name for name in names if proxies.get(name)), None)
    if name is None:
        return None
    # An IPv6 address stands in no_proxy with brackets or without.
    hosts = (uri.host, f"[{uri.host}]") if ":" in uri.host else (uri.host,)
    if any(proxy_bypass(f"{host}:{uri.port}") for host in hosts):
        return None
    try:
        return parse_proxy(_completed(name, proxies[name]))
    except InvalidProxy as error:
        raise InvalidProxy(f"{name}_proxy of the environment is {error}") from None


def _completed(name: str, url: str) -> str:
    """A URL as `parse_proxy` wants it, from how systems and desktops write it."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "http", url
    # macOS says http of its SOCKS proxy, Windows and GNOME say socks.
    if scheme.lower() == "socks" or (name == "socks" and scheme.lower() == "http"):
        scheme = "socks5h"
    return f"{scheme}://{rest}"


class HTTPTunnel:
    """One exchange with an HTTP proxy: CONNECT and its answer (RFC 9110 section 9.3.6).

    Send what `request` returns, then `receive` until it returns True: from
    then on the connection leads to the server. When it raises, the connection
    is to be closed.

    Args:
        proxy: whom to ask.
        host: the server's name or address, as it is to be resolved by the proxy.
        port: the server's.
        user_agent: value of the header User-Agent, or None for none.

    Raises:
        ValueError: the host is malformed.
    """

    def __init__(self, proxy: Proxy, host: str, port: int, user_agent: str | None) -> None:
        self._proxy = proxy
        # RFC 6874 section 1: a zone has a meaning on this machine alone.
        target = _authority(host.partition("%")[0].encode("idna").decode(), port)
        split_host_and_port(target)
        fields = [("Host", target)]
        if user_agent is not None:
            fields.append(("User-Agent", user_agent))
        if proxy.username is not None:
            fields.append(("Proxy-Authorization", basic_authorization(proxy.username, proxy.password or "")))
        http = h11.Connection(h11.CLIENT)
        request = http.send(h11.Request(method="CONNECT", target=target, headers=fields))
        assert request is not None
        self._request = request
        http.send(h11.EndOfMessage())
        limits = HeadLimits(DEFAULT_MAX_HEADER_COUNT, DEFAULT_MAX_HEADER_SIZE, DEFAULT_MAX_HEADERS_BYTES)
        self._failure = partial(ProxyError, proxy.address)
        self._reader = ResponseReader(http, limits, self._failure)

    def request(self) -> bytes:
        """Return the request, the same at every call."""
        return self._request

    def receive(self, data: bytes) -> bool:
        """Take bytes of the socket.

        Returns:
            Whether the answer is complete, and the way to the server open.

        Raises:
            ProxyError: the status is not 2xx, or the answer is malformed,
                breaks a limit, or is followed by bytes. Nothing can have come
                from the server: in TLS and in HTTP it waits for the client.
        """
        event = self._reader.receive(data)
        if event is None:
            return False
        status = event.status_code
        if not 200 <= status < 300:
            raise ProxyError(
                self._proxy.address,
                f"answered with HTTP status {status}",
                response=Response(status, decoded_headers(event), reason=event.reason.decode("latin-1")),
                is_transient=status in _PASSING_STATUSES,
            )
        if self._reader.rest:
            raise self._failure("sent bytes behind its answer to CONNECT")
        return True


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
