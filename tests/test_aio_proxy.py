"""The client through HTTP proxies: what it asks them, what they may answer, and what it leaves behind."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aio_support import (
    Recorder,
    clock,
    echo,
    eventually,
    every_loop,
    port_of,
    simulated,
    spin,
    tls_contexts,
    uri_of,
)
from proxy_support import Relay, forget_proxies, relay
from raw_peer import RawPeer, acceptance, raw_server

from fastframe import (
    ConnectionClosedError,
    Headers,
    InvalidProxy,
    InvalidResponse,
    ProxyError,
    Request,
    Response,
    Server,
    WebSocketStream,
    connect,
    serve,
)

OK = b"HTTP/1.1 200 Connection established\r\n\r\n"


async def opened(*arguments: Any, **options: Any) -> Any:
    """`connect` as a coroutine."""
    return await connect(*arguments, **options)


async def talk(ws: WebSocketStream, message: str = "a") -> None:
    await ws.send(message)
    assert await ws.recv() == message


def can_nest_tls() -> bool:
    """Whether this loop has TLS inside TLS."""
    return sys.version_info >= (3, 11) or "uvloop" in str(type(asyncio.get_running_loop()).__mro__)


def overlook_complaints_of(name: str) -> None:
    """Up to 3.11.7 and 3.12.1, asyncio has trouble with TLS inside TLS that fails (CPython issue 113214)."""
    loop = asyncio.get_running_loop()
    handler = loop.get_exception_handler()
    assert handler is not None

    def overlooking(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if name not in str(context.get("exception")):
            handler(loop, context)

    if sys.version_info < (3, 11, 8) or (3, 12) <= sys.version_info < (3, 12, 2):
        loop.set_exception_handler(overlooking)


@asynccontextmanager
async def server_and_proxy(secure: bool, proxy_secure: bool) -> AsyncIterator[tuple[str, Relay, Any]]:
    """The URI of an echo server, a proxy, and the options to connect with."""
    server_tls, client_tls = tls_contexts()
    async with (
        serve(echo, "127.0.0.1", 0, ssl=server_tls if secure else None) as server,
        relay(server_tls if proxy_secure else None) as proxy,
    ):
        options: dict[str, Any] = {
            "proxy": f"{'https' if proxy_secure else 'http'}://127.0.0.1:{proxy.port}",
            "ssl": client_tls if secure else None,
            "proxy_ssl": client_tls if proxy_secure else None,
        }
        yield uri_of(server, scheme="wss" if secure else "ws"), proxy, options


# The way through.


@pytest.mark.parametrize("proxy_secure", [False, True])
@pytest.mark.parametrize("secure", [False, True])
@every_loop
async def test_messages_pass_through_a_proxy(secure: bool, proxy_secure: bool) -> None:
    async with server_and_proxy(secure, proxy_secure) as (uri, proxy, options):
        if secure and proxy_secure and not can_nest_tls():
            with pytest.raises(ProxyError, match=r"Python 3\.11"):
                await connect(uri, **options)
            return
        async with connect(uri, **options) as ws:
            await talk(ws)
            await talk(ws, "b" * 1_000_000)
            assert ws.remote_address == ("127.0.0.1", proxy.port)
        assert ws.close_code == 1000
        assert proxy.targets == [uri.partition("://")[2].rstrip("/")]


@pytest.mark.parametrize("secure", [False, True])
@every_loop
async def test_callback_form_passes_through_a_proxy(secure: bool) -> None:
    async with server_and_proxy(secure, proxy_secure=False) as (uri, proxy, options):
        ws = await connect(uri, Recorder, **options)
        ws.send("a")
        await eventually(lambda: ("message", "a") in ws.events, "the echo")
        ws.close()
        await ws.closed
        assert len(proxy.heads) == 1


@every_loop
async def test_name_of_the_server_is_for_the_proxy_to_resolve() -> None:
    async with serve(echo, "127.0.0.1", 0) as server, relay() as proxy:
        uri = f"ws://nowhere.invalid:{port_of(server)}/"
        async with connect(uri, proxy=f"http://127.0.0.1:{proxy.port}", user_agent_header="me") as ws:
            await talk(ws)
        [head] = proxy.heads
        lines = head.decode().split("\r\n")
        assert lines[0] == f"CONNECT nowhere.invalid:{port_of(server)} HTTP/1.1"
        assert "User-Agent: me" in lines


@every_loop
async def test_given_host_and_port_are_what_the_proxy_is_asked_for() -> None:
    async with serve(echo, "127.0.0.1", 0) as server, relay() as proxy:
        options: dict[str, Any] = {"host": "nowhere.invalid", "port": port_of(server)}
        async with connect("ws://server.test/", proxy=f"http://127.0.0.1:{proxy.port}", **options) as ws:
            await talk(ws)
            [theirs] = server.connections
            assert theirs.request is not None and theirs.request.headers["Host"] == "server.test"
        assert proxy.targets == [f"nowhere.invalid:{port_of(server)}"]


@every_loop
async def test_server_and_proxy_see_only_the_credentials_that_are_theirs() -> None:
    seen: list[Request] = []

    def process_request(protocol: Any, request: Request) -> None:
        seen.append(request)

    async with serve(echo, "127.0.0.1", 0, process_request=process_request) as server, relay() as proxy:
        uri = f"ws://server-user:x@127.0.0.1:{port_of(server)}/"
        async with connect(
            uri, proxy=f"http://proxy-user:y@127.0.0.1:{proxy.port}", extra_headers={"Cookie": "a=b"}
        ):
            pass
    [head] = proxy.heads
    expected = "Basic " + base64.b64encode(b"proxy-user:y").decode()
    assert f"\r\nProxy-Authorization: {expected}\r\n".encode() in head
    assert b"\r\nAuthorization" not in head and b"Cookie" not in head
    assert "Proxy-Authorization" not in seen[0].headers
    assert seen[0].headers["Authorization"] == "Basic " + base64.b64encode(b"server-user:x").decode()


@pytest.mark.parametrize("proxy_secure", [False, True])
@pytest.mark.parametrize("secure", [False, True])
@every_loop
async def test_connection_lost_behind_a_proxy_is_reported(secure: bool, proxy_secure: bool) -> None:
    async with server_and_proxy(secure, proxy_secure) as (uri, proxy, options):
        if secure and proxy_secure and not can_nest_tls():
            pytest.skip("asyncio has no TLS inside TLS before Python 3.11")
        async with connect(uri, **options) as ws:
            await talk(ws)
            proxy.cut()
            with pytest.raises(ConnectionClosedError, match="no close frame"):
                await ws.recv()


# What a proxy may answer.


@asynccontextmanager
async def played_proxy(**options: Any) -> AsyncIterator[tuple[RawPeer, asyncio.Future[Any]]]:
    """A proxy that is played by hand, from the request on, and an attempt to connect through it."""
    async with raw_server() as server:
        proxy = server.uri.replace("ws://", "http://hidden:hidden@")
        connecting = asyncio.ensure_future(opened("ws://server.test/", **({"proxy": proxy} | options)))
        async with server.peer() as peer:
            assert (await peer.head()).startswith(b"CONNECT server.test:80 HTTP/1.1\r\n")
            yield peer, connecting


ANSWERS = {
    "credentials": (b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno", "407"),
    "gateway": (b"HTTP/1.1 502 Bad gateway\r\n\r\n", "502"),
    "redirection": (b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", "302"),
    "nonsense": (b"220 smtp.example.test ESMTP\r\n\r\n", "malformed"),
    "flood": (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n", "128 HTTP headers"),
    "endless": (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000, "8192 bytes"),
    "more": (OK + b"\x81\x01a", "behind its answer"),
}


@pytest.mark.parametrize("answer", ANSWERS)
@every_loop
async def test_wrong_answer_fails_and_closes(answer: str) -> None:
    data, reason = ANSWERS[answer]
    async with played_proxy() as (peer, connecting):
        await peer.send(data)
        with pytest.raises(ProxyError, match=reason) as caught:
            await connecting
        assert f"proxy 127.0.0.1:{peer.sock.getsockname()[1]}: " in str(caught.value)
        assert "hidden" not in str(caught.value)
        assert await peer.gone()


@pytest.mark.parametrize("end", ["fin", "rst"])
@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nA: "])
@every_loop
async def test_end_before_the_answer_may_pass(sent: bytes, end: str) -> None:
    async with played_proxy() as (peer, connecting):
        await peer.send(sent)
        (peer.close if end == "fin" else peer.reset)()
        with pytest.raises(ProxyError, match="before its answer") as caught:
            await connecting
        assert caught.value.is_transient


@every_loop
async def test_answer_may_come_in_pieces() -> None:
    async with played_proxy(compression=None) as (peer, connecting):
        for byte in OK:
            await peer.send(bytes([byte]))
            await spin(1)
        await peer.send(acceptance(await peer.head()))
        ws = await connecting
        peer.close()
        await ws.wait_closed()


@every_loop
async def test_bytes_ahead_of_the_request_are_no_answer_to_it() -> None:
    async with played_proxy() as (peer, connecting):
        await peer.send(OK)
        await peer.send(acceptance(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
        with pytest.raises((InvalidResponse, ProxyError)):
            await connecting


@pytest.mark.parametrize("end", ["fin", "rst"])
@pytest.mark.parametrize("secure", [False, True])
@every_loop
async def test_server_that_goes_away_behind_the_proxy_is_noticed_at_once(secure: bool, end: str) -> None:
    uri = "wss://server.test:80/" if secure else "ws://server.test/"
    async with raw_server() as server:
        connecting = asyncio.ensure_future(
            opened(uri, proxy=server.uri.replace("ws", "http"), open_timeout=None)
        )
        async with server.peer() as peer:
            await peer.head()
            await peer.send(OK)
            (peer.close if end == "fin" else peer.reset)()
            with pytest.raises((InvalidResponse, OSError)):
                await connecting


@simulated
async def test_open_timeout_names_the_proxy_and_no_credentials() -> None:
    async with raw_server() as server:
        before = clock().time()
        proxy = server.uri.replace("ws://", "http://hidden:hidden@")
        with pytest.raises(TimeoutError, match="ws://server.test/ through proxy 127.0.0.1:") as caught:
            await connect("ws://hidden:hidden@server.test/", proxy=proxy, open_timeout=4)
        assert "hidden" not in str(caught.value)
        assert clock().time() - before == pytest.approx(4, abs=0.1)
        async with server.peer() as peer:
            await peer.head()
            assert await peer.gone()


@every_loop
async def test_nobody_listening_is_an_error_of_the_proxy() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{sock.getsockname()[1]}"
        with pytest.raises(ProxyError, match=r"127\.0\.0\.1.*cannot be reached") as caught:
            await connect("ws://server.test/", proxy=proxy)
    assert isinstance(caught.value.__cause__, ConnectionRefusedError) and caught.value.is_transient


@every_loop
async def test_certificate_of_the_proxy_has_to_be_trusted() -> None:
    async with server_and_proxy(secure=False, proxy_secure=True) as (uri, proxy, options):
        with pytest.raises(ProxyError, match="certificate") as caught:
            await connect(uri, **(options | {"proxy_ssl": None}))
        assert not caught.value.is_transient and not proxy.heads


@pytest.mark.parametrize("proxy_secure", [False, True])
@every_loop
async def test_certificate_of_the_server_has_to_be_trusted(proxy_secure: bool) -> None:
    async with server_and_proxy(secure=True, proxy_secure=proxy_secure) as (uri, _, options):
        if proxy_secure and not can_nest_tls():
            pytest.skip("asyncio has no TLS inside TLS before Python 3.11")
        overlook_complaints_of("SSLProtocol._abort")
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(uri, **(options | {"ssl": None}))
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(uri, **(options | {"server_hostname": "example.test"}))


# Mistakes.


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"proxy": "ftp://proxy.test"}, InvalidProxy),
        ({"proxy": "proxy.test:3128"}, InvalidProxy),
        ({"proxy": ""}, InvalidProxy),
        ({"proxy": False}, TypeError),
        ({"proxy": 3128}, TypeError),
        ({"proxy": b"http://proxy.test"}, TypeError),
        ({"proxy": "http://proxy.test", "path": "/tmp/socket"}, ValueError),
        ({"proxy": "http://proxy.test", "sock": object()}, ValueError),
        ({"proxy": "http://proxy.test", "proxy_ssl": ssl.create_default_context()}, ValueError),
        ({"proxy": None, "proxy_ssl": ssl.create_default_context()}, ValueError),
    ],
)
def test_impossible_options_are_refused_at_once(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        connect("ws://server.test/", **options)


# The environment.


@every_loop
async def test_proxy_of_the_environment_is_used_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forget_proxies(monkeypatch)
    async with serve(echo, "127.0.0.1", 0) as server, relay() as proxy:
        monkeypatch.setenv("ws_proxy", f"http://127.0.0.1:{proxy.port}")
        async with connect(uri_of(server)) as ws:
            await talk(ws)
        assert len(proxy.heads) == 1
        async with connect(uri_of(server), proxy=None) as ws:
            await talk(ws)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        async with connect(uri_of(server)) as ws:
            await talk(ws)
        assert len(proxy.heads) == 1


@every_loop
async def test_no_proxy_speaks_of_the_host_that_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_proxies(monkeypatch)
    monkeypatch.setenv("ws_proxy", "http://nowhere.invalid")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    async with (
        serve(echo, "127.0.0.1", 0) as server,
        connect("ws://server.test/", host="127.0.0.1", port=port_of(server)) as ws,
    ):
        await talk(ws)


@every_loop
async def test_given_socket_goes_through_no_proxy(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    forget_proxies(monkeypatch)
    monkeypatch.setenv("ws_proxy", "http://nowhere.invalid")
    path = str(tmp_path / "socket")
    async with serve(echo, "127.0.0.1", 0) as server, serve(echo, path=path):
        sock = socket.create_connection(("127.0.0.1", port_of(server)))
        sock.setblocking(False)
        async with connect("ws://server.test/", sock=sock) as ws:
            await talk(ws)
        async with connect("ws://server.test/", path=path) as ws:
            await talk(ws)


@every_loop
async def test_wrong_proxy_of_the_environment_is_raised_when_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_proxies(monkeypatch)
    monkeypatch.setenv("ws_proxy", "ftp://proxy.test")
    connecting = connect("ws://server.test/")
    with pytest.raises(InvalidProxy, match="ws_proxy"):
        await connecting


def redirecting_to(target: Server) -> Any:
    """A server that sends every request to another."""

    def process_request(protocol: Any, request: Request) -> Response:
        return Response(302, Headers({"Location": uri_of(target)}))

    return serve(echo, "127.0.0.1", 0, process_request=process_request)


@pytest.mark.parametrize("exempt", ["first", "second"])
@every_loop
async def test_redirection_is_asked_of_the_environment_anew(
    exempt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_proxies(monkeypatch)
    async with serve(echo, "127.0.0.1", 0) as second, redirecting_to(second) as first, relay() as proxy:
        ports = {"first": port_of(first), "second": port_of(second)}
        monkeypatch.setenv("ws_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", f"127.0.0.1:{ports.pop(exempt)}")
        async with connect(uri_of(first)) as ws:
            await talk(ws)
        assert proxy.targets == [f"127.0.0.1:{port}" for port in ports.values()]


@every_loop
async def test_redirection_stays_behind_the_given_proxy() -> None:
    async with serve(echo, "127.0.0.1", 0) as second, redirecting_to(second) as first, relay() as proxy:
        async with connect(uri_of(first), proxy=f"http://127.0.0.1:{proxy.port}") as ws:
            await talk(ws)
        assert proxy.targets == [f"127.0.0.1:{port_of(server)}" for server in (first, second)]


# Connecting again.


@pytest.mark.parametrize("failure", ["502", "503", "end", "reset"])
@simulated
async def test_iteration_survives_what_may_pass(failure: str) -> None:
    async with raw_server() as server:

        async def play() -> None:
            for _ in range(2):
                async with server.peer() as peer:
                    await peer.head()
                    if failure == "reset":
                        peer.reset()
                    elif failure != "end":
                        await peer.send(f"HTTP/1.1 {failure} No\r\n\r\n".encode())
            async with server.peer() as peer:
                await peer.head()
                await peer.send(OK)
                await peer.send(acceptance(await peer.head()))
                await peer.rest()

        playing = asyncio.ensure_future(play())
        async for ws in connect("ws://server.test/", proxy=server.uri.replace("ws", "http"), close_timeout=1):
            assert ws.response is not None
            break
        await ws.close()
        del ws
        await playing


@pytest.mark.parametrize("status", [403, 405, 407])
@simulated
async def test_iteration_raises_what_will_not_pass(status: int) -> None:
    async def iterate(proxy: str) -> None:
        async for _ in connect("ws://server.test/", proxy=proxy):
            raise AssertionError("it leads nowhere")

    async with raw_server() as server:
        iterating = asyncio.ensure_future(iterate(server.uri.replace("ws", "http")))
        async with server.peer() as peer:
            await peer.head()
            await peer.send(b"HTTP/1.1 %d No\r\n\r\n" % status)
            with pytest.raises(ProxyError, match=str(status)):
                await iterating


# What is left behind.


# Python 3.10's own start_tls forgets the transport that it has made when it is cancelled at that moment.
@pytest.mark.filterwarnings("ignore:.*_SSLProtocolTransport.__del__:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("iterations", [*range(0, 24, 2), 30, 40, 60])
@pytest.mark.parametrize("proxy_secure", [False, True])
@pytest.mark.parametrize("secure", [False, True])
@every_loop
async def test_cancelled_connect_leaves_nothing(secure: bool, proxy_secure: bool, iterations: int) -> None:
    async with server_and_proxy(secure, proxy_secure) as (uri, _, options):
        connecting = asyncio.ensure_future(opened(uri, **options))
        await spin(iterations)
        connecting.cancel()
        await asyncio.wait([connecting])
        if not connecting.cancelled() and connecting.exception() is None:
            await connecting.result().close()


@every_loop
async def test_failing_constructor_leaves_nothing() -> None:
    class Failing(Recorder):
        def __init__(self, owner: Any) -> None:
            raise LookupError("no")

    async with server_and_proxy(secure=False, proxy_secure=False) as (uri, _, options):
        with pytest.raises(LookupError):
            await connect(uri, Failing, **options)
