"""The server: handshakes it accepts and refuses, pages beside the socket, handlers, shutting down."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aio_support import (
    Recorder,
    clock,
    echo,
    eventually,
    every_loop,
    logged,
    port_of,
    simulated,
    spin,
    tls_contexts,
    uri_of,
)
from raw_peer import (
    REQUEST,
    raw_client,
)

from fastframe import (
    Close,
    ConnectionClosedError,
    ConnectionClosedOK,
    Headers,
    Request,
    Response,
    Server,
    State,
    WebSocketStream,
    connect,
    serve,
)

GET = b"GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def answer_to(server: Server, request: bytes, *, half_close: bool = False) -> tuple[bytes, bytes]:
    """Head and body of the answer, after which the server has to close."""
    async with raw_client(server, b"") as peer:
        await peer.send(request)
        if half_close:
            peer.half_close()
        head = await peer.head()
        return head, await peer.rest()


def page(protocol: Any, request: Request) -> Response | None:
    return (
        None if request.is_upgrade else Response(200, Headers([("Content-Type", "text/html")]), b"<p>hello")
    )


# Handlers.


@every_loop
async def test_connection_is_closed_when_the_handler_returns() -> None:
    async def handler(ws: WebSocketStream) -> None:
        await ws.send("goodbye")

    async with serve(handler, "127.0.0.1", 0) as server, connect(uri_of(server)) as ws:
        assert await ws.recv() == "goodbye"
        with pytest.raises(ConnectionClosedOK) as caught:
            await ws.recv()
        assert caught.value.received == Close(1000)


@every_loop
async def test_exception_in_the_handler_closes_with_1011_and_is_logged() -> None:
    async def handler(ws: WebSocketStream) -> None:
        raise ZeroDivisionError

    async with serve(handler, "127.0.0.1", 0) as server, connect(uri_of(server)) as ws:
        with pytest.raises(ConnectionClosedError, match="received 1011"):
            await ws.recv()
        [line] = logged()
        assert "handler" in line and "ZeroDivisionError" in line


@every_loop
async def test_handler_that_meets_the_peers_end_is_no_failure() -> None:
    async def handler(ws: WebSocketStream) -> None:
        while True:
            await ws.recv()

    async with serve(handler, "127.0.0.1", 0) as server:
        ws = await connect(uri_of(server))
        await ws.close(4000, "enough")
        assert logged() == []


@every_loop
async def test_cancelled_handler_drops_its_connection() -> None:
    tasks: list[Any] = []

    async def handler(ws: WebSocketStream) -> None:
        tasks.append(asyncio.current_task())
        await asyncio.Event().wait()

    async with serve(handler, "127.0.0.1", 0) as server, connect(uri_of(server)) as ws:
        await eventually(lambda: tasks, "the handler runs")
        tasks.pop().cancel()
        with pytest.raises(ConnectionClosedError):
            await ws.recv()


# Shutting down.


@every_loop
async def test_server_close_says_1001_and_waits() -> None:
    done = []

    async def handler(ws: WebSocketStream) -> None:
        async for _ in ws:
            pass
        await spin(5)
        done.append(True)

    server = await serve(handler, "127.0.0.1", 0)
    clients = [await connect(uri_of(server)) for _ in range(3)]
    await server.close()
    assert done == [True] * 3 and not server.connections
    for ws in clients:
        with pytest.raises(ConnectionClosedOK) as caught:
            await ws.recv()
        assert caught.value.received == Close(1001)
    with pytest.raises(ConnectionRefusedError):
        await connect(f"ws://127.0.0.1:{clients[0].remote_address[1]}/")


@every_loop
async def test_server_close_takes_a_code_and_a_reason() -> None:
    server = await serve(Recorder, "127.0.0.1", 0)
    ws = await connect(uri_of(server))
    await server.close(1012, "back soon")
    await ws.wait_closed()
    assert (ws.close_code, ws.close_reason) == (1012, "back soon")


@every_loop
async def test_server_close_truncates_nothing() -> None:
    async def handler(ws: WebSocketStream) -> None:
        await ws.send(bytes(3_000_000))
        await ws.wait_closed()

    server = await serve(handler, "127.0.0.1", 0, compression=None)
    ws = await connect(uri_of(server), max_size=None)
    closing = asyncio.ensure_future(server.close())
    assert await ws.recv() == bytes(3_000_000)
    await closing


@every_loop
async def test_server_close_may_be_called_again() -> None:
    server = await serve(echo, "127.0.0.1", 0)
    ws = await connect(uri_of(server))
    await asyncio.wait_for(asyncio.gather(server.close(), server.close()), 3)
    await server.close()
    await ws.wait_closed()


@simulated
async def test_server_close_gives_up_those_who_do_not_answer() -> None:
    server = await serve(echo, "127.0.0.1", 0, close_timeout=5, ping_interval=None)
    async with raw_client(server) as peer:
        before = clock().time()
        await server.close()
        assert clock().time() - before == pytest.approx(5, abs=0.1)
        assert (await peer.frame()).payload == (1001).to_bytes(2, "big")


@simulated
async def test_server_close_cancels_handlers_that_do_not_end() -> None:
    cancelled = []

    async def handler(ws: WebSocketStream) -> None:
        try:
            await asyncio.sleep(50_000)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    server = await serve(handler, "127.0.0.1", 0, close_timeout=5)
    ws = await connect(uri_of(server))
    before = clock().time()
    await server.close()
    assert cancelled == [True], "close waits for the handlers"
    assert clock().time() - before <= 11
    await ws.wait_closed()


@every_loop
async def test_server_close_drops_handshakes_under_way() -> None:
    server = await serve(echo, "127.0.0.1", 0)
    async with raw_client(server, b"") as peer:
        await peer.send(REQUEST[:30])
        await eventually(lambda: server.connections, "the connection is there")
        await server.close()
        assert await peer.gone()


@every_loop
async def test_server_close_cancels_process_request() -> None:
    started = asyncio.Event()

    async def process_request(protocol: Any, request: Request) -> None:
        started.set()
        await asyncio.Event().wait()

    server = await serve(echo, "127.0.0.1", 0, process_request=process_request)
    async with raw_client(server, b"") as peer:
        await peer.send(REQUEST)
        await started.wait()
        await asyncio.wait_for(server.close(), 3)


@every_loop
async def test_server_close_drops_tls_handshakes_under_way() -> None:
    handled = []

    async def handler(ws: WebSocketStream) -> None:
        handled.append(ws)
        await ws.wait_closed()

    server_tls, client_tls = tls_contexts()
    server = await serve(handler, "127.0.0.1", 0, ssl=server_tls)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_tls.wrap_bio(incoming, outgoing, server_hostname="localhost")
    async with raw_client(server, b"") as peer:
        await spin(10)
        await server.close()
        # Whatever the server makes of it: it must not end in an open connection.
        with suppress(ConnectionError):
            for do in (tls.do_handshake, lambda: tls.write(REQUEST), lambda: tls.read(100)):
                while True:
                    try:
                        answer = do()
                        await peer.send(outgoing.read())
                        break
                    except ssl.SSLWantReadError:
                        await peer.send(outgoing.read())
                        data = await peer.loop.sock_recv(peer.sock, 65536)
                        if not data:
                            raise ConnectionResetError from None
                        incoming.write(data)
            assert not answer, "a server that is closed took a connection"
        assert not handled and not server.connections


@every_loop
async def test_serve_forever_serves_until_cancelled() -> None:
    server = await serve(echo, "127.0.0.1", 0)
    serving = asyncio.ensure_future(server.serve_forever())
    async with connect(uri_of(server)) as ws:
        await ws.send("a")
        assert await ws.recv() == "a"
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    await server.close()


@every_loop
async def test_connections_are_those_that_are_there() -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        assert server.connections == set()
        async with connect(uri_of(server)), connect(uri_of(server)):
            assert len(server.connections) == 2
            assert {ws.ready_state for ws in server.connections} == {State.OPEN}
        await eventually(lambda: not server.connections, "they are gone")


# Where to listen.


@every_loop
async def test_tls_carries_messages_of_all_sizes() -> None:
    server_tls, client_tls = tls_contexts()
    async with (
        serve(echo, "127.0.0.1", 0, ssl=server_tls, compression=None, max_size=None) as server,
        connect(uri_of(server, scheme="wss"), ssl=client_tls, compression=None, max_size=None) as ws,
    ):
        for size in (0, 1, 125, 16_383, 16_385, 65_536, 1_000_000, 5_000_000):
            message = bytes([size % 251]) * size
            await ws.send(message)
            assert await ws.recv() == message


@every_loop
async def test_tls_records_that_come_together_are_all_read() -> None:
    server_tls, client_tls = tls_contexts()
    received = []

    async def handler(ws: WebSocketStream) -> None:
        while True:
            received.append(await ws.recv())

    async with serve(handler, "127.0.0.1", 0, ssl=server_tls, compression=None) as server:
        messages = [bytes([number % 256]) * (number * 37 % 9000) for number in range(400)]
        async with connect(uri_of(server, scheme="wss"), ssl=client_tls, compression=None) as ws:
            for message in messages:
                await ws.send(message)
        await eventually(lambda: received, "the handler is done")
        assert received == messages


@pytest.mark.parametrize("closer", ["server", "client"])
@every_loop
async def test_close_over_tls_does_not_truncate_the_last_message(closer: str) -> None:
    server_tls, client_tls = tls_contexts()
    message = bytes(range(256)) * 20_000
    received = []

    async def handler(ws: WebSocketStream) -> None:
        if closer == "server":
            sending = asyncio.ensure_future(ws.send(message))
            await spin(1)
            await ws.close()
            await asyncio.wait([sending])
            sending.exception()
        else:
            received.append(await ws.recv())

    options: dict[str, Any] = {"compression": None, "max_size": None}
    async with serve(handler, "127.0.0.1", 0, ssl=server_tls, **options) as server:
        async with connect(uri_of(server, scheme="wss"), ssl=client_tls, **options) as ws:
            if closer == "server":
                received.append(await ws.recv())
                with pytest.raises(ConnectionClosedOK):
                    await ws.recv()
            else:
                sending = asyncio.ensure_future(ws.send(message))
                await spin(1)
                await ws.close()
                await asyncio.wait([sending])
                sending.exception()
        await eventually(lambda: not server.connections, "the connection is gone")
    assert received == [message]


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
@every_loop
async def test_unix_socket_serves(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    async with serve(echo, path=path) as server:
        async with connect("ws://localhost/", path=path) as ws:
            await ws.send("a")
            assert await ws.recv() == "a"
            assert "WebSocketStream OPEN" in repr(ws)
        assert len(server.sockets) == 1


@every_loop
async def test_given_socket_serves() -> None:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    async with serve(echo, sock=sock) as server, connect(uri_of(server)) as ws:
        await ws.send("a")
        assert await ws.recv() == "a"


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
@every_loop
async def test_ipv6_serves() -> None:
    async with serve(echo, "::1", 0) as server, connect(f"ws://[::1]:{port_of(server)}/") as ws:
        await ws.send("a")
        assert await ws.recv() == "a"
        assert ws.remote_address[0] == "::1"


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="no SO_REUSEPORT here")
@every_loop
async def test_reuse_port_lets_two_servers_listen() -> None:
    async with serve(echo, "127.0.0.1", 0, reuse_port=True) as server:
        with pytest.raises(OSError, match="in use"):
            await serve(echo, "127.0.0.1", port_of(server))
        async with serve(echo, "127.0.0.1", port_of(server), reuse_port=True) as second:
            assert port_of(second) == port_of(server)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"compression": "gzip"}, ValueError),
        ({"origins": "http://a.test"}, TypeError),
        ({"subprotocols": "chat"}, TypeError),
        ({"subprotocols": ["a b"]}, ValueError),
    ],
)
def test_impossible_option_is_refused_at_once(options: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        serve(echo, "127.0.0.1", 0, **options)


# DEBUG.


@every_loop
async def test_debug_logging_breaks_nothing() -> None:
    logger = logging.getLogger("fastframe")
    before = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        async with serve(echo, "127.0.0.1", 0) as server, connect(uri_of(server)) as ws:
            for message in ("a\r\nb", "ü" * 1000, b"\0\xff" * 1000, "", b""):
                await ws.send(message)
                assert await ws.recv() == message
            await (await ws.ping(b"\0\xff"))
            head, _ = await answer_to(server, GET)
            assert b" 426 " in head
    finally:
        logger.setLevel(before)
        lines = logged()
    assert any("refused" in line for line in lines)
