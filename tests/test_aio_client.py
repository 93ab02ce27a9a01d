"""The client: where it connects to, what it follows, what it refuses, and how it comes back."""

from __future__ import annotations

import asyncio
import base64
import errno
import gc
import platform
import socket
import ssl
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aio_support import (
    Recorder,
    clock,
    contexts_of,
    echo,
    eventually,
    every_loop,
    port_of,
    simulated,
    spin,
    tls_contexts,
    uri_of,
)
from certificates import dated
from raw_peer import (
    acceptance,
    raw_server,
)
from wire import data_frame

from fastframe import (
    ConnectionClosedError,
    ConnectionClosedOK,
    HandshakeError,
    Headers,
    InvalidResponse,
    InvalidURI,
    RejectedByServer,
    Request,
    Response,
    Role,
    State,
    WebSocket,
    WebSocketStream,
    connect,
    serve,
)


async def opened(*arguments: Any, **options: Any) -> Any:
    """`connect` as a coroutine."""
    return await connect(*arguments, **options)


async def talk(ws: WebSocketStream) -> None:
    await ws.send("a")
    assert await ws.recv() == "a"


# Where to.


@pytest.mark.parametrize(
    "uri",
    ["", "http://localhost/", "ws://", "ws://host/#fragment", "ws://host:99999/", "ws://ho st/", "host"],
)
def test_wrong_uri_is_refused_at_once(uri: str) -> None:
    with pytest.raises(InvalidURI):
        connect(uri)


@every_loop
async def test_connect_may_be_awaited_or_entered() -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        ws = await connect(uri_of(server))
        await talk(ws)
        await ws.close()
        async with connect(uri_of(server)) as entered:
            await talk(entered)
        assert entered.ready_state is State.CLOSED and entered.close_code == 1000


@every_loop
async def test_host_and_port_may_differ_from_the_uri() -> None:
    async with (
        serve(echo, "127.0.0.1", 0) as server,
        connect("ws://example.test/", host="127.0.0.1", port=port_of(server)) as ws,
    ):
        await talk(ws)
        [theirs] = server.connections
        assert theirs.request is not None and theirs.request.headers["Host"] == "example.test"


@every_loop
async def test_connected_socket_may_be_given() -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        sock = socket.create_connection(("127.0.0.1", port_of(server)))
        sock.setblocking(False)
        async with connect("ws://example.test/", sock=sock) as ws:
            await talk(ws)


@every_loop
async def test_user_and_password_of_the_uri_are_sent() -> None:
    seen: list[Request] = []

    def process_request(protocol: Any, request: Request) -> None:
        seen.append(request)

    async with (
        serve(echo, "127.0.0.1", 0, process_request=process_request) as server,
        connect(f"ws://me:p%40ss@127.0.0.1:{port_of(server)}/"),
    ):
        pass
    assert seen[0].headers["Authorization"] == "Basic " + base64.b64encode(b"me:p@ss").decode()


@every_loop
async def test_headers_of_the_request_are_as_told() -> None:
    seen: list[Request] = []

    def process_request(protocol: Any, request: Request) -> None:
        seen.append(request)

    options: dict[str, Any] = {
        "origin": "http://a.test",
        "subprotocols": ["x", "y"],
        "user_agent_header": "me",
    }
    async with (
        serve(echo, "127.0.0.1", 0, process_request=process_request) as server,
        connect(uri_of(server, "/p?q"), extra_headers={"X": "y"}, compression=None, **options),
    ):
        pass
    [request] = seen
    assert request.path == "/p?q" and request.subprotocols == ("x", "y") and not request.extensions
    expected = {"Origin": "http://a.test", "User-Agent": "me", "X": "y"}
    assert {name: request.headers.get(name) for name in expected} == expected


@pytest.mark.parametrize("websocket_class", [None, Recorder])
@every_loop
async def test_request_and_response_are_those_of_the_handshake(websocket_class: Any) -> None:
    async with serve(echo, "127.0.0.1", 0, subprotocols=["y"]) as server:
        uri = f"ws://me:secret@127.0.0.1:{port_of(server)}/p?q"
        ws = await connect(uri, websocket_class, subprotocols=["x", "y"], extra_headers={"X": "z"})
        [theirs] = server.connections
        assert ws.request == theirs.request and ws.request.is_upgrade
        assert (ws.request.path, ws.request.subprotocols) == ("/p?q", ("x", "y"))
        assert [extension.name for extension in ws.request.extensions] == ["permessage-deflate"]
        assert ws.response.status == 101
        assert ws.response.headers["Sec-WebSocket-Protocol"] == ws.subprotocol == "y"
        ws.close() if websocket_class else await ws.close()


@every_loop
async def test_credentials_are_in_the_request_but_not_in_its_repr() -> None:
    async with (
        serve(echo, "127.0.0.1", 0) as server,
        connect(f"ws://me:secret@127.0.0.1:{port_of(server)}/") as ws,
    ):
        assert ws.request is not None
        credentials = base64.b64encode(b"me:secret").decode()
        assert ws.request.headers["Authorization"] == f"Basic {credentials}"
        assert credentials not in repr(ws.request) and credentials not in repr(ws)


@every_loop
async def test_request_is_there_when_the_callback_form_opens() -> None:
    class Looking(Recorder):
        def on_open(self) -> None:
            self.events.append((self.request is not None, self.response is not None))

    async with serve(echo, "127.0.0.1", 0) as server:
        ws = await connect(uri_of(server), Looking)
        assert ws.events == [(True, True)]
        ws.close()
        await ws.closed


@simulated
async def test_credentials_of_the_uri_are_in_no_error() -> None:
    async with raw_server() as server:
        uri = server.uri.replace("ws://", "ws://me:secret@")
        with pytest.raises(TimeoutError) as caught:
            await connect(uri, open_timeout=4)
        assert server.uri in str(caught.value)


@pytest.mark.parametrize("fields", [{"A": "b\r\nC: d"}, {"Sec-WebSocket-Key": "x"}, {"A b": "c"}])
@every_loop
async def test_impossible_extra_headers_are_refused(fields: Any) -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        with pytest.raises(ValueError, match="header"):
            await connect(uri_of(server), extra_headers=fields)
        assert not server.connections


@every_loop
async def test_nobody_listening_is_an_os_error() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            await connect(f"ws://127.0.0.1:{sock.getsockname()[1]}/")


# TLS.


@every_loop
async def test_certificate_that_is_not_trusted_is_refused() -> None:
    server_tls, _ = tls_contexts()
    async with serve(echo, "127.0.0.1", 0, ssl=server_tls) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(uri_of(server, scheme="wss"))


@every_loop
async def test_server_hostname_is_what_the_certificate_has_to_name() -> None:
    server_tls, client_tls = tls_contexts()
    async with serve(echo, "127.0.0.1", 0, ssl=server_tls) as server:
        uri = uri_of(server, scheme="wss")
        async with connect(uri, ssl=client_tls, server_hostname="localhost") as ws:
            await talk(ws)
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(uri, ssl=client_tls, server_hostname="example.test")


DATES = {
    "expired": ("20200101000000Z", "20200201000000Z"),
    "not yet valid": ("20480101000000Z", "20490101000000Z"),
}


@pytest.mark.parametrize("why", DATES)
@every_loop
async def test_certificate_out_of_its_time_is_refused(why: str, tmp_path: Path) -> None:
    server_tls, client_tls = contexts_of(dated(tmp_path, *DATES[why]))
    async with serve(echo, "127.0.0.1", 0, ssl=server_tls) as server:
        with pytest.raises(ssl.SSLCertVerificationError, match=why):
            await connect(uri_of(server, scheme="wss"), ssl=client_tls)
        with pytest.raises(ssl.SSLCertVerificationError, match=why):
            await anext(aiter(connect(uri_of(server, scheme="wss"), ssl=client_tls)))
        assert not server.connections


@pytest.mark.parametrize("proxy", [None, "http://127.0.0.1:1"])
@pytest.mark.parametrize("option", ["ssl", "server_hostname"])
@every_loop
async def test_tls_for_ws_is_refused(option: str, proxy: str | None) -> None:
    options: dict[str, Any] = {"ssl": tls_contexts()[1], "server_hostname": "localhost"}
    with pytest.raises(ValueError, match="wss"):
        await connect("ws://127.0.0.1:1/", proxy=proxy, **{option: options[option]})


# What a server may answer.

ANSWERS: dict[str, Callable[[bytes], bytes]] = {
    "accept": lambda request: acceptance(request).replace(b"Accept: ", b"Accept: x"),
    "upgrade": lambda request: acceptance(request).replace(b"websocket", b"h2c"),
    "extension": lambda request: acceptance(request, b"Sec-WebSocket-Extensions: x-unknown\r\n"),
    "window-bits": lambda request: acceptance(
        request, b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99\r\n"
    ),
    "subprotocol": lambda request: acceptance(request, b"Sec-WebSocket-Protocol: never-offered\r\n"),
    "nonsense": lambda request: b"hello there\r\n\r\n",
    "flood": lambda request: b"HTTP/1.1 101 x\r\n" + b"A: b\r\n" * 200 + b"\r\n",
    "endless": lambda request: b"HTTP/1.1 101 x\r\nA: " + b"b" * 100_000,
}


@pytest.mark.parametrize("answer", ANSWERS)
@every_loop
async def test_wrong_answer_fails_the_handshake_and_closes(answer: str) -> None:
    async with raw_server() as server:
        connecting = asyncio.ensure_future(opened(server.uri))
        async with server.peer() as peer:
            await peer.send(ANSWERS[answer](await peer.head()))
            with pytest.raises(InvalidResponse):
                await connecting
            assert await peer.gone()


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 500, 503])
@every_loop
async def test_refusal_tells_status_headers_and_body(status: int) -> None:
    def process_request(protocol: Any, request: Request) -> Response:
        return Response(status, Headers({"X": "y"}), b"why")

    async with serve(echo, "127.0.0.1", 0, process_request=process_request) as server:
        with pytest.raises(RejectedByServer, match=str(status)) as caught:
            await connect(uri_of(server))
        response = caught.value.response
        assert (response.status, response.headers["X"], response.body) == (status, "y", b"why")


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 101 Swit", b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\n"])
@every_loop
async def test_end_within_the_handshake_is_an_error_of_the_server(sent: bytes) -> None:
    async with raw_server() as server:
        connecting = asyncio.ensure_future(opened(server.uri))
        async with server.peer() as peer:
            await peer.head()
            await peer.send(sent)
            peer.close()
            with pytest.raises(InvalidResponse, match="closed"):
                await connecting


@every_loop
async def test_reset_within_the_handshake_is_an_os_error() -> None:
    async with raw_server() as server:
        connecting = asyncio.ensure_future(opened(server.uri))
        async with server.peer() as peer:
            await peer.head()
            peer.reset()
            with pytest.raises(ConnectionResetError):
                await connecting


@every_loop
async def test_frames_that_come_with_the_answer_are_not_lost() -> None:
    async with raw_server() as server:
        connecting = asyncio.ensure_future(opened(server.uri, compression=None))
        async with server.peer() as peer:
            frames = data_frame(Role.CLIENT, 1, b"early") + data_frame(
                Role.CLIENT, 8, (1000).to_bytes(2, "big")
            )
            await peer.send(acceptance(await peer.head()) + frames)
            peer.half_close()
            ws = await connecting
            assert await ws.recv() == "early"
            with pytest.raises((ConnectionClosedOK, ConnectionClosedError), match="received 1000"):
                await ws.recv()


@pytest.mark.parametrize("size", [1, 10])
@every_loop
async def test_answer_may_come_in_pieces(size: int) -> None:
    async with raw_server() as server:
        connecting = asyncio.ensure_future(opened(server.uri, compression=None))
        async with server.peer() as peer:
            answer = acceptance(await peer.head()) + data_frame(Role.CLIENT, 1, b"a")
            for start in range(0, len(answer), size):
                await peer.send(answer[start : start + size])
                await spin(1)
            ws = await connecting
            assert await ws.recv() == "a"
            peer.close()
            await ws.wait_closed()


# Time.


@simulated
async def test_open_timeout_ends_a_handshake_that_is_not_answered() -> None:
    async with raw_server() as server:
        before = clock().time()
        with pytest.raises(TimeoutError, match="4 s"):
            await connect(server.uri, open_timeout=4)
        assert clock().time() - before == pytest.approx(4, abs=0.1)
        async with server.peer() as peer:
            await peer.head()
            assert await peer.gone()


@pytest.mark.parametrize("open_timeout", [None, 10])
@every_loop
async def test_time_out_of_the_network_is_passed_on(open_timeout: float | None, monkeypatch: Any) -> None:
    async def create_connection(*arguments: Any, **options: Any) -> Any:
        raise TimeoutError(errno.ETIMEDOUT, "Connect call failed")

    # A network that swallows packets cannot be had here.
    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", create_connection, raising=False)
    with pytest.raises(TimeoutError, match="Connect call failed"):
        await connect("ws://127.0.0.1:9/", open_timeout=open_timeout)


@pytest.mark.parametrize("iterations", range(14))
@every_loop
async def test_cancelled_connect_leaves_nothing(iterations: int) -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        connecting = asyncio.ensure_future(opened(uri_of(server)))
        await spin(iterations)
        connecting.cancel()
        await asyncio.wait([connecting])
        if not connecting.cancelled():
            await connecting.result().close()
        await eventually(lambda: not server.connections, "the connection is gone")


@pytest.mark.parametrize("iterations", [1, 3, 5, 8, 12, 20])
@every_loop
async def test_cancelled_connect_over_tls_leaves_nothing(iterations: int) -> None:
    server_tls, client_tls = tls_contexts()
    async with serve(echo, "127.0.0.1", 0, ssl=server_tls) as server:
        connecting = asyncio.ensure_future(opened(uri_of(server, scheme="wss"), ssl=client_tls))
        await spin(iterations)
        connecting.cancel()
        await asyncio.wait([connecting])
        if not connecting.cancelled():
            await connecting.result().close()
        await eventually(lambda: not server.connections, "the connection is gone")


@every_loop
async def test_connect_that_is_cancelled_again_and_again_leaves_nothing() -> None:
    loop = asyncio.get_running_loop()
    left = 10

    def cancel() -> None:
        nonlocal left
        connecting.cancel()
        left -= 1
        if left:
            loop.call_soon(cancel)

    class Cancelling(WebSocket):
        def on_open(self) -> None:
            cancel()

    async with serve(echo, "127.0.0.1", 0) as server:
        connecting = asyncio.ensure_future(opened(uri_of(server), Cancelling))
        await asyncio.wait([connecting])
        assert connecting.cancelled()
        await eventually(lambda: not server.connections, "the connection is gone")


@pytest.mark.skipif(platform.python_implementation() != "CPython", reason="counts references")
@pytest.mark.parametrize("status", [404, 302, 101])
@every_loop
async def test_attempt_that_failed_needs_no_collection(status: int) -> None:
    made: list[weakref.ref[Any]] = []

    class Noted(WebSocket):
        def __init__(self, owner: Any) -> None:
            super().__init__(owner)
            made.append(weakref.ref(self))

    gc.collect()
    gc.disable()
    try:
        async with raw_server() as server:
            connecting = asyncio.ensure_future(opened(server.uri, Noted))
            async with server.peer() as peer:
                await peer.head()
                await peer.send(b"HTTP/1.1 %d Because\r\nContent-Length: 0\r\n\r\n" % status)
                await asyncio.wait([connecting])
                assert isinstance(connecting.exception(), HandshakeError)
        del connecting
        await eventually(lambda: made[0]() is None, "it is gone")
    finally:
        gc.enable()
