"""The client through SOCKS proxies, and through real proxies of every kind."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aio_support import echo, every_loop, port_of, simulated, spin, tls_contexts, uri_of
from proxy_support import pproxy, proxy_py
from raw_peer import RawPeer, acceptance, raw_server

from fastframe import ProxyError, WebSocketStream, connect, serve

# RFC 1928 sections 3 and 6, with an address of zeros.
NO_AUTHENTICATION = b"\x05\x00"
REST = b"\x01\x00\x00\x00\x00\x00\x00"
GRANTED = b"\x05\x00\x00" + REST


async def opened(*arguments: Any, **options: Any) -> Any:
    """`connect` as a coroutine."""
    return await connect(*arguments, **options)


async def talk(ws: WebSocketStream, message: str = "a") -> None:
    await ws.send(message)
    assert await ws.recv() == message


@asynccontextmanager
async def played(
    uri: str = "ws://10.0.0.1/", scheme: str = "socks5h", user: str = "", **options: Any
) -> AsyncIterator[tuple[RawPeer, asyncio.Future[Any]]]:
    """A SOCKS proxy that is played by hand, and an attempt to connect through it."""
    async with raw_server() as server:
        proxy = server.uri.replace("ws://", f"{scheme}://{user}")
        connecting = asyncio.ensure_future(opened(uri, proxy=proxy, **options))
        async with server.peer() as peer:
            yield peer, connecting


async def exactly(peer: RawPeer, count: int) -> bytes:
    """The next bytes that the client sends."""
    while len(peer.data) < count:
        assert await peer._more(), f"end after {peer.data!r}"
    data, peer.data = peer.data[:count], peer.data[count:]
    return data


# What is asked.


@pytest.mark.parametrize(
    ("uri", "scheme", "address"),
    [
        ("ws://localhost:8000/", "socks5h", b"\x03\x09localhost\x1f\x40"),
        ("ws://localhost:8000/", "socks5", b"\x01\x7f\x00\x00\x01\x1f\x40"),
        ("ws://10.0.0.1/", "socks5h", b"\x01\x0a\x00\x00\x01\x00\x50"),
        ("ws://[2001:db8::1]/", "socks5h", b"\x04\x20\x01\x0d\xb8" + bytes(11) + b"\x01\x00\x50"),
        ("ws://[2001:db8::1%25eth0]/", "socks5h", b"\x04\x20\x01\x0d\xb8" + bytes(11) + b"\x01\x00\x50"),
    ],
)
@every_loop
async def test_socks5_gets_the_name_only_if_it_shall_resolve_it(
    uri: str, scheme: str, address: bytes
) -> None:
    async with played(uri, scheme, compression=None) as (peer, connecting):
        assert await exactly(peer, 3) == b"\x05\x01\x00"
        await peer.send(NO_AUTHENTICATION)
        assert await exactly(peer, 3 + len(address)) == b"\x05\x01\x00" + address
        await peer.send(GRANTED)
        await peer.send(acceptance(await peer.head()))
        ws = await connecting
        peer.close()
        await ws.wait_closed()


@pytest.mark.parametrize(
    ("scheme", "address"),
    [("socks4", b"\x7f\x00\x00\x01me\x00"), ("socks4a", b"\x00\x00\x00\x01me\x00localhost\x00")],
)
@every_loop
async def test_socks4_gets_the_name_only_if_it_shall_resolve_it(scheme: str, address: bytes) -> None:
    async with played("ws://localhost:8000/", scheme, "me@", compression=None) as (peer, connecting):
        expected = b"\x04\x01\x1f\x40" + address
        assert await exactly(peer, len(expected)) == expected
        await peer.send(b"\x00\x5a" + bytes(6))
        await peer.send(acceptance(await peer.head()))
        ws = await connecting
        peer.close()
        await ws.wait_closed()


@every_loop
async def test_unknown_server_is_an_os_error_if_it_is_resolved_here(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo

    async def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        if host == "nowhere.invalid":
            raise socket.gaierror(socket.EAI_NONAME, f"no such name: {host}")
        return await real(host, *arguments, **options)

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo, raising=False)
    async with played("ws://nowhere.invalid/", "socks5") as (peer, connecting):
        await exactly(peer, 3)
        await peer.send(NO_AUTHENTICATION)
        with pytest.raises(socket.gaierror, match=r"nowhere\.invalid"):
            await connecting


# What a proxy may answer.

ANSWERS = {
    "refused": (b"\x05\x05\x00" + REST, "refused", True),
    "unreachable": (b"\x05\x04\x00" + REST, "unreachable", True),
    "failure": (b"\x05\x01\x00" + REST, "failure", True),
    "ruleset": (b"\x05\x02\x00" + REST, "not allowed", False),
    "command": (b"\x05\x07\x00" + REST, "not supported", False),
    "unknown": (b"\x05\x63\x00" + REST, "0X63", False),
    "nonsense": (b"HTTP/1.1 400 Bad request\r\n\r\n", "version", False),
    "end": (b"\x05", "closed", True),
}


@pytest.mark.parametrize("answer", ANSWERS)
@every_loop
async def test_refusal_names_the_proxy_and_the_reason(answer: str) -> None:
    data, reason, is_transient = ANSWERS[answer]
    async with played() as (peer, connecting):
        await exactly(peer, 3)
        await peer.send(NO_AUTHENTICATION)
        await exactly(peer, 10)
        await peer.send(data)
        peer.half_close()
        with pytest.raises(ProxyError, match=f"(?i)proxy 127.0.0.1:[0-9]+: .*{reason}") as caught:
            await connecting
        assert caught.value.is_transient is is_transient and caught.value.response is None
        assert await peer.gone()


@pytest.mark.parametrize("method", [b"\x05\xff", b"\x05\x01", b"\x05\x77", b"\x04\x5a"])
@every_loop
async def test_wrong_authentication_method_is_refused(method: bytes) -> None:
    async with played(user="hidden:hidden@") as (peer, connecting):
        await exactly(peer, 4)
        await peer.send(method)
        with pytest.raises(ProxyError, match=r"proxy 127\.0\.0\.1") as caught:
            await connecting
        assert not caught.value.is_transient and "hidden" not in str(caught.value)


@every_loop
async def test_reset_before_the_answer_may_pass() -> None:
    async with played() as (peer, connecting):
        await exactly(peer, 3)
        peer.reset()
        with pytest.raises(ProxyError, match="before its answer") as caught:
            await connecting
        assert caught.value.is_transient


@every_loop
async def test_nobody_listening_is_an_error_of_the_proxy() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        with pytest.raises(ProxyError, match="cannot be reached") as caught:
            await connect("ws://10.0.0.1/", proxy=f"socks5://127.0.0.1:{sock.getsockname()[1]}")
    assert caught.value.is_transient


@simulated
async def test_open_timeout_is_the_limit_and_the_only_one() -> None:
    async with played(open_timeout=500) as (peer, connecting):
        await exactly(peer, 3)
        with pytest.raises(TimeoutError, match="500 s"):
            await connecting
        assert await peer.gone()


@pytest.mark.parametrize("iterations", range(12))
@every_loop
async def test_cancelled_connect_leaves_nothing(iterations: int) -> None:
    async with played() as (peer, connecting):
        await exactly(peer, 3)
        await peer.send(NO_AUTHENTICATION)
        await exactly(peer, 10)
        await peer.send(GRANTED)
        await spin(iterations)
        connecting.cancel()
        await asyncio.wait([connecting])
        assert connecting.cancelled()


# The library.


@pytest.mark.parametrize("scheme", ["socks4", "socks4a", "socks5", "socks5h"])
def test_without_the_library_the_error_names_the_extra(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "python_socks"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "python_socks", None)
    with pytest.raises(ImportError, match=r"fastframe\[proxy\]") as caught:
        connect("ws://10.0.0.1/", proxy=f"{scheme}://127.0.0.1")
    assert "\n" not in str(caught.value)


# Real ones.

PPROXY = {
    "http": "http://127.0.0.1:0",
    "http-password": "http://127.0.0.1:0#me:p@ss",
    "socks4": "socks4://127.0.0.1:0",
    "socks5": "socks5://127.0.0.1:0",
    "socks5-password": "socks5://127.0.0.1:0#me:p@ss",
}


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    """Where the real proxies listen."""
    with (
        pproxy(*PPROXY.values()) as found,
        proxy_py() as plain,
        proxy_py("--basic-auth", "me:p@ss") as locked,
    ):
        yield dict(zip(PPROXY, found, strict=True)) | {"proxy.py": plain, "proxy.py-password": locked}


ROUTES = [
    ("http", "http://"),
    ("http-password", "http://me:p%40ss@"),
    ("proxy.py", "http://"),
    ("proxy.py-password", "http://me:p%40ss@"),
    ("socks4", "socks4://"),
    ("socks5", "socks5://"),
    ("socks5", "socks5h://"),
    ("socks5-password", "socks5h://me:p%40ss@"),
]


@pytest.mark.parametrize(("name", "prefix"), ROUTES)
@pytest.mark.parametrize("secure", [False, True])
@every_loop
async def test_messages_pass_through_a_real_proxy(
    secure: bool, name: str, prefix: str, ports: dict[str, int]
) -> None:
    server_tls, client_tls = tls_contexts()
    async with serve(echo, "127.0.0.1", 0, ssl=server_tls if secure else None) as server:
        uri = f"{'wss' if secure else 'ws'}://localhost:{port_of(server)}/"
        proxy = f"{prefix}127.0.0.1:{ports[name]}"
        async with connect(uri, proxy=proxy, ssl=client_tls if secure else None) as ws:
            await talk(ws)
            await talk(ws, "b" * 300_000)
            [theirs] = server.connections
            # Both connections may have the same port of their own: their other ends differ.
            assert ws.remote_address[1] == ports[name]
            assert theirs.local_address[1] == port_of(server)
        assert ws.close_code == 1000


@pytest.mark.parametrize(
    ("name", "prefix", "reason"),
    [
        ("proxy.py-password", "http://", "407"),
        ("proxy.py-password", "http://me:hidden@", "407"),
        ("socks5-password", "socks5h://", "authentication|closed"),
        ("socks5-password", "socks5h://me:hidden@", "authentication|closed"),
    ],
)
@every_loop
async def test_real_proxy_refuses_wrong_credentials(
    name: str, prefix: str, reason: str, ports: dict[str, int]
) -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        with pytest.raises(ProxyError, match=reason) as caught:
            await connect(uri_of(server), proxy=f"{prefix}127.0.0.1:{ports[name]}")
        assert "hidden" not in str(caught.value)
        assert not server.connections
